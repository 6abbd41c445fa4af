"""Captures to measure with: deterministic, of any size, and with the answers beside them.

    python benchmarks/generate.py mix 1000 /tmp/mix.pcap --seed 1

writes some 1000 MB of Ethernet frames in order of time, flows interleaved, all checksums right,
and /tmp/mix.pcap.json, the key: how many packets, attempts by port and outcome, and messages.
Kinds: `mix` (95 % of the octets are no mail), `mail` (nothing else), `flood` (unanswered SYNs),
`bulk` (messages of 5 to 50 MB). Addresses are of the benchmarking networks (RFC 2544).

A flow is one of a few scripts; what tells two flows of a script apart (addresses, ports, numbers,
times) are columns. So every packet of a script is made for all of its flows at once.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from scripts import RST, SEGMENT, SYN, C, Script, Step, scripts

SRC_NET, DST_NET = 0xC6120000, 0xC6130000
ROUTER = 0xC000020A
"""192.0.2.10, who says in ICMP what is forbidden."""
START_S = 1_767_225_600
"""2026-01-01."""
SLICE_PACKETS = 50_000
"""Packets that are in memory at one time, about."""
MACS = bytes.fromhex("00005e0053fe00005e005301")
OPTIONS = bytes.fromhex("020405b40402080a0000000100000000010303070101080a0000000200000001")
SYN_OPTIONS, DATA_OPTIONS = OPTIONS[:20], OPTIONS[20:32]


class Flows:
    """The flows of one script as columns, in order of their start."""

    def __init__(self, script: Script, first: int, starts_ns: np.ndarray, rng: np.random.Generator) -> None:
        count = len(starts_ns)
        index = np.arange(first, first + count, dtype=np.int64)
        self.script, self.starts_ns = script, starts_ns
        self.ips = (SRC_NET + index * 40_503 % 65_536, DST_NET + rng.integers(0, 65_536, count))
        self.ports = (1024 + index // 65_536 * 7 % 60_000 + index % 7, np.full(count, script.port))
        self.isn = rng.integers(0, 1 << 32, (2, count))

    def events(self) -> list[Event]:
        return [Event(self, step) for step in self.script.steps]


class Event:
    """One step of all flows: times, in order, and rows of octets on demand."""

    def __init__(self, flows: Flows, step: Step) -> None:
        self.flows, self.step = flows, step
        times = flows.starts_ns[:, None] + step.at_ns + step.spacing_ns * np.arange(step.repeat)
        order = np.argsort(times, axis=None, kind="stable")
        self.times_ns = times.ravel()[order]
        self.flow, self.turn = np.divmod(order, step.repeat)
        self.template, self.payload_at = self._template()

    def _template(self) -> tuple[bytes, int]:
        """The record with what is the same in all flows."""
        step, udp = self.step, self.flows.script.udp
        if step.quote:
            header, protocol = struct.pack("!BBHI", 3, 13, 0, 0), 1
        elif udp:
            header, protocol = bytes(4) + struct.pack("!HH", 8 + len(step.payload), 0), 17
        else:
            options = SYN_OPTIONS if step.flags & SYN else b"" if step.flags & RST else DATA_OPTIONS
            words = 5 + len(options) // 4
            header, protocol = (
                bytes(12) + struct.pack("!BBHHH", words << 4, step.flags, 64_240, 0, 0) + options,
                6,
            )
        size = 20 + len(header) + len(step.payload)
        ip = struct.pack(
            "!BBHHHBBHII", 0x45, 0, size, 0, 0x4000, 64 if step.sender == C else 57, protocol, 0, 0, 0
        )
        frame = MACS + b"\x08\0" + ip + header
        record = struct.pack("<IIII", 0, 0, len(frame) + len(step.payload), len(frame) + len(step.payload))
        return record + frame + step.payload, len(record + frame)

    def rows(self, low: int, high: int) -> np.ndarray:
        """The records of the events from `low` to `high`."""
        flows, step = self.flows, self.step
        flow, turn = self.flow[low:high], self.turn[low:high]
        rows = np.tile(np.frombuffer(self.template, np.uint8), (high - low, 1))
        put(rows, 0, START_S + self.times_ns[low:high] // 1_000_000_000, "<u4")
        put(rows, 4, self.times_ns[low:high] % 1_000_000_000 // 1000, "<u4")
        self.address(rows, flow, turn)
        if step.quote:
            quoted = Event(flows, flows.script.steps[0])
            inner = np.tile(np.frombuffer(quoted.template, np.uint8), (high - low, 1))
            quoted.address(inner, flow, turn)
            quoted.fill(inner, flow, turn)
            rows[:, 58 : 58 + 36] = inner[:, 30:66]
            put(rows, 52, internet_sum(rows, 50, rows.shape[1]), ">u2")
            return rows
        self.fill(rows, flow, turn)
        return rows

    def address(self, rows: np.ndarray, flow: np.ndarray, turn: np.ndarray) -> None:
        """The IP header."""
        sender, ips = self.step.sender, self.flows.ips
        put(rows, 34, (flow * 31 + self.step.seq + turn + sender * 77) & 0xFFFF, ">u2")
        put(rows, 42, np.full(len(rows), ROUTER) if self.step.quote else ips[sender][flow], ">u4")
        put(rows, 46, ips[1 - sender][flow], ">u4")
        put(rows, 40, internet_sum(rows, 30, 50), ">u2")

    def fill(self, rows: np.ndarray, flow: np.ndarray, turn: np.ndarray) -> None:
        """Ports and numbers, and the checksum over all."""
        step, flows = self.step, self.flows
        sender, length = step.sender, rows.shape[1]
        put(rows, 50, flows.ports[sender][flow], ">u2")
        put(rows, 52, flows.ports[1 - sender][flow], ">u2")
        if flows.script.udp:
            return  # without a checksum, as IPv4 allows
        of_sender, of_other = flows.isn[sender][flow], flows.isn[1 - sender][flow]
        size = len(step.payload)
        put(rows, 54, (of_sender + step.seq + turn * size) % (1 << 32), ">u4")
        if step.ack >= 0:
            grows = 2 * SEGMENT if step.repeat > 1 and not size else 0
            put(rows, 58, (of_other + step.ack + turn * grows) % (1 << 32), ">u4")
        put(rows, 66, internet_sum(rows, 50, length, rows[:, 42:50], 6 + length - 50), ">u2")


def put(rows: np.ndarray, at: int, values: np.ndarray, form: str) -> None:
    octets = np.ascontiguousarray(values.astype(form)).view(np.uint8).reshape(len(rows), -1)
    rows[:, at : at + octets.shape[1]] = octets


def internet_sum(
    rows: np.ndarray, begin: int, end: int, also: np.ndarray | None = None, start: int = 0
) -> np.ndarray:
    """The Internet checksum of a range of each row, whose checksum field must still be zero."""
    total = np.full(len(rows), start, np.int64)
    for part in (rows[:, begin:end], also):
        if part is not None:
            total += part[:, 0::2].sum(axis=1, dtype=np.int64) * 256 + part[:, 1::2].sum(
                axis=1, dtype=np.int64
            )
    return 0xFFFF - (total + (total == 0) * 0xFFFF - 1) % 0xFFFF - 1


def generate(kind: str, megabytes: int, path: Path, seed: int = 1) -> dict:
    """Write a capture and its key."""
    rng = np.random.default_rng(seed)
    shares = scripts(kind)
    weight = sum(script.octets * share for script, share in shares)
    duration_s = {"mix": 60, "mail": 600, "flood": 20, "bulk": 120}[kind]
    events: list[Event] = []
    attempts: Counter[str] = Counter()
    messages, first = 0, 0
    for script, share in shares:
        count = max(1, round(megabytes * 1_000_000 * share / weight))
        starts_ns = np.sort(rng.integers(0, duration_s * 1_000_000_000, count))
        flows = Flows(script, first, starts_ns, rng)
        first += count
        events += flows.events()
        if script.is_mail:
            attempts[f"{script.port} {script.outcome}"] += count
            messages += script.messages * count
    packets = sum(len(event.times_ns) for event in events)
    key = {"kind": kind, "seed": seed, "packets": packets, "attempts": dict(attempts), "messages": messages}
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1))
        write(file, events)
    Path(f"{path}.json").write_text(json.dumps(key, indent=2))
    return key


def write(file, events: list[Event]) -> None:
    """All records in order of time, a slice of time after the other."""
    end_ns = max(int(event.times_ns[-1]) for event in events) + 1
    slices = sum(len(event.times_ns) for event in events) // SLICE_PACKETS + 1
    at = [0] * len(events)
    for limit in np.linspace(0, end_ns, slices + 1).astype(np.int64)[1:]:
        parts = []
        for number, event in enumerate(events):
            high = int(np.searchsorted(event.times_ns, limit))
            if high > at[number]:
                parts.append((event.times_ns[at[number] : high], event.rows(at[number], high)))
            at[number] = high
        if parts:
            file.write(interleaved(parts))


def interleaved(parts: list[tuple[np.ndarray, np.ndarray]]) -> bytes:
    times = np.concatenate([times for times, _ in parts])
    sizes = np.concatenate([np.full(len(rows), rows.shape[1]) for _, rows in parts])
    order = np.argsort(times // 1000, kind="stable")
    begins = np.empty(len(order), np.int64)
    begins[order] = np.cumsum(sizes[order]) - sizes[order]
    out = np.empty(int(sizes.sum()), np.uint8)
    at = 0
    for _, rows in parts:
        out[begins[at : at + len(rows), None] + np.arange(rows.shape[1])] = rows
        at += len(rows)
    return out.tobytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kind", choices=("mix", "mail", "flood", "bulk"))
    parser.add_argument("megabytes", type=int)
    parser.add_argument("path", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(generate(arguments.kind, arguments.megabytes, arguments.path, arguments.seed))


if __name__ == "__main__":
    main()
