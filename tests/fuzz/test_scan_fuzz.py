"""Bounded fuzzing: the fast engine against the reference, frame by frame and file by file."""

from __future__ import annotations

import random

import pytest

from op25b_pcap.wire.layers import LINK_TYPES
from tests.capture_files import START, Packet, pcap, pcapng
from tests.encapsulations import WRAPPED, record
from tests.fuzz.test_decode_fuzz import BOMBS, mutated
from tests.scans import assert_equal, assert_observed_equal

pytestmark = pytest.mark.fuzz

ROUNDS = 6000
FILES = 150


@pytest.mark.parametrize("seed", range(3))
def test_mutated_packets(seed):
    rng = random.Random(seed)
    frames = list(WRAPPED.values())
    link_types = sorted(LINK_TYPES)
    records = []
    for number in range(ROUNDS):
        link_type, octets, *_ = rng.choice(frames)
        data = mutated(rng, octets)
        length = rng.choice((len(data), len(data) + rng.randrange(2000), 0))
        link_type = rng.choice((link_type, link_type, rng.choice(link_types)))
        records.append(record(data, link_type, length, at_s=number / 100))
    made = assert_equal(records)
    assert made.by_scapy < ROUNDS * 0.7


@pytest.mark.parametrize("seed", range(2))
def test_mutated_files(seed, tmp_path):
    rng = random.Random(seed)
    frames = [wrapped.data for wrapped in WRAPPED.values() if wrapped.link_type == 1]
    for _ in range(FILES):
        content = [Packet(START + n * 10**8, mutated(rng, rng.choice(frames)) or b"x") for n in range(20)]
        octets = rng.choice(
            (
                pcap(content, rng.choice("<>"), rng.choice((0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34))),
                pcapng(content, rng.choice("<>")),
            )
        )
        for _ in range(rng.randrange(4)):
            octets = octets[:24] + mutated(rng, octets[24:])
        path = tmp_path / "a"
        path.write_bytes(octets)
        assert_observed_equal([path])


@pytest.mark.parametrize("name", BOMBS)
def test_packets_made_to_cost_time(name):
    data, link_type = BOMBS[name]
    assert_equal([record(data, link_type)])
