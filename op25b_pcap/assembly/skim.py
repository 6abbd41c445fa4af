"""What is looked at of payload while it is at hand, so that most of a large message need not be read again.

A large message is nobody's business but for where it ends, and how long it is. It ends with a line
that is a dot. Of octets in which no line begins with one, the first and the last few are all that can
matter.
"""

from __future__ import annotations

import numpy as np

from op25b_pcap.wire.services import SERVICES, SMTP_SERVICES

_TO = tuple(sorted(port for port, service in SERVICES.items() if service in SMTP_SERVICES))
IN_HAND = -1
"""Instead of a tail: a packet's payload is there."""
TAIL = 4
"""Octets of a payload that are kept where the others are not: as many of an end of data, less one."""
NO_TAIL = 0
"""Of a payload that must be read; four NULs are none, either."""
_CR, _LF, _DOT = 0x0D, 0x0A, 0x2E


def takes_messages(port: int) -> bool:
    """Whether clients send messages to a port."""
    return port in _TO


def tail_of(data: bytes, at: int, end: int) -> int:
    """The last octets of a payload in which no end of data begins and ends or has its dot, as a number."""
    if end - at < TAIL or has_dotted_line(data, at + 1, end):
        return NO_TAIL
    tail = 0
    for place in range(end - TAIL, end):
        tail = tail << 8 | int(np.int64(data[place]))
    return tail


def goes_on(tail: int, first: int) -> bool:
    """Whether an end of data, CRLF.CRLF or one with bare LFs, may go on with that octet behind a tail."""
    if first != _DOT and first != _CR and first != _LF:
        return False
    last, before = tail & 0xFF, tail >> 8 & 0xFF
    if tail == NO_TAIL or (first == _DOT and last == _LF):
        return True
    return first != _DOT and (last == _DOT or (first == _LF and last == _CR and before == _DOT))


def has_dotted_line(data: bytes, at: int, end: int) -> bool:
    """Whether a line begins with a dot here; the octet before `at` is there, too."""
    before, octets, found = data[at - 1 : end - 1], data[at:end], False
    # To the end, without a way out: so it is done sixteen at a time.
    for index in range(len(octets)):
        found |= (before[index] == _LF) & (octets[index] == _DOT)
    return found
