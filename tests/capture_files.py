"""Octets of pcap and pcapng files by struct, and what a reader made of them."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from op25b_pcap.capture.observation import Capture, Observation
from op25b_pcap.capture.record import Record
from op25b_pcap.samples.frames import ACK, PSH, SYN, TCP, ip, tcp
from op25b_pcap.tables.streams import Side

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
ETHERNET = 1
RAW = 101


class Packet(NamedTuple):
    time_ns: int
    data: bytes
    length: int | None = None
    """Octets on the wire, if not those of `data`."""


def packets(count: int, start_ns: int = START) -> list[Packet]:
    """Packets a millisecond apart that can be told from one another."""
    return [Packet(start_ns + i * 1_000_000, struct.pack(">I", i) * (1 + i % 7)) for i in range(count)]


def pcap_header(
    order: str = "<",
    magic: int = 0xA1B2C3D4,
    snap: int = 262144,
    link: int = ETHERNET,
    version: tuple = (2, 4),
) -> bytes:
    return struct.pack(order + "IHHiIII", magic, *version, 0, 0, snap, link)


def pcap(
    content: Iterable[Packet],
    order: str = "<",
    magic: int = 0xA1B2C3D4,
    snap: int = 262144,
    link: int = ETHERNET,
) -> bytes:
    tick_ns = 1 if magic == 0xA1B23C4D else 1000
    extra = bytes(8) if magic == 0xA1B2CD34 else b""
    parts = [pcap_header(order, magic, snap, link)]
    for time_ns, data, length in content:
        seconds, rest_ns = divmod(time_ns, SECOND)
        captured = len(data)
        wire = captured if length is None else length
        parts += [struct.pack(order + "IIII", seconds, rest_ns // tick_ns, captured, wire), extra, data]
    return b"".join(parts)


class Blocks:
    """Blocks of pcapng in one byte order."""

    def __init__(self, order: str = "<") -> None:
        self.order = order

    def block(self, kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        length = struct.pack(self.order + "I", 12 + len(body))
        return struct.pack(self.order + "I", kind) + length + body + length

    def section(self, version: tuple = (1, 0), length: int = -1) -> bytes:
        return self.block(0x0A0D0D0A, struct.pack(self.order + "IHHq", 0x1A2B3C4D, *version, length))

    def option(self, code: int, value: bytes) -> bytes:
        return struct.pack(self.order + "HH", code, len(value)) + value + bytes(-len(value) % 4)

    def interface(
        self, link: int = ETHERNET, snap: int = 0, resolution: int | None = None, offset_s: int | None = None
    ) -> bytes:
        options = b""
        if resolution is not None:
            options += self.option(9, bytes([resolution]))
        if offset_s is not None:
            options += self.option(14, struct.pack(self.order + "q", offset_s))
        end = self.option(0, b"") if options else b""
        return self.block(1, struct.pack(self.order + "HHI", link, 0, snap) + options + end)

    def enhanced(
        self,
        ticks: int,
        data: bytes,
        interface: int = 0,
        length: int | None = None,
        captured: int | None = None,
    ) -> bytes:
        fixed = struct.pack(
            self.order + "IIIII",
            interface,
            ticks >> 32,
            ticks & 0xFFFFFFFF,
            len(data) if captured is None else captured,
            len(data) if length is None else length,
        )
        return self.block(6, fixed + data)

    def obsolete(self, ticks: int, data: bytes, interface: int = 0) -> bytes:
        high, low = divmod(ticks, 1 << 32)
        fixed = struct.pack(self.order + "HHIIII", interface, 7, high, low, len(data), len(data))
        return self.block(2, fixed + data)

    def simple(self, data: bytes, length: int | None = None) -> bytes:
        return self.block(3, struct.pack(self.order + "I", len(data) if length is None else length) + data)


LE, BE = Blocks("<"), Blocks(">")


def pcapng(content: Iterable[Packet], order: str = "<") -> bytes:
    """One section and one interface with nanoseconds."""
    blocks = Blocks(order)
    body = (blocks.enhanced(time_ns, data, length=length) for time_ns, data, length in content)
    return blocks.section() + blocks.interface(resolution=9) + b"".join(body)


def read(path: Path, octets: bytes | None = None) -> tuple[list[Record], Capture]:
    """Records and account of one file, after writing it if its octets are given."""
    if octets is not None:
        path.write_bytes(octets)
    observation = Observation([path])
    records = list(observation)
    return records, observation.captures[0]


def told(records: Iterable[Record]) -> list[tuple[int, bytes]]:
    return [(record.time_ns, record.data) for record in records]


def meant(content: Iterable[Packet]) -> list[tuple[int, bytes]]:
    return [(packet.time_ns, packet.data) for packet in content]


def conversation(turns: Iterable[tuple[Side, bytes]], port: int) -> bytes:
    """A pcap of what client and server of that port say by turns, from SYN on."""
    ends = {Side.CLIENT: "203.0.113.5", Side.SERVER: "198.51.100.7"}
    ports, sent = {Side.CLIENT: 50000, Side.SERVER: port}, dict.fromkeys(Side, 0)
    found: list[Packet] = []

    def send(side: Side, flags: int, payload: bytes = b"") -> None:
        other = Side.SERVER if side is Side.CLIENT else Side.CLIENT
        pair, numbers = (ends[side], ends[other]), (sent[side], sent[other])
        segment = tcp(pair, (ports[side], ports[other]), numbers, flags, 65535, payload=payload)
        found.append(Packet(START + len(found) * 1_000_000, ip(*pair, TCP, segment, 64)))
        sent[side] += len(payload) + bool(flags & SYN)

    for side, flags in ((Side.CLIENT, SYN), (Side.SERVER, SYN | ACK), (Side.CLIENT, ACK)):
        send(side, flags)
    for side, data in turns:
        send(side, PSH | ACK, data)
    return pcap(found, link=RAW)
