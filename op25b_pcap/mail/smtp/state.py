"""Where an SMTP session stands, as a table: a state, what was asked and answered, the next state.

All of the order of RFC 5321 section 4.1.4 stands here, and nothing else does: which octets are
a command and which reply answers it is settled before. `docs/generate.py` draws the diagram
from the same table.
"""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """Where the session stands after the last answered command."""

    __hash__ = object.__hash__  # Enum's own hashes the name, in Python

    CONNECTED = "connected"
    """Nothing was said; the server's greeting is due."""
    UNKNOWN = "unknown"
    """The capture begins here, or has a hole: anything may have been said before."""
    GREETED = "greeted"
    READY = "ready"
    """EHLO or HELO was accepted; a mail transaction may begin."""
    MAIL = "mail"
    """A reverse-path was accepted."""
    RCPT = "rcpt"
    """A forward-path, too."""
    DATA = "data"
    """The message is on its way."""
    CHUNKS = "chunks"
    """A chunk of it was accepted, and the last is still to come."""
    AUTH = "auth"
    """The server has challenged, and the client is to respond."""
    SECURED = "secured"
    """STARTTLS was accepted: the rest is TLS."""
    CLOSING = "closing"
    """One of the two has said that it is going."""


class Answer(Enum):
    """What a reply code says (RFC 5321 section 4.2.1, first digit)."""

    __hash__ = object.__hash__

    YES = "2yz"
    MORE = "3yz"
    NO = "4yz, 5yz"
    GOODBYE = "421"
    """Section 3.8: may be said to anything, and ends the session."""


Event = tuple[str, Answer]
S, YES, MORE, NO, GOODBYE = State, Answer.YES, Answer.MORE, Answer.NO, Answer.GOODBYE

_ALWAYS: dict[Event, State] = {("QUIT", YES): S.CLOSING}
_HELLO: dict[Event, State] = {("EHLO", YES): S.READY, ("HELO", YES): S.READY, **_ALWAYS}
_RESET: dict[Event, State] = {("RSET", YES): S.READY, **_HELLO}
# Leniency: RFC 5321 section 4.1.4 wants EHLO first; many servers do not insist on it (Postfix:
# smtpd_helo_required = no).
_BEGINNING: dict[Event, State] = {
    ("MAIL", YES): S.MAIL,
    ("AUTH", YES): S.READY,
    ("AUTH", MORE): S.AUTH,
    ("STARTTLS", YES): S.SECURED,
    **_HELLO,
}
_RECIPIENTS: dict[Event, State] = {("RCPT", YES): S.RCPT, **_RESET}
_MESSAGE: dict[Event, State] = {
    ("DATA", MORE): S.DATA,
    ("BDAT", YES): S.CHUNKS,
    ("BDAT", NO): S.READY,  # RFC 3030 section 2: the transaction has failed
    ("BDAT LAST", YES): S.READY,
    ("BDAT LAST", NO): S.READY,
}

TRANSITIONS: dict[State, dict[Event, State]] = {
    S.CONNECTED: {("greeting", YES): S.GREETED, ("greeting", NO): S.CLOSING},
    S.GREETED: {**_BEGINNING, ("RSET", YES): S.GREETED},
    S.READY: {**_BEGINNING, ("RSET", YES): S.READY},
    # A server may say 354 before it has accepted a recipient (RFC 2920 section 3.1).
    S.MAIL: {**_RECIPIENTS, ("DATA", MORE): S.DATA},
    S.RCPT: {**_RECIPIENTS, **_MESSAGE},
    S.DATA: {("end of data", YES): S.READY, ("end of data", NO): S.READY},
    S.CHUNKS: {**_RESET, **_MESSAGE},
    S.AUTH: {
        ("response", MORE): S.AUTH,
        ("response", YES): S.READY,
        ("response", NO): S.READY,
    },
    S.SECURED: {},
    S.CLOSING: {**_ALWAYS},
    S.UNKNOWN: {
        ("greeting", YES): S.GREETED,
        **_BEGINNING,
        **_RECIPIENTS,
        **_MESSAGE,
        ("end of data", YES): S.READY,
        ("end of data", NO): S.READY,
        ("response", MORE): S.AUTH,
        ("response", YES): S.READY,
        ("response", NO): S.READY,
    },
}
"""What is not here changes nothing. If the server has accepted it all the same, it is out of
order, and the session goes on as if it stood in `UNKNOWN`."""

IN_TRANSACTION = frozenset({S.MAIL, S.RCPT, S.DATA, S.CHUNKS})


def answer(code: int) -> Answer:
    """What a reply code says."""
    if code == 421:
        return GOODBYE
    return YES if code < 300 else MORE if code < 400 else NO


def after(state: State, verb: str, said: Answer) -> tuple[State, bool]:
    """The state after a command was answered, and whether the order allows that answer."""
    if said is GOODBYE:
        return State.CLOSING, True
    event = (verb, said)
    following = TRANSITIONS[state].get(event)
    if following is not None:
        return following, True
    out_of_order = TRANSITIONS[State.UNKNOWN].get(event)
    if out_of_order is None or said is NO:
        return state, True
    return out_of_order, False
