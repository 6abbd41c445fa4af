"""Captures to measure with: deterministic, of any size, and with the answers beside them.

    python benchmarks/generate.py mix 4000 /tmp/mix.pcap --seed 1

writes some 4000 MB of Ethernet frames in order of time, flows interleaved, all checksums right,
and /tmp/mix.pcap.json, the key: packets, attempts by port and outcome, sessions by result, messages,
their octets, recipients. Kinds: `mix` (95 % of the octets are no mail), `mail` (nothing else),
`flood` (unanswered SYNs, 2 million in 180 MB), `bulk` (messages of 5 to 50 MB).

Time goes by in blocks. A block begins flows by freshly drawn scripts, adds their packets to those
that are still to come, and writes what lies within it: memory holds a block and the flows that
outlast it, whatever the capture's size.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.frames import PACKET, Facts, records
from benchmarks.scripts import scripts
from benchmarks.talk import ACK, ICMP, MS, PLACES, PSH, RECORDS, TCP, Script

BLOCK_MB = 24
LEAST_BLOCKS = 6
"""A small capture, too, has flows by several drawings of a script."""
RATE_MB = {"mix": 40, "mail": 8, "flood": 6, "bulk": 40}
"""Megabytes in a second of the capture's time."""
POOL_OCTETS = 4 << 20
ROOM_OCTETS = 96 << 20
"""For the text of the flows that are not over; the oldest is overwritten."""
SPACING_US = 200
"""Between two segments of a body."""
AGAIN = 0.002
"""Segments of bodies that are sent twice."""
AGAIN_US = 3_500
"""So much later: a fast retransmission, before what follows the body."""
GOLDEN = 0.618
"""Of a script that has less than a flow in a block: they do not all wait for the same one."""
ORDER_BITS = 22
"""Packets of a block and of the flows that outlast it: fewer than 4 million."""
PACKETS_AT_ONCE = 16_384
"""Rendered together: what a processor's cache holds, about."""


class Arena:
    """Where payloads stand: two pools, each as if endless, and a ring for the text of flows."""

    def __init__(self, rng: np.random.Generator) -> None:
        pools = [_lines(rng), _records(rng)]
        self.bounds = [bounds for _, bounds in pools]
        self.spans = [int(bounds[-1]) for bounds in self.bounds]
        self.begins = []
        self.octets = np.zeros(sum(self.spans) + 2 * 2048 + ROOM_OCTETS, np.uint8)
        self.sums = np.zeros(len(self.octets) // 2 + 1, np.uint32)
        self._at = 0
        self.written = 0
        """Octets of text so far, those overwritten included."""
        for octets, _ in pools:
            self.begins.append(self.put(np.concatenate([octets, octets[:1600]])))
        self._ring = self._at

    def put(self, octets: np.ndarray) -> int:
        """Take text in, an even number of octets; where it stands."""
        if self._at + len(octets) + 2 > len(self.octets):
            self._at = self._ring
        at = self._at
        self.octets[at : at + len(octets)] = octets
        words = self.octets[at : at + len(octets)].view("<u2")
        self.sums[at // 2] = 0
        np.cumsum(words, dtype=np.uint32, out=self.sums[at // 2 + 1 : at // 2 + 1 + len(words)])
        self._at = at + len(octets) + 2
        self.written += len(octets) + 2
        return at


def _lines(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Letters' lines: half of them words, half base64; each an even number of octets."""
    count = POOL_OCTETS // 60
    widths = rng.integers(10, 39, count) * 2
    ends = np.cumsum(widths)
    words = np.frombuffer(b"etaoinshrdlu cm fwyp vbgkjqxz etaoin shrdlu ETAOINSHRDLU  ,-e t a", np.uint8)
    base64 = np.frombuffer(PLACES["secret"][0], np.uint8)
    text = words[rng.integers(0, len(words), ends[-1])]
    coded = base64[rng.integers(0, len(base64), ends[-1])]
    text = np.where(np.repeat(np.arange(count) // 100 % 2, widths), coded, text)
    text[ends - 2], text[ends - 1] = ord("\r"), ord("\n")
    return text, np.concatenate([[0], ends])


def _records(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """TLS records of application data, each an even number of octets (RFC 8446 section 5.1)."""
    widths = rng.integers(60, 2000, POOL_OCTETS // 2060) * 2
    ends = np.cumsum(widths)
    begins = ends - widths
    octets = rng.integers(0, 256, ends[-1], np.uint8)
    octets[begins], octets[begins + 1], octets[begins + 2] = 23, 3, 3
    octets[begins + 3], octets[begins + 4] = (widths - 5) >> 8, (widths - 5) & 0xFF
    return octets, np.concatenate([[0], ends])


class Cohort:
    """The flows of one script that begin within a block, and their packets."""

    def __init__(
        self,
        script: Script,
        first: int,
        starts_us: np.ndarray,
        arena: Arena,
        rng: np.random.Generator,
        seed: int,
    ) -> None:
        self.script, self.starts_us, self.arena, self.rng = script, starts_us, arena, rng
        count = len(starts_us)
        self.flows = first + np.arange(count)
        self.pace = np.ones(count) if script.timed else rng.uniform(0.5, 2.0, count)
        self.facts = Facts(self.flows, seed)
        self._draw_bodies()
        self.text_at = self._text()

    @property
    def message_octets(self) -> int:
        bodies = zip(self.script.bodies, self.lengths, strict=True)
        return sum(int((length + body.fixed).sum()) for body, length in bodies if body.is_message)

    def packets(self) -> np.ndarray:
        parts = [self._steps(), *(self._body(number) for number in range(len(self.script.bodies)))]
        return np.concatenate(parts)

    def _draw_bodies(self) -> None:
        """Where in its pool each body begins, its length; what is sent before it, and for how long."""
        count, bodies = len(self.flows), self.script.bodies
        self.offsets, self.lengths, self.segments = [], [], []
        self.sent = np.zeros((2, len(bodies) + 1, count), np.int64)
        self.taken_us = np.zeros((len(bodies) + 1, count), np.int64)
        for number, body in enumerate(bodies):
            bounds, span = self.arena.bounds[body.pool], self.arena.spans[body.pool]
            begin = bounds[self.rng.integers(0, len(bounds) - 1, count)]
            wanted = np.exp(self.rng.uniform(np.log(body.low), np.log(body.high), count)).astype(np.int64)
            turns, rest = np.divmod(begin + wanted, span)
            length = turns * span + bounds[np.searchsorted(bounds, rest)] - begin
            self.offsets.append(begin)
            self.lengths.append(length)
            self.segments.append(-(-length // self.facts.segment))
            self.sent[:, number + 1] = self.sent[:, number]
            self.sent[body.step.sender, number + 1] += length
            spent = self.segments[-1] * SPACING_US + 2 * MS
            self.taken_us[number + 1] = self.taken_us[number] + spent

    def _text(self) -> np.ndarray:
        """Fill the places of the script's text, for every flow; where each flow's text stands."""
        if self.script.pooled:
            return self.rng.integers(0, self.arena.spans[RECORDS] // 2, len(self.flows)) * 2
        template = np.frombuffer(bytes(self.script.text) + bytes(len(self.script.text) % 2), np.uint8)
        rows = np.tile(template, (len(self.flows), 1))
        drawn: dict[str, np.ndarray] = {}
        for at, name, width in self.script.places:
            if name not in drawn:
                drawn[name] = self._drawn(name, width)
            rows[:, at : at + width] = drawn[name]
        begin = self.arena.put(rows.ravel())
        return begin + np.arange(len(rows)) * rows.shape[1]

    def _drawn(self, name: str, width: int) -> np.ndarray:
        bare = name.rstrip("0123456789")
        if bare == "size":
            number = int(name.removeprefix("size"))
            values = self.lengths[number] + self.script.bodies[number].fixed
            return (values[:, None] // 10 ** np.arange(width - 1, -1, -1) % 10 + ord("0")).astype(np.uint8)
        letters = np.frombuffer(PLACES[bare][0], np.uint8)
        return letters[self.rng.integers(0, len(letters), (len(self.flows), width), np.uint8)]

    def _steps(self) -> np.ndarray:
        """The packets of the script that every flow has, a step after the other."""
        steps = self.script.steps
        at, sender, flags, seq, ack, done, text, length, quotes = (
            np.array(column, np.int64)[:, None] for column in zip(*steps, strict=True)
        )
        packets = np.zeros((len(steps), len(self.flows)), PACKET)
        packets["time_us"] = self.starts_us + at * self.pace + self.taken_us[done[:, 0]]
        packets["flow"], packets["port"] = self.flows, self.script.port
        packets["order"] = np.arange(len(steps))[:, None]
        packets["sender"], packets["flags"], packets["length"] = sender, flags, length
        packets["protocol"] = np.where(quotes, ICMP, self.script.protocol)
        packets["text"] = np.where(length, self._placed(self.text_at + text), 0)
        packets["seq"] = seq + self.sent[sender[:, 0], done[:, 0]]
        packets["ack"] = ack + self.sent[1 - sender[:, 0], done[:, 0]]
        return packets.ravel()

    def _placed(self, text: np.ndarray) -> np.ndarray:
        if not self.script.pooled:
            return text
        return self.arena.begins[RECORDS] + text % self.arena.spans[RECORDS]

    def _body(self, number: int) -> np.ndarray:
        """The segments of a body, some of them sent again, and the acknowledgement of every second one."""
        body, counts = self.script.bodies[number], self.segments[number]
        flow = np.repeat(np.arange(len(counts)), counts)
        turn = np.arange(len(flow)) - np.repeat(np.cumsum(counts) - counts, counts)
        segment = self.facts.segment[flow]
        before = turn * segment
        step, sender = body.step, body.step.sender
        data = np.zeros(len(flow), PACKET)
        base = self.starts_us + step.at_us * self.pace + self.taken_us[number]
        data["time_us"] = base[flow] + turn * SPACING_US
        data["flow"], data["port"], data["protocol"] = self.flows[flow], self.script.port, TCP
        data["order"] = step.seq + turn
        data["sender"] = sender
        data["length"] = np.minimum(segment, self.lengths[number][flow] - before)
        is_last = turn == counts[flow] - 1
        data["flags"] = ACK + PSH * is_last
        offset = (self.offsets[number][flow] + before) % self.arena.spans[body.pool]
        data["text"] = self.arena.begins[body.pool] + offset
        data["seq"] = (step.seq + self.sent[sender, number])[flow] + before
        data["ack"] = (step.ack + self.sent[1 - sender, number])[flow]
        again = data[self.rng.random(len(data)) < AGAIN]
        again["time_us"] += AGAIN_US
        again["order"] += 0x8000
        answers = data[(turn % 2 == 1) | is_last]
        answers["time_us"] += SPACING_US // 2
        answers["seq"], answers["ack"] = answers["ack"], answers["seq"] + answers["length"]
        answers["sender"], answers["flags"], answers["length"], answers["text"] = 1 - sender, ACK, 0, 0
        return np.concatenate([data, again, answers])


class Key:
    """What an analysis must find."""

    def __init__(self, kind: str, seed: int) -> None:
        self.told: dict = {"kind": kind, "seed": seed, "packets": 0}
        names = ("attempts", "results", "versions")
        self.counts: dict[str, Counter[str]] = {name: Counter() for name in names}
        self.totals = Counter(dict.fromkeys(("messages", "message_octets", "recipients", "rejected"), 0))

    def add(self, cohort: Cohort) -> None:
        script, count = cohort.script, len(cohort.flows)
        if not script.is_mail:
            return
        self.counts["attempts"][f"{script.port} {script.outcome}"] += count
        over_6 = int(cohort.facts.is_6.sum())
        self.counts["versions"] += Counter({"4": count - over_6, "6": over_6})
        if script.port not in (110, 143, 993, 995):
            self.counts["results"][script.result] += count
        for name in ("messages", "recipients", "rejected"):
            self.totals[name] += getattr(script, name) * count
        self.totals["message_octets"] += cohort.message_octets

    def as_dict(self) -> dict:
        return {**self.told, **{name: dict(of) for name, of in self.counts.items()}, **self.totals}


def generate(kind: str, megabytes: float, path: Path, seed: int = 1) -> dict:
    """Write a capture and its key."""
    rng = np.random.default_rng(seed)
    arena, key = Arena(rng), Key(kind, seed)
    blocks = max(LEAST_BLOCKS, round(megabytes / BLOCK_MB))
    block_us = round(megabytes / RATE_MB[kind] / blocks * 1_000_000)
    pending, first = np.zeros(0, PACKET), 0
    due = [number * GOLDEN % 1 + 1e-6 for number in range(len(scripts(kind, rng)))]
    begun: list[tuple[int, int]] = []
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1))
        for block in range(blocks):
            parts = [pending]
            begun.append((first, arena.written))
            shares = scripts(kind, rng)
            weight = sum(script.mean_octets * share for script, share in shares)
            for number, (script, share) in enumerate(shares):
                due[number] += max(1.0, megabytes * 1_000_000 * share / weight) / blocks
                count = int(due[number])
                if not count:
                    continue
                due[number] -= count
                starts_us = block * block_us + np.sort(rng.integers(0, block_us, count))
                cohort = Cohort(script, first, starts_us, arena, rng, seed)
                first += count
                key.add(cohort)
                parts.append(cohort.packets())
            pending = _in_order(np.concatenate(parts))
            ripe = len(pending)
            if block < blocks - 1:
                ripe = int(np.searchsorted(pending["time_us"], (block + 1) * block_us))
            write(file, pending[:ripe], arena, seed)
            key.told["packets"] += ripe
            pending = pending[ripe:]
            oldest = int(pending["flow"].min(initial=first))
            while len(begun) > 1 and begun[1][0] <= oldest:
                begun.pop(0)
            if arena.written - begun[0][1] > ROOM_OCTETS - (8 << 20):
                raise MemoryError("the text of open flows needs more room")
    told = key.as_dict()
    Path(f"{path}.json").write_text(json.dumps(told, indent=2))
    return told


def _in_order(packets: np.ndarray) -> np.ndarray:
    """By time; what has the same time stays as it stands, whatever the machine sorts by."""
    if len(packets) >> ORDER_BITS:
        raise MemoryError("too many packets of open flows")
    keys = (packets["time_us"] << ORDER_BITS) + np.arange(len(packets))
    keys.sort()
    return packets[keys & ((1 << ORDER_BITS) - 1)]


def write(file, packets: np.ndarray, arena: Arena, seed: int) -> None:
    for at in range(0, len(packets), PACKETS_AT_ONCE):
        file.write(records(packets[at : at + PACKETS_AT_ONCE], arena.octets, arena.sums, seed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kind", choices=tuple(RATE_MB))
    parser.add_argument("megabytes", type=float)
    parser.add_argument("path", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(json.dumps(generate(arguments.kind, arguments.megabytes, arguments.path, arguments.seed)))


if __name__ == "__main__":
    main()
