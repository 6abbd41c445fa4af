"""Both engines make the same packets, the same tally and the same tables of everything."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from op25b_pcap import compiled
from op25b_pcap.pipeline import analyse
from op25b_pcap.samples.frames import icmp_error, ip, tcp, udp
from op25b_pcap.tables import TABLES
from op25b_pcap.wire.layers import (
    ETHER_TYPES,
    IP_PROTOCOLS,
    IPV6_PROTOCOLS,
    LINK_TYPES,
    PPP_PROTOCOLS,
    UDP_PORTS,
)
from op25b_pcap.wire.services import WATCHED
from tests.capture_files import Packet, pcap
from tests.encapsulations import (
    CLIENT,
    CLIENT6,
    FAR,
    FAR6,
    NEAR,
    NEAR6,
    SERVER,
    SERVER6,
    WRAPPED,
    frame,
    record,
)
from tests.scans import assert_equal, assert_observed_equal

SAMPLES = sorted(
    path
    for path in (Path(__file__).parents[2] / "sample_pcaps").rglob("*")
    if path.is_file() and path.suffix not in (".md", ".toml")
)
many = settings(max_examples=300)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_every_sample_alone(path):
    assert assert_observed_equal([path]).made.tally.read


@pytest.mark.parametrize("worthwhile", [0, 1 << 60], ids=["compiled", "as Python"])
def test_all_samples_together_give_the_same_tables(worthwhile, monkeypatch):
    monkeypatch.setattr(compiled, "WORTHWHILE", worthwhile)
    monkeypatch.setattr(compiled, "WORTH_COMPILING", worthwhile)
    fast, reference = analyse(SAMPLES), analyse(SAMPLES, engine="scapy")
    assert fast.tally == reference.tally
    assert reference.by_scapy == reference.tally.read > fast.by_scapy
    assert set(TABLES) == set(fast.tables)
    for name in TABLES:
        assert TABLES[name].arrow(fast.tables[name]).equals(TABLES[name].arrow(reference.tables[name])), name


ports = st.sampled_from(sorted(WATCHED)) | st.sampled_from(sorted(UDP_PORTS)) | st.integers(0, 65535)


@st.composite
def transports(draw):
    """Protocol and octets of what an IP packet carries in the end."""
    pair = (draw(ports), draw(ports))
    match draw(st.integers(0, 3)):
        case 0 | 1:
            options = draw(st.binary(max_size=10)) + bytes(10)
            options = options[: draw(st.sampled_from((0, 4, 8)))]
            numbers = (draw(st.integers(0, (1 << 32) - 1)), draw(st.integers(0, (1 << 32) - 1)))
            segment = tcp(
                (CLIENT, SERVER), pair, numbers, draw(st.integers(0, 255)), draw(st.integers(0, 65535)),
                options, draw(st.binary(max_size=40)),
            )  # fmt: skip
            return 6, segment
        case 2:
            return 17, udp((CLIENT, SERVER), pair, draw(st.binary(max_size=40)))
        case _:
            protocol = draw(st.sampled_from((1, 58)))
            body = struct.pack(
                "!BBHBBH",
                draw(st.integers(0, 12)),
                draw(st.integers(0, 13)),
                0,
                draw(st.integers(0, 9)),
                draw(st.integers(0, 9)),
                0,
            )
            inner = tcp((CLIENT, SERVER), pair, (7, 0), 2, 0)
            quoted = (
                ip(CLIENT, SERVER, 6, inner, 64)
                if draw(st.booleans())
                else ip(CLIENT6, SERVER6, 6, inner, 64)
            )
            return protocol, body + quoted[: draw(st.integers(0, 80))]


EXTENSIONS = (0, 43, 44, 51, 60, 135)


@st.composite
def in_ip(draw, depth=2):
    """An IP packet, with extension headers and tunnels."""
    protocol, body = draw(transports())
    for _ in range(draw(st.integers(0, depth))):
        kind = draw(st.sampled_from(("ipv4", "ipv6", "gre", "extension")))
        if kind == "ipv4":
            packet = bytearray(ip(NEAR, FAR, protocol, body, 64, draw(st.integers(0, 65535))))
            if draw(st.integers(0, 9)) == 0:
                packet[6:8] = draw(st.binary(min_size=2, max_size=2))
            if draw(st.integers(0, 9)) == 0:
                packet[2:4] = draw(st.sampled_from((b"\0\0", b"\0\x14", b"\0\x13", b"\xff\xff")))
            if draw(st.integers(0, 9)) == 0:
                packet[0] = draw(st.integers(0, 255))
            protocol, body = 4, bytes(packet)
        elif kind == "ipv6":
            protocol, body = 41, ip(NEAR6, FAR6, protocol, body, 64)
        elif kind == "gre":
            flags = draw(st.sampled_from((0, 0x2000, 0x3000, 0xB000, 0x4000, 1)))
            words = b"".join(
                draw(st.binary(min_size=4, max_size=4)) for bit in (0x8000, 0x2000, 0x1000) if flags & bit
            )
            ether_type = draw(st.sampled_from((0x0800, 0x86DD, 0x6558, 0x8847, 0)))
            protocol, body = 47, struct.pack("!HH", flags, ether_type) + words + body
        else:
            length = draw(st.integers(0, 2))
            header = bytes([protocol & 255, length]) + draw(
                st.binary(min_size=6 + 8 * length, max_size=6 + 8 * length)
            )
            protocol, body = draw(st.sampled_from(EXTENSIONS)), header + body
    if draw(st.booleans()):
        return ip(NEAR, FAR, protocol, body, 64, 9)
    return ip(CLIENT6, SERVER6, protocol, body, 64)


@st.composite
def frames(draw):
    """Link type and octets."""
    packet = draw(in_ip())
    number = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
    number = draw(st.sampled_from((number,) * 4 + tuple(ETHER_TYPES) + (0x26, 0x0806)))
    for _ in range(draw(st.integers(0, 3))):
        match draw(st.integers(0, 2)):
            case 0:
                packet, number = (
                    draw(st.binary(min_size=2, max_size=2)) + struct.pack("!H", number) + packet,
                    0x8100,
                )
            case 1:
                ppp = draw(st.sampled_from((b"\0\x21", b"\0\x57", b"\x21", b"\xff\3\0\x21", b"\xc0\x21")))
                length = len(packet) + len(ppp) + draw(st.sampled_from((0, 0, 0, 1, -1, -30)))
                packet = struct.pack("!BBHH", 0x11, 0, draw(st.integers(0, 9)), max(length, 0)) + ppp + packet
                number = 0x8864
            case 2:
                packet, number = (
                    struct.pack("!I", draw(st.integers(0, 1 << 20)) << 8 & 0xFFFFFFFF | 0x140) + packet,
                    0x8847,
                )
    match draw(st.integers(0, 5)):
        case 0:
            return 113, struct.pack(
                "!HHH8sH",
                draw(st.integers(0, 4)),
                draw(st.sampled_from((1, 778, 824))),
                6,
                b"station",
                number,
            ) + packet
        case 1:
            return 276, struct.pack(
                "!HHIHBB8s", number, 0, 3, 1, draw(st.integers(0, 4)), 6, b"station"
            ) + packet
        case 2:
            return draw(st.sampled_from((0, 12, 101, 108, 228))), draw(
                st.sampled_from((b"", b"\2\0\0\0", b"\0\0\0\x1c"))
            ) + packet
        case 3:
            return draw(st.sampled_from((9, 50, 51, 166, 204))), draw(
                st.sampled_from((b"\0\x21", b"\xff\3\0\x57", b"\x21", b"\x0f\0\x08\0"))
            ) + packet
        case _:
            return 1, frame(number, packet)


@st.composite
def captured(draw):
    """A record of a frame, perhaps cut, mutated, or later or earlier than the one before."""
    link_type, data = draw(frames())
    octets = bytearray(data)
    for _ in range(draw(st.sampled_from((0, 0, 0, 1, 3)))):
        octets[draw(st.integers(0, len(octets) - 1))] = draw(st.integers(0, 255))
    size = draw(st.just(len(octets)) | st.integers(0, len(octets)))
    length = draw(st.sampled_from((len(octets), size, 0, 1 << 31)))
    at_s = draw(st.sampled_from((0, 0, 1, 20, 31, 62, 100)))
    return record(bytes(octets[:size]), link_type, length, at_s=at_s)


@many
@given(st.lists(captured(), max_size=12), st.integers(1, 13))
def test_generated_frames(records, most):
    assert_equal(records, most)


@many
@given(
    st.sampled_from(sorted(WRAPPED)),
    st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 2), st.binary(max_size=3)), max_size=4
    ),
    st.none() | st.sampled_from(sorted(LINK_TYPES)) | st.integers(0, 65535),
    st.none() | st.integers(0, (1 << 32) - 1),
)
def test_mutated_wrappings(name, changes, link_type, length):
    octets = bytearray(WRAPPED[name].data)
    for place, cut, new in changes:
        at = int(place * len(octets))
        octets[at : at + cut] = new
    assert_equal([record(bytes(octets), WRAPPED[name].link_type if link_type is None else link_type, length)])


def parts(number: int, payload: bytes, size: int = 24):
    """An IP packet in parts."""
    whole = tcp((CLIENT, SERVER), (50000, 25), (1000, number), 0x18, 9, b"", payload)
    for start in range(0, len(whole), size):
        packet = bytearray(ip(CLIENT, SERVER, 6, whole[start : start + size], 64, number))
        packet[6:8] = struct.pack("!H", (start + size < len(whole)) << 13 | start // 8)
        yield bytes(packet)


@pytest.mark.parametrize("seed", range(6))
def test_fragments_come_late_at_the_same_place(seed):
    """Other traffic goes by while parts are waited for; who is waited for no longer comes between."""
    rng = random.Random(seed)
    whole = ip(CLIENT, SERVER, 6, tcp((CLIENT, SERVER), (50000, 587), (1, 2), 16, 9), 64)
    foreign = ip(CLIENT, SERVER, 17, udp((CLIENT, SERVER), (9, 9), b""), 64)
    packets = [part for n in range(40) for part in parts(n, bytes(60)) if rng.random() < 0.7]
    packets += [whole] * 60 + [foreign] * 200
    rng.shuffle(packets)
    clock = sorted(rng.uniform(0, 300) for _ in packets)
    records = [record(packet, 101, at_s=at_s) for packet, at_s in zip(packets, clock, strict=True)]
    made = assert_equal(records, rng.choice((3, 50, 1000)))
    assert made.by_scapy > 80
    assert made.tally.skipped["fragment"]


def test_more_fragments_than_are_held():
    flood = [next(parts(n, bytes(60))) for n in range(4200)]
    whole = ip(CLIENT, SERVER, 6, tcp((CLIENT, SERVER), (50000, 587), (1, 2), 16, 9), 64)
    records = [record(packet, 101) for first in flood for packet in (first, whole)]
    made = assert_equal(records, 500)
    assert len(made.packets) == 2 * 4200


@many
@given(st.lists(captured(), min_size=1, max_size=20), st.integers(0, 40))
def test_captures_of_them(tmp_path_factory, records, cut):
    content = pcap(
        (Packet(r.time_ns, r.data, r.length) for r in records if r.data), link=records[0].link_type
    )
    path = tmp_path_factory.mktemp("scan") / "a.pcap"
    path.write_bytes(content[: len(content) - cut])
    assert_observed_equal([path])


def test_the_strategies_meet_what_they_are_for():
    """Else the tests above would prove little."""
    assert set(EXTENSIONS) <= set(IPV6_PROTOCOLS)
    assert {0x21, 0x57} <= set(PPP_PROTOCOLS)
    assert 47 in IP_PROTOCOLS
    packet = icmp_error(
        "192.0.2.9",
        CLIENT,
        3,
        13,
        ip(CLIENT, SERVER, 6, tcp((CLIENT, SERVER), (5, 25), (0, 0), 2, 0), 64),
        64,
    )
    assert len(assert_equal([record(packet, 101)]).packets) == 1
