"""IMAP as a listener reads it (RFC 9051, RFC 3501, with RFC 7888, RFC 4959, RFC 2177, RFC 4978).

In and out: see `retrieval`. Tags give replies to commands, so a gap costs only what it holds.
Literals, on either side, are counted off and never kept; only a line's end can announce one.
"""

from __future__ import annotations

import re

from op25b_pcap.mail.lines import Line
from op25b_pcap.mail.retrieval import Retrieval, Then
from op25b_pcap.mail.sasl import mechanism as sasl_mechanism
from op25b_pcap.tables.streams import CLIENT, SERVER, SIDES, Side

MAX_OUTSTANDING = 64
"""Commands of interest (see `REPLIES`) that may wait for a reply; a client has one or two."""

_AUTHENTICATION = (Then.ACCEPTED, Then.REFUSED)
_OF_MAILBOXES = (Then.PROVEN, Then.NOTHING)

REPLIES: dict[str, tuple[Then, Then]] = {
    "LOGIN": _AUTHENTICATION,
    "AUTHENTICATE": _AUTHENTICATION,
    "STARTTLS": (Then.SECURED, Then.UNCHANGED),
    "COMPRESS": (Then.COMPRESSED, Then.UNCHANGED),
    "SELECT": _OF_MAILBOXES,
    "EXAMINE": _OF_MAILBOXES,
    "LIST": _OF_MAILBOXES,
    "STATUS": _OF_MAILBOXES,
}
"""What follows from a tagged OK, and from NO or BAD; from those of other commands, nothing."""

KNOWN = re.compile(
    # RFC 9051 and RFC 3501
    "CAPABILITY|NOOP|LOGOUT|STARTTLS|AUTHENTICATE|LOGIN|ENABLE|SELECT|EXAMINE|CREATE|DELETE|RENAME"
    "|SUBSCRIBE|UNSUBSCRIBE|LIST|LSUB|NAMESPACE|STATUS|APPEND|IDLE|CLOSE|UNSELECT|EXPUNGE|SEARCH"
    "|FETCH|STORE|COPY|MOVE|UID|CHECK"
    # by IANA's registry of IMAP capabilities
    "|COMPRESS|ID|SORT|THREAD|NOTIFY|CONVERT|REPLACE|LANGUAGE|COMPARATOR|UNAUTHENTICATE|GETACL|SETACL"
    "|DELETEACL|LISTRIGHTS|MYRIGHTS|GETQUOTA|GETQUOTAROOT|SETQUOTA|GETMETADATA|SETMETADATA"
    "|GENURLAUTH|RESETKEY|URLFETCH|CANCELUPDATE|ESEARCH|GETJMAPACCESS|UIDBATCHES"
    # not registered, but in use
    "|XLIST|XAPPLEPUSHSERVICE|PROXYAUTH|RLIST|RLSUB"
)

# A tag (RFC 9051 section 9: no parentheses, braces, wildcards, quotes, backslash, plus), a command.
_COMMAND = re.compile(rb"([^\x00-\x20\x7f-\xff(){%*\"\\+]{1,255}) +([A-Za-z][A-Za-z0-9.-]*)(?: +(.*))?", re.S)
_TAGGED = re.compile(rb"([^\x00-\x20\x7f-\xff(){%*\"\\+]{1,255}) (OK|NO|BAD)(?: |$)", re.I)
_GREETING = re.compile(rb"\* (OK|PREAUTH|BYE)(?: |$)", re.I)
_STATUS = re.compile(rb"\* (OK|NO|BAD|PREAUTH|BYE)(?: |$)", re.I)
_LITERAL = re.compile(rb"~?\{(\d{1,20})(\+?)\}$")


class Imap(Retrieval):
    """One IMAP session."""

    protocol = "imap"

    def __init__(self, *, from_start: bool = True, tls_port: bool = False) -> None:
        super().__init__(from_start=from_start, tls_port=tls_port)
        self._outstanding: dict[bytes, tuple[str, str | None]] = {}  # tag: command, mechanism
        self._literal = dict.fromkeys(SIDES, 0)  # octets of a literal that are still to come
        self._continues = dict.fromkeys(SIDES, False)  # the next line is the rest of one
        self._tag = b""  # of the client's last command
        self._offered = False  # it ended with a literal that waits for the server's consent

    def close(self) -> None:
        """Nothing more comes."""
        super().close()
        self._outstanding.clear()
        self._tag = b""

    def _greet(self, text: bytes) -> bool:
        greeting = _GREETING.match(text)
        if greeting and greeting[1].upper() == b"PREAUTH":
            self.anomalies.add("preauth")  # authenticated by what was before, such as a tunnel
        return greeting is not None

    def _next_line(self, side: Side) -> Line | None:
        lines = self._lines[side]
        if self._literal[side]:
            dropped = lines.drop(self._literal[side])
            self._literal[side] -= dropped
            self._offered = self._offered and not (dropped and side is CLIENT)
            if self._literal[side]:
                return None
        return lines.next_line()

    def _skip(self, side: Side, octets: int) -> bool:
        if octets > self._literal[side]:
            return False
        self._literal[side] -= octets
        return True

    def _lose(self, side: Side) -> None:
        self._literal[side], self._continues[side] = 0, False
        if side is CLIENT:
            self._offered, self._tag = False, b""

    def _client_line(self, text: bytes) -> None:
        if self._continues[CLIENT]:
            self._look_for_literal(CLIENT, text)
            return
        said = _COMMAND.fullmatch(text)
        if said is None:
            return  # DONE, which ends IDLE; the answer to a SASL challenge; or nothing of IMAP
        tag, verb = said[1], said[2].upper().decode()
        if not KNOWN.fullmatch(verb) and (self._lost or not self._read[SERVER]):
            return  # it may be anything
        self.commands += 1
        self._tag = tag
        self._look_for_literal(CLIENT, text)
        if verb in REPLIES:
            self._ask(tag, verb, said[3] or b"")

    def _ask(self, tag: bytes, verb: str, arguments: bytes) -> None:
        mechanism = None
        if verb in ("LOGIN", "AUTHENTICATE"):
            mechanism = "LOGIN" if verb == "LOGIN" else sasl_mechanism(arguments)
            if CLIENT not in self._lost:  # else it may be part of a mail, until it is answered
                self._attempt(mechanism)
        elif verb in ("STARTTLS", "COMPRESS"):
            self._ask_for_change(tls=verb == "STARTTLS")
        self._outstanding.pop(tag, None)  # said again, it is the newest
        if len(self._outstanding) == MAX_OUTSTANDING:
            del self._outstanding[next(iter(self._outstanding))]
        self._outstanding[tag] = verb, mechanism

    def _server_line(self, text: bytes) -> None:
        if self._continues[SERVER] or text.startswith(b"* "):
            self._look_for_literal(SERVER, text)
            return
        tagged = _TAGGED.match(text)
        if tagged is not None:
            self._reply(tagged[1], positive=tagged[2].upper() == b"OK")
        elif not text.startswith(b"+") and SERVER not in self._lost:
            self.anomalies.add("unexpected_line")

    def _reply(self, tag: bytes, *, positive: bool) -> None:
        if not self._read[CLIENT]:
            self._answered_unasked = True
        if self._offered and tag == self._tag:
            self._literal[CLIENT], self._continues[CLIENT], self._offered = 0, False, False
        verb, mechanism = self._outstanding.pop(tag, ("", None))
        if verb in ("LOGIN", "AUTHENTICATE") and self.auth_succeeded is None:
            self.auth_mechanism = mechanism
        self._follow(REPLIES.get(verb, (Then.NOTHING, Then.NOTHING))[0 if positive else 1])

    def _look_for_literal(self, side: Side, text: bytes) -> None:
        """RFC 9051 section 4.3; `{5+}` does not wait for the other side (RFC 7888)."""
        literal = _LITERAL.search(text[-64:]) if text.endswith(b"}") else None
        if literal is not None and side is SERVER and not self._continues[side] and _STATUS.match(text):
            literal = None  # the words of a status are free
        self._continues[side] = literal is not None
        self._literal[side] = int(literal[1]) if literal else 0
        if side is CLIENT:
            self._offered = literal is not None and not literal[2]
