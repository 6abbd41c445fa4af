"""The form of an IMAP dialogue (RFC 9051) in clear: tagged commands and their tagged replies.

Untagged responses tell `mail` nothing, so they do not stand in the form; their literals are passed over.
"""

from __future__ import annotations

from typing import Any

from op25b_pcap.forms.pen import (
    CLIENT_SAYS,
    SECRET,
    SERVER_SAYS,
    SPOILT,
    line_end,
    number_in,
    packed,
    put,
    put_all,
    space_or_end,
    word,
)
from op25b_pcap.forms.pop3 import rest_of_line

_LOGIN, _SELECT, _EXAMINE, _LIST, _STATUS = (
    packed(verb) for verb in (b"LOGIN", b"SELECT", b"EXAMINE", b"LIST", b"STATUS")
)
_FETCH, _NOOP, _LOGOUT, _UID = (packed(verb) for verb in (b"FETCH", b"NOOP", b"LOGOUT", b"UID"))
_OK, _NO, _BAD, _BYE, _PREAUTH = (packed(status) for status in (b"OK", b"NO", b"BAD", b"BYE", b"PREAUTH"))
_CLIENT = 0
_SPACE, _STAR, _OPENING, _CLOSING, _PLUS = tuple(b" *{}+")
_MOST_TAG = 12
_MOST_DIGITS = 9


def imap(text: Any, runs: Any, begin: int, end: int, page: Any, pen: Any, blanks: Any) -> bool:
    """Write the form of runs `begin` to `end`; whether there is one."""
    for number in range(begin, end):
        at, stop = runs[number]["begin"], runs[number]["end"]
        is_client = runs[number]["side"] == _CLIENT
        if is_client and number == begin:
            return False
        put(page, pen, CLIENT_SAYS if is_client else SERVER_SAYS)
        if number == begin:
            at = greeting(text, at, stop, page, pen, blanks)
            if at < 0:
                return False
        while at < stop:
            if is_client:
                at = tagged(text, at, stop, True, page, pen)
            elif text[at] == _STAR:
                at = untagged(text, at, stop)
            else:
                at = tagged(text, at, stop, False, page, pen)
            if at < 0:
                return False
    return pen[SPOILT] == 0


def greeting(text: Any, at: int, stop: int, page: Any, pen: Any, blanks: Any) -> int:
    """Write `* OK` and a blank, or what else a server greets with: where the next line begins, or -1."""
    end = line_end(text, at, stop)
    if end < at + 3 or text[at] != _STAR or text[at + 1] != _SPACE:
        return -1
    close = space_or_end(text, at + 2, end)
    if word(text, at + 2, close) != _OK:
        return -1
    put_all(text, at, close, page, pen)
    if not rest_of_line(text, close, end, True, page, pen, blanks):
        return -1
    put_all(text, end, end + 2, page, pen)
    return end + 2


def tagged(text: Any, at: int, stop: int, is_command: bool, page: Any, pen: Any) -> int:
    """Write a tag, and a command or a status: where the next line begins, or -1.

    What stands behind is not told.
    """
    end = line_end(text, at, stop)
    if end < 0 or text[end - 1] == _CLOSING:
        return -1
    close = space_or_end(text, at, end)
    if close in (at, end) or close - at > _MOST_TAG:
        return -1
    for place in range(at, close):
        octet = text[place]
        if not (0x30 <= octet <= 0x39 or 0x41 <= octet <= 0x5A or 0x61 <= octet <= 0x7A):
            return -1
    verb = close + 1
    close = space_or_end(text, verb, end)
    said = word(text, verb, close)
    if is_command:
        is_known = said in (_LOGIN, _SELECT, _EXAMINE, _LIST, _STATUS, _FETCH, _NOOP, _LOGOUT, _UID)
    else:
        is_known = said in (_OK, _NO, _BAD)
    if not is_known:
        return -1
    put_all(text, at, close, page, pen)
    if close < end:
        if close + 1 == end or text[close + 1] == _SPACE:
            return -1
        put(page, pen, _SPACE)
        put(page, pen, SECRET)
    put_all(text, end, end + 2, page, pen)
    return end + 2


def untagged(text: Any, at: int, stop: int) -> int:
    """Pass over an untagged response with its literals: where the next line begins, or -1."""
    if at + 1 >= stop or text[at + 1] != _SPACE:
        return -1
    is_first = True
    while True:
        end = line_end(text, at, stop)
        if end < 0:
            return -1
        if end == at or text[end - 1] != _CLOSING:
            return end + 2
        status = word(text, at + 2, space_or_end(text, at + 2, end))
        # The words of a status are free: braces in them announce nothing.
        if is_first and status in (_OK, _NO, _BAD, _BYE, _PREAUTH):
            return -1
        is_first = False
        last = end - 1
        if last > at and text[last - 1] == _PLUS:
            last -= 1
        opening = last - 1
        while opening > at and last - opening <= _MOST_DIGITS and text[opening] != _OPENING:
            opening -= 1
        octets = number_in(text, opening + 1, last)
        if text[opening] != _OPENING or octets < 0 or octets > stop - end - 2:
            return -1
        at = end + 2 + octets
