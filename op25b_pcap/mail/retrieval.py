"""What POP3 and IMAP sessions have in common: two sides' lines, TLS, and what is told of both.

In: the octets of both sides as they could be read (`receive`), what could not (`gap`), and the
end (`close`). Out: the columns of `retrieval_sessions`. Each side is in clear, in TLS (its hello
is read), or opaque (nothing more is read). No line outlives its reading, but for the greeting.
Refuses nothing: another protocol is `not_pop3` or `not_imap`, and its commands do not count.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from enum import Enum, Flag, auto
from typing import Any

from op25b_pcap.mail.lines import MAX_LINE, Line, Lines, printable
from op25b_pcap.mail.tls import TELLING_OCTETS, Handshake, looks_like_tls
from op25b_pcap.tables.streams import CLIENT, SERVER, SIDES, Side

MAX_GREETING = 1_000
"""Octets told of a greeting. RFC 1939 allows 512; IMAP servers that list capabilities take 300."""

ANOMALIES: dict[str, str] = {
    "midstream": "the capture begins within the session",
    "gap": "octets of the dialogue are missing",
    "client_unseen": "the server answers, and not a word of the client",
    "server_unseen": "several commands of the client, and not a word of the server",
    "not_pop3": "the server does not greet as a POP3 server does",
    "not_imap": "the server does not greet as an IMAP server does",
    "preauth": "the server greets a client that it knows from elsewhere",
    "unknown_mechanism": "AUTH with a mechanism that is not known; it is not kept",
    "unexpected_line": "a line of the server that is no reply",
    "surplus_reply": "more replies than commands",
    "many_unanswered": "so many commands without a reply that the server is not followed any more",
    "bare_lf": "lines end with LF alone",
    "long_line": "a line too long to be kept",
    "binary": "octets that are no text, where a line should be",
    "compressed": "the rest of the session is compressed (RFC 4978)",
    "commands_after_starttls": "commands in clear right behind STARTTLS (CVE-2011-0411)",
    "starttls_without_tls": "STARTTLS was accepted, and both sides went on in clear",
    "unasked_tls": "one side speaks TLS, the other does not",
    "clear_text": "a dialogue in clear on a port for implicit TLS",
}
"""The named oddities of a dialogue; those of its TLS are told in `tls`."""

_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1f]")


class Then(Flag):
    """What follows from a reply."""

    NOTHING = 0
    ACCEPTED = auto()
    """The client is authenticated."""
    REFUSED = auto()
    """The client is not, though it tried."""
    PROVEN = auto()
    """Only an authenticated client is answered so."""
    TEXT = auto()
    """A text of several lines follows (POP3)."""
    SECURED = auto()
    """Both sides go on in TLS."""
    COMPRESSED = auto()
    """Both sides go on in DEFLATE."""
    UNCHANGED = auto()
    """Both sides go on as before, though the client wanted either."""


class _Mode(Enum):
    CLEAR = auto()
    TLS = auto()
    OPAQUE = auto()


_CLEAR, _IN_TLS, _OPAQUE = _Mode


class Retrieval(ABC):
    """A session; what its lines mean, a subclass knows."""

    protocol: str

    def __init__(self, *, from_start: bool = True, tls_port: bool = False) -> None:
        """`from_start`: the connection's opening was seen, so nothing was said before.

        `tls_port`: TLS comes first on this port (995, 993).
        """
        self.greeting: str | None = None
        self.tls = "none"
        self.auth_mechanism: str | None = None
        self.auth_succeeded: bool | None = None
        self.commands = 0
        self.anomalies: set[str] = set() if from_start else {"midstream"}
        self.is_done = False
        """Whatever may still come tells nothing: both sides are in TLS, and their hellos were read."""
        self._tls_port = tls_port
        self._handshake = Handshake()
        self._mode = dict.fromkeys(SIDES, _CLEAR)
        self._lines = {CLIENT: Lines(), SERVER: Lines()}
        self._read = dict.fromkeys(SIDES, 0)  # lines of each
        # Sides of which something is missing: their lines may belong to what was not seen.
        self._lost = set[Side]() if from_start else set(SIDES)
        # Sides whose next octets may be TLS: at the start, after a gap, once it was asked for.
        self._may_be_tls = set(SIDES)
        self._tls_asked = False
        self._tls_agreed = False
        # The client asked for TLS or DEFLATE: what it sends next is to be read by the answer.
        self._client_waits = False
        self._answered_unasked = False  # by a reply to which no command belongs

    @property
    def tls_version(self) -> str | None:
        """The version the server chose."""
        return self._handshake.version

    @property
    def tls_sni(self) -> str | None:
        """The server's name in the ClientHello."""
        return self._handshake.sni

    def columns(self) -> dict[str, Any]:
        """The columns of `retrieval_sessions` that tell of the dialogue."""
        return {
            "greeting": self.greeting,
            "tls": self.tls,
            "tls_version": self.tls_version,
            "tls_sni": self.tls_sni,
            "auth_mechanism": self.auth_mechanism,
            "auth_succeeded": self.auth_succeeded,
            "commands": self.commands,
            "anomalies": sorted(self.anomalies | self._handshake.anomalies),
        }

    def receive(self, side: Side, data: bytes) -> None:
        """The side sent these octets."""
        mode = self._mode[side]
        if mode is _CLEAR:
            self._lines[side].feed(data)
            self._advance(side)
        elif mode is _IN_TLS:
            self._handshake.receive(side, data)
            self.is_done = self._handshake.is_done

    def gap(self, side: Side, octets: int) -> None:
        """So many octets of that side are missing here."""
        if self._mode[side] is _IN_TLS:
            self._handshake.gap(side)
        elif self._mode[side] is _CLEAR:
            self.anomalies.add("gap")
            if not self._skip(side, octets):
                self._lines[side].gap()
                self._lost.add(side)
                self._may_be_tls.add(side)
                self._lose(side)
                if side is SERVER:
                    self._stop_waiting()  # the answer may be among what is missing

    def close(self) -> None:
        """Nothing more comes: what waited for an answer is read, what is unfinished forgotten."""
        self._stop_waiting()
        client_spoke, server_spoke = map(self._has_spoken, SIDES)
        if not client_spoke and (self._answered_unasked or self.tls_version):
            self.anomalies.add("client_unseen")
        elif self._answered_unasked and not self._lost:
            self.anomalies.add("surplus_reply")
        elif self._read[CLIENT] > 1 and not server_spoke:
            self.anomalies.add("server_unseen")
        self._lines = {CLIENT: Lines(), SERVER: Lines()}
        self._handshake.close()

    @abstractmethod
    def _greet(self, text: bytes) -> bool:
        """The server began with this; whether it speaks the protocol."""

    @abstractmethod
    def _next_line(self, side: Side) -> Line | None:
        """The side's next line, behind what has to be skipped."""

    @abstractmethod
    def _skip(self, side: Side, octets: int) -> bool:
        """Whether missing octets would have been skipped anyhow; they count as skipped then."""

    @abstractmethod
    def _lose(self, side: Side) -> None:
        """Octets of the side are missing: forget what can no longer be told."""

    @abstractmethod
    def _server_line(self, text: bytes) -> None:
        """The server said this after its greeting."""

    @abstractmethod
    def _client_line(self, text: bytes) -> None:
        """The client said this."""

    def _advance(self, side: Side) -> None:
        """Read what has come of a side in clear."""
        lines = self._lines[side]
        while lines.unread and self._mode[side] is _CLEAR:
            if side in self._may_be_tls:
                is_tls = looks_like_tls(lines.peek(TELLING_OCTETS))
                if is_tls is None:
                    return
                self._may_be_tls.discard(side)
                if is_tls:
                    self._begin_tls(side)
                else:
                    self._is_no_tls(side)
                continue
            if side is CLIENT and self._client_waits and lines.pending <= MAX_LINE:
                return
            line = self._next_line(side)
            if line is None:
                return
            self._note(side, line)

    def _note(self, side: Side, line: Line) -> None:
        self._read[side] += 1
        if line.cut:
            self.anomalies.add("long_line")
        if line.ending == b"\n":
            self.anomalies.add("bare_lf")
        greets = side is SERVER and self._read[side] == 1 and side not in self._lost
        if greets and self._tls_port:
            self.anomalies.add("clear_text")
        if greets and self._greet(line.text):
            self.greeting = printable(line.text, MAX_GREETING)
        elif greets:
            self._is_foreign(line.text)
        elif _BINARY.search(line.text):
            self._is_binary(side)
        elif side is SERVER:
            self._server_line(line.text)
        else:
            self._client_line(line.text)

    def _has_spoken(self, side: Side) -> bool:
        return bool(self._read[side]) or self._mode[side] is not _CLEAR

    def _is_binary(self, side: Side) -> None:
        """No text: SASL's security layer, or TLS of which the beginning is missing."""
        self.anomalies.add("binary")
        if side in self._lost:
            if self._tls_port and self.tls == "none":
                self.tls = "implicit"
            self._turn_opaque(side)

    def _is_foreign(self, text: bytes) -> None:
        """The server speaks something else: what the client said was not of this protocol."""
        self.anomalies.add(f"not_{self.protocol}")
        if not self._read[CLIENT]:
            self.greeting = printable(text, MAX_GREETING)
        self.commands, self.auth_mechanism, self.auth_succeeded = 0, None, None
        self._turn_opaque(*SIDES)

    def _attempt(self, mechanism: str | None) -> None:
        """The client begins to authenticate; the last attempt is told, or the one that succeeded."""
        if mechanism is None:
            self.anomalies.add("unknown_mechanism")
        if not self.auth_succeeded:
            self.auth_mechanism, self.auth_succeeded = mechanism, None

    def _ask_for_change(self, *, tls: bool) -> None:
        """The client wants to go on in TLS, or else in DEFLATE."""
        self._client_waits = True
        if tls:
            self._tls_asked = True
            self._may_be_tls.update(SIDES)

    def _follow(self, then: Then) -> None:
        """Do what follows from a reply."""
        if then is Then.NOTHING:
            return
        if Then.ACCEPTED in then:
            self.auth_succeeded = True
        if Then.REFUSED in then and self.auth_succeeded is None:
            self.auth_succeeded = False
        if Then.PROVEN in then and self._lost and self.auth_mechanism and self.auth_succeeded is None:
            self.auth_succeeded = True  # the reply to the attempt is among what is missing
        if Then.SECURED in then:
            self._go_on_in_tls()
        if Then.COMPRESSED in then:
            self.anomalies.add("compressed")
            self._turn_opaque(*SIDES)
        if Then.UNCHANGED in then:
            self._tls_asked = False
            self._may_be_tls.clear()
            self._stop_waiting()

    def _stop_waiting(self) -> None:
        if self._client_waits:
            self._client_waits = False
            self._advance(CLIENT)

    def _begin_tls(self, side: Side) -> None:
        """The side's octets show that TLS has begun."""
        answers = self._mode[_other(side)] is _IN_TLS
        if self._tls_asked or (self.tls == "none" and answers):
            self.tls = "starttls"  # whether or not the agreement was seen
        elif self.tls == "none":
            if not any(self._read.values()):
                is_first = side not in self._lost or self._tls_port
                self.tls = "implicit" if is_first else "starttls"
            elif self._lost:
                self.tls = "starttls"
            else:
                self.anomalies.add("unasked_tls")
        self._may_be_tls.update(SIDES)
        self._mode[side] = _IN_TLS
        lines = self._lines[side]
        self._handshake.receive(side, lines.take(lines.pending))

    def _is_no_tls(self, side: Side) -> None:
        """The side's octets could have been TLS, but they are not."""
        if self._mode[_other(side)] is _CLEAR:
            if self._tls_agreed and side is CLIENT:
                self.anomalies.add("starttls_without_tls")
                self.tls = "none"
                self._tls_agreed = self._tls_asked = False
                self._may_be_tls.clear()
        elif side in self._lost:
            self._turn_opaque(side)  # records, cut by what is missing
        elif self._tls_agreed or self.tls == "implicit":
            self.anomalies.add("unasked_tls")
            self.tls = "none"

    def _go_on_in_tls(self) -> None:
        """The server agreed to TLS: the next octets of each side are to show it."""
        self.tls = "starttls"
        self._tls_agreed = True
        self._client_waits = False
        self._may_be_tls.update(SIDES)
        if looks_like_tls(self._lines[CLIENT].peek(TELLING_OCTETS)) is False:
            # Said in clear, for a server that takes it for said in TLS.
            self.anomalies.add("commands_after_starttls")
            self._lines[CLIENT] = Lines()
        self._advance(CLIENT)

    def _turn_opaque(self, *sides: Side) -> None:
        for side in sides:
            self._mode[side] = _OPAQUE
            self._lines[side] = Lines()


def _other(side: Side) -> Side:
    return SERVER if side is CLIENT else CLIENT
