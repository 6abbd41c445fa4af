"""Message data as it passes by: how long it is, where it ends, how many Received: fields open it.

In: the octets after DATA's 354, or BDAT's chunks, cut anywhere. Out: counts. Of the message
itself at most the beginning of one line is held, and only while that line may still be one of
the Received: fields that it opens with.
"""

from __future__ import annotations

import re

_END = re.compile(rb"\r\n\.\r\n")
# RFC 5321 section 4.1.1.4 forbids to take anything else for the end; servers that take bare
# LFs are there all the same, and so are clients that send nothing else.
_LOOSE_END = re.compile(rb"\r?\n\.\r?\n")
_LOOSE_TAIL = re.compile(rb"\r?\n\.\r?\n\Z")
_TAIL = 4
"""Octets before a packet's that may belong to the end of data that it completes."""
_LINE_HEAD = 32
"""Octets of a line that tell whether it is a Received: field."""
# received = "Received:" … CRLF (RFC 5322 section 3.6.7); blanks before the colon are obsolete
# syntax (section 4.5).
_RECEIVED = re.compile(rb"received[ \t]*:", re.IGNORECASE)
MAX_RECEIVED = 65_535
"""What the column holds. Servers take a loop for certain long before (RFC 5321 section 6.3: 100)."""


class Message:
    """One message's data. `data` is for DATA, `chunk` for BDAT."""

    __slots__ = ("_line", "_opening", "_tail", "bare_lf", "is_torn", "octets", "received")

    def __init__(self, *, bare_lf: bool = False) -> None:
        self.bare_lf = bare_lf
        """Lines end with a bare LF, so the end of data may, too."""
        self.octets: int | None = 0
        """Octets of message data so far, dots that were stuffed included; None: not known."""
        self.received: int | None = 0
        """Received: fields so far; None: the beginning was not seen."""
        self.is_torn = False
        """Some of it is missing."""
        self._opening = True
        self._line = b""
        self._tail = b"\r\n"  # that of the DATA command

    def data(self, data: bytes) -> int | None:
        """How many of these octets belong to the message, its end included.

        None: all of them, and the end has not come yet.
        """
        window = self._tail + data
        end = (_LOOSE_END if self.bare_lf else _END).search(window)
        if end is None:
            self._count(len(data))
            self._tail = window[-_TAIL:]
            if self._opening:
                self._open(data)
            return None
        before = len(self._tail)
        kept = window.find(b".", end.start()) - before
        self._count(kept)
        if self._opening:
            self._open(data[: max(kept, 0)])
        self.finish()
        return end.end() - before

    def chunk(self, data: bytes) -> None:
        """Octets of a chunk: no dots, no end."""
        self._count(len(data))
        if self._opening:
            self._open(data)

    def pass_over(self, octets: int) -> bool:
        """So many octets come in which it does not end (`tables.streams.Passage`). False: they are needed."""
        if self._opening:
            return False
        self._count(octets)
        self._tail = b""
        return True

    def gap(self, octets: int) -> None:
        """So many of its octets were sent, and no packet holds them."""
        self._count(octets)
        self.is_torn = True
        self._tail = b""
        if self._opening:
            self.received, self._opening, self._line = None, False, b""

    def lose(self) -> None:
        """How long it is will never be known."""
        self.octets = None
        self.gap(0)

    def abandon(self, *, is_sure: bool) -> None:
        """Its end was not seen. `is_sure`: it had none, what was counted is all that was sent."""
        if not is_sure or not self.octets:
            self.lose()
        elif self._opening:
            self.received = None
        self.finish()

    def ends_loosely(self) -> bool:
        """Whether what has come ends as a message does for those who take a bare LF.

        Then this was its end: the server has answered right behind it. The dot and its line
        ending are taken from the count.
        """
        match = _LOOSE_TAIL.search(self._tail)
        if match is None:
            return False
        self._count(self._tail.find(b".", match.start()) - len(self._tail))
        self.finish()
        return True

    def finish(self) -> None:
        """Nothing more belongs to it."""
        if self._opening and self._line:
            self._judge(self._line)
        self._opening, self._line, self._tail = False, b"", b""

    def _count(self, octets: int) -> None:
        if self.octets is not None:
            self.octets += octets

    def _open(self, data: bytes) -> None:
        """Count Received: fields in the octets that open the message."""
        at = 0
        while self._opening:
            end = data.find(b"\n", at)
            head = data[at : at + _LINE_HEAD] if end < 0 else data[at : min(at + _LINE_HEAD, end)]
            self._line = (self._line + head)[:_LINE_HEAD]
            if end < 0:
                return
            self._judge(self._line)
            self._line = b""
            at = end + 1

    def _judge(self, line: bytes) -> None:
        """One line of the beginning: a field, the rest of one (folded), or no longer trace."""
        if self.received is None or (line[:1] in (b" ", b"\t") and self.received):
            return
        if _RECEIVED.match(line):
            self.received = min(self.received + 1, MAX_RECEIVED)
        else:
            self._opening = False
