"""Message data in a form: how long it is, and how many Received: fields open it (`mail.smtp.message`)."""

from __future__ import annotations

from typing import Any

from op25b_pcap.assembly.skim import has_dotted_line
from op25b_pcap.forms.pen import head, packed

_RECEIVED = packed(b"RECEIVED")
_CR, _LF, _DOT, _COLON, _SPACE, _TAB = 0x0D, 0x0A, 0x2E, 0x3A, 0x20, 0x09
_WIDTH = 8
MOST_RECEIVED = 30
_TOGETHER = 256
"""Octets that are looked at without a way out: faster by far, as long as no line begins with a dot."""


def end_of_data(text: Any, at: int, stop: int) -> int:
    """Where the dot of CRLF.CRLF stands; -1: it does not come; -2: something like it does before.

    The CRLF before the dot may be that of the DATA line.
    """
    last = stop - 1
    dot = at if at < last and text[at] == _DOT else dotted_line(text, at + 1, last)
    while dot < last:
        after = text[dot + 1]
        if after == _LF or (after == _CR and (dot == at + 1 or (dot > at and text[dot - 2] != _CR))):
            return -2
        if after == _CR and dot + 2 < stop and text[dot + 2] == _LF:
            return dot
        dot = dotted_line(text, dot + 1, last)
    return -1


def dotted_line(text: Any, at: int, end: int) -> int:
    """Where the next line begins with a dot; `end` or more if none does before."""
    while at + _TOGETHER <= end and not has_dotted_line(text, at, at + _TOGETHER):
        at += _TOGETHER
    while at < end and (text[at] != _DOT or text[at - 1] != _LF):
        at += 1
    return at


def received_in(text: Any, begin: int, end: int) -> int:
    """How many Received: fields open a message; -1: too many, or the opening does not end in it."""
    count, at = 0, begin
    while count <= MOST_RECEIVED:
        stop = at
        while stop < end and text[stop] != _LF:
            stop += 1
        if stop == end:
            return -1
        first = text[at]
        is_folded = count > 0 and first in (_SPACE, _TAB)
        if not is_folded:
            colon = at + _WIDTH
            if stop <= colon or head(text, at, stop, _WIDTH) != _RECEIVED:
                return count
            if text[colon] == _SPACE or text[colon] == _TAB:
                return -1
            if text[colon] != _COLON:
                return count
            count += 1
        at = stop + 1
    return -1
