"""What a client comes to know of its session, as the columns of the reports would say it.

What TLS hid from the wire is left out, as a capture cannot show it either.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import takewhile


@dataclass
class Transaction:
    """One MAIL FROM and what came of it, as in the table `smtp_transactions`."""

    mail_from: str
    rcpt_to: list[str] = field(default_factory=list)
    rcpt_reply_codes: list[int] = field(default_factory=list)
    declared_size: int | None = None
    body: str | None = None
    data_command: str | None = None
    message_bytes: int | None = None
    received_headers: int | None = None
    reply_code: int | None = None
    accepted: bool = False


@dataclass
class Session:
    """What was said in clear, as in the table `smtp_sessions`."""

    banner_code: int | None = None
    banner_text: str | None = None
    helo_verb: str | None = None
    helo: str | None = None
    extensions: list[str] | None = None
    starttls_accepted: bool | None = None
    tls: str = "none"
    tls_version: str | None = None
    tls_sni: str | None = None
    auth_mechanism: str | None = None
    auth_succeeded: bool | None = None
    last_reply_code: int | None = None
    last_enhanced_code: str | None = None
    quit: bool = False
    transactions: list[Transaction] = field(default_factory=list)

    def columns(self) -> dict[str, object]:
        """The columns of its row that follow from what was said."""
        offered = self.extensions
        codes = [code for each in self.transactions for code in each.rcpt_reply_codes]
        known = {
            name: value for name, value in vars(self).items() if name not in ("extensions", "transactions")
        }
        return known | {
            "extensions": offered and [line.split()[0].upper() for line in offered],
            "starttls_offered": offered and any(line.upper() == "STARTTLS" for line in offered),
            "auth_offered": offered
            and next((line.upper().split()[1:] for line in offered if line.upper().startswith("AUTH ")), []),
            "transactions": len(self.transactions),
            "messages_accepted": sum(each.accepted for each in self.transactions),
            "recipients_accepted": sum(code < 300 for code in codes),
            "recipients_rejected": sum(code >= 400 for code in codes),
            "message_bytes": sum(each.message_bytes or 0 for each in self.transactions),
            "result": self.result,
        }

    @property
    def result(self) -> str:
        """The word of the column `result`."""
        if any(transaction.accepted for transaction in self.transactions):
            return "delivered"
        if self.tls != "none":
            return "opaque"
        if self.banner_code is None:
            return "no_dialogue"
        codes = [self.banner_code, self.last_reply_code or 0]
        for each in self.transactions:
            codes += [*each.rcpt_reply_codes, each.reply_code or 0]
        return "rejected" if max(codes) >= 400 else "aborted"


@dataclass
class Retrieval:
    """What was said in clear, as in the table `retrieval_sessions`."""

    greeting: str | None = None
    tls: str = "none"
    tls_version: str | None = None
    tls_sni: str | None = None
    auth_mechanism: str | None = None
    auth_succeeded: bool | None = None
    commands: int = 0


@dataclass
class Attempt:
    """One connection attempt, as the client knows it: at most one of its sessions is set."""

    story: str
    src_ip: str
    src_port: int
    dst_ip: str
    dst_port: int
    error: Exception | None = None
    """Why no connection came about, as the client was told."""
    smtp: Session | None = None
    retrieval: Retrieval | None = None
    partly: dict[str, object] | None = None
    """Some columns of its session, of a client that does not tell all."""


class Notes:
    """Writes down a `Session` from what a client sends and receives, in its order."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._asked: list[str] = []  # commands without a reply, oldest first
        self._in = "commands"  # or `auth`, `message`, `chunk`, `hidden`
        self._chunk = 0
        self._message: list[bytes] = []

    def sent(self, data: bytes) -> None:
        """The client sent whole lines, or message data."""
        if self._in == "hidden":
            return
        for line in data.splitlines(keepends=True):
            if self._in == "chunk":
                self._message.append(line)
                self._chunk -= len(line)
                if self._chunk <= 0:
                    self._in = "commands"
            elif self._in == "message":
                self._message.append(line)
                if line == b".\r\n":
                    self._message.pop()
                    self._asked.append("END OF DATA")
                    self._in = "commands"
            elif self._in == "commands":
                self._command(line.decode().rstrip("\r\n"))

    def _command(self, line: str) -> None:
        self._asked.append(line)
        verb, _, rest = line.partition(" ")
        if verb.upper() == "BDAT":
            self._chunk = int(rest.split()[0])
            self._in = "chunk" if self._chunk else "commands"
        if verb.upper() == "QUIT":
            self._session.quit = True

    def received(self, code: int, text: str) -> None:
        """The client received a whole reply."""
        if self._in == "hidden":
            return
        session = self._session
        session.last_reply_code = code
        enhanced = re.match(r"[245]\.\d{1,3}\.\d{1,3}(?= |$)", text)
        session.last_enhanced_code = enhanced and enhanced[0]
        if not self._asked:
            if session.banner_code is None:
                session.banner_code, session.banner_text = code, text
            return
        line = self._asked.pop(0)
        verb, _, rest = line.partition(" ")
        match verb.upper():
            case "EHLO" | "HELO":
                session.helo_verb, session.helo = verb.upper(), rest
                if verb.upper() == "EHLO" and code == 250:
                    session.extensions = text.split("\n")[1:]
            case "STARTTLS":
                session.starttls_accepted = code == 220
            case "AUTH":
                self._in = "auth" if code == 334 else "commands"
                session.auth_mechanism = rest.split()[0].upper()
                if code == 334:
                    self._asked.insert(0, line)
                else:
                    session.auth_succeeded = code == 235
            case "MAIL":
                session.transactions.append(_begun(rest))
                if code >= 400:
                    session.transactions[-1].reply_code = code
            case "RCPT":
                session.transactions[-1].rcpt_to.append(_path(rest))
                session.transactions[-1].rcpt_reply_codes.append(code)
            case "DATA":
                if session.transactions:
                    session.transactions[-1].data_command = "DATA"
                if code == 354:
                    self._in, self._message = "message", []
                elif session.transactions:
                    session.transactions[-1].reply_code = code
            case "BDAT":
                session.transactions[-1].data_command = "BDAT"
                if rest.upper().endswith("LAST") or code >= 400:
                    self._message_ended(code)
            case "END":
                self._message_ended(code)

    def _message_ended(self, code: int) -> None:
        transaction = self._session.transactions[-1]
        transaction.reply_code, transaction.accepted = code, code == 250
        transaction.message_bytes = sum(map(len, self._message))
        fields = re.findall(rb"(?im)^[\w-]+:", b"".join(self._message).partition(b"\r\n\r\n")[0])
        opening = takewhile(lambda name: name.lower() == b"received:", fields)
        transaction.received_headers = len(list(opening))
        self._message = []

    def secured(self, tls: str, version: str | None, sni: str | None) -> None:
        """From here on TLS hides what is said."""
        self._session.tls, self._session.tls_version, self._session.tls_sni = tls, version, sni
        self._in = "hidden"


def _begun(parameters: str) -> Transaction:
    size = re.search(r" SIZE=(\d+)", parameters, re.I)
    body = re.search(r" BODY=(\w+)", parameters, re.I)
    return Transaction(_path(parameters), declared_size=size and int(size[1]), body=body and body[1].upper())


def _path(parameters: str) -> str:
    """The address of `FROM:<...>` or `TO:<...>`."""
    return parameters.partition("<")[2].rpartition(">")[0]
