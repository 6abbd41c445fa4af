"""Octets of one side to lines: what every mail dialogue is read from.

In: the octets of one side in order, cut anywhere, and gaps. Out: lines, or counted runs of
octets (literals, chunks, texts) that are dropped unread. Time is linear in the octets for any
cut; once the whole lines are read, no more than `MAX_LINE` octets and a few are held.

A line ends with LF, with or without a CR before it: RFC 5321 section 2.3.8 forbids to send a
bare LF, but servers and clients take it, so who reads what they read must take it too. A bare
CR ends no line, for none of them ends one there; it stays in the text.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_LINE = 65_536
"""Octets kept of a line's beginning: what Dovecot takes (imap_max_line_length), and eight times
what RFC 7162 section 4 asks of an IMAP server. SMTP's longest is 12,288 (RFC 4954 section 4)."""
LAST_OCTETS = 64
"""Octets kept of an over-long line's end: an IMAP literal is announced there."""

CRLF, LF = b"\r\n", b"\n"
_CR = CRLF[0]
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
"""Control characters, and those that turn the direction of text (Unicode annex 9)."""


class Line(NamedTuple):
    """One line of a dialogue."""

    text: bytes
    """Without its ending. Of an over-long line only its first and last octets, joined."""
    ending: bytes
    """CRLF or LF."""
    cut: int
    """Octets from the middle of an over-long line that were not kept."""
    after_gap: bool
    """Octets are missing right before it: it may be only the rest of a line."""


class Text(NamedTuple):
    """A run of a dot-stuffed text (RFC 5321 section 4.5.2, RFC 1939 section 3)."""

    octets: int
    """Octets that were dropped, those of the dot's line not counted."""
    end: bytes
    """CRLF.CRLF or what passes for it with bare LFs; empty while the text goes on.

    Of an empty text, the first line ending is that of the command or reply before it.
    """


class Lines:
    """What one side has sent and nobody has read yet."""

    __slots__ = ("_at", "_before", "_cut", "_head", "_searched", "after_gap", "unread")

    def __init__(self) -> None:
        self.unread: bytes | bytearray = b""
        """Holds the octets that are there and not read; empty where there are none."""
        self.after_gap = False
        """Octets are missing before the next line."""
        self._at = 0  # all before it has been read
        self._searched = 0  # no LF from `_at` to here
        self._head = b""
        self._cut = 0
        self._before = CRLF  # the last two octets read; a stream begins as a line does

    @property
    def pending(self) -> int:
        """How many octets are there and not read."""
        return len(self.unread) - self._at

    def feed(self, data: bytes) -> None:
        """The side sent these octets."""
        if not self.unread:
            self.unread = data  # often whole lines, which need no buffer
            return
        if isinstance(self.unread, bytes):
            self.unread = bytearray().join((self.unread[self._at :], data))
        else:
            del self.unread[: self._at]
            self.unread += data
        self._searched = max(self._searched - self._at, 0)
        self._at = 0

    def only_line(self, data: bytes) -> bytes | None:
        """`feed` and `next_line` at once, for octets that are one whole line, as most are.

        Returns the text of a line that ends with CRLF, is not cut and does not stand behind a
        gap. None: the octets are something else or others wait before them; they are not fed.
        """
        last = len(data) - 1
        if data.find(LF) != last or not 0 < last <= MAX_LINE or data[last - 1] != _CR:
            return None
        if self.unread or self.after_gap:
            return None
        self._before = CRLF
        return data[:-2]

    def gap(self) -> None:
        """Octets are missing here; what waits before them is forgotten, read or not."""
        self._read_to(len(self.unread))
        self._before, self.after_gap = b"", True

    def next_line(self) -> Line | None:
        """The next whole line, or None where its ending has not come yet."""
        at = self._at
        end = self.unread.find(LF, at if at > self._searched else self._searched)
        if end < 0:
            self._shorten()
            self._searched = len(self.unread)
            return None
        text, ending = bytes(self.unread[at:end]), LF
        if text and text[-1] == _CR:
            text, ending = text[:-1], CRLF
        cut = self._cut
        if self._head:
            cut += len(text) - LAST_OCTETS
            text = self._head + text[-LAST_OCTETS:]
        elif len(text) > MAX_LINE + LAST_OCTETS:
            cut = len(text) - MAX_LINE - LAST_OCTETS
            text = text[:MAX_LINE] + text[-LAST_OCTETS:]
        line = Line(text, ending, cut, self.after_gap)
        self._before, self.after_gap = ending, False
        self._head, self._cut = b"", 0
        self._move_to(end + 1)
        return line

    def peek(self, count: int) -> bytes:
        """Up to `count` raw octets of those that are there, which stay unread."""
        return bytes(self.unread[self._at : self._at + count])

    def take(self, count: int) -> bytes:
        """Up to `count` raw octets of those that are there."""
        data = self.peek(count)
        self._read_to(self._at + len(data))
        return data

    def drop(self, count: int) -> int:
        """Like `take` without keeping them; returns how many there were."""
        count = min(count, self.pending)
        self._read_to(self._at + count)
        return count

    def drop_text(self) -> Text:
        """Drop what is there of a dot-stuffed text, and the dot's line that ends it.

        To be called again when more has come, until `end` is there. The same as reading lines
        until one is a dot, at the speed of a search.
        """
        begin = self._at
        opens = self._before.endswith(b"\n") and self.unread.startswith(b".", begin)
        dot = begin if opens else self._dot_after(begin)
        while dot is not None:
            after = bytes(self.unread[dot + 1 : dot + 3])
            if after in (b"", b"\r"):  # more must come before this line can be told
                self._read_to(dot)
                return Text(dot - begin, b"")
            if after[:1] == b"\n" or after == b"\r\n":
                self._read_to(dot)
                ending = b"\n" if after[:1] == b"\n" else b"\r\n"
                before = b"\r\n" if self._before == b"\r\n" else b"\n"
                self._read_to(dot + 1 + len(ending))
                self.after_gap = False
                return Text(dot - begin, before + b"." + ending)
            dot = self._dot_after(dot)
        end = len(self.unread)
        self._read_to(end)
        return Text(end - begin, b"")

    def _dot_after(self, at: int) -> int | None:
        """Where the next line after `at` begins with a dot."""
        found = self.unread.find(b"\n.", at)
        return found + 1 if found >= 0 else None

    def _read_to(self, at: int) -> None:
        self._before = (self._before + self.unread[max(self._at, at - 2) : at])[-2:]
        self._head, self._cut = b"", 0
        self._move_to(at)

    def _move_to(self, at: int) -> None:
        if at < len(self.unread):
            self._at = at
        else:
            self.unread, self._at, self._searched = b"", 0, 0

    def _shorten(self) -> None:
        """Let go of the middle of a line that is too long, before its ending has come."""
        head = self._head
        if not head:
            if self.pending <= MAX_LINE + LAST_OCTETS + 1:
                return
            head = bytes(self.unread[self._at : self._at + MAX_LINE])
            self._at += MAX_LINE
        surplus = self.pending - LAST_OCTETS - 1  # the last may be the CR of the ending
        cut = self._cut + surplus
        self._read_to(self._at + surplus)
        self._head, self._cut = head, cut


def printable(octets: bytes, limit: int) -> str:
    r"""A stranger's octets as text that is safe in any table: valid UTF-8 without control characters.

    What is neither is written as in a Python string, `\xNN`. Of more than `limit` octets only
    the first are told.
    """
    if octets.isascii() and len(octets) <= limit:
        text = octets.decode()
        if text.isprintable():
            return text
    text = octets[:limit].decode("utf-8", "backslashreplace")
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)
