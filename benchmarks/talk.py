"""How a flow is told: a script of packets, and of the words in them what differs from flow to flow.

A script is what many flows have in common. Its text has places (`$user`) that every flow fills
with letters of its own, of a width that is the script's; its bodies are stretches of a pool, of a
place and length that are the flow's. So all flows of a script can be made as columns at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

FIN, SYN, RST, PSH, ACK = (1 << bit for bit in range(5))
C, S = 0, 1
"""Who sends: the client, the server."""
TCP, UDP, ICMP = 6, 17, 1
PROHIBITED, UNREACHABLE = 0, 1
"""What a router says in ICMP; stands where a segment has its flags."""
MS = 1_000
"""Microseconds."""
SHORT_SEGMENT = 1_428
"""What fits into a packet over IPv6 with timestamps; text is cut there."""
MESSAGES, RECORDS = 0, 1
"""The pools of bodies: lines of text, TLS records."""

_LOWER, _DIGITS = b"abcdefghijklmnopqrstuvwxyz", b"0123456789"
_HEX, _BASE64 = _DIGITS + b"ABCDEF", _LOWER.upper() + _LOWER + _DIGITS + b"+/"
PLACES: dict[str, tuple[bytes, int, int]] = {
    "user": (_LOWER, 4, 12),
    "host": (_LOWER, 3, 10),
    "domain": (_LOWER, 4, 14),
    "word": (_LOWER, 3, 24),
    "queue": (_HEX, 8, 14),
    "number": (_DIGITS, 4, 9),
    "secret": (_BASE64, 24, 24),
    "tag": (_HEX, 4, 4),
    "random": (bytes(range(256)), 32, 32),
    "octets": (bytes(range(256)), 2, 2),
    "size": (_DIGITS, 8, 8),
}
"""What may stand in a place (a digit behind the name tells two apart), and how wide it is.

`size` is told, not drawn: the octets of the message that follows, with leading zeros.
"""
_PLACE = re.compile(rb"\$([a-z]+)(\d?)")


class Step(NamedTuple):
    """One packet of a script."""

    at_us: int
    sender: int
    flags: int
    seq: int
    ack: int
    """Relative to the initial sequence numbers, bodies left out."""
    done: int
    """Bodies that were sent before."""
    text_at: int = 0
    length: int = 0
    quotes: bool = False
    """An ICMP error about the script's first packet; `flags` says which."""


class Body(NamedTuple):
    """Octets of a pool, in full segments, every second one acknowledged."""

    step: Step
    pool: int
    low: int
    high: int
    """How many octets, about; even in their logarithm."""
    fixed: int
    """Octets of the message that the text has said before."""
    is_message: bool


@dataclass
class Script:
    """What happens in a flow, and what must be said of it."""

    port: int
    outcome: str = "connected"
    result: str = "no_dialogue"
    messages: int = 0
    recipients: int = 0
    rejected: int = 0
    is_mail: bool = True
    protocol: int = TCP
    timed: bool = False
    """Its times are those of timers, alike in every flow; otherwise each flow has its own pace."""
    pooled: bool = False
    """What is said stands in a pool, not in the text."""
    steps: list[Step] = field(default_factory=list)
    bodies: list[Body] = field(default_factory=list)
    text: bytearray = field(default_factory=bytearray)
    places: list[tuple[int, str, int]] = field(default_factory=list)
    """Where in the text, which place, how wide; the name of a `size` ends with its body's number."""

    @property
    def mean_octets(self) -> float:
        """Of a flow's records, about."""
        bodies = sum((b.high - b.low) / np.log(b.high / b.low) for b in self.bodies)
        return bodies * (1 + 130 / 1448) + sum(90 + step.length for step in self.steps)


class Talk:
    """Writes a script: a TCP connection with its acknowledgements."""

    def __init__(self, port: int, rng: np.random.Generator, **known: object) -> None:
        self.script = Script(port, **known)  # type: ignore[arg-type]
        self.rng = rng
        self._now, self._trip = 0, int(rng.integers(4 * MS, 40 * MS))
        self._acknowledges = self.script.protocol == TCP and bool(rng.integers(2))
        self._next = [1, 1]
        """Relative sequence numbers; the SYN has number 0."""
        self._widths: dict[str, int] = {}
        self._fixed = 0

    def width(self, name: str) -> int:
        """How wide a place is in this script."""
        if name not in self._widths:
            _, low, high = PLACES[name.rstrip("0123456789")]
            self._widths[name] = int(self.rng.integers(low, high + 1))
        return self._widths[name]

    def open(self) -> Talk:
        self._add(C, SYN, shift=-1)
        self._now += self._trip
        self._add(S, SYN | ACK, shift=-1)
        return self.pause()._add(C, ACK)

    def say(self, sender: int, template: bytes | str) -> Talk:
        at, length = self._text(template if isinstance(template, bytes) else template.encode())
        self._now += self._trip
        while length > 0:
            part = min(length, SHORT_SEGMENT)
            self._add(sender, PSH | ACK, at, part)
            self._next[sender] += part
            at, length = at + part, length - part
            self._now += MS // 10
        return self._acknowledge(1 - sender) if self._acknowledges else self

    def datagram(self, sender: int, octets: int) -> Talk:
        """What nobody reads."""
        said = sum(step.length for step in self.script.steps)
        self._now += self._trip // 4
        return self._add(sender, 0, said, octets)

    def lines(self, dialogue: str) -> Talk:
        """A dialogue: `C: ` or `S: ` and a line each, `|` where more lines follow in one packet."""
        for line in dialogue.strip().splitlines():
            who, _, text = line.strip().partition(": ")
            self.say(C if who == "C" else S, text.replace("|", "\r\n") + "\r\n")
        return self

    def message(self, headers: str, low: int, high: int, sender: int = C) -> Talk:
        """A message without its end; its size is what `$size` has said since the last one."""
        before = self._next[sender]
        self.say(sender, headers.replace("|", "\r\n"))
        self._fixed = self._next[sender] - before
        return self.body(MESSAGES, sender, low, high, is_message=sender == C)

    def body(self, pool: int, sender: int, low: int, high: int, *, is_message: bool = False) -> Talk:
        self._now += self._trip
        step = self._step(sender, ACK)
        self.script.bodies.append(Body(step, pool, low, high, self._fixed, is_message))
        self._fixed = 0
        self._now += MS
        return self

    def close(self, *, abruptly: bool = False) -> Script:
        for side in (S,) if abruptly else (C, S):
            self.pause()._add(side, FIN | ACK)
            self._next[side] += 1
        self.pause()._add(C, RST | ACK if abruptly else ACK)
        return self.script

    def cut(self) -> Script:
        """The client resets the connection."""
        self.pause()._add(C, RST | ACK)
        return self.script

    def pause(self) -> Talk:
        self._now += self._trip
        return self

    def _acknowledge(self, side: int) -> Talk:
        return self.pause()._add(side, ACK)

    def _text(self, template: bytes) -> tuple[int, int]:
        """Put it into the script's text, at an even place; where it stands, and how long it is."""
        script = self.script
        script.text += bytes(len(script.text) % 2)
        begin, last = len(script.text), 0
        for match in _PLACE.finditer(template):
            script.text += template[last : match.start()]
            name = match[1].decode()
            width = self.width(name + match[2].decode())
            called = f"size{len(script.bodies)}" if name == "size" else name + match[2].decode()
            script.places.append((len(script.text), called, width))
            script.text += b"?" * width
            last = match.end()
        script.text += template[last:]
        return begin, len(script.text) - begin

    def _step(self, sender: int, flags: int, text_at: int = 0, length: int = 0, shift: int = 0) -> Step:
        ack = self._next[1 - sender] if flags & ACK else -1
        done = len(self.script.bodies)
        return Step(self._now, sender, flags, self._next[sender] + shift, ack, done, text_at, length)

    def _add(self, sender: int, flags: int, text_at: int = 0, length: int = 0, shift: int = 0) -> Talk:
        self.script.steps.append(self._step(sender, flags, text_at, length, shift))
        return self
