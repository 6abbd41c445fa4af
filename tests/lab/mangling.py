"""Loss, duplication and disorder, made from a real capture where the kernel has no netem.

Only what a capture point may do is done: a packet that was on the wire is missing, is there
twice, or stands after its successor of the same connection and direction.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

ETHERNET, TCP = 14, 6  # octets of the link header; protocol number


@dataclass(frozen=True)
class Packet:
    """A captured frame: nanoseconds, octets, and whose segment it is (None if it is no TCP)."""

    time_ns: int
    frame: bytes
    connection: tuple[str, int, str, int] | None
    seq: int
    payload_octets: int


Mangle = Callable[[list[Packet]], list[Packet]]


def rewrite(capture: Path, mangled: Path, mangle: Mangle) -> set[tuple[str, int, str, int]]:
    """Writes the capture mangled; returns the connections, both ways, that lost packets."""
    packets = _read(capture)
    after = mangle(packets)
    header = capture.read_bytes()[:24]
    with mangled.open("wb") as out:
        out.write(header)
        for packet in after:
            seconds, nanoseconds = divmod(packet.time_ns, 1_000_000_000)
            length = len(packet.frame)
            out.write(struct.pack("<4I", seconds, nanoseconds, length, length) + packet.frame)
    kept = {id(packet.frame) for packet in after}
    lost = {each.connection for each in packets if each.connection and id(each.frame) not in kept}
    return lost | {(dst, dst_port, src, src_port) for src, src_port, dst, dst_port in lost}


def duplicated(packets: list[Packet]) -> list[Packet]:
    """Every third packet stands there twice, as from a mirror port that delivers some again."""
    again = [_at(packet.time_ns + 20_000, packet) for packet in packets[::3]]
    return sorted([*packets, *again], key=lambda packet: packet.time_ns)


def reordered(packets: list[Packet]) -> list[Packet]:
    """Every other pair of packets that follow each other in one direction is exchanged."""
    frames = list(packets)
    before: dict[frozenset[object], int] = {}
    pairs = 0
    for number, packet in enumerate(packets):
        if packet.connection is None:
            continue
        src, src_port, dst, dst_port = packet.connection
        ends: frozenset[object] = frozenset(((src, src_port), (dst, dst_port)))
        last = before.get(ends)
        before[ends] = number
        if last is not None and packets[last].connection == packet.connection:
            pairs += 1
            if pairs % 2:
                first, second = frames[last], frames[number]
                frames[last], frames[number] = _at(first.time_ns, second), _at(second.time_ns, first)
                del before[ends]
    return frames


def lossy(nth: int) -> Mangle:
    """Every nth packet that carries data is missing; never the last of its side, nor what was sent twice.

    What follows shows that something is missing; behind the last there may be nothing to show it. And of
    what a busy host has sent again nothing is missing.
    """

    def mangle(packets: list[Packet]) -> list[Packet]:
        last = {packet.connection: id(packet) for packet in packets if packet.payload_octets}
        sent = Counter((packet.connection, packet.seq) for packet in packets if packet.payload_octets)
        with_data = [
            packet
            for packet in packets
            if packet.payload_octets
            and id(packet) != last[packet.connection]
            and sent[packet.connection, packet.seq] == 1
        ]
        lost = {id(packet) for packet in with_data[nth - 1 :: nth]}
        return [packet for packet in packets if id(packet) not in lost]

    return mangle


def _at(time_ns: int, packet: Packet) -> Packet:
    return replace(packet, time_ns=time_ns)


def _read(capture: Path) -> list[Packet]:
    octets = capture.read_bytes()
    magic, _, _, _, _, _, link_type = struct.unpack_from("<IHHiIII", octets)
    assert (magic, link_type) == (0xA1B23C4D, 1), "nanoseconds, Ethernet, as tcpdump was told"
    packets, at = [], 24
    while at < len(octets):
        seconds, nanoseconds, length, _ = struct.unpack_from("<4I", octets, at)
        frame = octets[at + 16 : at + 16 + length]
        packets.append(_packet(seconds * 1_000_000_000 + nanoseconds, frame))
        at += 16 + length
    return packets


def _packet(time_ns: int, frame: bytes) -> Packet:
    ip = frame[ETHERNET:]
    match int.from_bytes(frame[12:14], "big"):
        case 0x0800 if ip[9] == TCP:
            start, end = (ip[0] & 0xF) * 4, int.from_bytes(ip[2:4], "big")
            src, dst = ip[12:16], ip[16:20]
        case 0x86DD if ip[6] == TCP:
            start, end = 40, 40 + int.from_bytes(ip[4:6], "big")
            src, dst = ip[8:24], ip[24:40]
        case _:
            return Packet(time_ns, frame, None, 0, 0)
    tcp = ip[start:end]
    src_port, dst_port, seq = struct.unpack_from("!HHI", tcp)
    connection = (str(ip_address(src)), src_port, str(ip_address(dst)), dst_port)
    return Packet(time_ns, frame, connection, seq, len(tcp) - (tcp[12] >> 4) * 4)
