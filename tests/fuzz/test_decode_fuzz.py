"""Bounded fuzzing: mutated captures, and packets made to cost time."""

from __future__ import annotations

import random
import struct
import time

import pytest

from op25b_pcap.samples.frames import ip
from op25b_pcap.wire.layers import LINK_TYPES
from tests.encapsulations import CLIENT6, GRE, SERVER6, STATIONS, WLAN_QOS, WRAPPED, decoded, frame, record

pytestmark = pytest.mark.fuzz

ROUNDS = 12_000
SECONDS = 2
"""Far more than any record here takes on any machine; a quadratic walk takes minutes."""


def mutated(rng: random.Random, octets: bytes) -> bytes:
    data = bytearray(octets)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(6):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                data[at : at + 2] = rng.choice((b"\0\0", b"\xff\xff", b"\x08\0", b"\x86\xdd", b"\0\x19"))
            case 2:
                del data[at:]
            case 3:
                del data[at : at + rng.randrange(1, 9)]
            case 4:
                other = rng.choice(list(WRAPPED.values())).data
                data[at:] = other[rng.randrange(len(other)) :]
            case 5:
                data[at:at] = rng.randbytes(rng.randrange(1, 9))
    return bytes(data)


@pytest.mark.parametrize("seed", range(4))
def test_mutated_packets(seed):
    rng = random.Random(seed)
    frames = list(WRAPPED.values())
    link_types = sorted(LINK_TYPES)

    def records():
        for number in range(ROUNDS):
            link_type, octets, *_ = rng.choice(frames)
            data = mutated(rng, octets)
            length = rng.choice((len(data), len(data) + rng.randrange(2000), 0))
            yield record(
                data, rng.choice((link_type, link_type, rng.choice(link_types))), length, number, number / 100
            )

    packets, tally = decoded(records())
    assert tally.read == ROUNDS
    assert ROUNDS / 10 < len(packets) < ROUNDS


def nested_ip(octets: int) -> bytes:
    headers = octets // 20
    return b"".join(
        struct.pack("!BBHHHBBH4s4s", 0x45, 0, octets - 20 * n, 0, 0, 64, 4, 0, b"\xc0\0\2\1", b"\xc0\0\2\2")
        for n in range(headers)
    )


HUGE = 1 << 20
BOMBS = {
    "ip in ip": (nested_ip(65_520), 101),
    "gre in gre": (b"\0\0\x08\0".join([nested_ip(20)[:9] + b"\x2f" + nested_ip(20)[10:]] * 2000), 101),
    "labels": (bytes(HUGE), 219),
    "vlans": (frame(0x8100, b"\0\1\x81\0" * (HUGE // 4)), 1),
    "extension headers": (ip(CLIENT6, SERVER6, 60, b"\x3c\0\1\4\0\0\0\0" * 8000, 64), 101),
    "options": (ip(CLIENT6, SERVER6, 60, b"\6\xff" + bytes(2046) + bytes(60), 64), 101),
    "padding options": (ip(CLIENT6, SERVER6, 0, b"\6\xff" + b"\1\0" * 1023 + bytes(60), 64), 101),
    "source routes": (
        ip("192.0.2.1", "192.0.2.2", GRE, b"\x40\0\x08\0" + bytes(4) + b"\0\1\0\0" * 16000, 64),
        101,
    ),
    "attributes": (b"\2\0\0\0" + b"\x04\0\5\0" * (HUGE // 4), 239),
    "aggregate": (
        WLAN_QOS[:24] + b"\x80\0" + (STATIONS + b"\0\2\0\0") * (HUGE // 16),
        105,
    ),
    "flags": (b"~" * HUGE, 9),
    "frames": (b"~!E" * (HUGE // 3), 9),
    "escapes": (b"~" + b"}!" * (HUGE // 2), 9),
    "extensions of gtp": (
        ip(
            "192.0.2.1",
            "192.0.2.2",
            17,
            struct.pack("!HHHH", 9, 2152, 65_500, 0)
            + b"\x34\xff\xff\0\0\0\0\1"
            + b"\0\0\0\xc0"
            + b"\1\0\0\xc0" * 16000,
            64,
        ),
        101,
    ),
    "tags of tzsp": (
        ip(
            "192.0.2.1",
            "192.0.2.2",
            17,
            struct.pack("!HHHH", 9, 37008, 65_500, 0) + b"\1\0\0\1" + bytes(65_000),
            64,
        ),
        101,
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_packet_made_to_cost_time_costs_little(name):
    data, link_type = BOMBS[name]
    began = time.process_time()
    packets, _ = decoded([record(data, link_type)])
    assert time.process_time() - began < SECONDS
    assert not packets


def test_a_flood_of_fragments_costs_little():
    def part(number: int, start: int) -> bytes:
        packet = bytearray(ip("192.0.2.1", "192.0.2.2", 6, bytes(8), 64, number))
        packet[6:8] = struct.pack("!H", 1 << 13 | start)
        return bytes(packet)

    flood = [part(number, 2 * start) for number in range(8) for start in range(1, 1000)]
    began = time.process_time()
    packets, tally = decoded(record(data, 101, number=n) for n, data in enumerate(flood))
    assert time.process_time() - began < len(flood) / 1000
    assert (packets, dict(tally.skipped)) == ([], {"fragment": len(flood)})
