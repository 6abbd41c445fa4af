"""The lab's mail clients: smtplib, poplib, imaplib, swaks and openssl, and what they come to know.

Each driver makes one connection attempt from an address and a port of its own and returns an
`Attempt`: who called whom, whether it was answered, and what was said, as the client itself sent
and received it. What TLS hid from the wire is left out, as a capture cannot show it either.
"""

from __future__ import annotations

import imaplib
import itertools
import poplib
import re
import smtplib
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from tests.lab.network import Network
from tests.lab.servers import PASSWORD, USER

PORTS = itertools.count(20000)  # below the ephemeral ports, so that no two attempts share one
PATIENCE = 2.5
"""Seconds before a client gives up to connect: Linux sends its SYN three times meanwhile."""


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
            and next(
                (line.upper().split()[1:] for line in offered if line.upper().startswith("AUTH ")), None
            ),
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
                size, body = re.search(r" SIZE=(\d+)", rest, re.I), re.search(r" BODY=(\w+)", rest, re.I)
                session.transactions.append(
                    Transaction(
                        _path(rest), declared_size=size and int(size[1]), body=body and body[1].upper()
                    )
                )
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
        opening = itertools.takewhile(lambda name: name.lower() == b"received:", fields)
        transaction.received_headers = len(list(opening))
        self._message = []

    def secured(self, tls: str, version: str | None, sni: str | None) -> None:
        """From here on TLS hides what is said."""
        self._session.tls, self._session.tls_version, self._session.tls_sni = tls, version, sni
        self._in = "hidden"


def _path(parameters: str) -> str:
    """The address of `FROM:<...>` or `TO:<...>`."""
    return parameters.partition("<")[2].rpartition(">")[0]


class Client(smtplib.SMTP):
    """smtplib, keeping notes."""

    def __init__(self, attempt: Attempt, helo: str, implicit_tls: bool = False) -> None:
        attempt.smtp = Session()
        self.notes = Notes(attempt.smtp)
        self._implicit_tls = implicit_tls
        super().__init__(
            local_hostname=helo, timeout=PATIENCE, source_address=(attempt.src_ip, attempt.src_port)
        )

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        plain = super()._get_socket(host, port, timeout)  # type: ignore[misc]
        if not self._implicit_tls:
            return plain
        secure = _trusting().wrap_socket(plain, server_hostname=SNI)
        self.notes.secured("implicit", secure.version(), SNI)
        return secure

    def send(self, s: bytes | str) -> None:
        self.notes.sent(s.encode() if isinstance(s, str) else s)
        super().send(s)

    def getreply(self) -> tuple[int, bytes]:
        code, text = super().getreply()
        if code > 0:
            self.notes.received(code, text.decode())
        return code, text

    def starttls(self, **_: object) -> tuple[int, bytes]:
        self._host = SNI
        code, text = super().starttls(context=_trusting())
        if code == 220:
            self.notes.secured("starttls", self.sock.version(), SNI)
        return code, text


SNI = "lab.example.org"


def _trusting() -> ssl.SSLContext:
    """The lab's certificate is signed by itself."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def smtp(
    story: str,
    src: str,
    dst: str,
    talk: Callable[[Client], object],
    *,
    port: int = 25,
    helo: str = "home.example.org",
) -> Attempt:
    """Connects and lets `talk` have its say."""
    attempt = Attempt(story, src, next(PORTS), dst, port)
    client = Client(attempt, helo, implicit_tls=port == 465)
    try:
        with suppress(smtplib.SMTPException):  # the notes say how far it came
            client.connect(dst, port)
            talk(client)
    except OSError as error:
        attempt.error, attempt.smtp = error, None
    finally:
        client.close()
    return attempt


def swaks(network: Network, story: str, namespace: str, src: str, dst: str, *options: str) -> Attempt:
    """Runs swaks and takes the notes from its transcript."""
    attempt = Attempt(story, src, next(PORTS), dst, 25, smtp=Session())
    assert attempt.smtp is not None
    transcript = network.run(
        namespace,
        *("swaks", "--server", dst, "--local-interface", src, "--local-port", attempt.src_port),
        *("--timeout", "5", *options),
    )
    notes = Notes(attempt.smtp)
    reply: list[str] = []
    for line in transcript.splitlines():
        match line[:3], line[4:]:
            case " ->", text:
                notes.sent(f"{text}\r\n".encode())
            case "<- " | "<**", text:
                reply.append(text[4:])
                if text[3:4] != "-":
                    notes.received(int(text[:3]), "\n".join(reply))
                    reply = []
            case "===", text if started := re.match(r"TLS started with cipher (TLSv[\d.]+)", text):
                notes.secured("starttls", started[1], None)
    return attempt


def s_client(network: Network, story: str, namespace: str, src: str, dst: str, port: int) -> Attempt:
    """Lets `openssl s_client` say EHLO and STARTTLS (or the like), or TLS at once, and leave."""
    attempt = Attempt(story, src, next(PORTS), dst, port)
    protocol = {25: "smtp", 587: "smtp", 110: "pop3", 143: "imap"}.get(port)
    said = network.run(
        namespace,
        *("openssl", "s_client", "-brief", "-connect", f"{dst}:{port}", "-servername", SNI),
        *("-bind", f"{src}:{attempt.src_port}"),
        *(("-starttls", protocol) if protocol else ()),
        *(("-name", "home.example.org") if protocol == "smtp" else ()),
        given="QUIT\r\n",
    )
    version = re.search(r"Protocol version: (\S+)", said)
    assert version is not None, said
    attempt.partly = {
        "tls": "starttls" if protocol else "implicit",
        "tls_version": version[1],
        "tls_sni": SNI,
    }
    if protocol == "smtp":
        attempt.partly |= {"helo_verb": "EHLO", "helo": "home.example.org", "starttls_accepted": True}
    return attempt


class _Pop(poplib.POP3):
    """poplib with an address of its own, counting commands."""

    def __init__(self, attempt: Attempt) -> None:
        self._from = (attempt.src_ip, attempt.src_port)
        self.known = attempt.retrieval = Retrieval()
        super().__init__(attempt.dst_ip, attempt.dst_port, timeout=PATIENCE)
        if self.known.tls == "none":
            self.known.greeting = self.welcome.decode()

    def _create_socket(self, timeout: float) -> socket.socket:
        plain = socket.create_connection((self.host, self.port), timeout, self._from)
        return _wrapped(plain, self.known) if self.port == 995 else plain

    def _putcmd(self, line: str) -> None:
        if self.known.tls == "none":
            self.known.commands += 1
        super()._putcmd(line)  # type: ignore[misc]


class _Imap(imaplib.IMAP4):
    """imaplib with an address of its own, counting commands."""

    def __init__(self, attempt: Attempt) -> None:
        self._from = (attempt.src_ip, attempt.src_port)
        self.known = attempt.retrieval = Retrieval()
        super().__init__(attempt.dst_ip, attempt.dst_port, timeout=PATIENCE)
        if self.known.tls == "none":
            self.known.greeting = self.welcome.decode()

    def _create_socket(self, timeout: float | None) -> socket.socket:
        plain = socket.create_connection((self.host, self.port), timeout, self._from)
        return _wrapped(plain, self.known) if self.port == 993 else plain

    def _command(self, name: str, *arguments: object) -> bytes:
        if self.known.tls == "none":
            self.known.commands += 1
        return super()._command(name, *arguments)  # type: ignore[misc]


def _wrapped(plain: socket.socket, known: Retrieval) -> socket.socket:
    secure = _trusting().wrap_socket(plain, server_hostname=SNI)
    known.tls, known.tls_version, known.tls_sni = "implicit", secure.version(), SNI
    return secure


def pop(
    story: str, src: str, dst: str, *, port: int = 110, mechanism: str = "USER", password: str = PASSWORD
) -> Attempt:
    """Logs in by POP3 and leaves; `mechanism` is USER, APOP or STLS (and USER behind it)."""
    attempt = Attempt(story, src, next(PORTS), dst, port)
    client = _Pop(attempt)
    known = client.known
    if mechanism == "STLS":
        client.stls(_trusting())
        known.tls, known.tls_version = "starttls", client.sock.version()
    elif port == 110:
        known.auth_mechanism, known.auth_succeeded = mechanism, password == PASSWORD
    try:
        if mechanism == "APOP":
            client.apop(USER, password)
        else:
            client.user(USER)
            client.pass_(password)
        assert password == PASSWORD
    except poplib.error_proto:
        assert password != PASSWORD
    client.quit()
    return attempt


def imap(
    story: str, src: str, dst: str, *, port: int = 143, mechanism: str = "LOGIN", password: str = PASSWORD
) -> Attempt:
    """Logs in by IMAP and leaves; `mechanism` is LOGIN, CRAM-MD5, PLAIN or STARTTLS (and LOGIN)."""
    attempt = Attempt(story, src, next(PORTS), dst, port)
    client = _Imap(attempt)
    known = client.known
    if mechanism == "STARTTLS":
        client.starttls(_trusting())
        known.tls, known.tls_version = "starttls", client.sock.version()
    elif port == 143:
        known.auth_mechanism, known.auth_succeeded = mechanism, password == PASSWORD
    try:
        if mechanism == "CRAM-MD5":
            client.login_cram_md5(USER, password)
        elif mechanism == "PLAIN":
            client.authenticate("PLAIN", lambda _: f"\0{USER}\0{password}".encode())
        else:
            client.login(USER, password)
        assert password == PASSWORD
    except imaplib.IMAP4.error:
        assert password != PASSWORD
    client.logout()
    return attempt
