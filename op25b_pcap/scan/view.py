"""Octets and views, as the kernels of both halves need them.

Everything in a kernel module is a plain function of integers, a buffer of octets and a row, in
the part of Python that numba compiles too. INVARIANT: 0 <= AT <= END <= len(data), END - AT <=
LENGTH; a kernel reads data[at] only where END - AT or `short` has said that it is there. All
arithmetic is that of 64-bit integers: an octet times 256 is one already.
"""

from __future__ import annotations

from op25b_pcap.scan.row import (
    AT,
    END,
    GO_ON,
    IP_AT,
    IP_VERSION,
    LENGTH,
    MALFORMED,
    MOST_WORDS,
    NUMBER_BITS,
    OUTER_AT,
    OUTER_VERSION,
    TRUNCATED,
    UNSURE,
    WORDS,
)


def captured(row: list[int]) -> int:
    """Octets that are there."""
    return row[END] - row[AT]


def short(row: list[int], octets: int) -> int:
    """Why there are fewer octets; GO_ON if there are so many."""
    if captured(row) >= octets:
        return GO_ON
    return TRUNCATED if captured(row) < row[LENGTH] else MALFORMED


def after(row: list[int], octets: int) -> None:
    """Go to what follows that many octets."""
    row[AT] = min(row[AT] + octets, row[END])
    row[LENGTH] = max(row[LENGTH] - octets, 0)


def within(row: list[int], octets: int) -> None:
    """Nothing beyond."""
    row[END] = min(row[END], row[AT] + octets)
    row[LENGTH] = min(row[LENGTH], octets)


def claimed(row: list[int], octets: int) -> None:
    """Nothing beyond, and so many there were, captured or not."""
    row[END] = min(row[END], row[AT] + octets)
    row[LENGTH] = octets


def tagged(row: list[int], word: int, number: int) -> int:
    """Note an encapsulation."""
    count = row[WORDS]
    if count >= MOST_WORDS:
        return UNSURE
    row[WORDS + 1 + count] = (word << NUMBER_BITS) + number
    row[WORDS] = count + 1
    return GO_ON


def tunnelled(row: list[int], word: int, number: int) -> int:
    """Note a tunnel from IP end to IP end; the outermost pays."""
    if row[OUTER_VERSION] == 0 and row[IP_VERSION] != 0:
        row[OUTER_VERSION] = row[IP_VERSION]
        row[OUTER_AT] = row[IP_AT]
    return tagged(row, word, number)
