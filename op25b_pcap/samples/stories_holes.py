"""How a filter fails, and whom it is for: a leak, a bot, a redirect."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from op25b_pcap.samples.dialogues import GOODBYE, greeting, letter
from op25b_pcap.samples.network import Connection, Host, Network
from op25b_pcap.samples.story import Expected, expect, story
from op25b_pcap.samples.words import (
    BLOCKED,
    BY_SMARTHOST,
    DIRECT_TO_MX,
    DONE,
    LEAK,
    NO_DIALOGUE,
    SILENCE,
)
from op25b_pcap.samples.world import (
    EXCHANGER,
    EXCHANGER_V6,
    RESOLVER,
    SMARTHOST,
    subscriber,
)


@story("13-leak-over-ipv6", container="pcapng")
def leak_over_ipv6(net: Network) -> Iterator[Expected]:
    """A leak: blocked over IPv4, forgotten over IPv6

    A home server has both kinds of address, and so has the addressee. Over IPv4 the filter
    drops the call; after 30 seconds the server gives up and tries the addressee's IPv6 address.
    There nobody has written a rule, and the mail is delivered. For the owner a surprise ("it
    works, but only to some"); for the provider a hole that every bot can use.

        203.0.113.13    ----25----> filter ..X..> mx.example.com  198.51.100.25
        2001:db8:10d::d ----25------------------> mx.example.com  2001:db8:c0de::25
    """
    home, home_v6 = subscriber("203.0.113.13"), subscriber("2001:db8:10d::d")
    net.look_up(home, RESOLVER, "example.com", "MX", "10 mx.example.com.")
    net.look_up(home, RESOLVER, "mx.example.com", "A", EXCHANGER.address, at_s=0.01)
    net.look_up(home, RESOLVER, "mx.example.com", "AAAA", EXCHANGER_V6.address, at_s=0.01)
    over_v4 = net.connect(home, EXCHANGER, 25, at_s=0.02).unanswered((0, 1, 3, 7, 15))
    yield expect(over_v4, SILENCE, DIRECT_TO_MX, BLOCKED, session=NO_DIALOGUE)

    over_v6 = net.connect(home_v6, EXCHANGER_V6, 25, at_s=30, mss=1440).opened()
    over_v6.say(greeting("mx.example.com", "home13.example.org"))
    over_v6.say(letter("grace@home13.example.org", "bob@example.com") + GOODBYE).closed()
    yield expect(
        over_v6,
        DONE,
        DIRECT_TO_MX,
        LEAK,
        {"ip_version": 6, "confidence": "proven"},
        session={
            "banner_code": 220,
            "helo": "home13.example.org",
            "messages_accepted": 1,
            "last_reply_code": 221,
            "result": "delivered",
        },
        transactions=[
            {"mail_from": "grace@home13.example.org", "rcpt_to": ["bob@example.com"], "accepted": True}
        ],
    )


class _Victim(NamedTuple):
    """Somebody the bot writes to: its exchanger, and the name that the bot gives itself there."""

    domain: str
    address: str
    claims_to_be: str
    dialogue: str = ""
    """What is said after EHLO; empty where the filter drops the call."""


_UNKNOWN_RECIPIENTS = """
C: MAIL FROM:<winner@lottery.test>
S: 250 2.1.0 Ok
C: RCPT TO:<aaron@{0}>
S: 550 5.1.1 No such user
C: RCPT TO:<abby@{0}>
S: 550 5.1.1 No such user
C: RCPT TO:<adam@{0}>
S: 550 5.1.1 No such user
"""
_VICTIMS = (
    _Victim("a.example.com", "198.51.100.71", "mail.bank.test"),
    _Victim("b.example.com", "198.51.100.72", "yahoo.test"),
    _Victim("c.example.com", "198.51.100.73", "WIN-7F3Q2"),
    _Victim("d.example.com", "198.51.100.74", "qzxkvw.test", _UNKNOWN_RECIPIENTS.format("d.example.com")),
    _Victim("e.example.com", "198.51.100.75", "smtp.shop.test"),
    _Victim("f.example.com", "198.51.100.76", "localhost"),
    _Victim("g.example.com", "198.51.100.77", "mx1.post.test", _UNKNOWN_RECIPIENTS.format("g.example.com")),
    _Victim("h.example.com", "198.51.100.78", "friend"),
    _Victim("i.example.com", "198.51.100.79", "dkw83.test", letter("you@lottery.test", "ian@i.example.com")),
    _Victim("j.example.com", "198.51.100.80", "example.com"),
    _Victim("k.example.com", "198.51.100.81", "relay.test"),
    _Victim("l.example.com", "198.51.100.82", "pc"),
)


@story("14-bot", container="pcap.gz")
def bot(net: Network) -> Iterator[Expected]:
    """A bot: many exchangers in a minute, a new name for each, recipients that do not exist

    An infected PC sends spam straight to twelve exchangers in half a minute. It asks the DNS
    for each, calls itself something else each time, guesses at recipients, and hangs up without
    a goodbye. The filter drops nine of the calls; three get through, because one of the
    provider's border routers lacks the rule.

                             +..X..> nine exchangers
        infected PC ---25----+
        203.0.113.14         +-----> three exchangers: two refuse all recipients, one takes a mail
    """
    infected = replace(subscriber("203.0.113.14"), ttl=127)
    for number, victim in enumerate(_VICTIMS):
        exchanger = Host(victim.address, 48 + number % 5, 0.01 + number / 1000)
        at_s = 2.5 * number
        net.look_up(infected, RESOLVER, victim.domain, "MX", f"5 mx.{victim.domain}.", at_s=at_s)
        net.look_up(infected, RESOLVER, f"mx.{victim.domain}", "A", victim.address, at_s=at_s + 0.01)
        attempt = net.connect(infected, exchanger, 25, at_s=at_s + 0.02)
        if victim.dialogue:
            yield _got_through(attempt, victim)
        else:
            attempt.unanswered((0, 3, 9))  # as Windows repeats a SYN
            yield expect(attempt, SILENCE, DIRECT_TO_MX, BLOCKED, session=NO_DIALOGUE)
    yield Expected(
        subscriber={
            "subscriber_key": "203.0.113.14",
            "src_role": "dynamic",
            "flows": 12,
            "blocked": 9,
            "leaked": 3,
            "distinct_mx": 12,
            "messages_accepted": 1,
            "recipients": 7,
            "profile": "bot_like",
        }
    )


def _got_through(attempt: Connection, victim: _Victim) -> Expected:
    attempt.opened().say(greeting(f"mx.{victim.domain}", victim.claims_to_be) + victim.dialogue).reset()
    accepted = victim.dialogue.count("S: 354")
    rejected = victim.dialogue.count("S: 550")
    return expect(
        attempt,
        {"outcome": "connected", "conn_state": "RSTO"},
        DIRECT_TO_MX,
        LEAK,
        session={
            "helo": victim.claims_to_be,
            "transactions": 1,
            "messages_accepted": accepted,
            "recipients_rejected": rejected,
            "last_reply_code": 250 if accepted else 550,
            "quit": False,
            "result": "delivered" if accepted else "rejected",
        },
    )


@story("15-interception")
def interception(net: Network) -> Iterator[Expected]:
    """A redirect: whoever is called on port 25, the provider's server answers

    Some networks do not drop calls to port 25 but turn them to their own server. The home
    server believes that it talks to the exchangers of `example.net` and `example.org`; but both
    greet it as `smtp.isp.example.net`, word for word as the provider's server does when it is
    called by its own address, and with that server's distance (TTL 61, 3 ms). The mail arrives,
    by a hand that was not asked.

        home server  ---25---> "198.51.100.61" --+
        203.0.113.15 ---25---> "198.51.100.62" --+--> always the provider's server
                     ---25---> 192.0.2.25 -------+
    """
    home = subscriber("203.0.113.15")
    honest = net.connect(home, SMARTHOST, 25).opened()
    honest.say(greeting("smtp.isp.example.net", "home15.example.org"))
    hop = "from pc.home15.example.org by home15.example.org with ESMTP id 77"
    honest.say(letter("heidi@home15.example.org", "bob@example.com", received=hop) + GOODBYE).closed()
    yield expect(
        honest,
        DONE,
        BY_SMARTHOST,
        {"op25b_case": 2},
        session={"banner_text": "smtp.isp.example.net ESMTP", "result": "delivered"},
    )
    for at_s, domain, address in ((20, "example.net", "198.51.100.61"), (40, "example.org", "198.51.100.62")):
        net.look_up(home, RESOLVER, domain, "MX", f"10 mx.{domain}.", at_s=at_s)
        net.look_up(home, RESOLVER, f"mx.{domain}", "A", address, at_s=at_s + 0.01)
        pretended = replace(SMARTHOST, address=address)
        redirected = net.connect(home, pretended, 25, at_s=at_s + 0.02).opened()
        redirected.say(greeting("smtp.isp.example.net", "home15.example.org"))
        redirected.say(letter("heidi@home15.example.org", f"ivan@{domain}", received=hop) + GOODBYE).closed()
        yield expect(
            redirected,
            DONE,
            DIRECT_TO_MX,
            {"finding": "intercepted"},
            session={
                "banner_text": "smtp.isp.example.net ESMTP",
                "messages_accepted": 1,
                "result": "delivered",
            },
            transactions=[{"mail_from": "heidi@home15.example.org", "rcpt_to": [f"ivan@{domain}"]}],
        )


STORIES = (leak_over_ipv6, bot, interception)
