"""How a call to a mail server is refused: by whom, in which way, rightly and by mistake."""

from __future__ import annotations

from collections.abc import Iterator

from op25b_pcap.samples.dialogues import GOODBYE, greeting
from op25b_pcap.samples.network import Network
from op25b_pcap.samples.story import Expected, expect, story
from op25b_pcap.samples.words import (
    ALLOWED,
    BLOCKED,
    DIRECT_TO_MX,
    DONE,
    LEAK,
    NO_DIALOGUE,
    PROHIBITED,
    REFUSED,
    SILENCE,
    SUBMISSION,
)
from op25b_pcap.samples.world import (
    EXCHANGER,
    EXCHANGER_V6,
    HOSTING,
    INBOUND_SERVER,
    RESOLVER,
    RESOLVER_V6,
    ROUTER,
    ROUTER_V6,
    STRICT_EXCHANGER,
    subscriber,
)


@story("07-blocked-by-reset")
def reset(net: Network) -> Iterator[Expected]:
    """Blocked by a RST that the called server never sent

    The call to `mx.hosting.example.net` on port 25 is answered at once with a RST: "connection
    refused", as if nothing listened there. But the RST was written by a box on the way. It
    arrives after 0.9 ms and with TTL 61, while the same address on port 587 answers after 9 ms
    and with TTL 53: farther away by time and by hops. A RST that came from the called server
    itself would look like its other packets.

        home server ---25----> box on the way            (RST in the server's name, TTL 61)
        203.0.113.7
                    ---587---> mx.hosting.example.net    (its own answers, TTL 53)
                               198.51.100.87
    """
    home = subscriber("203.0.113.7")
    net.look_up(home, RESOLVER, "hosting.example.net", "MX", "10 mx.hosting.example.net.")
    net.look_up(home, RESOLVER, "mx.hosting.example.net", "A", HOSTING.address, at_s=0.01)
    submitted = net.connect(home, HOSTING, 587, at_s=0.02).opened()
    submitted.say(greeting("mx.hosting.example.net", "home7.example.org", "AUTH PLAIN") + GOODBYE).closed()
    yield expect(
        submitted,
        DONE,
        SUBMISSION,
        ALLOWED,
        session={"helo": "home7.example.org", "transactions": 0, "last_reply_code": 221, "quit": True},
    )
    attempt = net.connect(home, HOSTING, 25, at_s=5).refused(ttl=61, away_s=0.0009)
    yield expect(
        attempt,
        REFUSED,
        DIRECT_TO_MX,
        BLOCKED,
        {"history": "Sr", "rst_ttl": 61, "dst_mx_of": ["hosting.example.net"]},
        session=NO_DIALOGUE,
    )


@story("08-blocked-by-icmp")
def icmp(net: Network) -> Iterator[Expected]:
    """Blocked by a router that says so: ICMP, communication administratively prohibited

    The honest way to block (RFC 1812 section 5.2.7.1): the provider's router answers the call
    with ICMP type 3 code 13 and quotes the packet that it refused. The home server reads "no
    route to host" or "permission denied" at once and does not call again. The router's own
    address is in the answer, so this is proof: no dead server, no firewall of the addressee.

        home server ----25----> provider's router ..X..> mx.example.com
        203.0.113.8 <--ICMP 3/13-- 192.0.2.1             198.51.100.25
    """
    home = subscriber("203.0.113.8")
    net.look_up(home, RESOLVER, "example.com", "MX", "10 mx.example.com.")
    net.look_up(home, RESOLVER, "mx.example.com", "A", EXCHANGER.address, at_s=0.01)
    attempt = net.connect(home, EXCHANGER, 25, at_s=0.02).prohibited(ROUTER)
    yield expect(
        attempt,
        PROHIBITED,
        DIRECT_TO_MX,
        BLOCKED,
        {"confidence": "proven", "icmp_type": 3, "icmp_code": 13, "icmp_from": ROUTER.address},
        session=NO_DIALOGUE,
    )


@story("09-blocked-by-icmpv6")
def icmpv6(net: Network) -> Iterator[Expected]:
    """Blocked over IPv6, by a router that says so

    The same as 08 for a server with an IPv6 address: ICMPv6 type 1 code 1, communication with
    destination administratively prohibited (RFC 4443 section 3.1). A provider that blocks IPv4
    must block IPv6 too; 13 shows one that forgot.

        home server -------25-----> provider's router ..X..> mx.example.com
        2001:db8:109::9 <--ICMPv6 1/1-- 2001:db8:0:1::1      2001:db8:c0de::25
    """
    home = subscriber("2001:db8:109::9")
    net.look_up(home, RESOLVER_V6, "example.com", "MX", "10 mx.example.com.")
    net.look_up(home, RESOLVER_V6, "mx.example.com", "AAAA", EXCHANGER_V6.address, at_s=0.01)
    attempt = net.connect(home, EXCHANGER_V6, 25, at_s=0.02, mss=1440).prohibited(ROUTER_V6)
    yield expect(
        attempt,
        PROHIBITED,
        DIRECT_TO_MX,
        BLOCKED,
        {
            "ip_version": 6,
            "confidence": "proven",
            "icmp_type": 1,
            "icmp_code": 1,
            "icmp_from": ROUTER_V6.address,
        },
        session=NO_DIALOGUE,
    )


@story("10-refused-by-the-addressee")
def refused_by_the_addressee(net: Network) -> Iterator[Expected]:
    """Refused in words by the addressee: no blocking of port 25 at all

    Two home servers call the same strict server. Both are connected and both are sent away in
    SMTP, with code 554: this server takes no mail from addresses of home users. That is the
    addressee's decision, made in the addressee's house; the network has let the call through.

    The first server has a static address, which the policy exempts: nothing is wrong with the
    filter, and only the addressee can help. The second has a dynamic address, which the policy
    blocks: that it got as far as the addressee's banner is a leak, though no mail came through.

        203.0.113.250 (static)  ---25---> filter ---25---> strict.example.com   "554 no"
        203.0.113.10  (dynamic) ---25---> filter ---25---> 198.51.100.54        "554 no"
    """
    static = subscriber("203.0.113.250")
    net.look_up(static, RESOLVER, "example.com", "MX", "10 strict.example.com.")
    net.look_up(static, RESOLVER, "strict.example.com", "A", STRICT_EXCHANGER.address, at_s=0.01)
    exempt = net.connect(static, STRICT_EXCHANGER, 25, at_s=0.02).opened()
    exempt.say("""
        S: 554 5.7.1 strict.example.com: no mail from home users
        C: QUIT
        S: 221 2.0.0 Bye
    """).closed()
    yield expect(
        exempt,
        DONE,
        {
            "src_role": "static",
            "dst_role": "mx",
            "traffic_class": "server_to_server",
            "policy_action": "allow",
            "finding": "allowed",
        },
        session={"banner_code": 554, "helo": None, "messages_accepted": 0, "result": "rejected"},
    )
    home = subscriber("203.0.113.10")
    dynamic = net.connect(home, STRICT_EXCHANGER, 25, at_s=10).opened()
    dynamic.say("S: 554 5.7.1 strict.example.com: no mail from home users").closed()
    yield expect(
        dynamic,
        DONE,
        DIRECT_TO_MX,
        LEAK,
        session={
            "banner_code": 554,
            "helo": None,
            "last_reply_code": 554,
            "last_enhanced_code": "5.7.1",
            "messages_accepted": 0,
            "result": "rejected",
        },
    )


@story("11-submission-disrupted")
def submission_disrupted(net: Network) -> Iterator[Expected]:
    """The filter goes too far: the submission port blocked by mistake

    A customer of a hosting company submits mail on port 587, as everybody is told to. A filter
    rule written for a range of ports, or for the wrong one, prohibits that too. Providers must
    not block submission (RFC 5068 section 3.1): the policy allows it, the network stopped it,
    so the finding is `disrupted`, a fault of the provider.

        mail client ---587---> provider's router ..X..> submission.hosting.example.net
        203.0.113.11 <--ICMP 3/13-- 192.0.2.1           198.51.100.87
    """
    client = subscriber("203.0.113.11")
    attempt = net.connect(client, HOSTING, 587).prohibited(ROUTER)
    yield expect(
        attempt,
        PROHIBITED,
        SUBMISSION,
        {"finding": "disrupted", "icmp_from": ROUTER.address},
        session=NO_DIALOGUE,
    )


@story("12-own-inbound-server")
def own_inbound_server(net: Network) -> Iterator[Expected]:
    """A subscriber calls the provider's own inbound server

    Spammers behind a tight filter subscribe to the provider whose customers they want to reach,
    and call its inbound server from inside: port 25, but never across the filter's border.
    Providers should block that way too (draft-akagiri-op25b-dynamicip section 4.3.4); the
    policy of these samples does, under `[actions]`.

        home PC ------25-----..X..> mx.isp.example.net, the provider's inbound server
        203.0.113.12                192.0.2.30
    """
    home = subscriber("203.0.113.12")
    attempt = net.connect(home, INBOUND_SERVER, 25).unanswered()
    yield expect(
        attempt,
        SILENCE,
        {
            "src_role": "dynamic",
            "dst_role": "local_mx",
            "dst_role_evidence": "policy",
            "traffic_class": "local_mx",
            "policy_action": "block",
        },
        BLOCKED,
        session=NO_DIALOGUE,
    )


STORIES = (
    reset,
    icmp,
    icmpv6,
    refused_by_the_addressee,
    submission_disrupted,
    own_inbound_server,
)
