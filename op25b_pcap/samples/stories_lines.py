"""How captures come about: tunnels and sessions on the line, half of it heard, files rotated."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from op25b_pcap.samples import frames
from op25b_pcap.samples.dialogues import GOODBYE, greeting, letter
from op25b_pcap.samples.network import Network
from op25b_pcap.samples.story import Expected, expect, story
from op25b_pcap.samples.words import (
    ALLOWED,
    BLOCKED,
    BY_FRIEND,
    BY_SMARTHOST,
    DIRECT_TO_MX,
    DONE,
    LEAK,
    NO_DIALOGUE,
    SILENCE,
    SUBMISSION,
)
from op25b_pcap.samples.world import (
    EXCHANGER,
    FRIEND,
    HOSTING,
    RESOLVER,
    RESOLVER_V6,
    SMARTHOST,
    TRANSLATOR_V6,
    subscriber,
)

_TUNNEL_END = "2001:db8:110::1"


@story("16-ds-lite", line=partial(frames.ds_lite, subscriber=_TUNNEL_END, provider=TRANSLATOR_V6))
def ds_lite(net: Network) -> Iterator[Expected]:
    """DS-Lite: the subscriber is the tunnel, not the address inside

    On many new lines IPv4 travels in an IPv6 tunnel to the provider's address translator (RFC
    6333). Inside, every household uses the same private addresses; who pays is told only by the
    outer IPv6 address, and that is what `subscriber_key` holds. The filter works as ever: the
    call to an exchanger on port 25 is dropped, submission on 587 works.

        home server           router at home  === IPv6 tunnel ===  translator ----> the world
        192.168.1.16          2001:db8:110::1                      2001:db8:0:2::1
    """
    home, router = subscriber("192.168.1.16"), subscriber(_TUNNEL_END)
    in_tunnel = {"encapsulation": "ipip6", "subscriber_key": _TUNNEL_END, "ip_version": 4}
    net.look_up(router, RESOLVER_V6, "example.com", "MX", "10 mx.example.com.")
    net.look_up(router, RESOLVER_V6, "mx.example.com", "A", EXCHANGER.address, at_s=0.01)
    blocked = net.connect(home, EXCHANGER, 25, at_s=0.02, mss=1420).unanswered((0, 1, 3, 7, 15))
    yield expect(blocked, SILENCE, DIRECT_TO_MX, BLOCKED, in_tunnel, session=NO_DIALOGUE)
    submitted = net.connect(home, HOSTING, 587, at_s=40, mss=1420).opened()
    submitted.say(greeting("submission.hosting.example.net", "home16.example.org", "STARTTLS"))
    submitted.say("""
        C: STARTTLS
        S: 220 2.0.0 Go ahead
    """)
    submitted.tls("submission.hosting.example.net", 0, 44, 110, 70, 40, 52, 30, 400, 52, 28, 36).closed()
    yield expect(
        submitted,
        DONE,
        SUBMISSION,
        ALLOWED,
        in_tunnel,
        session={"tls": "starttls", "tls_sni": "submission.hosting.example.net", "result": "opaque"},
    )


@story("17-pppoe", line=partial(frames.pppoe, vlan=100, session=17))
def pppoe(net: Network) -> Iterator[Expected]:
    """PPPoE on a VLAN: the subscriber is the session

    The classic access line: Ethernet, a VLAN tag, a PPPoE session (RFC 2516), and in it the
    subscriber's address, which may be another one tomorrow. `subscriber_key` holds the session.
    The call to a friend's server on port 25 is dropped; through the provider's server the mail
    leaves.

        home server --- router at home === VLAN 100, PPPoE session 17 ===> provider
        203.0.113.17
    """
    home = subscriber("203.0.113.17")
    on_line = {"encapsulation": "vlan:100/pppoe:17", "subscriber_key": "vlan:100/pppoe:17"}
    blocked = net.connect(home, FRIEND, 25, mss=1414).unanswered((0, 1, 3, 7, 15))
    yield expect(blocked, SILENCE, BY_FRIEND, BLOCKED, on_line, session=NO_DIALOGUE)
    relayed = net.connect(home, SMARTHOST, 25, at_s=60, mss=1414).opened()
    relayed.say(greeting("smtp.isp.example.net", "home17.example.org"))
    hop = "from pc.home17.example.org by home17.example.org with ESMTP id 12"
    relayed.say(letter("judy@home17.example.org", "bob@example.com", received=hop) + GOODBYE).closed()
    yield expect(
        relayed,
        DONE,
        BY_SMARTHOST,
        on_line,
        {"op25b_case": 2},
        session={"helo": "home17.example.org", "messages_accepted": 1, "result": "delivered"},
        transactions=[{"mail_from": "judy@home17.example.org", "received_headers": 1, "accepted": True}],
    )


@story("18-one-side-only", hears_downstream=False)
def one_side_only(net: Network) -> Iterator[Expected]:
    """Only one side captured: what can be said, and what cannot

    A tap that hears the subscriber's packets and not the answers: the way back runs over
    another fibre. The home server acknowledges and talks on, so it was answered, and what
    it should not reach on port 25 has leaked. But no reply was seen: whether a recipient was
    accepted or the mail taken stays null.

        home server ----25----> filter ----25----> a server on port 25
        203.0.113.18 <........ (not heard) ......  198.51.100.25
    """
    home = subscriber("203.0.113.18")
    session = net.connect(home, EXCHANGER, 25).opened()
    session.say(greeting("mx.example.com", "home18.example.org"))
    session.say(letter("kim@home18.example.org", "bob@example.com") + GOODBYE).closed()
    yield expect(
        session,
        {"outcome": "connected", "conn_state": "SH", "dst_packets": 0, "dst_bytes": 0},
        {"src_role": "dynamic", "policy_action": "block", "anomalies": ["one_sided"]},
        LEAK,
        session={
            "banner_code": None,
            "helo": "home18.example.org",
            "extensions": None,
            "starttls_offered": None,
            "transactions": 1,
            "messages_accepted": 0,
            "last_reply_code": None,
            "quit": True,
        },
        transactions=[
            {
                "mail_from": "kim@home18.example.org",
                "rcpt_to": ["bob@example.com"],
                "reply_code": None,
                "accepted": None,
            }
        ],
    )


@story("19-rotated")
def rotated(net: Network) -> Iterator[Expected]:
    """A session that runs across two capture files

    Long captures are cut into files by time or size, and a cut asks nobody's leave: the first
    file ends between the recipient and the message, and so does the mail session in it. Both
    files of one call are one observation, in whatever order they are named: one attempt, one
    session, one mail delivered. (The first file alone would show a mail that never came; the
    second, replies without questions.)

        home server ----25----> provider's server
        203.0.113.19            192.0.2.25
        |<--- capture-1.pcap --->|<--- capture-2.pcap --->|
    """
    home = subscriber("203.0.113.19")
    net.look_up(home, RESOLVER, "smtp.isp.example.net", "A", SMARTHOST.address)
    relayed = net.connect(home, SMARTHOST, 25, at_s=0.02).opened()
    relayed.say(greeting("smtp.isp.example.net", "home19.example.org"))
    hop = "from pc.home19.example.org by home19.example.org with ESMTP id 31"
    before, data, after = letter("leo@home19.example.org", "bob@example.com", received=hop).partition(
        "C: DATA"
    )
    relayed.say(before)
    net.cut(relayed.now_ns + 1)
    relayed.paused(2).say(data + after + GOODBYE).closed()
    yield expect(
        relayed,
        DONE,
        BY_SMARTHOST,
        {"op25b_case": 2, "capture": "capture-1.pcap", "first_packet": 3},
        session={
            "helo": "home19.example.org",
            "transactions": 1,
            "messages_accepted": 1,
            "last_reply_code": 221,
            "result": "delivered",
        },
        transactions=[
            {
                "mail_from": "leo@home19.example.org",
                "rcpt_to": ["bob@example.com"],
                "received_headers": 1,
                "accepted": True,
            }
        ],
    )


STORIES = (ds_lite, pppoe, one_side_only, rotated)
