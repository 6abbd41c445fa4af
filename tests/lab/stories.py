"""What is played in the lab, and what is thereby known of every attempt.

`PATHS` are the ways of mail that a port-25 policy tells apart; they are played under every
filter. `DIALOGUES` are mail sessions of all kinds, played without one.
"""

from __future__ import annotations

import re
import smtplib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import dns.resolver

from tests.lab import network as lab
from tests.lab.drivers import Attempt, Client, imap, pop, s_client, smtp, swaks
from tests.lab.network import Network, wait_until
from tests.lab.servers import PASSWORD, USER, Servers

PERSON = "From: haruko@example.org\r\nUser-Agent: Lab\r\nSubject: Spring\r\n\r\nThe plum is in flower.\r\n"
RELAYED = (
    "Received: from den by home.example.org; Tue, 24 Nov 2026 08:00:00 +0900\r\n"
    "Received: from phone by den; Tue, 24 Nov 2026 07:59:59 +0900\r\n" + PERSON
)
POLICY = f"""
[policy]
name = "lab"
observation_point = "{{place}}"
[networks]
dynamic = ["203.0.113.0/24", "2001:db8:100::/48"]
static = ["203.0.113.248/29"]
[servers]
smarthosts = ["{lab.SMARTHOST}", "{lab.SMARTHOST_V6}"]
local_mx = ["{lab.LOCAL_MX}"]
mailbox = ["{lab.MAILBOX}"]
routers = ["{lab.ROUTER}", "{lab.ROUTER_V6}"]
[elsewhere]
dynamic_pools = ["198.51.100.128/25"]
"""


def mail(
    client: Client,
    message: str = PERSON,
    rcpt_to: tuple[str, ...] = ("aiko@example.com",),
    mail_from: str = USER,
    options: tuple[str, ...] = (),
) -> None:
    """One mail transaction in an open session; a refusal ends it with RSET."""
    client.ehlo_or_helo_if_needed()
    code, _ = client.mail(mail_from, options)
    accepted = [client.rcpt(address)[0] == 250 for address in rcpt_to] if code == 250 else []
    if not any(accepted):
        client.rset()
        return
    try:
        client.data(message)
    except smtplib.SMTPDataError:
        client.rset()


def say(*steps: Callable[[Client], object]) -> Callable[[Client], None]:
    """A talk of several steps, ended with QUIT."""

    def talk(client: Client) -> None:
        for step in steps:
            step(client)
        client.quit()

    return talk


def login(client: Client) -> None:
    """AUTH PLAIN, as smtplib likes it best."""
    client.ehlo_or_helo_if_needed()
    client.login(USER, PASSWORD)


def starttls(client: Client) -> None:
    """STARTTLS, after EHLO."""
    client.ehlo_or_helo_if_needed()
    client.starttls()


send_person = say(mail)
send_relayed = say(lambda client: mail(client, RELAYED))
send_secured = say(starttls, login, mail)
send_logged_in = say(login, mail)


def look_up(domain: str, src: str, kind: str = "A") -> None:
    """Asks the ISP's resolver for the exchanger of a domain and its address, as a mail server does."""
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [lab.RESOLVER]
    for exchanger in resolver.resolve(domain, "MX", source=src):
        resolver.resolve(exchanger.exchange, kind, source=src)


@dataclass(frozen=True)
class Way:
    """A way of mail: how it is gone, and what a policy tool must say of it under `POLICY`."""

    story: str
    namespace: str
    go: Callable[[Network, str], Attempt]
    known: dict[str, object]


def _way(
    story: str,
    namespace: str,
    src: str,
    dst: str,
    talk: Callable[[Client], object] = send_person,
    /,
    *,
    port: int = 25,
    domain: str = "",
    **known: object,
) -> Way:
    def go(_: Network, story: str) -> Attempt:
        if domain:
            look_up(domain, lab.OWN_SERVER if ":" in src else src, "AAAA" if ":" in dst else "A")
        return smtp(story, src, dst, talk, port=port)

    return Way(story, namespace, go, known)


_TO_SMARTHOST = {"dst_role": "smarthost", "traffic_class": "smarthost", "policy_action": "allow"}
_DIRECT = {"dst_role": "mx", "traffic_class": "direct_to_mx", "op25b_case": 3, "policy_action": "block"}
_SUBMISSION = {"dst_role": "submission_server", "traffic_class": "submission", "policy_action": "allow"}
_RETRIEVAL = {"dst_role": "mailbox_server", "traffic_class": "retrieval", "policy_action": "allow"}

PATHS = (
    _way(
        *("case 1", "home", lab.HOME_CLIENT, lab.SMARTHOST),
        **_TO_SMARTHOST,
        op25b_case=1,
    ),
    _way(
        *("case 2", "home", lab.HOME_SERVER, lab.SMARTHOST, send_relayed),
        **_TO_SMARTHOST,
        op25b_case=2,
    ),
    _way(
        *("case 2 by IPv6", "subscriber", lab.OWN_SERVER_V6, lab.SMARTHOST_V6, send_relayed),
        **_TO_SMARTHOST,
        op25b_case=2,
    ),
    _way("smarthost on 587", "home", lab.HOME_CLIENT, lab.SMARTHOST, send_secured, port=587, **_TO_SMARTHOST),
    _way(
        "smarthost on 465", "home", lab.HOME_CLIENT, lab.SMARTHOST, send_logged_in, port=465, **_TO_SMARTHOST
    ),
    _way(
        *("case 3", "subscriber", lab.OWN_SERVER, lab.MX, send_relayed),
        domain="example.com",
        **_DIRECT,
    ),
    _way(
        *("case 3 by IPv6", "subscriber", lab.OWN_SERVER_V6, lab.MX_V6, send_relayed),
        domain="example.com",
        **_DIRECT,
    ),
    _way(
        *("case 3 behind NAT", "home", lab.HOME_SERVER, lab.OTHER_MX, send_relayed),
        domain="example.net",
        **_DIRECT,
    ),
    _way(
        *("bot", "subscriber", lab.BOT, lab.MX),
        say(lambda client: mail(client, rcpt_to=("nobody@example.com", "emi@example.com"))),
        domain="example.com",
        **_DIRECT,
    ),
    _way("bot at another", "subscriber", lab.BOT, lab.OTHER_MX, domain="example.net", **_DIRECT),
    _way(
        *("case 4 on 25", "home", lab.HOME_CLIENT, lab.FRIEND, send_logged_in),
        dst_role="third_party_relay",
        traffic_class="third_party_relay",
        op25b_case=4,
        policy_action="block",
    ),
    _way(
        *("case 4 on 587", "home", lab.HOME_CLIENT, lab.FRIEND, send_secured),
        port=587,
        **_SUBMISSION,
        op25b_case=4,
    ),
    _way(
        *("case 4 on 465", "home", lab.HOME_CLIENT, lab.FRIEND, send_logged_in),
        port=465,
        **_SUBMISSION,
        op25b_case=4,
    ),
    _way("provider on 587", "home", lab.HOME_CLIENT, lab.PROVIDER, send_secured, port=587, **_SUBMISSION),
    _way("provider on 2525", "home", lab.HOME_CLIENT, lab.PROVIDER, send_logged_in, port=2525, **_SUBMISSION),
    _way(
        *("own MX", "subscriber", lab.OWN_SERVER, lab.LOCAL_MX),
        say(lambda client: mail(client, RELAYED, ("postmaster@isp.example",))),
        domain="isp.example",
        dst_role="local_mx",
        traffic_class="local_mx",
        policy_action="block",
    ),
    _way(
        *("static customer", "subscriber", lab.STATIC, lab.MX, send_relayed),
        domain="example.com",
        src_role="static",
        dst_role="mx",
        traffic_class="server_to_server",
        policy_action="allow",
    ),
    _way(
        *("inbound", "world", lab.MX, lab.OWN_SERVER, send_relayed),
        src_role=None,
        direction="inbound",
        traffic_class="inbound_smtp",
        policy_action=None,
    ),
    _way(
        *("neighbour", "subscriber", lab.OWN_SERVER, lab.HOME),
        direction="internal",
        traffic_class="internal",
        policy_action=None,
        outcome="refused",
    ),
    Way("POP3 at home", "home", lambda _, story: pop(story, lab.HOME_CLIENT, lab.MAILBOX), _RETRIEVAL),
    Way("IMAP elsewhere", "home", lambda _, story: imap(story, lab.HOME_CLIENT, lab.PROVIDER), _RETRIEVAL),
    Way(
        "IMAPS elsewhere",
        "home",
        lambda _, story: imap(story, lab.HOME_CLIENT, lab.PROVIDER, port=993),
        _RETRIEVAL,
    ),
)


def _pipelined(client: Client, recipients: tuple[str, ...]) -> None:
    """RFC 2920: MAIL, RCPT and DATA in one segment."""
    client.ehlo()
    lines = [f"MAIL FROM:<{USER}>", *(f"RCPT TO:<{address}>" for address in recipients), "DATA"]
    client.send("\r\n".join(lines) + "\r\n")
    codes = [client.getreply()[0] for _ in lines]
    if codes[-1] == 354:
        client.send(PERSON + ".\r\n")
        client.getreply()


def _in_chunks(client: Client, chunks: list[bytes], together: bool) -> None:
    """RFC 3030: the message in counted octets, each chunk answered, or all pipelined."""
    client.ehlo()
    client.mail(USER)
    client.rcpt("aiko@example.com")
    sizes = [f"BDAT {len(chunk)}" for chunk in chunks]
    sizes[-1] += " LAST"
    lines = [f"{size}\r\n".encode() + chunk for size, chunk in zip(sizes, chunks, strict=True)]
    if together:
        client.send(b"".join(lines))
    for line in lines:
        if not together:
            client.send(line)
        client.getreply()


def _auth(mechanism: str, password: str = PASSWORD) -> Callable[[Client], None]:
    def talk(client: Client) -> None:
        client.ehlo()
        client.user, client.password = USER, password
        client.auth(mechanism, getattr(client, f"auth_{mechanism.lower().replace('-', '_')}"))

    return say(talk, mail)


def _auth_refused(client: Client) -> None:
    client.ehlo()
    client.user, client.password = USER, "wrong"
    try:
        client.auth("PLAIN", client.auth_plain)
    except smtplib.SMTPAuthenticationError:
        client.quit()


def _auth_cancelled(client: Client) -> None:
    """RFC 4954, section 4: the client gives up with `*`."""
    client.ehlo()
    assert client.docmd("AUTH", "LOGIN")[0] == 334
    assert client.docmd("*")[0] == 501


def _many_errors(client: Client) -> None:
    """Postfix loses patience after 20 errors: 421."""
    client.ehlo()
    while client.docmd("WHAT")[0] != 421:
        pass


DOTS = PERSON + ".\r\n..\r\n.leading dot\r\nend of it\r\n" + "x" * 990 + "\r\n"
LARGE = PERSON + ("." + "y" * 70 + "\r\n") * 5000
HALF = PERSON.encode()

# story -> called address, port, talk
DIALOGUES: dict[str, tuple[str, int, Callable[[Client], object]]] = {
    "plain mail": (lab.MX, 25, send_person),
    "relayed mail": (lab.MX, 25, send_relayed),
    "by IPv6": (lab.MX_V6, 25, send_person),
    "aiosmtpd": (lab.OTHER_MX, 25, send_relayed),
    "HELO": (lab.MX, 25, say(lambda client: client.helo(), mail)),
    "EHLO refused, HELO": (lab.MX_OLD, 25, send_person),
    "three mails": (lab.MX, 25, say(mail, lambda client: mail(client, RELAYED), mail)),
    "mail, refused mail, mail": (
        lab.MX,
        25,
        say(mail, lambda client: mail(client, rcpt_to=("nobody@example.com",)), mail),
    ),
    "null sender": (lab.MX, 25, say(lambda client: mail(client, mail_from=""))),
    "some recipients refused": (
        lab.MX,
        25,
        say(
            lambda client: mail(
                client,
                rcpt_to=("aiko@example.com", "nobody@example.com", "grey@example.com", "emi@example.com"),
            )
        ),
    ),
    "all recipients refused": (
        lab.MX,
        25,
        say(lambda client: mail(client, rcpt_to=("nobody@example.com", "policy@example.com"))),
    ),
    "relaying denied": (lab.MX, 25, say(lambda client: mail(client, rcpt_to=("aiko@example.net",)))),
    "greylisted": (lab.MX, 25, say(lambda client: mail(client, rcpt_to=("grey@example.com",)))),
    "sender refused": (lab.MX, 25, say(lambda client: mail(client, mail_from="unwanted@example.org"))),
    "DATA refused": (lab.MX, 25, say(lambda client: mail(client, mail_from="nodata@example.org"))),
    "banner 554": (lab.MX_REFUSING, 25, say()),
    "banner 421": (lab.MX_BUSY, 25, lambda client: None),
    "pipelined": (
        lab.MX,
        25,
        say(lambda client: _pipelined(client, ("aiko@example.com", "emi@example.com"))),
    ),
    "pipelined, some refused": (
        lab.MX,
        25,
        say(lambda client: _pipelined(client, ("nobody@example.com", "aiko@example.com"))),
    ),
    "pipelined, all refused": (lab.MX, 25, say(lambda client: _pipelined(client, ("nobody@example.com",)))),
    "chunks": (
        lab.MX,
        25,
        say(lambda client: _in_chunks(client, [HALF, b"More.\r\n", b".\r\nEnd.\r\n"], False)),
    ),
    "chunks pipelined": (
        lab.MX,
        25,
        say(lambda client: _in_chunks(client, [HALF, b"QUIT\r\n", b"MAIL FROM:<>\r\n"], True)),
    ),
    "last chunk empty": (lab.MX, 25, say(lambda client: _in_chunks(client, [HALF, b""], False))),
    "dots": (lab.MX, 25, say(lambda client: mail(client, DOTS))),
    "large mail": (lab.MX, 25, say(lambda client: mail(client, LARGE))),
    "quoted local part": (
        lab.MX,
        25,
        say(
            lambda client: mail(
                client,
                rcpt_to=('"long name"@example.com',),
                options=("SIZE=1234", "BODY=8BITMIME", "RET=HDRS"),
            )
        ),
    ),
    "NOOP and VRFY": (
        lab.MX,
        25,
        say(
            lambda client: client.ehlo(),
            lambda client: client.noop(),
            lambda client: client.vrfy("aiko"),
            mail,
        ),
    ),
    "errors until 421": (lab.MX, 25, _many_errors),
    "gone without QUIT": (lab.MX, 25, lambda client: mail(client)),
    "gone after the banner": (lab.MX, 25, lambda client: None),
    "STARTTLS on 25": (lab.MX, 25, say(starttls, mail)),
    "STARTTLS refused": (
        lab.PROVIDER,
        2525,
        say(lambda client: client.ehlo(), lambda client: client.docmd("STARTTLS")),
    ),
    "STARTTLS on 587": (lab.PROVIDER, 587, send_secured),
    "TLS on 465": (lab.PROVIDER, 465, send_logged_in),
    "AUTH PLAIN": (lab.PROVIDER, 587, _auth("PLAIN")),
    "AUTH LOGIN": (lab.PROVIDER, 587, _auth("LOGIN")),
    "AUTH CRAM-MD5": (lab.PROVIDER, 2525, _auth("CRAM-MD5")),
    "AUTH on 25": (lab.FRIEND, 25, _auth("PLAIN")),
    "AUTH refused": (lab.PROVIDER, 587, _auth_refused),
    "AUTH cancelled": (lab.PROVIDER, 587, say(_auth_cancelled)),
    "refused": (lab.CLOSED, 25, send_person),
    "no answer": (lab.SILENT, 25, send_person),
    "unreachable": (lab.UNREACHABLE, 25, send_person),
    "prohibited elsewhere": (lab.PROHIBITED, 25, send_person),
}
OUTCOMES = {
    "refused": "refused",
    "no answer": "no_answer",
    "unreachable": "unreachable",
    "prohibited elsewhere": "prohibited",
}
_SWAKS = ("--from", USER, "--to", "aiko@example.com", "--ehlo", "swaks.example.org")
_ACCOUNT = ("--auth-user", USER, "--auth-password", PASSWORD)
SWAKS = {
    "swaks": (lab.MX, _SWAKS),
    "swaks pipelined": (lab.MX, (*_SWAKS, "--pipeline")),
    "swaks STARTTLS": (lab.MX, (*_SWAKS, "--tls")),
    "swaks AUTH LOGIN": (lab.FRIEND, (*_SWAKS, "--auth", "LOGIN", *_ACCOUNT)),
    "swaks AUTH CRAM-MD5": (lab.FRIEND, (*_SWAKS, "--auth", "CRAM-MD5", *_ACCOUNT)),
}
S_CLIENT = {
    "s_client on 25": (lab.MX, 25),
    "s_client on 587": (lab.PROVIDER, 587),
    "s_client on 465": (lab.PROVIDER, 465),
    "s_client on 110": (lab.PROVIDER, 110),
    "s_client on 995": (lab.PROVIDER, 995),
    "s_client on 143": (lab.PROVIDER, 143),
    "s_client on 993": (lab.PROVIDER, 993),
}
RETRIEVALS: dict[str, Callable[[str, str], Attempt]] = {
    "POP3 USER": lambda story, src: pop(story, src, lab.PROVIDER),
    "POP3 USER refused": lambda story, src: pop(story, src, lab.PROVIDER, password="wrong"),
    "POP3 APOP": lambda story, src: pop(story, src, lab.PROVIDER, mechanism="APOP"),
    "POP3 STLS": lambda story, src: pop(story, src, lab.PROVIDER, mechanism="STLS"),
    "POP3S": lambda story, src: pop(story, src, lab.PROVIDER, port=995),
    "IMAP LOGIN": lambda story, src: imap(story, src, lab.PROVIDER),
    "IMAP LOGIN refused": lambda story, src: imap(story, src, lab.PROVIDER, password="wrong"),
    "IMAP CRAM-MD5": lambda story, src: imap(story, src, lab.PROVIDER, mechanism="CRAM-MD5"),
    "IMAP PLAIN": lambda story, src: imap(story, src, lab.PROVIDER, mechanism="PLAIN"),
    "IMAP STARTTLS": lambda story, src: imap(story, src, lab.PROVIDER, mechanism="STARTTLS"),
    "IMAPS": lambda story, src: imap(story, src, lab.PROVIDER, port=993),
}


@dataclass
class Play:
    """What was played under one filter: captures of it, and what is known of each attempt."""

    filter: str
    inside: Path
    outside: Path
    everywhere: Path
    home: Path
    attempts: list[Attempt] = field(default_factory=list)
    relayed: int = 0
    """Messages that the smarthost handed to exchangers in the world."""


def play_paths(network: Network, servers: Servers, filter_name: str, directory: Path) -> Play:
    """Every way of `PATHS` at once, under the filter of that name."""
    goings = [(way.namespace, lambda way=way: way.go(network, way.story)) for way in PATHS]
    return _play(network, servers, filter_name, directory, goings)


def play_dialogues(network: Network, servers: Servers, directory: Path) -> Play:
    """Every session of all kinds at once, under no filter."""
    goings: list[tuple[str, Callable[[], Attempt]]] = []
    for story, (dst, port, talk) in DIALOGUES.items():
        src = lab.OWN_SERVER_V6 if ":" in dst else lab.OWN_SERVER
        goings.append((_AT, lambda a=(story, src, dst, talk), port=port: smtp(*a, port=port)))
    for story, (dst, options) in SWAKS.items():
        goings.append((_AT, lambda a=(story, _AT, lab.BOT, dst, *options): swaks(network, *a)))
    for story, (dst, port) in S_CLIENT.items():
        goings.append((_AT, lambda a=(story, _AT, lab.BOT, dst, port): s_client(network, *a)))
    for story, go in RETRIEVALS.items():
        goings.append((_AT, lambda go=go, story=story: go(story, lab.OWN_SERVER)))
    return _play(network, servers, "open", directory, goings)


_AT = "subscriber"


def _play(
    network: Network,
    servers: Servers,
    filter_name: str,
    directory: Path,
    goings: list[tuple[str, Callable[[], Attempt]]],
) -> Play:
    directory.mkdir()
    places = ("inside", "outside", "everywhere", "home")
    play = Play(filter_name, *(directory / f"{place}.pcap" for place in places))
    network.filter(filter_name)
    logged = len(servers.log("isp"))
    with ExitStack() as captures:
        for namespace, interface, path in (
            ("router", "access", play.inside),
            ("router", "border", play.outside),
            ("router", "any", play.everywhere),
            ("gateway", "lan", play.home),
        ):
            captures.enter_context(network.capture(namespace, interface, path))
        under_way = [network.submit(namespace, go) for namespace, go in goings]
        play.attempts = [attempt.result() for attempt in under_way]
        wait_until(servers.idle, "an empty queue at the smarthost")
    sent = r"relay=mx\.example\.(com|net)\[\S+\]:25, .* status=sent"
    play.relayed = len(re.findall(sent, servers.log("isp")[logged:]))
    return play
