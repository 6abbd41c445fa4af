"""What is looked at of payload while it is at hand, so that most of a large message need not be read again.

A large message is nobody's business but for where it ends, and how long it is. It ends with a line
that is a dot. Of octets in which no line begins with one, the last few are all that can matter.
"""

from __future__ import annotations

import numpy as np

IN_HAND = -1
"""Instead of a tail: a packet's payload is there."""
TAIL = 4
"""Octets of a payload that are kept where the others are not: as many of an end of data, less one."""
NO_TAIL = 0
"""Of a payload that must be read; four NULs are none, either."""
_CR, _LF, _DOT = 0x0D, 0x0A, 0x2E


def tail_of(data: bytes, at: int, end: int) -> int:
    """The last octets of a payload, as a number, if it may be passed over with nothing but these known."""
    if not is_even(data, at, end):
        return NO_TAIL
    tail = 0
    for place in range(end - TAIL, end):
        tail = tail << 8 | int(np.int64(data[place]))
    return tail


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
