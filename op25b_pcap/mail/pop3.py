"""POP3 as a listener reads it (RFC 1939, with RFC 2449, RFC 2595 and RFC 5034).

In and out: see `retrieval`. Replies carry no name, so they are given to commands in order. A gap
breaks the order until the client's next command, and what is said of its authentication then
counts only if no reply is left over. Texts (mails, lists) are dropped unread.
"""

from __future__ import annotations

from collections import deque

from op25b_pcap.mail.lines import Line
from op25b_pcap.mail.retrieval import Retrieval, Then
from op25b_pcap.mail.sasl import mechanism
from op25b_pcap.tables.streams import SERVER, Side

MAX_OUTSTANDING = 10_000
"""Commands that may wait for a reply: mail clients pipeline a RETR or DELE for each mail."""

_AUTHENTICATION = (Then.ACCEPTED, Then.REFUSED)
_TEXT = (Then.TEXT, Then.NOTHING)
_TEXT_OF_MAILDROP = (Then.PROVEN | Then.TEXT, Then.NOTHING)
_OF_MAILDROP = (Then.PROVEN, Then.NOTHING)
_NOTHING = (Then.NOTHING, Then.NOTHING)
_VERDICT = Then.ACCEPTED | Then.REFUSED | Then.PROVEN

REPLIES: dict[str, tuple[Then, Then]] = {
    "USER": (Then.NOTHING, Then.REFUSED),
    "PASS": _AUTHENTICATION,
    "APOP": _AUTHENTICATION,
    "AUTH mechanism": _AUTHENTICATION,
    "AUTH": _TEXT,  # lists mechanisms; never in an RFC, but in use since Netscape and Outlook
    "STLS": (Then.SECURED, Then.UNCHANGED),
    "CAPA": _TEXT,
    "LANG": _TEXT,
    "LANG tag": _NOTHING,
    "UTF8": _NOTHING,
    "STAT": _OF_MAILDROP,
    "LIST": _TEXT_OF_MAILDROP,
    "LIST msg": _OF_MAILDROP,
    "UIDL": _TEXT_OF_MAILDROP,
    "UIDL msg": _OF_MAILDROP,
    "RETR": _TEXT_OF_MAILDROP,
    "TOP": _TEXT_OF_MAILDROP,
    "DELE": _OF_MAILDROP,
    "LAST": _OF_MAILDROP,  # RFC 1460
    "RSET": _NOTHING,
    "NOOP": _NOTHING,
    "QUIT": _NOTHING,
}
"""What follows from `+OK` and from `-ERR` to each command, in RFC 1939's words.

Where a command has two forms, the one with an argument names it.
"""
_WITH_ARGUMENT = {command.split()[0]: command for command in REPLIES if " " in command}


class Pop3(Retrieval):
    """One POP3 session."""

    protocol = "pop3"

    def __init__(self, *, from_start: bool = True, tls_port: bool = False) -> None:
        super().__init__(from_start=from_start, tls_port=tls_port)
        self._outstanding: deque[str] = deque()  # commands without a reply, oldest first
        self._in_order = from_start  # the next reply belongs to the first of them
        self._is_sure = from_start  # no older reply can still be under way
        self._verdict = Then.NOTHING  # on an authentication, as long as that is not sure
        self._in_text = False
        self._challenged = False  # the client's next line answers a SASL challenge

    def close(self) -> None:
        """Nothing more comes."""
        super().close()
        if not self._outstanding:
            self._follow(self._verdict)
        self._outstanding.clear()

    def _greet(self, text: bytes) -> bool:
        return _is_positive(text) is not None

    def _next_line(self, side: Side) -> Line | None:
        lines = self._lines[side]
        if self._in_text and side is SERVER:
            if not lines.drop_text().end:
                return None
            self._in_text = False
        return lines.next_line()

    def _skip(self, side: Side, octets: int) -> bool:
        return False  # a text may have ended in there

    def _lose(self, side: Side) -> None:
        self._outstanding.clear()
        self._in_order = self._in_text = self._challenged = self._is_sure = False
        self._verdict = Then.NOTHING

    def _client_line(self, text: bytes) -> None:
        if self._challenged:
            self._challenged = False
            return
        verb, _, argument = text.partition(b" ")
        command = _command(verb, argument)
        if command not in REPLIES:
            if self._outstanding and self._outstanding[-1] == "AUTH mechanism":
                return  # answers a challenge that was not seen
            if not text or self._lost or not self._read[SERVER]:
                return  # it may be anything
        self.commands += 1
        self._await_reply(command)
        if command in ("USER", "PASS"):
            self._attempt("USER")
        elif command == "APOP":
            self._attempt("APOP")
        elif command == "AUTH mechanism":
            self._attempt(mechanism(argument))
        elif command == "STLS":
            self._ask_for_change(tls=True)

    def _await_reply(self, command: str) -> None:
        if not self._in_order:
            self._outstanding.clear()
            self._in_order = True
        elif not self._outstanding and not self._is_sure:
            self._is_sure = True  # a reply to each command, and none was left over
            self._follow(self._verdict)
        if len(self._outstanding) < MAX_OUTSTANDING:
            self._outstanding.append(command)
        else:
            self.anomalies.add("many_unanswered")
            self._turn_opaque(SERVER)

    def _server_line(self, text: bytes) -> None:
        positive = _is_positive(text)
        if positive is not None:
            self._reply(positive=positive)
        elif text[:1] == b"+" and self._outstanding and self._outstanding[0] == "AUTH mechanism":
            self._challenged = True
        elif SERVER not in self._lost:
            self.anomalies.add("unexpected_line")

    def _reply(self, *, positive: bool) -> None:
        if self._in_order and self._outstanding:
            self._challenged = False
            then = REPLIES.get(self._outstanding.popleft(), _NOTHING)[0 if positive else 1]
            self._in_text = Then.TEXT in then
            if not self._is_sure:
                self._verdict |= then & _VERDICT
                then &= ~_VERDICT
            self._follow(then)
        elif not self._is_sure:
            self._in_order, self._verdict = False, Then.NOTHING
            self._answered_unasked |= positive
        elif positive:
            self._answered_unasked = True  # but -ERR may come unasked, before the server hangs up


def _is_positive(text: bytes) -> bool | None:
    """Whether a reply is +OK or -ERR; None: neither (RFC 1939 section 3)."""
    start = text[:4].upper()
    return True if start.startswith(b"+OK") else False if start == b"-ERR" else None


def _command(verb: bytes, argument: bytes) -> str:
    """What `REPLIES` calls a command; of any other nothing is kept, it may be a secret."""
    word = verb.decode("latin-1").upper()
    if argument.strip():
        word = _WITH_ARGUMENT.get(word, word)
    return word if word in REPLIES else ""
