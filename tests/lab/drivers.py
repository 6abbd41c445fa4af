"""The lab's mail clients: smtplib, poplib, imaplib, swaks and openssl, and what they come to know.

Each driver makes one connection attempt from an address and a port of its own and returns an
`Attempt`: who called whom, whether it was answered, and what was said, as the client itself sent
and received it.
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

from tests.lab.network import Network
from tests.lab.notes import Attempt, Notes, Retrieval, Session
from tests.lab.servers import PASSWORD, USER

PORTS = itertools.count(20000)  # below the ephemeral ports, so that no two attempts share one
PATIENCE = 2.5
"""Seconds before a client gives up to connect: Linux sends its SYN three times meanwhile."""


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
        if not isinstance(self.sock, ssl.SSLSocket):
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
        if not isinstance(self.sock, ssl.SSLSocket):
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
