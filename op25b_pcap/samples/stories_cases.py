"""The four cases of Outbound Port 25 Blocking, and fetching mail."""

from __future__ import annotations

from collections.abc import Iterator

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
    NO_DIALOGUE,
    RETRIEVAL,
    SILENCE,
    SUBMISSION,
)
from op25b_pcap.samples.world import (
    CORRESPONDENT,
    EXCHANGER,
    FRIEND,
    HOSTING,
    MAILBOX,
    RESOLVER,
    SMARTHOST,
    subscriber,
)


@story("01-case1-client-to-smarthost")
def client_to_smarthost(net: Network) -> Iterator[Expected]:
    """Case 1: a mail client sends through its provider's server, and it works

    Three mails of a person without a server at home. The client logs in to the provider's
    mail server (AUTH) and hands the mail over; the provider's server carries it on. The
    filter lets everybody through to this server, on whatever port: 587 (submission) and 25 as
    older clients do, 465 (TLS from the first octet) as newer ones. Of the last nothing can be
    read but the server's name.

        mail client --587, 25, 465--> provider's server ----25----> the world
        203.0.113.1                   192.0.2.25
    """
    client = subscriber("203.0.113.1")
    session = {
        "banner_code": 220,
        "helo_verb": "EHLO",
        "helo": "[203.0.113.1]",
        "starttls_offered": False,
        "tls": "none",
        "auth_succeeded": True,
        "messages_accepted": 1,
        "recipients_accepted": 1,
        "last_reply_code": 221,
        "quit": True,
        "client_kind": "mua",
        "result": "delivered",
    }
    sent = {
        "transaction_index": 1,
        "mail_from": "alice@isp.example.net",
        "rcpt_to": ["bob@example.com"],
        "rcpt_reply_codes": [250],
        "data_command": "DATA",
        "received_headers": 0,
        "reply_code": 250,
        "accepted": True,
    }
    submitted = net.connect(client, SMARTHOST, 587).opened()
    submitted.say(greeting("smtp.isp.example.net", "[203.0.113.1]", "AUTH CRAM-MD5 PLAIN"))
    submitted.say("""
        C: AUTH CRAM-MD5
        S: 334 PDEuMjAyNUBzbXRwLmlzcC5leGFtcGxlLm5ldD4=
        C: YWxpY2UgZDAxMDExYjYyNjIyZWNiNGI0ODZmM2U1YjA0YzUyYjM=
        S: 235 2.7.0 Authentication successful
    """)
    submitted.say(letter("alice@isp.example.net", "bob@example.com") + GOODBYE).closed()
    yield expect(
        submitted,
        DONE,
        BY_SMARTHOST,
        {"op25b_case": 1},
        session=session | {"auth_offered": ["CRAM-MD5", "PLAIN"], "auth_mechanism": "CRAM-MD5"},
        transactions=[sent],
    )

    old_way = net.connect(client, SMARTHOST, 25, at_s=60).opened()
    old_way.say(greeting("smtp.isp.example.net", "[203.0.113.1]", "AUTH PLAIN"))
    old_way.say("""
        C: AUTH PLAIN AGFsaWNlAG5vdC1hLXNlY3JldA==
        S: 235 2.7.0 Authentication successful
    """)
    old_way.say(letter("alice@isp.example.net", "carol@example.org") + GOODBYE).closed()
    yield expect(
        old_way,
        DONE,
        BY_SMARTHOST,
        {"op25b_case": 1},
        session=session | {"auth_offered": ["PLAIN"], "auth_mechanism": "PLAIN"},
        transactions=[sent | {"rcpt_to": ["carol@example.org"]}],
    )

    in_tls = net.connect(client, SMARTHOST, 465, at_s=120).opened()
    in_tls.tls("smtp.isp.example.net", 64, 48, 120, 90, 44, 64, 36, 60, 36, 30, 60, 420, 52, 28, 36).closed()
    yield expect(
        in_tls,
        DONE,
        BY_SMARTHOST,
        session={
            "banner_code": None,
            "helo": None,
            "tls": "implicit",
            "tls_version": "TLSv1.3",
            "tls_sni": "smtp.isp.example.net",
            "auth_mechanism": None,
            "messages_accepted": 0,
            "last_reply_code": None,
            "result": "opaque",
        },
    )


@story("02-case2-home-server-to-smarthost")
def home_server_to_smarthost(net: Network) -> Iterator[Expected]:
    """Case 2: a home server relays through its provider's server, and it works

    The home server has taken a mail from a client in the house and hands it to the provider's
    server, its smarthost. From outside, client and home server are one and the same address;
    what gives the server away is the mail itself: it already opens with a `Received:` field,
    written by the home server when it took the mail in. It also takes in mail from outside on
    port 25, which Outbound Port 25 Blocking does not touch.

        client --> home server ---25---> provider's server ----25----> the world
                   203.0.113.2           192.0.2.25
                        ^
                        +------25------- 198.51.100.40, a server outside
    """
    home = subscriber("203.0.113.2")
    relayed = net.connect(home, SMARTHOST, 25).opened()
    relayed.say(greeting("smtp.isp.example.net", "home.example.org"))
    hop = "from pc.home.example.org by home.example.org with ESMTP id 4cR1"
    relayed.say(letter("dave@home.example.org", "bob@example.com", received=hop) + GOODBYE).closed()
    yield expect(
        relayed,
        DONE,
        BY_SMARTHOST,
        {"op25b_case": 2},
        session={
            "helo": "home.example.org",
            "auth_mechanism": None,
            "messages_accepted": 1,
            "last_reply_code": 221,
            "client_kind": "mta",
            "result": "delivered",
        },
        transactions=[
            {
                "mail_from": "dave@home.example.org",
                "rcpt_to": ["bob@example.com"],
                "received_headers": 1,
                "accepted": True,
            }
        ],
    )

    received = net.connect(CORRESPONDENT, home, 25, at_s=45).opened()
    received.say(greeting("home.example.org", "mail.example.net"))
    hop = "from pc.example.net by mail.example.net with ESMTPS id 9aQ7"
    received.say(letter("erin@example.net", "dave@home.example.org", received=hop) + GOODBYE).closed()
    yield expect(
        received,
        DONE,
        {"direction": "inbound", "traffic_class": "inbound_smtp", "op25b_case": None},
        session={"helo": "mail.example.net", "messages_accepted": 1, "result": "delivered"},
        transactions=[{"mail_from": "erin@example.net", "rcpt_to": ["dave@home.example.org"]}],
    )
    yield Expected(subscriber={"subscriber_key": "203.0.113.2", "profile": "home_server_like"})


@story("03-case3-direct-to-mx", container="pcapng")
def direct_to_mx(net: Network) -> Iterator[Expected]:
    """Case 3: a home server sends straight to the addressee's server, and nothing comes back

    The home server asks the DNS which server takes mail for `example.com` (MX), asks for its
    address, and calls it on port 25. The provider's filter drops the call without a word. So
    the server calls again after 1, 3, 7, 15, 31 and 63 seconds: seven packets, but one attempt.
    In the mail queue this reads "connection timed out". Then its owner names the provider's
    server as the smarthost, and the same mail leaves at once (case 2).

        home server ----25----> provider's filter ..X..> mx.example.com
        203.0.113.3                                      198.51.100.25
             |
             +----------25----> provider's server ----25----> mx.example.com
                                192.0.2.25
    """
    home = subscriber("203.0.113.3")
    net.look_up(home, RESOLVER, "example.com", "MX", "10 mx.example.com.")
    net.look_up(home, RESOLVER, "mx.example.com", "A", EXCHANGER.address, at_s=0.02)
    attempt = net.connect(home, EXCHANGER, 25, at_s=0.05).unanswered()
    yield expect(
        attempt,
        SILENCE,
        DIRECT_TO_MX,
        BLOCKED,
        {"history": "S", "dst_mx_of": ["example.com"], "icmp_type": None},
        session={
            "banner_code": None,
            "helo": None,
            "transactions": 0,
            "last_reply_code": None,
            "result": "no_dialogue",
        },
    )
    relayed = net.connect(home, SMARTHOST, 25, at_s=240).opened()
    relayed.say(greeting("smtp.isp.example.net", "mail.example.org"))
    hop = "by mail.example.org (Postfix, from userid 1000) id 3F2A"
    relayed.say(letter("frank@mail.example.org", "bob@example.com", received=hop) + GOODBYE).closed()
    yield expect(
        relayed,
        DONE,
        BY_SMARTHOST,
        {"op25b_case": 2},
        session={"helo": "mail.example.org", "messages_accepted": 1, "result": "delivered"},
        transactions=[
            {"mail_from": "frank@mail.example.org", "rcpt_to": ["bob@example.com"], "received_headers": 1}
        ],
    )


@story("04-case4-friends-server")
def friends_server(net: Network) -> Iterator[Expected]:
    """Case 4: sending through a friend's home server on port 25 is blocked, honest as it is

    A person has an account on a friend's home server and reads mail there (IMAP, which works).
    Sending through the same server on port 25 dies in the filter: the provider cannot tell an
    honest mail from a bot's. That the address is a home and no company's mail exchanger, the
    policy knows: it lies among another provider's dynamic addresses.

    What to do instead: the friend opens the submission port (see 05).

        mail client ----25----> provider's filter ..X..> friend's home server
        203.0.113.4 ---143-------------------------------> 198.51.100.200
    """
    client = subscriber("203.0.113.4")
    reading = net.connect(client, FRIEND, 143).opened()
    reading.say("""
        S: * OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] friend.example.org ready
        C: a1 STARTTLS
        S: a1 OK Begin TLS negotiation now
    """)
    reading.tls("friend.example.org", 0, 62, 96, 30, 160, 24, 40).closed()
    yield expect(
        reading,
        DONE,
        RETRIEVAL,
        retrieval={"tls": "starttls", "tls_version": "TLSv1.3", "tls_sni": "friend.example.org"},
    )
    sending = net.connect(client, FRIEND, 25, at_s=30).unanswered()
    yield expect(sending, SILENCE, BY_FRIEND, BLOCKED, session=NO_DIALOGUE)


@story("05-case4-friends-server-on-587")
def friends_server_on_587(net: Network) -> Iterator[Expected]:
    """Case 4 the right way: the friend's server on the submission port, and it works

    The same two people as in 04. The friend's server now listens on port 587, wants TLS and a
    password, and so needs no port 25 from its users. Providers must not block this port (RFC
    5068). After STARTTLS nothing of the dialogue can be read, so the tables say `opaque` and do
    not claim that a mail was delivered.

        mail client ----587----> provider's filter ----587----> friend's home server
        203.0.113.5                                             198.51.100.200
    """
    client = subscriber("203.0.113.5")
    sending = net.connect(client, FRIEND, 587).opened()
    sending.say(greeting("friend.example.org", "[203.0.113.5]", "STARTTLS"))
    sending.say("""
        C: STARTTLS
        S: 220 2.0.0 Ready to start TLS
    """)
    sending.tls("friend.example.org", 0, 44, 110, 70, 40, 52, 30, 50, 30, 28, 50, 400, 52, 28, 36).closed()
    yield expect(
        sending,
        DONE,
        SUBMISSION,
        ALLOWED,
        session={
            "banner_code": 220,
            "helo": "[203.0.113.5]",
            "extensions": ["8BITMIME", "STARTTLS"],
            "starttls_offered": True,
            "starttls_accepted": True,
            "tls": "starttls",
            "tls_version": "TLSv1.3",
            "tls_sni": "friend.example.org",
            "auth_mechanism": None,
            "auth_succeeded": None,
            "transactions": 0,
            "messages_accepted": 0,
            "last_reply_code": 220,
            "result": "opaque",
        },
    )


@story("06-fetching-by-pop-and-imap")
def fetching(net: Network) -> Iterator[Expected]:
    """Fetching mail by POP and IMAP: untouched by the blocking of port 25

    A person reads mail at the provider by POP (port 110, the password in clear, as it was done
    for decades; the tables keep only that a password was accepted) and at a hosting company by
    IMAP in TLS (port 993), of which the server's name is all that can be read.

        mail client ---110---> provider's mailboxes       192.0.2.110
        203.0.113.6 ---993---> imap.hosting.example.net   198.51.100.87
    """
    client = subscriber("203.0.113.6")
    pop = net.connect(client, MAILBOX, 110).opened()
    pop.say("""
        S: +OK pop.isp.example.net ready
        C: USER alice
        S: +OK
        C: PASS not-a-secret
        S: +OK 1 message (320 octets)
        C: STAT
        S: +OK 1 320
        C: QUIT
        S: +OK Bye
    """).closed()
    yield expect(
        pop,
        DONE,
        RETRIEVAL,
        {"dst_role_evidence": "policy", "confidence": "proven"},
        retrieval={
            "greeting": "+OK pop.isp.example.net ready",
            "tls": "none",
            "tls_sni": None,
            "auth_mechanism": "USER",
            "auth_succeeded": True,
            "commands": 4,
        },
    )
    imap = net.connect(client, HOSTING, 993, at_s=20).opened()
    imap.tls("imap.hosting.example.net", 88, 62, 96, 30, 160, 44, 620, 24, 40).closed()
    yield expect(
        imap,
        DONE,
        RETRIEVAL,
        retrieval={
            "greeting": None,
            "tls": "implicit",
            "tls_version": "TLSv1.3",
            "tls_sni": "imap.hosting.example.net",
            "auth_mechanism": None,
            "auth_succeeded": None,
            "commands": 0,
        },
    )


STORIES = (
    client_to_smarthost,
    home_server_to_smarthost,
    direct_to_mx,
    friends_server,
    friends_server_on_587,
    fetching,
)
