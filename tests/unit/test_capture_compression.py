from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import random
import struct
from collections.abc import Callable

import lz4.frame
import pytest
import zstandard

from tests.capture_files import meant, packets, pcap, pcapng, read, told

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "lz4": lambda octets: lz4.frame.compress(octets, content_checksum=True),
}
CONTENT = packets(500)
every_compression = pytest.mark.parametrize("name", COMPRESS)
SKIPPABLE = struct.pack("<II", 0x184D2A50, 4) + b"note"


def noisy(count: int) -> list:
    """Packets that hardly compress, so that the compressed file is long."""
    rng = random.Random(1)
    return [packet._replace(data=rng.randbytes(200)) for packet in packets(count)]


@every_compression
@pytest.mark.parametrize("container", [pcap, pcapng])
def test_compression_is_told_by_its_octets(tmp_path, name, container):
    octets = COMPRESS[name](container(CONTENT))
    records, capture = read(tmp_path / "whatever.txt", octets)
    assert told(records) == meant(CONTENT)
    assert (capture.compression, capture.damages) == (name, [])
    assert (capture.size, capture.sha256) == (len(octets), hashlib.sha256(octets).hexdigest())


@every_compression
@pytest.mark.parametrize("cut", [1, 3, 24, 1000])
def test_several_members_are_one_stream(tmp_path, name, cut):
    octets = pcap(CONTENT)
    parts = (octets[:cut], b"", octets[cut:5000], octets[5000:])
    records, capture = read(tmp_path / "a", b"".join(COMPRESS[name](part) for part in parts))
    assert told(records) == meant(CONTENT)
    assert not capture.damages


@every_compression
def test_zeros_may_pad_members(tmp_path, name):
    octets = pcap(CONTENT)
    padded = COMPRESS[name](octets[:100]) + bytes(512) + COMPRESS[name](octets[100:]) + bytes(2048)
    records, capture = read(tmp_path / "a", padded)
    assert told(records) == meant(CONTENT)
    assert not capture.damages


@pytest.mark.parametrize("name", ["zstd", "lz4"])
def test_skippable_frames_are_skipped(tmp_path, name):
    octets = pcap(CONTENT)
    middle = COMPRESS[name](octets[:100]) + SKIPPABLE + COMPRESS[name](octets[100:]) + SKIPPABLE
    records, capture = read(tmp_path / "a", middle)
    assert told(records) == meant(CONTENT)
    assert not capture.damages


def test_zstd_may_begin_with_a_skippable_frame(tmp_path):
    records, capture = read(tmp_path / "a", SKIPPABLE + COMPRESS["zstd"](pcap(CONTENT)))
    assert told(records) == meant(CONTENT)
    assert capture.compression == "zstd"


@every_compression
def test_a_cut_stream_gives_what_came_before(tmp_path, name):
    octets = COMPRESS[name](pcap(noisy(5000)))
    whole, _ = read(tmp_path / "whole", octets)
    records, capture = read(tmp_path / "cut", octets[: len(octets) * 9 // 10])
    assert len(records) > 3000
    assert told(records) == told(whole)[: len(records)]
    assert [d.reason for d in capture.damages] == [f"the {name} stream ends too early"]


@every_compression
def test_a_cut_in_the_checksum_costs_no_packet(tmp_path, name):
    octets = COMPRESS[name](pcap(CONTENT))[:-1]
    records, capture = read(tmp_path / "a", octets)
    assert told(records) == meant(CONTENT)
    assert [d.reason for d in capture.damages] == [f"the {name} stream ends too early"]


@every_compression
def test_a_wrong_checksum_costs_no_packet(tmp_path, name):
    octets = bytearray(COMPRESS[name](pcap(CONTENT)))
    # gzip ends in CRC and length, xz in a footer of 12 octets, bzip2 in a CRC of odd bits.
    octets[-5 if name in ("gzip", "bzip2") else -1] ^= 0x40
    records, capture = read(tmp_path / "a", bytes(octets))
    assert told(records) == meant(CONTENT)
    assert [d.reason for d in capture.damages] == [f"the {name} stream is damaged"]


@every_compression
def test_damage_in_the_middle_costs_the_rest(tmp_path, name):
    content = noisy(20_000)
    octets = bytearray(COMPRESS[name](pcap(content)))
    middle = len(octets) // 2
    octets[middle : middle + 4096] = b"\xff" * 4096
    records, capture = read(tmp_path / "a", bytes(octets))
    # Up to the damage within one block: of bzip2 900 kB, of lz4 64 kB, of the rest less.
    assert len(records) > 5_000
    assert told(records)[:5_000] == meant(content)[:5_000]
    assert len(capture.damages) == 1
    assert (capture.size, capture.sha256) == (len(octets), hashlib.sha256(octets).hexdigest())


@every_compression
def test_what_follows_a_stream_costs_no_packet(tmp_path, name):
    records, capture = read(tmp_path / "a", COMPRESS[name](pcap(CONTENT)) + b"nothing of the kind")
    assert told(records) == meant(CONTENT)
    assert [d.reason for d in capture.damages] == [f"the {name} stream is damaged in member 2"]


@every_compression
def test_a_stream_of_nothing_is_an_empty_file(tmp_path, name):
    _, capture = read(tmp_path / "a", COMPRESS[name](b""))
    assert [(d.offset, d.reason) for d in capture.damages] == [(0, "the file is empty")]


@every_compression
def test_a_stream_within_a_stream_is_named(tmp_path, name):
    _, capture = read(tmp_path / "a", gzip.compress(COMPRESS[name](pcap(CONTENT))))
    assert [d.reason for d in capture.damages] == [
        f"no pcap or pcapng file, but a {name} stream within another"
    ]
