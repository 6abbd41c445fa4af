"""Files that are no captures, or cannot be read, cost nothing but themselves."""

from __future__ import annotations

import gzip
import socket
import struct
import sys
import time
import tracemalloc
import zlib
from pathlib import Path

import lz4.frame
import pytest
import zstandard

from op25b_pcap.capture.observation import Observation
from tests.capture_files import LE, meant, packets, pcap, read, told

CONTENT = packets(5)


def with_a_sound_one(tmp_path: Path, other: Path) -> str:
    """Read `other` beside a sound capture; the only damage, which must be of `other`."""
    sound = tmp_path / "sound"
    sound.write_bytes(pcap(CONTENT))
    observation = Observation([other, sound])
    assert told(observation) == meant(CONTENT)
    captures = {capture.path: capture for capture in observation.captures}
    assert not captures[sound].damages
    (damage,) = captures[other].damages
    assert damage.offset == 0
    assert str(damage).startswith(f"{captures[other].name}: at octet 0 (uncompressed): ")
    return damage.reason


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"snoop\0\0\0\0\0\0\2", "a snoop capture"),
        (b"RTSS\1\1", "a Microsoft Network Monitor capture"),
        (b"TRSNIFF data    \x1a", "a Sniffer capture"),
        (b"iptrace 2.0", "an AIX iptrace capture"),
        (b"PK\x03\x04", "a zip archive"),
        (b"\x7fELF\2", "an ELF program"),
        (b"PAR1", "a Parquet table"),
        (b"\x02\x21\x4c\x18", "an LZ4 file of the old format without frames"),
        (b"\0" * 257 + b"ustar", "a tar archive"),
        (b"GET / HTTP/1.1\r\n", "text"),
        (bytes(5000), "zeros only"),
    ],
)
def test_foreign_files_are_named(tmp_path, head, kind):
    (tmp_path / "foreign").write_bytes(head)
    assert with_a_sound_one(tmp_path, tmp_path / "foreign") == f"no pcap or pcapng file, but {kind}"


def test_foreign_files_of_no_known_kind(tmp_path):
    # An ERF record (time, type 2, lengths) has no magic to be known by.
    (tmp_path / "foreign").write_bytes(struct.pack("<QBBHHH", 1 << 60, 2, 4, 80, 0, 64) + bytes(64))
    assert with_a_sound_one(tmp_path, tmp_path / "foreign") == "no pcap or pcapng file"


def test_an_empty_file(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    assert with_a_sound_one(tmp_path, tmp_path / "empty") == "the file is empty"


def test_a_vanished_file(tmp_path):
    assert with_a_sound_one(tmp_path, tmp_path / "gone") == "it cannot be read (No such file or directory)"


def test_a_folder(tmp_path):
    (tmp_path / "folder").mkdir()
    assert with_a_sound_one(tmp_path, tmp_path / "folder") == "it is a folder"


def test_a_device(tmp_path):
    assert with_a_sound_one(tmp_path, Path("/dev/zero")) == "it is a device"


def test_a_socket(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        assert with_a_sound_one(tmp_path, tmp_path / "socket") == "it is a socket"


def test_a_link_in_a_circle(tmp_path):
    (tmp_path / "link").symlink_to("link")
    assert with_a_sound_one(tmp_path, tmp_path / "link").startswith("it cannot be read (")


def test_a_file_that_fails_while_it_is_read(tmp_path):
    # Nobody has mapped the first page of memory: root, too, gets an error.
    assert with_a_sound_one(tmp_path, Path("/proc/self/mem")) == "it cannot be read (Input/output error)"


def test_a_name_that_no_file_can_have(tmp_path):
    assert with_a_sound_one(tmp_path, tmp_path / "nul\0") == "it cannot be read (no such file)"
    assert with_a_sound_one(tmp_path, tmp_path / ("x" * 300)) == "it cannot be read (File name too long)"


def test_a_closed_stdin(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert with_a_sound_one(tmp_path, Path("-")) == "stdin is closed"


def test_what_cannot_be_read_has_no_hash(tmp_path):
    _, capture = read(tmp_path / "gone")
    assert (capture.sha256, capture.format, capture.packets) == (None, "", 0)


BOMB_MB = 300
ZEROS = zlib.compressobj(9, wbits=31)
BOMB = b"".join(ZEROS.compress(bytes(1 << 20)) for _ in range(BOMB_MB)) + ZEROS.flush()


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (BOMB, "no pcap or pcapng file, but zeros only"),
        (gzip.compress(pcap(CONTENT)) + BOMB, "zeros where a packet header should be"),
        (gzip.compress(LE.section() + LE.interface()) + BOMB, "a block cannot be 0 octets long"),
        (
            gzip.compress(LE.section() + LE.interface() + struct.pack("<II", 10, 0xFFFFFFF0)) + BOMB,
            "the file ends inside a block",
        ),
        (
            gzip.compress(LE.section() + LE.interface() + struct.pack("<II", 6, 0xFFFFFFF0)) + BOMB,
            "the file ends inside a block",
        ),
    ],
)
def test_zeros_that_unpack_to_very_much_cost_little(tmp_path, octets, reason):
    tracemalloc.start()
    began = time.monotonic()
    _, capture = read(tmp_path / "bomb", octets)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [damage.reason for damage in capture.damages] == [reason]
    assert capture.size == len(octets)
    assert peak < 64 << 20
    assert time.monotonic() - began < 10


def test_pieces_that_unpack_to_very_much_cost_bounded_memory(tmp_path):
    zeros = bytes(200 << 20)
    for name, octets in {
        "zstd": zstandard.ZstdCompressor(level=19).compress(zeros),
        "lz4": lz4.frame.compress(zeros),
    }.items():
        tracemalloc.start()
        _, capture = read(tmp_path / name, octets)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert [damage.reason for damage in capture.damages] == ["no pcap or pcapng file, but zeros only"]
        assert peak < 80 << 20


def test_a_stream_that_asks_for_too_much_memory(tmp_path):
    # A zstd frame whose window is 2 GiB (RFC 8878 section 3.1.1.1.2: exponent 21, mantissa 0).
    greedy = b"\x28\xb5\x2f\xfd" + bytes([0x00, 21 << 3]) + b"\x01\x00\x00"
    _, capture = read(tmp_path / "a", greedy)
    assert [damage.reason for damage in capture.damages] == ["the zstd stream is damaged"]


def test_an_lz4_frame_that_promises_a_petabyte(tmp_path):
    context = lz4.frame.create_compression_context()
    frame = lz4.frame.compress_begin(context, source_size=1 << 50)
    frame += lz4.frame.compress_chunk(context, pcap(packets(5000)))
    records, capture = read(tmp_path / "a", frame)
    assert told(records) == meant(packets(5000))[: len(records)]
    assert [damage.reason for damage in capture.damages] == ["the lz4 stream ends too early"]
