"""What the kernels write a form with, and the marks that stand in it.

A form is octets: lines as they were said, and marks (0x80 and above) where something was left out.
Whoever writes one owes this: two dialogues of the same form are read by `mail` in the same way, and
what it tells of them differs in what the blanks hold only. Where that is not plain, there is no form.
"""

from __future__ import annotations

from typing import Any

import numpy as np

CLIENT_SAYS, SERVER_SAYS = 0x80, 0x81
"""A run of one side begins."""
TEXT = 0x82
"""A blank: printable ASCII, at least one octet, none of them a blank at either end."""
NUMBER = 0x83
"""A blank: decimal digits."""
MESSAGE, TORN_MESSAGE = 0x84, 0x85
"""A blank: a message by DATA, whole or without its end. Behind it stands how many Received: fields
open it."""
CHUNK = 0x86
"""A blank: BDAT's octets, whose number stands in the line before. Behind it the same."""
AGAIN = 0x87
"""The name of the first greeting once more."""
SECRET = 0x88
"""Something that is not told: a word or several."""
COMMANDS, TAGGED_COMMANDS = 0x89, 0x8D
"""A blank: how many commands, each with its reply, tell nothing but that they are some; IMAP's have tags."""
CLIENT_HELLO, NAMELESS_HELLO, SERVER_HELLO = 0x8A, 0x8B, 0x8C
"""TLS begins: the name that is asked for is a blank; behind the last stands the version's second octet."""
ALERT = 0x8E
"""One side gives the handshake up, in clear. Behind it stands which."""

USED, BLANKS, SPOILT, CODE, BEGIN, END, NUMBERS, SAID = range(8)
"""Registers: octets on the page, blanks so far, whether there is no form, what a reader found, how many
numbers more there may be, and where the last reply begins."""
QUEUE = 8
MOST_WAITING = 120
"""Commands that may wait for a reply in a dialogue with a form."""
REGISTERS = QUEUE + MOST_WAITING
PAGE = 4_096
"""Octets of a form; a longer dialogue has none."""
MOST_NUMBERS = 10
"""Of one dialogue: they are told apart by doubling."""
MOST_LINE = 900
"""Octets of a line; `mail` may cut a longer one (`grammar.MAX_TEXT`)."""
MOST_SECRET = 12_288
"""Octets of what is said to log in (RFC 4954 section 4), of which nothing is kept."""
_LOWER, _CR, _LF, _SPACE, _TILDE = 0x20, 0x0D, 0x0A, 0x20, 0x7E


def put(page: Any, pen: Any, octet: int) -> None:
    """Write an octet or a mark."""
    if pen[USED] == len(page):
        pen[SPOILT] = 1
    else:
        page[pen[USED]] = octet
        pen[USED] += 1


def put_all(text: Any, begin: int, end: int, page: Any, pen: Any) -> None:
    """Write octets as they stand."""
    for at in range(begin, end):
        put(page, pen, text[at])


def put_blank(begin: int, end: int, mark: int, page: Any, pen: Any, blanks: Any) -> None:
    """Leave a blank: octets `begin` to `end`, or the number `begin` if `end` is -1."""
    if end < 0:
        pen[NUMBERS] -= 1
    if pen[BLANKS] == len(blanks) or pen[NUMBERS] < 0:
        pen[SPOILT] = 1
        return
    put(page, pen, mark)
    blanks[pen[BLANKS], 0] = begin
    blanks[pen[BLANKS], 1] = end
    pen[BLANKS] += 1


def line_end(text: Any, at: int, stop: int) -> int:
    """Where the line ends that begins here, before its CRLF; -1: it is unusual or unfinished."""
    return line_end_within(text, at, stop, MOST_LINE)


def line_end_within(text: Any, at: int, stop: int, most: int) -> int:
    """The same of a line of no more than so many octets."""
    for end in range(at, min(stop - 1, at + most)):
        octet = text[end]
        if octet == _CR:
            return end if text[end + 1] == _LF else -1
        if octet < _SPACE or octet > _TILDE:
            return -1
    return -1


def packed(word: bytes) -> int:
    """A word in capitals of no more than eight octets as `word` gives it."""
    return int.from_bytes(word, "big")


def word(text: Any, at: int, end: int) -> int:
    """Octets in capitals as one number; -1: there are none, or more than eight."""
    if not 0 < end - at <= 8:
        return -1
    told = 0
    for place in range(at, end):
        octet: Any = np.int64(text[place])
        if 0x61 <= octet <= 0x7A:
            octet -= _LOWER
        told = told << 8 | octet
    return told


def head(text: Any, at: int, end: int, length: int) -> int:
    """The first octets, so many, in the same way; -1: there are less."""
    return word(text, at, at + length) if end - at >= length else -1


def space_or_end(text: Any, at: int, end: int) -> int:
    """Where the next space stands."""
    while at < end and text[at] != _SPACE:
        at += 1
    return at


def number_in(text: Any, begin: int, end: int) -> int:
    """Decimal digits as a number; -1: they are none, or too many to be one in 64 bits."""
    if not 0 < end - begin <= 15:
        return -1
    number = 0
    for at in range(begin, end):
        if not 0x30 <= text[at] <= 0x39:
            return -1
        number = 10 * number + (text[at] - 0x30)
    return number
