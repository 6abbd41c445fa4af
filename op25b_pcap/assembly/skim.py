"""The kernel that looks through payload which was left in files, and keeps what may tell something.

A large message is nobody's business but for where it ends, and how long it is. It ends with a line
that is a dot. Octets in which no line begins with one are counted, and not kept.
"""

from __future__ import annotations

from typing import Any

from op25b_pcap.assembly.settle import copy, signed

IN_HAND, UNREAD = -1, -2
"""What is known of a packet's payload beside its tail: it is there; it is not, and must be."""
TAIL = 4
"""Octets of a payload that are kept where the others are not: as many of an end of data, less one."""
_CR, _LF, _DOT = 0x0D, 0x0A, 0x2E


def is_even(data: bytes, at: int, end: int) -> bool:
    """Whether no end of data, CRLF.CRLF or one with bare LFs, has its dot or what follows it begin here.

    One whose last octets are the first of what comes next is seen there, by the tail.
    """
    if end - at < TAIL or data[at] == _DOT or data[at] == _CR or data[at] == _LF:
        return False
    return not has_dotted_line(data, at + 1, end)


def has_dotted_line(data: bytes, at: int, end: int) -> bool:
    """Whether a line begins with a dot here; the octet before `at` is there, too."""
    before, octets, found = data[at - 1 : end - 1], data[at:end], False
    # To the end, without a way out: so it is done sixteen at a time.
    for index in range(len(octets)):
        found |= (before[index] == _LF) & (octets[index] == _DOT)
    return found


def skim(
    data: bytes, places: Any, sizes: Any, options: Any, kept: Any, used: int, ats: Any, tails: Any
) -> int:
    """Look at packets that stand at `places` in `data`; gives how much of `kept` is used then.

    Each begins with its options. `tails` gets the last octets of payload that is passed over, as a
    number; of other packets, a word, and `ats` where their octets stand in `kept`.
    """
    for index in range(len(places)):
        at, size = places[index], sizes[index]
        end = at + size
        if is_even(data, at + options[index], end):
            tail = 0
            for place in range(end - TAIL, end):
                tail = tail << 8 | signed(data[place])
            tails[index] = tail
        elif used + size > len(kept):
            tails[index] = UNREAD
        else:
            copy(data, at, size, kept, used)
            ats[index], tails[index] = used, IN_HAND
            used += size
    return used
