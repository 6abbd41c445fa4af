"""Mail sessions of all kinds: what the lab's clients say, and to whom.

What comes of it the drivers write down; here stands only what is asked for. A talk is a
function of an open `Client`.
"""

from __future__ import annotations

import smtplib
from collections.abc import Callable
from typing import NamedTuple

from tests.lab.drivers import Client, imap, pop
from tests.lab.network import (
    CLOSED,
    FRIEND,
    MX,
    MX_BUSY,
    MX_OLD,
    MX_REFUSING,
    MX_V6,
    OTHER_MX,
    PROHIBITED,
    PROVIDER,
    SILENT,
    UNREACHABLE,
)
from tests.lab.notes import Attempt
from tests.lab.servers import PASSWORD, USER

Talk = Callable[[Client], object]

PERSON = "From: haruko@example.org\r\nUser-Agent: Lab\r\nSubject: Spring\r\n\r\nThe plum is in flower.\r\n"
RELAYED = (
    "Received: from den by home.example.org; Tue, 24 Nov 2026 08:00:00 +0900\r\n"
    "Received: from phone by den; Tue, 24 Nov 2026 07:59:59 +0900\r\n" + PERSON
)
DOTS = PERSON + ".\r\n..\r\n.leading dot\r\nend of it\r\n" + "x" * 990 + "\r\n"
LARGE = PERSON + ("." + "y" * 70 + "\r\n") * 5000
AIKO, EMI, NOBODY = "aiko@example.com", "emi@example.com", "nobody@example.com"


def say(*steps: Talk) -> Talk:
    """A talk of several steps, ended with QUIT."""

    def talk(client: Client) -> None:
        for step in steps:
            step(client)
        client.quit()

    return talk


def mail(*to: str, message: str = PERSON, sender: str = USER, options: tuple[str, ...] = ()) -> Talk:
    """One mail transaction, with EHLO before it if none was said; a refusal ends it with RSET."""

    def talk(client: Client) -> None:
        client.ehlo_or_helo_if_needed()
        code, _ = client.mail(sender, options)
        accepted = [client.rcpt(address)[0] == 250 for address in to or (AIKO,)] if code == 250 else []
        if not any(accepted):
            client.rset()
            return
        try:
            client.data(message)
        except smtplib.SMTPDataError:
            client.rset()

    return talk


def verb(*words: str) -> Talk:
    """One command and its reply."""
    return lambda client: client.docmd(*words)


def login(client: Client) -> None:
    """AUTH, by what smtplib likes best: CRAM-MD5, then PLAIN."""
    client.ehlo_or_helo_if_needed()
    client.login(USER, PASSWORD)


def starttls(client: Client) -> None:
    """STARTTLS after EHLO."""
    client.ehlo_or_helo_if_needed()
    client.starttls()


def auth(mechanism: str, password: str = PASSWORD) -> Talk:
    """AUTH by that mechanism."""

    def talk(client: Client) -> None:
        client.ehlo()
        client.user, client.password = USER, password
        answer = getattr(client, f"auth_{mechanism.lower().replace('-', '_')}")
        try:
            client.auth(mechanism, answer)
        except smtplib.SMTPAuthenticationError:
            assert password != PASSWORD

    return talk


def pipelined(*to: str) -> Talk:
    """RFC 2920: MAIL, RCPT and DATA in one segment."""

    def talk(client: Client) -> None:
        client.ehlo()
        lines = [f"MAIL FROM:<{USER}>", *(f"RCPT TO:<{address}>" for address in to), "DATA"]
        client.send("\r\n".join(lines) + "\r\n")
        codes = [client.getreply()[0] for _ in lines]
        if codes[-1] == 354:
            client.send(PERSON + ".\r\n")
            client.getreply()

    return talk


def chunks(*pieces: bytes, together: bool = False) -> Talk:
    """RFC 3030: a message in counted octets, each chunk answered, or all in one go."""

    def talk(client: Client) -> None:
        client.ehlo()
        client.mail(USER)
        client.rcpt(AIKO)
        sent = [f"BDAT {len(piece)}\r\n".encode() + piece for piece in pieces[:-1]]
        sent.append(f"BDAT {len(pieces[-1])} LAST\r\n".encode() + pieces[-1])
        if together:
            client.send(b"".join(sent))
        for chunk in sent:
            if not together:
                client.send(chunk)
            client.getreply()

    return talk


def errors_until_421(client: Client) -> None:
    """Postfix loses patience after 20 errors, and hangs up."""
    client.ehlo()
    while client.docmd("WHAT")[0] != 421:
        pass


def nothing(client: Client) -> None:
    """The client hangs up once it has read the greeting."""


send_mail = say(mail())
send_relayed = say(mail(message=RELAYED))
send_logged_in = say(login, mail())
send_secured = say(starttls, login, mail())


class Call(NamedTuple):
    """A talk, and with whom."""

    dst: str
    talk: Talk
    port: int = 25


DIALOGUES = {
    "mail": Call(MX, send_mail),
    "mail that was relayed": Call(MX, send_relayed),
    "by IPv6": Call(MX_V6, send_mail),
    "to aiosmtpd": Call(OTHER_MX, send_relayed),
    "HELO": Call(MX, say(verb("HELO", "old.example.org"), mail())),
    "EHLO refused, then HELO": Call(MX_OLD, send_mail),
    "three mails": Call(MX, say(mail(), mail(message=RELAYED), mail(EMI))),
    "mail, refused mail, mail": Call(MX, say(mail(), mail(NOBODY), mail(EMI))),
    "mail taken back": Call(
        MX, say(verb("EHLO", "x.example.org"), verb("MAIL FROM:<>"), verb("RSET"), mail())
    ),
    "null sender": Call(MX, say(mail(sender=""))),
    "some recipients refused": Call(MX, say(mail(AIKO, NOBODY, "grey@example.com", EMI))),
    "all recipients refused": Call(MX, say(mail(NOBODY, "policy@example.com"))),
    "relaying denied": Call(MX, say(mail("aiko@example.net"))),
    "greylisted": Call(MX, say(mail("grey@example.com"))),
    "sender refused": Call(MX, say(mail(sender="unwanted@example.org"))),
    "DATA refused": Call(MX, say(mail(sender="nodata@example.org"))),
    "banner 554": Call(MX_REFUSING, say()),
    "banner 421": Call(MX_BUSY, nothing),
    "pipelined": Call(MX, say(pipelined(AIKO, EMI))),
    "pipelined, one refused": Call(MX, say(pipelined(NOBODY, AIKO))),
    "pipelined, all refused": Call(MX, say(pipelined(NOBODY))),
    "chunks": Call(MX, say(chunks(PERSON.encode(), b"More.\r\n", b".\r\nEnd.\r\n"))),
    "chunks like commands": Call(
        MX, say(chunks(PERSON.encode(), b"QUIT\r\n", b"MAIL FROM:<>\r\n", together=True))
    ),
    "last chunk empty": Call(MX, say(chunks(PERSON.encode(), b""))),
    "dots": Call(MX, say(mail(message=DOTS))),
    "large mail": Call(MX, say(mail(message=LARGE))),
    "quoted local part": Call(
        MX, say(mail('"long name"@example.com', options=("SIZE=1234", "BODY=8BITMIME", "RET=HDRS")))
    ),
    "NOOP and VRFY": Call(MX, say(verb("EHLO", "x.example.org"), verb("NOOP"), verb("VRFY", "aiko"), mail())),
    "errors until 421": Call(MX, errors_until_421),
    "gone without QUIT": Call(MX, mail()),
    "gone after the greeting": Call(MX, nothing),
    "STARTTLS on 25": Call(MX, say(starttls, mail())),
    "STARTTLS refused": Call(PROVIDER, say(verb("EHLO", "x.example.org"), verb("STARTTLS")), 2525),
    "STARTTLS on 587": Call(PROVIDER, send_secured, 587),
    "TLS on 465": Call(PROVIDER, send_logged_in, 465),
    "AUTH PLAIN": Call(PROVIDER, say(auth("PLAIN"), mail()), 587),
    "AUTH LOGIN": Call(PROVIDER, say(auth("LOGIN"), mail()), 587),
    "AUTH CRAM-MD5": Call(PROVIDER, say(auth("CRAM-MD5"), mail()), 2525),
    "AUTH on 25": Call(FRIEND, say(auth("PLAIN"), mail())),
    "AUTH refused": Call(PROVIDER, say(auth("PLAIN", "wrong")), 587),
    # RFC 4954, section 4: the client gives up with `*`.
    "AUTH cancelled": Call(
        PROVIDER, say(verb("EHLO", "x.example.org"), verb("AUTH", "LOGIN"), verb("*")), 587
    ),
    "refused": Call(CLOSED, send_mail),
    "no answer": Call(SILENT, send_mail),
    "unreachable": Call(UNREACHABLE, send_mail),
    "prohibited": Call(PROHIBITED, send_mail),
}
OUTCOMES = {
    "refused": "refused",
    "no answer": "no_answer",
    "unreachable": "unreachable",
    "prohibited": "prohibited",
}

_ENVELOPE = ("--from", USER, "--to", AIKO, "--ehlo", "swaks.example.org")
_ACCOUNT = ("--auth-user", USER, "--auth-password", PASSWORD)
SWAKS = {
    "swaks": (MX, _ENVELOPE),
    "swaks pipelined": (MX, (*_ENVELOPE, "--pipeline")),
    "swaks STARTTLS": (MX, (*_ENVELOPE, "--tls")),
    "swaks AUTH LOGIN": (FRIEND, (*_ENVELOPE, "--auth", "LOGIN", *_ACCOUNT)),
    "swaks AUTH CRAM-MD5": (FRIEND, (*_ENVELOPE, "--auth", "CRAM-MD5", *_ACCOUNT)),
}
S_CLIENT_PORTS = (587, 465, 110, 995, 143, 993)
RETRIEVALS: dict[str, Callable[[str, str], Attempt]] = {
    "POP3 USER": lambda story, src: pop(story, src, PROVIDER),
    "POP3 USER refused": lambda story, src: pop(story, src, PROVIDER, password="wrong"),
    "POP3 APOP": lambda story, src: pop(story, src, PROVIDER, mechanism="APOP"),
    "POP3 STLS": lambda story, src: pop(story, src, PROVIDER, mechanism="STLS"),
    "POP3S": lambda story, src: pop(story, src, PROVIDER, port=995),
    "IMAP LOGIN": lambda story, src: imap(story, src, PROVIDER),
    "IMAP LOGIN refused": lambda story, src: imap(story, src, PROVIDER, password="wrong"),
    "IMAP CRAM-MD5": lambda story, src: imap(story, src, PROVIDER, mechanism="CRAM-MD5"),
    "IMAP PLAIN": lambda story, src: imap(story, src, PROVIDER, mechanism="PLAIN"),
    "IMAP STARTTLS": lambda story, src: imap(story, src, PROVIDER, mechanism="STARTTLS"),
    "IMAPS": lambda story, src: imap(story, src, PROVIDER, port=993),
}
