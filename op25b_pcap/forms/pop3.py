"""The form of a POP3 dialogue (RFC 1939) in which one command follows one reply."""

from __future__ import annotations

from typing import Any

from op25b_pcap.forms.message import end_of_data
from op25b_pcap.forms.pen import (
    CLIENT_SAYS,
    LINES,
    SECRET,
    SERVER_SAYS,
    SPOILT,
    TEXT,
    head,
    line_end,
    packed,
    put,
    put_all,
    put_blank,
    space_or_end,
    word,
)

_OK, _ERR = packed(b"+OK"), packed(b"-ERR")
_USER, _PASS, _STAT, _DELE, _NOOP, _RSET, _QUIT = (
    packed(verb) for verb in (b"USER", b"PASS", b"STAT", b"DELE", b"NOOP", b"RSET", b"QUIT")
)
_LIST, _UIDL, _RETR, _TOP, _CAPA = (packed(verb) for verb in (b"LIST", b"UIDL", b"RETR", b"TOP", b"CAPA"))
_NOTHING, _LINE, _TEXT = range(3)
"""What a command is answered with: it is none; a line; lines up to a dot, unless it is refused."""
_CLIENT = 0
_SPACE = 0x20


def pop3(text: Any, runs: Any, begin: int, end: int, page: Any, pen: Any, blanks: Any) -> bool:
    """Write the form of runs `begin` to `end`; whether there is one."""
    due = _LINE
    for number in range(begin, end):
        at, stop = runs[number]["begin"], runs[number]["end"]
        is_client = runs[number]["side"] == _CLIENT
        close = line_end(text, at, stop)
        if is_client != ((number - begin) % 2 == 1) or close < 0:
            return False
        put(page, pen, CLIENT_SAYS if is_client else SERVER_SAYS)
        if is_client:
            due = retrieval_command(text, at, close, page, pen)
            if due == _NOTHING or close + 2 != stop:
                return False
            put_all(text, close, stop, page, pen)
            continue
        is_taken = head(text, at, close, 3) == _OK
        if not is_taken and head(text, at, close, 4) != _ERR:
            return False
        told = at + (3 if is_taken else 4)
        put_all(text, at, told, page, pen)
        if not rest_of_line(text, told, close, number == begin, page, pen, blanks):
            return False
        put_all(text, close, close + 2, page, pen)
        at = close + 2
        if due == _TEXT and is_taken:
            dot = end_of_data(text, at, stop)
            if dot < 0 or dot + 3 != stop:
                return False
            put(page, pen, LINES)
        elif at != stop:
            return False
    return pen[SPOILT] == 0


def rest_of_line(text: Any, at: int, end: int, is_told: bool, page: Any, pen: Any, blanks: Any) -> bool:
    """Write what stands behind the first word, which is told of a greeting only."""
    if at == end:
        return True
    if text[at] != _SPACE or at + 1 == end or text[at + 1] == _SPACE or text[end - 1] == _SPACE:
        return False
    put(page, pen, _SPACE)
    if is_told:
        put_blank(at + 1, end, TEXT, page, pen, blanks)
    else:
        put(page, pen, SECRET)
    return True


def retrieval_command(text: Any, at: int, end: int, page: Any, pen: Any) -> int:
    """Write a command; whether its positive reply has several lines."""
    close = space_or_end(text, at, end)
    has_argument = close < end
    if has_argument and (close + 1 == end or text[close + 1] == _SPACE):
        return _NOTHING
    verb, due = word(text, at, close), _NOTHING
    if verb in (_USER, _PASS, _STAT, _DELE, _NOOP, _RSET, _QUIT):
        due = _LINE
    elif verb in (_LIST, _UIDL):
        due = _LINE if has_argument else _TEXT
    elif verb in (_RETR, _TOP, _CAPA):
        due = _TEXT
    if due != _NOTHING:
        put_all(text, at, close, page, pen)
        if has_argument:
            put(page, pen, _SPACE)
            put(page, pen, SECRET)
    return due
