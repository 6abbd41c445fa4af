"""A client's octets to commands.

In: the octets of the client, cut anywhere, gaps, and what the server said to DATA, AUTH and
STARTTLS; until then the octets behind these wait. Out: `Command`s, of which the end of a
message and each response of an AUTH exchange is one. Message data is counted and dropped,
responses are dropped, and what is TLS is left to others.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum, auto

from op25b_pcap.mail.lines import CRLF, LF, Lines
from op25b_pcap.mail.sasl import Trace, trace
from op25b_pcap.mail.smtp.grammar import (
    END_OF_DATA,
    LAST_CHUNK,
    RESPONSE,
    Command,
    command,
    follows_message,
    is_unmistakable,
)
from op25b_pcap.mail.smtp.message import Message
from op25b_pcap.mail.smtp.preamble import MAX_PREAMBLE, preamble
from op25b_pcap.mail.smtp.state import Answer
from op25b_pcap.mail.tls import TELLING_OCTETS, looks_like_tls
from op25b_pcap.tables.streams import CLIENT

MAX_WAITING = 32_768
"""Octets that wait for the reply to DATA, AUTH or STARTTLS. A client itself waits with them (RFC
2920 section 3.1), so where so many have come, the reply is missing."""
_LOOK_AT = 512
"""Octets that tell a command from a message: the longest command line of RFC 5321."""
_PIECE = 8_192
"""Octets of a message or chunk that are read at once."""
_HANDSHAKE_RECORD = 0x16
_HTTP_REQUEST = re.compile(rb"[A-Z]{3,10} [^ ]++ HTTP/\d")  # RFC 9112 section 3
_AUTH = re.compile(rb"\A[ \t]*[A-Za-z]+")
_MECHANISM = re.compile(_AUTH.pattern + rb"[ \t]+[^ \t]+")
"""What is not secret of AUTH, before an initial response, if any (RFC 4954 section 4)."""
_MOST_SECRETS = 48
"""Words of an AUTH exchange of which something is remembered, with those of its last line beyond."""
_HELLO = re.compile(rb"(?:EHLO|HELO) ")
_ENDS_CHUNKS = frozenset({"MAIL", "RSET", "EHLO", "HELO"})


class Reading(Enum):
    """What the client's next octets are."""

    __hash__ = object.__hash__  # Enum's own hashes the name, in Python

    START = auto()
    """The first of all: a preamble, TLS, or a command."""
    COMMANDS = auto()
    WAITING = auto()
    """Not known before the reply to `awaited`."""
    MESSAGE = auto()
    CHUNK = auto()
    RESPONDING = auto()
    """A line of an AUTH exchange."""
    SECURING = auto()
    """STARTTLS was accepted: TLS, as it should be."""
    HIDDEN = auto()
    """TLS; nothing more is read."""
    TORN = auto()
    """After a gap in a message: more of it, or what follows its end."""
    LOST = auto()
    """After any other gap: a command if it looks like one, else what is left of a message."""
    REMAINDER = auto()
    """What is left of a message that began unseen, up to its end."""


START, COMMANDS, WAITING, MESSAGE, CHUNK, RESPONDING, SECURING, HIDDEN, TORN, LOST, REMAINDER = Reading
"""By themselves: to look one up in the class costs as much as a call."""


class ClientReader:
    """Finds the commands in what a client sends."""

    def __init__(self, *, from_start: bool) -> None:
        self.anomalies: set[str] = set()
        self.lines = Lines()
        self.reading = START if from_start else LOST
        self.awaited: Command | None = None
        self.message = Message()
        """The message that is being sent, or the last one."""
        self.secrets: Trace = frozenset()
        """Of the last AUTH exchange, or line that is no command: what a reply must not repeat."""
        self.has_preamble = False
        self._is_inferred = False  # 354 was not seen
        self.is_doubtful = False
        """The message that is being sent may have been answered unseen."""
        self._message_began = from_start  # no chunk of it can have been missed
        self._chunks: Message | None = None
        self._chunk: Command | None = None
        self._chunk_left = 0
        self._chunk_is_disputed = False
        self._bare_lf = False
        self._is_insecure = False  # STARTTLS was accepted, and what came next was no TLS

    def feed(self, data: bytes) -> Command | None:
        """The client sent these octets. Returns the command that they are or end; the rest waits."""
        found = None
        if self.reading is START and _HELLO.match(data) and not self.lines.unread:
            self.reading = COMMANDS  # the usual case; whatever else comes first, `_read_start` tells
        if self.reading is COMMANDS and data[0] != _HANDSHAKE_RECORD:
            text = self.lines.only_line(data)
            if text is not None:
                return self._command(text)
        elif self.reading is MESSAGE and not self.lines.unread:
            used = self.message.data(data)
            if used is None:
                return None
            found = self.end_message()
            data = data[used:]
        self.lines.feed(data)
        return found

    def pass_over(self, octets: int) -> bool:
        """So many octets come in which no message ends. False: they are needed; nothing has changed."""
        if self.lines.unread:
            return False
        if self.reading is MESSAGE or self.reading is REMAINDER:
            return self.message.pass_over(octets)
        if self.reading is not CHUNK or octets > self._chunk_left or self._chunk_is_disputed:
            return False
        if not self.message.pass_over(octets):
            return False
        self._chunk_left -= octets
        if not self._chunk_left:
            self._end_chunk()
        return True

    def next_command(self) -> Command | None:
        """The next command, or None where more must come or a reply is waited for."""
        found = None
        waiting = self.lines.pending
        while found is None and waiting and self.reading is not HIDDEN:
            before = self.reading
            found = _READERS[before](self)
            left = self.lines.pending
            if found is None and before is self.reading and left == waiting:
                return None
            waiting = left
        return found

    def resume(self, said: Answer | None) -> Answer | None:
        """The reply to `awaited` has come, or never will (None). Returns what it said.

        Without a reply, what the client went on with tells; None where it did not go on.
        """
        awaited, self.awaited = self.awaited, None
        verb = awaited.verb if awaited else ""
        is_sure = said is not None
        if said is None and self.lines.pending:
            said = self._guess(verb)
            self.anomalies.add("decided_by_client")
        self.reading = COMMANDS
        if verb == "DATA" and said is Answer.MORE:
            self.begin_message(is_sure=is_sure)
        elif verb in ("AUTH", RESPONSE.verb) and said is Answer.MORE:
            self.reading = RESPONDING
        elif verb == "STARTTLS" and said is Answer.YES:
            self.reading = SECURING
        return said

    def begin_message(self, *, is_sure: bool) -> None:
        """From here on it is a message, up to its end."""
        self.message = Message(bare_lf=self._bare_lf)
        self._is_inferred, self.is_doubtful = not is_sure, False
        self.reading = MESSAGE

    def end_message(self, *, is_lost: bool = False) -> Command:
        """The server has answered: this was the end of the message, or it is among what is lost."""
        self.reading = LOST if is_lost else COMMANDS
        if is_lost:
            self.message.lose()
        self.message.finish()
        return Command(END_OF_DATA, message=self.message)

    @property
    def in_message(self) -> bool:
        """Whether a message is being sent."""
        return self.reading is MESSAGE or self.reading is TORN

    @property
    def is_lost(self) -> bool:
        """What the client's octets are is not known since a gap."""
        return self.reading is LOST or self.reading is REMAINDER

    def gives_up(self, *, is_lost: bool) -> bool:
        """Whether the reply that is waited for can only be missing.

        `is_lost`: it may be, so that a line is enough to decide without it.
        """
        if self.reading is not WAITING:
            return False
        head = self.lines.peek(_LOOK_AT) if is_lost else b""
        return LF in head or len(head) == _LOOK_AT or self.lines.pending > MAX_WAITING

    def dispute_chunk(self, refused: Command) -> None:
        """BDAT was refused; if octets of its chunk are still to come, maybe none will."""
        self._chunk_is_disputed = self.reading is CHUNK and refused is self._chunk

    def server_spoke(self) -> None:
        """A reply came: a message whose beginning was not seen is over."""
        if self.reading is REMAINDER:
            self.reading = LOST

    def lose(self) -> None:
        """What the client sends next is not known."""
        self.reading = LOST

    def doubt(self) -> None:
        """Replies are missing: the message that is being sent may have been answered."""
        self.is_doubtful = True

    def confirm(self) -> bool:
        """354 was said after all. Returns whether it was to a message that was only inferred."""
        was_inferred, self._is_inferred = self._is_inferred, False
        return was_inferred

    def gap(self, octets: int) -> bool:
        """So many octets are missing. Returns whether commands may be among them."""
        if self.in_message and not self._is_inferred and not self.is_doubtful:
            # What the server says next is the answer to it, so no other can begin unnoticed.
            self.message.data(self.lines.take(self.lines.pending))  # at most the beginning of a line
            self.message.gap(octets)
            self.reading = TORN
            return False
        if self.reading is CHUNK and octets <= self._chunk_left:
            self.message.gap(octets)
            self._chunk_left -= octets
            return False
        if self.in_message or self.reading is CHUNK or self._chunks is not None:
            self.message.lose()
        self.lines.gap()
        self._message_began = False
        self.reading, self.awaited, self._chunks = LOST, None, None
        return True

    def _read_start(self) -> Command | None:
        head = self.lines.peek(MAX_PREAMBLE)
        is_tls = looks_like_tls(head[:TELLING_OCTETS])
        before = preamble(CLIENT, head)
        if not head or is_tls is None or (before is None and not is_tls):
            return None
        self.reading = HIDDEN if is_tls else COMMANDS
        name, length = before or ("", 0)
        if length:
            self.has_preamble = True
            self.anomalies.add(name)
            self.lines.drop(length)
            self._forget()
        return None

    def _read_command(self) -> Command | None:
        if self.lines.peek(1)[0] == _HANDSHAKE_RECORD:
            is_tls = looks_like_tls(self.lines.peek(TELLING_OCTETS))
            if is_tls or is_tls is None:
                self.reading = HIDDEN if is_tls else self.reading
                return None
        line = self.lines.next_line()
        if line is None:
            return None
        if line.cut:
            self.anomalies.add("long_line")
        return self._command(line.text, line.ending)

    def _command(self, line: bytes, ending: bytes = CRLF) -> Command:
        found = command(line)
        self._bare_lf = ending == LF
        if self._bare_lf:
            self.anomalies.add("bare_lf")
        if found.oddities:
            self.anomalies.update(found.oddities)
        verb = found.verb
        if verb in _WAITED_FOR:
            self.reading, self.awaited = WAITING, found
            if verb == "AUTH":
                self.secrets = trace((_MECHANISM if found.text else _AUTH).sub(b"", line))
                self._forget()
        elif verb in ("BDAT", LAST_CHUNK):
            found = self._begin_chunk(found)
        elif verb in _ENDS_CHUNKS:
            self._chunks, self._message_began = None, True
        elif not verb:
            self.anomalies.add("unknown_command")
            self.secrets = trace(line)
            if _HTTP_REQUEST.match(line):
                self.anomalies.add("http_request")
        return found

    def _begin_chunk(self, found: Command) -> Command:
        if self._chunks is None:
            self._chunks = Message()
            if not self._message_began:
                self._chunks.lose()
        self.message = self._chunks
        if found.verb == LAST_CHUNK:
            self._chunks = None
        self._chunk_left, self._chunk_is_disputed = found.octets, False
        self.reading = CHUNK
        if not found.octets:
            self._end_chunk()
        self._chunk = found._replace(message=self.message)
        return self._chunk

    def _read_chunk(self) -> Command | None:
        if self._chunk_is_disputed:
            head = self.lines.peek(_LOOK_AT)
            line, is_line, _ = head.partition(b"\n")
            if not is_line and len(head) < _LOOK_AT:
                return None
            self._chunk_is_disputed = False
            if is_line and is_unmistakable(line.rstrip(b"\r")):
                self.anomalies.add("chunk_unfinished")
                self.reading = COMMANDS
                return None
        piece = self.lines.take(min(self._chunk_left, _PIECE))
        self.message.chunk(piece)
        self._chunk_left -= len(piece)
        if not self._chunk_left:
            self._end_chunk()
        return None

    def _end_chunk(self) -> None:
        self.reading = COMMANDS
        if self._chunks is None:  # it was the last
            self.message.finish()

    def _read_message(self) -> Command | None:
        piece = self.lines.peek(_PIECE)
        used = self.message.data(piece)
        self.lines.drop(len(piece) if used is None else used)
        return None if used is None else self.end_message()

    def _read_response(self) -> Command | None:
        line = self.lines.next_line()
        if line is None:
            return None
        self.secrets = trace(line.text) | (self.secrets if len(self.secrets) < _MOST_SECRETS else frozenset())
        self._forget()
        self.reading, self.awaited = WAITING, RESPONSE
        return RESPONSE

    def _read_securing(self) -> Command | None:
        is_tls = looks_like_tls(self.lines.peek(TELLING_OCTETS))
        if is_tls:
            self.reading = HIDDEN
        elif is_tls is False:
            self._is_insecure = True
            self.reading = COMMANDS
        return None

    def _read_torn(self) -> Command | None:
        head = self.lines.peek(_LOOK_AT)
        line, is_line, _ = head.partition(b"\n")
        if not is_line and len(head) < _LOOK_AT:
            return None
        self.reading = MESSAGE
        if not is_line or not follows_message(line.rstrip(b"\r")):
            return None
        end = self.end_message(is_lost=True)
        self.reading = COMMANDS
        return end

    def _read_lost(self) -> Command | None:
        head = self.lines.peek(_LOOK_AT)
        line, is_line, _ = head.partition(b"\n")
        is_tls = looks_like_tls(head[:TELLING_OCTETS])
        if is_tls:
            self.reading = HIDDEN
        elif is_tls is False and (is_line or len(head) == _LOOK_AT):
            if is_line and is_unmistakable(line.rstrip(b"\r")):
                self.reading = COMMANDS
            else:
                self.begin_message(is_sure=False)
                self.message.lose()
                self.reading = REMAINDER
        return None

    def _guess(self, verb: str) -> Answer:
        """What was said to DATA, AUTH or STARTTLS, by what the client went on with."""
        line = self.lines.peek(_LOOK_AT).partition(b"\n")[0]
        if verb == "STARTTLS":
            return Answer.YES if looks_like_tls(line[:TELLING_OCTETS]) else Answer.NO
        if is_unmistakable(line.rstrip(b"\r")):
            return Answer.NO if verb == "DATA" else Answer.YES
        return Answer.MORE

    def close(self, *, is_sure: bool) -> None:
        """Nothing more comes: nothing of what came stays. `is_sure`: nothing is missing."""
        if self.reading is CHUNK:
            self.message.chunk(self.lines.take(self._chunk_left))
        if self.in_message or self.reading is CHUNK or self._chunks is not None:
            self.message.abandon(is_sure=is_sure)
        if self.lines.unread:
            self.lines = Lines()
        if self._is_insecure:
            is_tls = self.reading is HIDDEN
            self.anomalies.add("commands_after_starttls" if is_tls else "starttls_without_tls")

    def _forget(self) -> None:
        """Nothing of a secret stays behind in the buffer."""
        self.lines.feed(b"")


_WAITED_FOR = frozenset({"DATA", "AUTH", RESPONSE.verb, "STARTTLS"})
_READERS: dict[Reading, Callable[[ClientReader], Command | None]] = {
    START: ClientReader._read_start,
    COMMANDS: ClientReader._read_command,
    WAITING: lambda reader: None,
    MESSAGE: ClientReader._read_message,
    CHUNK: ClientReader._read_chunk,
    RESPONDING: ClientReader._read_response,
    SECURING: ClientReader._read_securing,
    TORN: ClientReader._read_torn,
    LOST: ClientReader._read_lost,
    REMAINDER: ClientReader._read_message,
}
