"""What happens in the flows of each kind of capture, and how often."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

from benchmarks.talk import (
    ACK,
    MS,
    PROHIBITED,
    RECORDS,
    RST,
    SYN,
    UDP,
    UNREACHABLE,
    C,
    S,
    Script,
    Step,
    Talk,
)

Rng = np.random.Generator
MANY = 1 << 20

_GREETINGS = (
    "220 $host.$domain.example.net ESMTP",
    "220 $host.example.net ESMTP Postfix",
    "220 mx.$domain.example.net ESMTP Exim 4.98 #$number",
    "220-$domain.example.net Microsoft ESMTP MAIL Service ready|220 at $number",
    "220 $host.example.com ESMTP $word ready",
)
_EXTENSIONS = (
    "250-$host.$domain.example.net|250-PIPELINING|250-SIZE 52428800|250-ENHANCEDSTATUSCODES|250 8BITMIME",
    "250-$host.example.net Hello $user1|250-SIZE 104857600|250-CHUNKING|250-SMTPUTF8|250 8BITMIME",
    "250-$host.example.com|250-SIZE 35882577|250-DSN|250 HELP",
)
_QUEUED = (
    "250 2.0.0 Ok: queued as $queue",
    "250 OK id=$queue-$number",
    "250 2.6.0 <$number@$domain.example.net> Queued mail for delivery",
)
_HEADERS = (
    "From: $user@$host1.example.org|To: $user1@$domain.example.net|Subject: $word $word1"
    "|Message-ID: <$queue1.$number1@$host1.example.org>||"
)
_RECEIVED = "Received: from $host2 by $host1.example.org with ESMTP id $queue2; 1 Jan 2026 00:00:00 +0000|"
_QUIT = "C: QUIT\nS: 221 2.0.0 Bye"


def scripts(kind: str, rng: Rng) -> list[tuple[Script, float]]:
    """One script of each sort, freshly drawn, and how many of a hundred flows follow it."""
    mail = [(make(rng), share) for make, share in _MAIL]
    if kind == "mail":
        return mail
    if kind == "flood":
        return [(unanswered(0), 100.0)]
    if kind == "bulk":
        return [
            (letter(25, 5 * MANY, 50 * MANY)(rng), 60.0),
            (letter(587, 5 * MANY, 20 * MANY, logs_in=True)(rng), 25.0),
            (letter(25, 5 * MANY, 30 * MANY, in_chunks=True)(rng), 15.0),
        ]
    other = [(make(rng), share) for make, share in _OTHER]
    # 5 % of the octets are mail's.
    of_mail, of_other = (sum(s.mean_octets * share for s, share in group) for group in (mail, other))
    scale = 0.05 / 0.95 * of_other / of_mail
    return [(script, share * scale) for script, share in mail] + other


def greet(port: int, rng: Rng, **known: object) -> Talk:
    """A session up to its greetings."""
    name = ("$host1.example.org", "[198.51.100.7]", "$host1.$domain1.example.org")[rng.integers(3)]
    greeting, extensions = rng.choice(_GREETINGS), rng.choice(_EXTENSIONS)
    return Talk(port, rng, **known).open().lines(f"S: {greeting}\nC: EHLO {name}\nS: {extensions}")


def envelope(talk: Talk, rng: Rng, taken: int, refused: int, command: str) -> None:
    """A sender and its recipients; one packet a command, or all of them in one."""
    declared = " SIZE=$size" if rng.integers(2) else ""
    commands = [f"MAIL FROM:<$user@$host1.example.org>{declared}"]
    commands += [f"RCPT TO:<$user{n}@$domain.example.net>" for n in range(1, 1 + taken + refused)]
    replies = ["250 2.1.0 Ok"] + ["250 2.1.5 Ok"] * taken
    replies += ["550 5.1.1 <$user1@$domain.example.net>: user unknown"] * refused
    if command == "DATA":
        commands.append("DATA")
        replies.append("354 End data with <CR><LF>.<CR><LF>")
    if rng.integers(3) == 0:
        talk.lines(f"C: {'|'.join(commands)}\nS: {'|'.join(replies)}")
    else:
        for said, answered in zip(commands, replies, strict=True):
            talk.lines(f"C: {said}\nS: {answered}")


def letter(
    port: int, low: int, high: int, *, count: int = 1, logs_in: bool = False, in_chunks: bool = False
) -> Callable[[Rng], Script]:
    """Messages that are taken."""

    def make(rng: Rng) -> Script:
        refused = int(rng.integers(4) == 0)
        taken = [1 + int(rng.integers(4) == 0) * int(rng.integers(1, 4)) for _ in range(count)]
        told = {"messages": count, "recipients": sum(taken), "rejected": refused * count}
        talk = greet(port, rng, result="delivered", **told)
        if logs_in:
            talk.lines("C: AUTH PLAIN $secret\nS: 235 2.7.0 Authentication successful")
        headers = _RECEIVED * int(rng.integers(3)) * (port == 25) + _HEADERS
        for recipients in taken:
            envelope(talk, rng, recipients, refused, "BDAT" if in_chunks else "DATA")
            if in_chunks:
                talk.say(C, "BDAT $size LAST\r\n")
            talk.message(headers, low, high)
            if not in_chunks:
                talk.say(C, ".\r\n")
            talk.lines(f"S: {rng.choice(_QUEUED)}")
        return talk.lines(_QUIT).close(abruptly=rng.integers(4) == 0)

    return make


def turned_away(rng: Rng) -> Script:
    greeting = ("554 5.7.1 no mail from dynamic addresses: $word", "421 4.3.2 $host.example.net too busy")
    talk = Talk(25, rng, result="rejected").open().lines(f"S: {rng.choice(greeting)}")
    return (talk.lines(_QUIT) if rng.integers(2) else talk).close()


def refused_recipient(rng: Rng) -> Script:
    code = ("550 5.1.1 no such user $user1", "450 4.2.0 greylisted $number", "554 5.7.1 $host2 is listed")
    talk = greet(25, rng, result="rejected", rejected=1)
    talk.lines("C: MAIL FROM:<$user@$host1.example.org>\nS: 250 2.1.0 Ok")
    return talk.lines(f"C: RCPT TO:<$user1@$domain.example.net>\nS: {rng.choice(code)}\n{_QUIT}").close()


def refused_message(rng: Rng) -> Script:
    talk = greet(25, rng, result="rejected", recipients=1)
    envelope(talk, rng, 1, 0, "DATA")
    talk.message(_HEADERS, 1500, 9000).say(C, ".\r\n")
    return talk.lines(f"S: 554 5.6.0 content rejected, $queue\n{_QUIT}").close()


def aborted(rng: Rng) -> Script:
    """The client goes away in the middle of its message."""
    talk = greet(25, rng, result="aborted", recipients=1)
    envelope(talk, rng, 1, 0, "DATA")
    return talk.message(_HEADERS, 1500, 20_000).cut()


def unanswered(*seconds: float) -> Script:
    steps = [Step(int(s * 1000) * MS, C, SYN, 0, -1, 0) for s in seconds]
    return Script(25, "no_answer", timed=True, steps=steps)


def refused(*seconds: float) -> Script:
    """Some clients ask again, with the same number."""
    steps = []
    for s in seconds:
        at = int(s * 1000) * MS
        steps += [Step(at, C, SYN, 0, -1, 0), Step(at + 20 * MS, S, RST | ACK, 0, 1, 0)]
    return Script(25, "refused", timed=True, steps=steps)


def forbidden(reason: int) -> Script:
    """A router answers in the server's place; the client asks once more."""
    steps = []
    for at in (0, 1000 * MS):
        steps += [Step(at, C, SYN, 0, -1, 0), Step(at + 3 * MS, S, reason, 0, -1, 0, quotes=True)]
    outcome = "unreachable" if reason == UNREACHABLE else "prohibited"
    return Script(25, outcome, timed=True, steps=steps)


def half_open() -> Script:
    steps = [Step(0, C, SYN, 0, -1, 0)]
    steps += [Step(at * MS, S, SYN | ACK, 0, 1, 0) for at in (30, 1030, 3030)]
    return Script(25, "half_open", timed=True, steps=steps)


def hello(talk: Talk, name: str = "$host.$domain.example.net") -> Talk:
    """TLS 1.3 up to where all is hidden (RFC 8446 section 4.1)."""
    width = len(name) + sum(talk.width(place) - len(place) - 1 for place in ("host", "domain"))
    key = struct.pack("!HHH", 0x33, 36, 29) + struct.pack("!H", 32)
    sni = struct.pack("!HHHBH", 0, width + 5, width + 3, 0, width) + name.encode()
    offers = sni + struct.pack("!HHBHH", 0x2B, 5, 4, 0x0304, 0x0303)
    offers += struct.pack("!HHHHH", 0x33, 38, 36, 29, 32) + b"$random2"
    offers_length = 9 + width + 9 + 42
    body_length = 2 + 32 + 1 + 32 + 2 + 4 + 2 + 2 + offers_length
    head = struct.pack("!BHHBBHH", 22, 0x0301, body_length + 4, 1, 0, body_length, 0x0303)
    ciphers = struct.pack("!HHHBBH", 4, 0x1301, 0x1302, 1, 0, offers_length)
    talk.say(C, head + b"$random\x20$random1" + ciphers + offers)
    answer = struct.pack("!HHH", 0x2B, 2, 0x0304) + key + b"$random4"
    body_length = 2 + 32 + 1 + 32 + 2 + 1 + 2 + 6 + 40
    head = struct.pack("!BHHBBHH", 22, 0x0303, body_length + 4, 2, 0, body_length, 0x0303)
    return talk.say(S, head + b"$random3\x20$random1" + struct.pack("!HBH", 0x1301, 0, 46) + answer)


def hidden(talk: Talk, up: tuple[int, int], down: tuple[int, int]) -> Script:
    hello(talk).body(RECORDS, S, 1500, 4500).body(RECORDS, C, *up).body(RECORDS, S, *down)
    return talk.close(abruptly=bool(talk.rng.integers(2)))


def opaque(port: int, up: tuple[int, int], down: tuple[int, int], **known: object) -> Callable[[Rng], Script]:
    """TLS from its first octet."""
    return lambda rng: hidden(Talk(port, rng, **known).open(), up, down)


def starttls(port: int) -> Callable[[Rng], Script]:
    def make(rng: Rng) -> Script:
        talk = Talk(port, rng, result="opaque").open()
        talk.lines(f"""S: {rng.choice(_GREETINGS)}
            C: EHLO $host1.example.org
            S: 250-$host.$domain.example.net|250-STARTTLS|250 SIZE 52428800
            C: STARTTLS
            S: 220 2.0.0 Ready to start TLS""")
        return hidden(talk, (1500, 60_000), (500, 1500))

    return make


def pop3(rng: Rng) -> Script:
    talk = Talk(110, rng).open()
    talk.lines("""S: +OK $host.example.net ready <$number.$number1@example.net>
        C: USER $user
        S: +OK
        C: PASS $secret
        S: +OK logged in
        C: STAT
        S: +OK 1 $number2
        C: RETR 1
        S: +OK $number2 octets""")
    talk.message(_HEADERS, 1500, 30_000, S)
    return talk.lines("S: .\nC: DELE 1\nS: +OK\nC: QUIT\nS: +OK bye").close()


def imap(rng: Rng) -> Script:
    talk = Talk(143, rng).open()
    talk.lines("""S: * OK [CAPABILITY IMAP4rev1] $host ready
        C: a1 LOGIN $user $secret
        S: a1 OK logged in
        C: a2 SELECT INBOX
        S: * 1 EXISTS|a2 OK [READ-WRITE] done
        C: a3 FETCH 1 BODY[]
        S: * 1 FETCH (BODY[] {$size}""")
    talk.message(_HEADERS, 1500, 30_000, S)
    return talk.lines("S: )|a3 OK done\nC: a4 LOGOUT\nS: * BYE $word|a4 OK bye").close()


def datagrams(port: int, *sizes: int) -> Callable[[Rng], Script]:
    """There and back; what they hold is nobody's business here."""

    def make(rng: Rng) -> Script:
        talk = Talk(port, rng, is_mail=False, protocol=UDP, pooled=True)
        for number, size in enumerate(sizes):
            talk.datagram(number % 2, size)
        return talk.script

    return make


def clock(rng: Rng) -> Script:
    """NTP (RFC 5905 section 7.3): version 4, mode 3 asks, mode 4 answers."""
    talk = Talk(123, rng, is_mail=False, protocol=UDP)
    for sender, mode in ((C, 0x23), (S, 0x24)):
        talk.say(sender, struct.pack("!BBBB", mode, 2, 10, 0xE9) + bytes(12) + b"$random")
    return talk.script


def lookup(kind: int) -> Callable[[Rng], Script]:
    """A question to DNS and its answer: 1, an address, or 15, the exchanger of a domain and its address."""

    def make(rng: Rng) -> Script:
        talk = Talk(53, rng, is_mail=False, protocol=UDP)
        domain = bytes([talk.width("domain")]) + b"$domain\x07example\x03net\0"
        head, asked = struct.pack("!HHHH", 1, 0, 0, 0), struct.pack("!HH", kind, 1)
        talk.say(C, b"$octets\x01\0" + head + domain + asked)
        record = struct.pack("!HHIH", 1, 1, 300, 4) + b"\xc6\x13$octets1"
        if kind == 1:
            answers, counts = b"\xc0\x0c" + record, (1, 1, 0, 0)
        else:
            # The exchanger is mx.<domain>: its name stands where the answer's data has it.
            at = 12 + len(domain) - len("$domain") + talk.width("domain") + 4 + 12 + 2
            answers = b"\xc0\x0c" + struct.pack("!HHIHH", 15, 1, 300, 7, 10) + b"\x02mx\xc0\x0c"
            answers, counts = answers + struct.pack("!H", 0xC000 | at) + record, (1, 1, 0, 1)
        head = b"$octets\x81\x80" + struct.pack("!HHHH", *counts)
        return talk.say(S, head + domain + asked + answers).script

    return make


def always(script: Script) -> Callable[[Rng], Script]:
    return lambda rng: script


_MAIL: list[tuple[Callable[[Rng], Script], float]] = [
    (letter(25, 1500, 8000), 16.0), (letter(25, 20_000, 120_000), 4.0),
    (letter(25, 1500, 6000, count=3), 3.0), (letter(25, 2000, 30_000, in_chunks=True), 3.0),
    (letter(587, 1500, 20_000, logs_in=True), 8.0),
    (letter(2525, 1500, 9000, logs_in=True), 1.0), (turned_away, 7.0), (refused_recipient, 5.0),
    (refused_message, 2.0), (aborted, 1.0), (starttls(25), 5.0), (starttls(587), 5.0),
    (always(unanswered(0, 1, 3, 7)), 7.0), (always(unanswered(0, 1, 3)), 2.0), (always(unanswered(0)), 2.0),
    (always(refused(0)), 3.0), (always(refused(0, 0.5, 1.0)), 2.0), (always(half_open()), 1.0),
    (always(forbidden(PROHIBITED)), 3.0), (always(forbidden(UNREACHABLE)), 1.0),
    (opaque(465, (1500, 30_000), (500, 1500), result="opaque"), 5.0),
    (opaque(993, (500, 1500), (2000, 60_000)), 4.0), (opaque(995, (500, 1500), (2000, 30_000)), 2.0),
    (pop3, 4.0), (imap, 4.0),
]  # fmt: skip
_OTHER: list[tuple[Callable[[Rng], Script], float]] = [
    (opaque(443, (500, 3000), (3000, 400_000), is_mail=False), 12.0),
    (opaque(8443, (500, 8000), (500, 3000), is_mail=False), 16.0),
    (datagrams(443, *(1250,) * 3, 60, *(1250, 90, 1250, 60) * 4), 16.0),
    (datagrams(443, 1250, 1250, *(70, 1100) * 20), 12.0), (datagrams(3478, *(160, 172) * 24), 8.0),
    (clock, 8.0), (lookup(1), 20.0), (lookup(15), 8.0),
]  # fmt: skip
