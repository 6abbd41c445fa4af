"""What happens in the flows of a generated capture: scripts of packets, and what must be said of them."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

FIN, SYN, RST, PSH, ACK = (1 << bit for bit in range(5))
C, S = 0, 1
"""Who sends: the client, the server."""
SEGMENT = 1448
MS = 1_000_000


class Step(NamedTuple):
    """One packet of a script, or `repeat` of them; lengths and sums are the same in every flow."""

    at_ns: int
    sender: int
    flags: int
    seq: int
    ack: int
    payload: bytes = b""
    repeat: int = 1
    spacing_ns: int = 0
    quote: bool = False
    """An ICMP error about the script's first packet, not a segment."""


@dataclass
class Script:
    """What happens in a flow, and what must be said of it."""

    port: int
    outcome: str = "connected"
    messages: int = 0
    is_mail: bool = True
    udp: bool = False
    steps: list[Step] = field(default_factory=list)

    @property
    def octets(self) -> int:
        return sum(s.repeat * (len(s.payload) + 82) for s in self.steps)


class Talk:
    """Writes a script: a TCP connection with its acknowledgements."""

    def __init__(self, port: int, rtt_ms: int = 40, **known) -> None:
        self.script = Script(port, **known)
        self.now, self.rtt = 0, rtt_ms * MS
        self.next = [1, 1]
        """Relative sequence numbers; the SYN has number 0."""

    def open(self) -> Talk:
        self._add(C, SYN, -1, b"")
        self.now += self.rtt
        self._add(S, SYN | ACK, -1, b"")
        return self.pause()._add(C, ACK, 0, b"")

    def say(self, sender: int, text: bytes) -> Talk:
        self.now += self.rtt // 2
        while text:
            self._add(sender, PSH | ACK, 0, text[:SEGMENT])
            self.next[sender] += len(text[:SEGMENT])
            text = text[SEGMENT:]
            self.now += MS // 10
        self.pause()._add(1 - sender, ACK, 0, b"")
        return self

    def send(self, octets: int, line: bytes) -> Talk:
        """Very much of one line, acknowledged now and then."""
        count = octets // SEGMENT
        self.script.steps.append(
            Step(
                self.now,
                C,
                ACK,
                self.next[C],
                self.next[S],
                line[:SEGMENT].ljust(SEGMENT, b"."),
                count,
                MS // 5,
            )
        )
        self.script.steps.append(
            Step(
                self.now + MS, S, ACK, self.next[S], self.next[C] + 2 * SEGMENT, b"", count // 2, 2 * MS // 5
            )
        )
        self.next[C] += count * SEGMENT
        self.now += count * MS // 5 + 2 * MS
        return self

    def close(self) -> Script:
        for side in (C, S):
            self.pause()._add(side, FIN | ACK, 0, b"")
            self.next[side] += 1
        self.pause()._add(C, ACK, 0, b"")
        return self.script

    def pause(self) -> Talk:
        self.now += self.rtt // 2
        return self

    def _add(self, sender: int, flags: int, shift: int, payload: bytes) -> Talk:
        ack = self.next[1 - sender] if flags & ACK else -1
        self.script.steps.append(Step(self.now, sender, flags, self.next[sender] + shift, ack, payload))
        return self


def lines(talk: Talk, dialogue: str) -> Talk:
    for line in dialogue.strip().splitlines():
        who, _, text = line.strip().partition(": ")
        talk.say(C if who == "C" else S, text.replace("|", "\r\n").encode() + b"\r\n")
    return talk


GREETING = """S: 220 mx.example.net ESMTP
    C: EHLO client.example.org
    S: 250-mx.example.net|250-PIPELINING|250-SIZE 52428800|250 8BITMIME"""
LETTER = """C: MAIL FROM:<alice@example.org>
    S: 250 2.1.0 Ok
    C: RCPT TO:<bob@example.net>
    S: 250 2.1.5 Ok
    C: DATA
    S: 354 End data with <CR><LF>.<CR><LF>"""
TAKEN = """S: 250 2.0.0 Ok: queued as 4F2C81A0
    C: QUIT
    S: 221 2.0.0 Bye"""
HEADERS = b"From: alice@example.org\r\nTo: bob@example.net\r\nSubject: hello\r\n\r\n"


def letter(port: int, octets: int) -> Script:
    talk = lines(Talk(port, messages=1).open(), GREETING + "\n" + LETTER)
    line = b"The quick brown fox jumps over the lazy dog and goes on to the next hop.\r\n"
    if octets < 1 << 20:
        talk.say(C, HEADERS + line * (octets // len(line)) + b".\r\n")
    else:
        talk.say(C, HEADERS).send(octets, b"x" * (SEGMENT - 2) + b"\r\n").say(C, b".\r\n")
    return lines(talk, TAKEN).close()


def turned_away() -> Script:
    return lines(
        Talk(25).open(), "S: 554 5.7.1 no mail from dynamic addresses\nC: QUIT\nS: 221 2.0.0 Bye"
    ).close()


def refused_recipient() -> Script:
    dialogue = "\n".join(LETTER.splitlines()[:3]) + "\nS: 550 5.1.1 no such user\nC: QUIT\nS: 221 2.0.0 Bye"
    return lines(Talk(25).open(), GREETING + "\n" + dialogue).close()


def unanswered(*seconds: int) -> Script:
    return Script(25, "no_answer", steps=[Step(s * 1000 * MS, C, SYN, 0, -1) for s in seconds])


def refused() -> Script:
    return Script(25, "refused", steps=[Step(0, C, SYN, 0, -1), Step(20 * MS, S, RST | ACK, 0, 1)])


def prohibited() -> Script:
    steps = [Step(0, C, SYN, 0, -1), Step(3 * MS, S, 0, 0, -1, bytes(36), quote=True)]
    return Script(25, "prohibited", steps=steps)


def opaque(port: int, octets: int, *, is_mail: bool = True) -> Script:
    talk = Talk(port, is_mail=is_mail).open()
    rng = np.random.default_rng(port)
    hello = b"\x16\x03\x01" + struct.pack("!H", 512) + b"\x01\0\x01\xfc\x03\x03" + rng.bytes(506)
    talk.say(C, hello).say(S, b"\x16\x03\x03" + struct.pack("!H", 2800) + rng.bytes(2800))
    talk.say(C, b"\x17\x03\x03" + struct.pack("!H", 400) + rng.bytes(400))
    return talk.say(S, b"\x17\x03\x03" + struct.pack("!H", 16000) + rng.bytes(octets)).close()


def pop3() -> Script:
    dialogue = """S: +OK ready
    C: USER bob
    S: +OK
    C: PASS secret
    S: +OK logged in
    C: STAT
    S: +OK 0 0
    C: QUIT
    S: +OK bye"""
    return lines(Talk(110).open(), dialogue).close()


def imap() -> Script:
    dialogue = """S: * OK ready
    C: a1 LOGIN bob secret
    S: a1 OK logged in
    C: a2 SELECT INBOX
    S: * 0 EXISTS|a2 OK done
    C: a3 LOGOUT
    S: * BYE|a3 OK bye"""
    return lines(Talk(143).open(), dialogue).close()


def datagrams(port: int, sizes: tuple[int, ...]) -> Script:
    steps = [Step(n * 8 * MS, n % 2, 0, 0, -1, bytes(size)) for n, size in enumerate(sizes)]
    return Script(port, is_mail=False, udp=True, steps=steps)


def scripts(kind: str) -> list[tuple[Script, float]]:
    """The scripts of a kind, and how many of a hundred flows follow each."""
    mail = [
        (letter(25, 3000), 22.0), (letter(25, 40_000), 6.0), (letter(587, 6000), 12.0), (turned_away(), 8.0),
        (refused_recipient(), 6.0), (unanswered(0, 1, 3, 7), 12.0), (refused(), 6.0), (prohibited(), 4.0),
        (opaque(465, 9000), 6.0), (opaque(993, 20_000), 6.0), (pop3(), 6.0), (imap(), 6.0),
    ]  # fmt: skip
    if kind == "mail":
        return mail
    if kind == "flood":
        return [(unanswered(0), 100.0)]
    if kind == "bulk":
        return [
            (letter(25, size << 20), share) for size, share in ((5, 40.0), (10, 30.0), (25, 20.0), (50, 10.0))
        ]
    other = [
        (opaque(443, 60_000, is_mail=False), 30.0),
        (datagrams(443, (1250,) * 3 + (60, 1250, 90, 1250, 60) * 4), 30.0),
        (datagrams(123, (48, 48)), 10.0),
        (opaque(8080, 1500, is_mail=False), 30.0),
    ]
    # 5 % of the octets are mail's.
    of_mail, of_other = (sum(script.octets * share for script, share in group) for group in (mail, other))
    scale = 0.05 / 0.95 * of_other / of_mail
    return [(script, share * scale) for script, share in mail] + other
