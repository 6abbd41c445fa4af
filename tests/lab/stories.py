"""What is played in the lab, and what is thereby known of every attempt.

`WAYS` are the ways of mail that a port-25 policy tells apart; they are gone under every filter.
The dialogues are played without one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import dns.resolver

from tests.lab import network as lab
from tests.lab.dialogues import (
    DIALOGUES,
    EMI,
    NOBODY,
    OUTCOMES,
    RELAYED,
    RETRIEVALS,
    S_CLIENT_PORTS,
    SWAKS,
    Talk,
    mail,
    say,
    send_logged_in,
    send_mail,
    send_relayed,
    send_secured,
)
from tests.lab.drivers import imap, pop, s_client, smtp, swaks
from tests.lab.network import Network, wait_until
from tests.lab.notes import Attempt
from tests.lab.servers import Servers

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
SEEN_AS = {lab.HOME_CLIENT: lab.HOME, lab.HOME_SERVER: lab.HOME}
"""What the home router's NAT makes of an address; it keeps the ports."""


@dataclass(frozen=True)
class Way:
    """A way of mail: how it is gone, and what a policy tool must say of it under `POLICY`."""

    story: str
    namespace: str
    src: str
    dst: str
    talk: Talk
    known: dict[str, object]
    port: int = 25
    mx_of: str = ""
    """The domain whose exchanger is looked up before."""

    def go(self) -> Attempt:
        """Goes it once."""
        if self.mx_of:
            look_up(self.mx_of, lab.OWN_SERVER if ":" in self.src else self.src)
        if self.port == 110:
            return pop(self.story, self.src, self.dst)
        if self.port in (143, 993):
            return imap(self.story, self.src, self.dst, port=self.port)
        return smtp(self.story, self.src, self.dst, self.talk, port=self.port)

    def is_stopped(self, filter_name: str) -> bool:
        """Whether the filter keeps the attempt from the addressee."""
        blocked = self.known.get("policy_action") == "block"
        match filter_name:
            case "open":
                return False
            case "ipv4_only":
                return blocked and ":" not in self.dst
            case "too_much":
                return blocked or (self.is_abroad() and self.port == 587) or self.src == lab.STATIC
        return blocked

    def is_abroad(self) -> bool:
        """Whether the way crosses the ISP's border."""
        return self.namespace == "world" or self.dst.startswith(("198.51.100.", "2001:db8:f:"))

    def expected(self, filter_name: str) -> dict[str, object]:
        """What the tool must say of it, seen from inside of that filter."""
        stopped, blocked = self.is_stopped(filter_name), self.known.get("policy_action") == "block"
        expected = {"outcome": "connected"} | self.known
        if self.namespace in ("home", "subscriber"):
            expected.setdefault("src_role", "dynamic")
        if stopped:
            expected["outcome"] = STOPPED[filter_name]
        if stopped and STOPPED[filter_name] == "prohibited":
            expected["icmp_from"] = lab.ROUTER_V6 if ":" in self.dst else lab.ROUTER
        if blocked:
            expected["finding"] = (
                "intercepted" if filter_name == "redirect" else "blocked" if stopped else "leak"
            )
        elif "policy_action" in self.known:
            expected["finding"] = "disrupted" if stopped else "allowed"
        return expected


STOPPED = {
    "drop": "no_answer",
    "reset": "refused",
    "prohibited": "prohibited",
    "redirect": "connected",
    "ipv4_only": "no_answer",
    "too_much": "prohibited",
}
RELAY = {"dst_role": "smarthost", "traffic_class": "smarthost", "policy_action": "allow"}
CASE_1, CASE_2 = RELAY | {"op25b_case": 1}, RELAY | {"op25b_case": 2}
CASE_3 = {"dst_role": "mx", "traffic_class": "direct_to_mx", "op25b_case": 3, "policy_action": "block"}
CASE_4 = {"dst_role": "third_party_relay", "traffic_class": "third_party_relay", "op25b_case": 4} | {
    "policy_action": "block"
}
SUBMISSION = {"dst_role": "submission_server", "traffic_class": "submission", "policy_action": "allow"}
RETRIEVAL = {"dst_role": "mailbox_server", "traffic_class": "retrieval", "policy_action": "allow"}
OWN_MX = {"dst_role": "local_mx", "traffic_class": "local_mx", "policy_action": "block"}
EXEMPT = {"dst_role": "mx", "traffic_class": "server_to_server", "policy_action": "allow"}
EXEMPT |= {"src_role": "static"}
INBOUND = {"dst_role": "dynamic", "direction": "inbound", "traffic_class": "inbound_smtp"}
NEIGHBOUR = {"dst_role": "dynamic", "direction": "internal", "traffic_class": "internal"}
NEIGHBOUR |= {"outcome": "refused"}

send_as_bot = say(mail(NOBODY, EMI))
send_to_isp = say(mail("postmaster@isp.example", message=RELAYED))

WAYS = (
    Way("case 1", "home", lab.HOME_CLIENT, lab.SMARTHOST, send_mail, CASE_1),
    Way("case 2", "home", lab.HOME_SERVER, lab.SMARTHOST, send_relayed, CASE_2),
    Way("case 2 by IPv6", "subscriber", lab.OWN_SERVER_V6, lab.SMARTHOST_V6, send_relayed, CASE_2),
    Way("relay on 587", "home", lab.HOME_CLIENT, lab.SMARTHOST, send_secured, RELAY, 587),
    Way("relay on 465", "home", lab.HOME_CLIENT, lab.SMARTHOST, send_logged_in, RELAY, 465),
    Way("case 3", "subscriber", lab.OWN_SERVER, lab.MX, send_relayed, CASE_3, mx_of="example.com"),
    Way(
        "case 3 by IPv6",
        "subscriber",
        lab.OWN_SERVER_V6,
        lab.MX_V6,
        send_relayed,
        CASE_3,
        mx_of="example.com",
    ),
    Way("case 3 at home", "home", lab.HOME_SERVER, lab.OTHER_MX, send_relayed, CASE_3, mx_of="example.net"),
    Way("bot", "subscriber", lab.BOT, lab.MX, send_as_bot, CASE_3, mx_of="example.com"),
    Way("bot elsewhere", "subscriber", lab.BOT, lab.OTHER_MX, send_mail, CASE_3, mx_of="example.net"),
    Way("case 4", "home", lab.HOME_CLIENT, lab.FRIEND, send_logged_in, CASE_4),
    Way("friend on 587", "home", lab.HOME_CLIENT, lab.FRIEND, send_secured, SUBMISSION, 587),
    Way("friend on 465", "home", lab.HOME_CLIENT, lab.FRIEND, send_logged_in, SUBMISSION, 465),
    Way("provider on 587", "home", lab.HOME_CLIENT, lab.PROVIDER, send_secured, SUBMISSION, 587),
    Way("provider on 2525", "home", lab.HOME_CLIENT, lab.PROVIDER, send_logged_in, SUBMISSION, 2525),
    Way("own MX", "subscriber", lab.OWN_SERVER, lab.LOCAL_MX, send_to_isp, OWN_MX, mx_of="isp.example"),
    Way("static customer", "subscriber", lab.STATIC, lab.MX, send_relayed, EXEMPT, mx_of="example.com"),
    Way("inbound", "world", lab.MX, lab.OWN_SERVER, send_relayed, INBOUND),
    Way("neighbour", "subscriber", lab.OWN_SERVER, lab.HOME, send_mail, NEIGHBOUR),
    Way("POP3", "home", lab.HOME_CLIENT, lab.MAILBOX, send_mail, RETRIEVAL, 110),
    Way("IMAP elsewhere", "home", lab.HOME_CLIENT, lab.PROVIDER, send_mail, RETRIEVAL, 143),
    Way("IMAPS elsewhere", "home", lab.HOME_CLIENT, lab.PROVIDER, send_mail, RETRIEVAL, 993),
)


def look_up(domain: str, src: str) -> None:
    """Asks the ISP's resolver for the exchanger and its addresses, as a mail server does."""
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [lab.RESOLVER]
    for exchanger in resolver.resolve(domain, "MX", source=src):
        for kind in ("A", "AAAA"):
            resolver.resolve(exchanger.exchange, kind, source=src, raise_on_no_answer=False)


@dataclass
class Play:
    """What was played under one filter: captures of it, and what is known of each attempt."""

    name: str
    inside: Path
    outside: Path
    everywhere: Path
    home: Path
    attempts: list[Attempt] = field(default_factory=list)
    relayed: int = 0
    """Messages that the smarthost handed to exchangers in the world."""

    def crossing(self, place: str) -> list[Attempt]:
        """The attempts that pass the router on that side of the filter."""
        if place == "inside" or self.name == "dialogues":
            return self.attempts
        ways = {way.story for way in WAYS if way.is_abroad() and not way.is_stopped(self.name)}
        return [attempt for attempt in self.attempts if attempt.story in ways]

    def expected(self, attempt: Attempt, place: str) -> dict[str, object]:
        """What the row in `flows` of an attempt must say, seen from that side of the filter."""
        if self.name == "dialogues":
            return {"outcome": OUTCOMES.get(attempt.story, "connected")}
        way = next(way for way in WAYS if way.story == attempt.story)
        # Outside is what no filter stopped.
        return way.expected("open" if place == "outside" else self.name)


def play_ways(network: Network, servers: Servers, filter_name: str, directory: Path) -> Play:
    """Every way at once, under the filter of that name."""
    return _play(network, servers, filter_name, directory, [(way.namespace, way.go) for way in WAYS])


def play_dialogues(network: Network, servers: Servers, directory: Path) -> Play:
    """Every session of all kinds at once, under no filter."""
    goings: list[Callable[[], Attempt]] = []
    for story, (dst, talk, port) in DIALOGUES.items():
        src = lab.OWN_SERVER_V6 if ":" in dst else lab.OWN_SERVER
        goings.append(partial(smtp, story, src, dst, talk, port=port))
    for story, (dst, options) in SWAKS.items():
        goings.append(partial(swaks, network, story, "subscriber", lab.BOT, dst, *options))
    for port in S_CLIENT_PORTS:
        goings.append(
            partial(s_client, network, f"s_client on {port}", "subscriber", lab.BOT, lab.PROVIDER, port)
        )
    for story, go in RETRIEVALS.items():
        goings.append(partial(go, story, lab.OWN_SERVER))
    return _play(network, servers, "dialogues", directory, [("subscriber", go) for go in goings])


def _play(
    network: Network,
    servers: Servers,
    name: str,
    directory: Path,
    goings: list[tuple[str, Callable[[], Attempt]]],
) -> Play:
    directory.mkdir()
    places = {place: directory / f"{place}.pcap" for place in ("inside", "outside", "everywhere", "home")}
    play = Play(name, **places)
    network.filter("open" if name == "dialogues" else name)
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
