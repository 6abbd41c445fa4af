"""A server's octets to replies.

In: the octets of the server in clear, cut anywhere, and gaps. Out: complete replies. A line that
is no reply is named and left out, as Postfix's client does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from op25b_pcap.mail.lines import LF, Lines
from op25b_pcap.mail.smtp.grammar import MAX_TEXT, replies, reply_line

MAX_LINES = 128
"""Lines kept of a reply: EHLO's has some twenty, HELP's some fifty."""
# RFC 1939 section 3, RFC 3501 section 7.1.
_FOREIGN = (
    (re.compile(rb"\+OK|-ERR"), "pop3_greeting"),
    (re.compile(rb"\* (?:OK|PREAUTH|BYE)\b"), "imap_greeting"),
)
_REPLY_START = re.compile(rb"[2-5]\d\d[ -]")
_START_OCTETS = 4
_PLAIN_OCTETS = 5 * MAX_LINES - 1
"""Octets of replies of which nothing can be left out: neither a line, `250` CRLF, nor a part of one."""
_USUAL_OCTETS = 32
_POSITIVE = ord("2")
_usual_replies = lru_cache(maxsize=256)(replies)
"""Most positive replies are the same few. Others may hold what must not be remembered."""


@dataclass(slots=True, eq=False)
class Reply:
    """A reply whose last line was seen."""

    code: int
    lines: Sequence[bytes]
    """The text of each line, behind the code."""
    is_whole: bool
    """Its first line was seen, too, and no line between was left out."""


class ReplyReader:
    """Puts lines together to replies."""

    def __init__(self) -> None:
        self.anomalies: set[str] = set()
        self.lines = Lines()
        self._code: int | None = None
        self._text: list[bytes] = []
        self._is_whole = True
        self._is_first_line = True
        # The client spoke while a reply, or a line of it, had no end: what comes next may be a
        # new one.
        self._interrupted = False
        self._line_is_interrupted = False
        self._ends_here = False
        self._held = b""

    def feed(self, data: bytes) -> None:
        """The server sent these octets."""
        if self._line_is_interrupted:
            data = self._held + data
            if len(data) < _START_OCTETS:
                self._held = data
                return
            self._held, self._line_is_interrupted = b"", False
            if _REPLY_START.match(data):  # a server that forgets its CRLF, or an edited capture
                self.anomalies.add("reply_without_end")
                self._ends_here = True
                self.lines.feed(b"\r\n")
        self.lines.feed(data)

    def client_spoke(self) -> None:
        """The client sent octets here."""
        if self.lines.unread:
            self._line_is_interrupted = True
        if self._code is not None:
            self._interrupted = True

    def gap(self) -> None:
        """Octets are missing here, and what they belonged to is lost."""
        self.lines.gap()
        self._code, self._text, self._is_whole = None, [], False
        self._interrupted = self._line_is_interrupted = self._ends_here = False
        self._held, self._is_first_line = b"", False

    def close(self) -> None:
        """Nothing more comes; what has no end is forgotten."""
        self.lines, self._code, self._text, self._held = Lines(), None, [], b""

    def next_line(self) -> Sequence[Reply] | None:
        """Read one line; the replies that it completes. None where its end has not come yet."""
        line = self.lines.next_line()
        if line is None:
            return None
        if line.ending == LF:
            self.anomalies.add("bare_lf")
        read = reply_line(line.text)
        if read is not None:
            return self._read(*read, is_cut=line.cut > 0)
        if not line.after_gap:  # else it is the end of a reply line
            self._is_no_reply(line.text)
        return ()

    def only_replies(self, data: bytes) -> Sequence[Reply] | None:
        """`feed` and `next_line` at once, for octets that are whole replies in good order, as most are.

        None: they are something else, or something waits or is missing before them; they are not fed.
        """
        is_at_rest = self._code is None and self._is_whole and not self._ends_here
        if not is_at_rest or self.lines.unread or len(data) > _PLAIN_OCTETS:
            return None
        is_usual = len(data) <= _USUAL_OCTETS and data[0] == _POSITIVE
        found = _usual_replies(data) if is_usual else replies(data)
        if found is None:
            return None
        self._is_first_line = False
        return [Reply(code, texts, True) for code, texts in found]

    def _read(self, code: int, is_last: bool, text: bytes, *, is_cut: bool = False) -> Sequence[Reply]:
        before: Sequence[Reply] = ()
        if self._code is not None and code != self._code:
            if self._interrupted:
                self.anomalies.add("reply_without_end")
                before = (self._complete(self._code),)
            else:
                self.anomalies.add("reply_code_changed")
        self._is_first_line = False
        self._text.append(text)
        if is_cut or len(text) > MAX_TEXT or len(self._text) >= MAX_LINES:
            self.anomalies.add("text_cut")
            del self._text[MAX_LINES:]
        is_last = is_last or self._ends_here
        self._interrupted = self._ends_here = False
        if is_last:
            reply = self._complete(code)
            return (*before, reply) if before else (reply,)
        self._code = code
        return before

    def _complete(self, code: int) -> Reply:
        reply = Reply(code, self._text, self._is_whole)
        self._code, self._text, self._is_whole = None, [], True
        return reply

    def _is_no_reply(self, line: bytes) -> None:
        foreign = next((name for pattern, name in _FOREIGN if pattern.match(line)), None)
        self.anomalies.add(foreign if foreign and self._is_first_line else "reply_without_code")
        self._is_first_line = False
