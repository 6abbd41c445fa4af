"""A form as a dialogue again, with words of our own in its blanks by which they are known."""

from __future__ import annotations

import re
from typing import NamedTuple

from op25b_pcap.forms import pen
from op25b_pcap.tables.streams import CLIENT, SERVER, Chunk, Side

_WORD = "q7x{:04d}x7q"
WORD = re.compile("q7x([0-9]{4})x7q")
_TAKEN = b"q7x"
"""A form in which this stands cannot be recited: it may be one of our words."""
UNIT = 512
"""The n-th number of a form is this times the n-th power of two, so that a sum shows what went into it."""
SOME = 64
"""Of commands that are counted: they are said one by one, and a form has but one such number."""
_PIECE = re.compile(
    rb"[\x00-\x7f]+|[%s].|."
    % re.escape(bytes((pen.MESSAGE, pen.TORN_MESSAGE, pen.CHUNK, pen.SERVER_HELLO, pen.ALERT))),
    re.DOTALL,
)
"""What was said as it stands; a mark with the octet behind it, or alone."""
_RECEIVED, _FIELD = b"Received: x\r\n", b"X: "
_SIDES = {pen.CLIENT_SAYS: CLIENT, pen.SERVER_SAYS: SERVER}
_SECRET = b"secret"
_COMMANDS = {
    pen.COMMANDS: (b"NOOP\r\n", b"+OK\r\n"),
    pen.TAGGED_COMMANDS: (b"a NOOP\r\n", b"a OK\r\n"),
}
"""One, and its reply."""


class Recital(NamedTuple):
    """A form in our words."""

    chunks: list[Chunk]
    numbers: dict[int, int]
    """Its numbers, and which blanks they stand in."""


def recite(form: bytes) -> Recital | None:
    """The dialogue of a form (its circumstances left out); None: it holds what our words are made of."""
    return None if _TAKEN in form else _Recital(form).told()


class _Recital:
    def __init__(self, form: bytes) -> None:
        self._marks = iter(_PIECE.findall(form))
        self._blanks = 0
        self._numbers: dict[int, int] = {}
        self._size = 0
        self._name = b""
        self._runs: list[tuple[Side, bytearray]] = []

    def told(self) -> Recital:
        for piece in self._marks:
            mark = piece[0]
            if mark in _SIDES:
                self._runs.append((_SIDES[mark], bytearray()))
            elif mark in (pen.CLIENT_HELLO, pen.NAMELESS_HELLO):
                name = self._word() if mark == pen.CLIENT_HELLO else b""
                self._runs.append((CLIENT, bytearray(_client_hello(name))))
            elif mark in _COMMANDS:
                command, reply = _COMMANDS[mark]
                count = self._number(SOME)
                self._runs += [(CLIENT, bytearray(command * count)), (SERVER, bytearray(reply * count))]
            elif mark == pen.SERVER_HELLO:
                self._runs.append((SERVER, bytearray(_server_hello(piece[1]))))
            elif mark == pen.ALERT:
                self._runs.append((_SIDES[piece[1]], bytearray(_HANDSHAKE_FAILURE)))
            else:
                self._runs[-1][1].extend(self._said(piece))
        chunks = [Chunk(side, 0, 0, bytes(octets)) for side, octets in self._runs if octets]
        return Recital(chunks, self._numbers)

    def _said(self, piece: bytes) -> bytes:
        match piece[0]:
            case pen.TEXT:
                return self._word()
            case pen.NUMBER:
                return b"%d" % self._number()
            case pen.MESSAGE:
                return _message(self._number(), piece[1]) + b".\r\n"
            case pen.TORN_MESSAGE:
                return _message(self._number(), piece[1])
            case pen.CHUNK:
                return _message(self._size, piece[1])
            case pen.AGAIN:
                return self._name
            case pen.SECRET:
                return _SECRET
        return piece

    def _word(self) -> bytes:
        word = _WORD.format(self._blanks).encode()
        self._blanks += 1
        said = self._runs[-1] if self._runs else None
        if not self._name and said is not None and said[0] is CLIENT:
            bracket = b"[" if said[1].endswith(b"[") else b""
            self._name = bracket + word
        return word

    def _number(self, number: int = 0) -> int:
        self._size = number or UNIT << len(self._numbers)
        self._numbers[self._size] = self._blanks
        self._blanks += 1
        return self._size


def _message(octets: int, received: int) -> bytes:
    """Message data of that length, which so many Received: fields open; it ends with CRLF."""
    opening = _RECEIVED * received + _FIELD
    return opening + b"x" * (octets - len(opening) - 2) + b"\r\n"


def _vector(octets: bytes, length_octets: int) -> bytes:
    return len(octets).to_bytes(length_octets, "big") + octets


def _record(kind: int, octets: bytes) -> bytes:
    return bytes((kind, 3, 3)) + _vector(octets, 2)


_HANDSHAKE_FAILURE = _record(21, b"\2\x28")
"""An alert (RFC 8446 section 6); behind it nothing can be read."""


def _client_hello(name: bytes) -> bytes:
    """A ClientHello (RFC 8446 section 4.1.2) that asks for this name, if any (RFC 6066 section 3)."""
    server_name = b"\0\0" + _vector(_vector(b"\0" + _vector(name, 2), 2), 2) if name else b""
    body = b"\3\3" + bytes(32) + _vector(b"", 1) + _vector(b"\x13\1", 2) + _vector(b"\0", 1)
    body += _vector(server_name, 2)
    return _record(22, b"\1" + _vector(body, 3))


def _server_hello(version: int) -> bytes:
    """A ServerHello (RFC 8446 section 4.1.3) that chose version 3.`version`."""
    body = bytes((3, version)) + bytes(32) + _vector(b"", 1) + b"\x13\1\0"
    return _record(22, b"\2" + _vector(body, 3))
