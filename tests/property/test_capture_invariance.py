"""However captures are cut, split, compressed or ordered, the records that are left are the same."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import tempfile
from itertools import pairwise
from pathlib import Path

import lz4.frame
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from op25b_pcap.capture.observation import Observation
from op25b_pcap.capture.octets import Octets, of_pieces
from tests.capture_files import BE, ETHERNET, LE, RAW, START, Packet, meant, packets, pcap, pcapng, read, told

CONTENT = packets(40)
MIXED = b"".join(
    blocks.section()
    + blocks.interface(ETHERNET, resolution=9)
    + blocks.block(4, b"name resolution!")
    + blocks.interface(RAW)
    + blocks.enhanced(START, b"one")
    + blocks.simple(b"two")
    + blocks.obsolete(START // 1000, b"three", 1)
    + blocks.block(5, bytes(40))
    for blocks in (LE, BE)
)
CAPTURES = {
    "pcap": pcap(CONTENT),
    "pcap-ns-be": pcap(CONTENT, ">", 0xA1B23C4D),
    "modified": pcap(CONTENT, "<", 0xA1B2CD34),
    "pcapng": pcapng(CONTENT),
    "pcapng-be": pcapng(CONTENT, ">"),
    "mixed": MIXED,
}
CAPTURES |= {
    "gzip": gzip.compress(CAPTURES["pcap"]),
    "zstd": zstandard.ZstdCompressor().compress(CAPTURES["pcapng"]),
    "xz": lzma.compress(CAPTURES["pcap"]),
    "bzip2": bz2.compress(CAPTURES["pcapng"]),
    "lz4": lz4.frame.compress(CAPTURES["pcap"]),
}
names = st.sampled_from(sorted(CAPTURES))
few = settings(max_examples=150)
contents = st.lists(
    st.builds(
        Packet, st.integers(0, (1 << 62) - 1), st.binary(max_size=60), st.none() | st.integers(0, 2**32 - 1)
    ),
    max_size=20,
)


def read_octets(octets: bytes):
    with tempfile.TemporaryDirectory() as folder:
        return read(Path(folder, "a"), octets)


@few
@given(names, st.data())
def test_any_cut_gives_a_prefix_and_at_most_one_damage(name, data):
    octets = CAPTURES[name]
    records, capture = read_octets(octets[: data.draw(st.integers(0, len(octets)))])
    whole, _ = read_octets(octets)
    assert records == whole[: len(records)]
    assert capture.packets == len(records)
    assert len(capture.damages) <= 1


@few
@given(contents)
def test_both_byte_orders_hold_the_same_records(content):
    little, _ = read_octets(pcapng(content, "<"))
    big, _ = read_octets(pcapng(content, ">"))
    assert little == big
    assert told(little) == meant(content)
    assert [record.length for record in little] == [
        len(packet.data) if packet.length is None else packet.length for packet in content
    ]


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 40), max_size=6),
    st.randoms(use_true_random=False),
    st.lists(st.integers(0, 3), max_size=40),
)
def test_any_split_in_any_order_gives_the_same_records(cuts: list[int], rng: random.Random, steps: list[int]):
    content, now = [], START
    for index, step in enumerate(steps):
        now += step * 1000
        content.append(Packet(now, bytes([index])))
    edges = [0, *sorted(cuts), len(content)]
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for index, (begin, end) in enumerate(pairwise(edges)):
            paths.append(Path(folder, f"tap{index}"))
            write = rng.choice([pcap, pcapng, lambda piece: gzip.compress(pcap(piece))])
            paths[-1].write_bytes(write(content[begin:end]))
        rng.shuffle(paths)
        observation = Observation(paths)
        assert told(observation) == meant(content)
        assert not any(capture.damages for capture in observation.captures)


@settings(max_examples=300)
@given(names, st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8))
def test_changed_octets_never_raise(name, changes):
    octets = bytearray(CAPTURES[name])
    for place, value in changes:
        octets[place % len(octets)] = value
    records, capture = read_octets(bytes(octets))
    assert capture.packets == len(records)
    assert [record.number for record in records] == list(range(1, len(records) + 1))
    assert all(0 <= record.time_ns < 1 << 62 for record in records)
    assert capture.size == len(octets)


@few
@given(st.sampled_from([octets[:4] for octets in CAPTURES.values()]), st.binary(max_size=300))
def test_any_octets_after_a_magic_never_raise(magic, rest):
    _, capture = read_octets(magic + rest)
    assert capture.size == len(magic + rest)


@few
@given(
    st.lists(st.binary(max_size=9), max_size=12),
    st.integers(1, 12),
    st.lists(st.integers(0, 20), max_size=12),
)
def test_a_window_shows_the_stream_whatever_its_pieces(pieces, step, moves):
    stream = b"".join(pieces)
    octets = Octets(of_pieces(iter(pieces)), step)
    at = 0
    for index, move in enumerate(moves):
        if index % 2:
            assert octets.reach(move) == (at + move <= len(stream))
            assert stream.startswith(bytes(octets.window[octets.at :]), at)
        elif octets.skip(move):
            at += move
            assert octets.offset == at
        else:
            assert at + move > len(stream)
            return
