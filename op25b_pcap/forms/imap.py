"""The form of an IMAP dialogue (RFC 9051): tagged commands and their tagged replies.

Untagged responses tell `mail` nothing, so they do not stand in the form; their literals are passed over.
A client's literal has no form.
"""

from __future__ import annotations

from typing import Any

from op25b_pcap.forms.pen import (
    CLIENT_SAYS,
    SERVER_SAYS,
    SPOILT,
    TAGGED_COMMANDS,
    head,
    line_end,
    number_in,
    packed,
    put,
    put_all,
    space_or_end,
    word,
)
from op25b_pcap.forms.retrieval import CLIENT, SPACE, end_line, greet, is_told, say
from op25b_pcap.forms.smtp import mechanism
from op25b_pcap.forms.tls import tls

_LOGIN, _STARTTLS, _COMPRESS = (packed(verb) for verb in (b"LOGIN", b"STARTTLS", b"COMPRESS"))
_AUTHENTI, _CATE = packed(b"AUTHENTI"), packed(b"CATE")
_AUTHENTICATE = 12
"""Octets of it."""
_OK, _NO, _BAD, _BYE, _PREAUTH = (packed(status) for status in (b"OK", b"NO", b"BAD", b"BYE", b"PREAUTH"))
_STAR, _OPENING, _CLOSING, _PLUS, _DASH, _DOT = tuple(b"*{}+-.")
_TAG = 0x62
"""That of all commands that are written; `recite` has another for those that are counted."""
_MOST_TAG = 64
_MOST_DIGITS = 9
_MOST_BETWEEN = 60
"""Commands between one that tells something and its reply; `mail` may forget what more are before
(`mail.imap.MAX_OUTSTANDING`)."""
_NOTHING, _LOGS_IN, _SECURES = range(3)
"""What a command tells beside that it is one."""


def imap(text: Any, runs: Any, begin: int, end: int, page: Any, pen: Any, blanks: Any) -> bool:
    """Write the form of runs `begin` to `end`; whether there is one."""
    counted, commands, telling, has_spoken = -1, 0, 0, False
    due, between, tag, tag_end = _NOTHING, 0, 0, 0
    for number in range(begin, end):
        at, stop = runs[number]["begin"], runs[number]["end"]
        is_client = runs[number]["side"] == CLIENT
        while at < stop:
            if pen[SPOILT] != 0:
                return False
            if counted < 0:
                close = line_end(text, at, stop)
                status = status_end(text, at, close)
                if is_client or status < 0:
                    return False
                counted = greet(text, at, status, close, TAGGED_COMMANDS, page, pen, blanks)
                if counted < 0:
                    return False
                at = close + 2
                continue
            if not is_client and text[at] == _STAR:
                at = untagged(text, at, stop)
                if at < 0:
                    return False
                continue
            close = line_end(text, at, stop)
            if close <= at or (is_client and text[close - 1] == _CLOSING):
                return False
            before, at = at, close + 2
            if not is_client and text[before] == _PLUS:
                continue
            has_spoken |= is_client
            space = space_or_end(text, before, close)
            if is_client and due == _SECURES:
                return False
            if is_client and space == close:
                continue  # DONE, which ends IDLE; the answer to a SASL challenge; or nothing of IMAP
            if not has_spoken or not (0 < space - before <= _MOST_TAG and is_plain(text, before, space)):
                return False
            is_its = due != _NOTHING and are_alike(text, before, space, tag, tag_end)
            verb = space + 1
            verb_end = space_or_end(text, verb, close)
            if is_client:
                what = meaning(text, verb, verb_end, close, page, pen)
                if what < 0 or is_its or (what != _NOTHING and due != _NOTHING):
                    return False
                if what == _NOTHING:
                    commands += 1
                    between += 1
                else:
                    telling += 1
                    due, between, tag, tag_end = what, 0, before, space
                if (due != _NOTHING and between > _MOST_BETWEEN) or (what == _SECURES and at != stop):
                    return False
                continue
            status = word(text, verb, verb_end)
            if status not in (_OK, _NO, _BAD):
                return False
            if is_its:
                begin_line(SERVER_SAYS, page, pen)
                say(text, verb, verb_end, False, page, pen)
                if due == _SECURES and status == _OK:
                    is_usual = at == stop and is_told(counted, commands, telling, pen, blanks)
                    return is_usual and tls(text, runs, number + 1, end, page, pen, blanks)
                due = _NOTHING
    return is_told(counted, commands, telling, pen, blanks)


def status_end(text: Any, at: int, end: int) -> int:
    """Where `* OK` ends; -1: that is not what the server greets with."""
    if end < at + 4 or text[at] != _STAR or text[at + 1] != SPACE:
        return -1
    close = space_or_end(text, at + 2, end)
    return close if word(text, at + 2, close) == _OK else -1


def is_plain(text: Any, begin: int, end: int) -> bool:
    """Whether these are letters, digits, dots and dashes."""
    is_so = True
    for place in range(begin, end):
        octet = text[place]
        is_small = 0x61 <= octet | 0x20 <= 0x7A
        is_so &= is_small or 0x30 <= octet <= 0x39 or octet in (_DASH, _DOT)
    return is_so


def are_alike(text: Any, begin: int, end: int, other: int, other_end: int) -> bool:
    """Whether two words are the same."""
    is_so = end - begin == other_end - other
    for index in range(min(end - begin, other_end - other)):
        is_so &= text[begin + index] == text[other + index]
    return bool(is_so)


def meaning(text: Any, at: int, close: int, end: int, page: Any, pen: Any) -> int:
    """What a command tells, -1 if it is unusual; it is written if it tells more than that it is one."""
    if close == at or not 0x61 <= text[at] | 0x20 <= 0x7A or not is_plain(text, at, close):
        return -1
    verb = word(text, at, close)
    if verb == _COMPRESS:
        return -1
    is_long = close - at == _AUTHENTICATE
    if is_long and head(text, at, close, 8) == _AUTHENTI and head(text, at + 8, close, 4) == _CATE:
        begin_line(CLIENT_SAYS, page, pen)
        put_all(text, at, close + 1, page, pen)
        is_known = close < end and mechanism(text, close + 1, end, page, pen)
        end_line(page, pen)
        return _LOGS_IN if is_known else -1
    if verb not in (_LOGIN, _STARTTLS):
        return _NOTHING
    begin_line(CLIENT_SAYS, page, pen)
    say(text, at, close, close < end, page, pen)
    return _LOGS_IN if verb == _LOGIN else _SECURES


def begin_line(mark: int, page: Any, pen: Any) -> None:
    """Write who says a line, and a tag that is the same for all."""
    put(page, pen, mark)
    put(page, pen, _TAG)
    put(page, pen, SPACE)


def untagged(text: Any, at: int, stop: int) -> int:
    """Pass over an untagged response with its literals: where the next line begins, or -1."""
    if at + 1 >= stop or text[at + 1] != SPACE:
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
