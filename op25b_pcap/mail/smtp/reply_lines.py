"""A server's octets to replies.

In: the octets of the server in clear, cut anywhere, and gaps. Out: complete replies. A line that
is no reply is named and left out, as Postfix's client does.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from op25b_pcap.mail.lines import Line, Lines
from op25b_pcap.mail.smtp.grammar import MAX_TEXT, reply_line

MAX_LINES = 128
"""Lines kept of a reply: EHLO's has some twenty, HELP's some fifty."""
# RFC 1939 section 3, RFC 3501 section 7.1.
_FOREIGN = (
    (re.compile(rb"\+OK|-ERR"), "pop3_greeting"),
    (re.compile(rb"\* (?:OK|PREAUTH|BYE)\b"), "imap_greeting"),
)
_REPLY_START = re.compile(rb"[2-5]\d\d[ -]")
_START_OCTETS = 4


class Reply(NamedTuple):
    """A reply whose last line was seen."""

    code: int
    lines: list[bytes]
    """The text of each line, behind the code."""
    is_whole: bool
    """Its first line was seen, too, and no line between was left out."""


class ReplyReader:
    """Puts lines together to replies."""

    def __init__(self) -> None:
        self.anomalies: set[str] = set()
        self.lines = Lines()
        self._ready: list[Reply] = []
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
        self._line_is_interrupted |= self.lines.pending > 0
        self._interrupted |= self._code is not None

    def gap(self) -> None:
        """Octets are missing here, and what they belonged to is lost."""
        self.lines.gap()
        self._code, self._text, self._is_whole = None, [], False
        self._interrupted = self._line_is_interrupted = self._ends_here = False
        self._held, self._is_first_line = b"", False

    def close(self) -> None:
        """Nothing more comes; what has no end is forgotten."""
        self.gap()
        self.lines, self._ready = Lines(), []

    def next_line(self) -> list[Reply] | None:
        """Read one line; the replies that it completes. None where its end has not come yet."""
        line = self.lines.next_line()
        if line is None:
            return None
        self._ready = []
        self._read(line)
        return self._ready

    def _read(self, line: Line) -> None:
        if line.ending == b"\n":
            self.anomalies.add("bare_lf")
        read = reply_line(line.text)
        if read is None:
            self._is_no_reply(line)
            return
        code, is_last, text = read
        if self._code is not None and code != self._code:
            if self._interrupted:
                self.anomalies.add("reply_without_end")
                self._complete()
            else:
                self.anomalies.add("reply_code_changed")
        self._code, self._is_first_line = code, False
        if len(self._text) < MAX_LINES:
            self._text.append(text)
        if line.cut or len(text) > MAX_TEXT or len(self._text) == MAX_LINES:
            self.anomalies.add("text_cut")
        if is_last or self._ends_here:
            self._complete()
        self._interrupted = self._ends_here = False

    def _complete(self) -> None:
        if self._code is not None:
            self._ready.append(Reply(self._code, self._text, self._is_whole))
        self._code, self._text, self._is_whole = None, [], True

    def _is_no_reply(self, line: Line) -> None:
        if line.after_gap:
            return  # the end of a reply line
        foreign = next((name for pattern, name in _FOREIGN if pattern.match(line.text)), None)
        self.anomalies.add(foreign if foreign and self._is_first_line else "reply_without_code")
        self._is_first_line = False
