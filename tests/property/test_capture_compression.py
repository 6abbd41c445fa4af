"""However a stream is cut into pieces or damaged, it unpacks to what the simple way makes of it.

The simple way feeds a decompressor a KiB after the other, and the last octets one by one.
"""

from __future__ import annotations

import bz2
import lzma
import random
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise

import lz4.frame
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from op25b_pcap.capture import compression
from op25b_pcap.capture.octets import Broken

LINE, TAIL = 1024, 32
UNPACK: dict[str, Callable] = {
    "gzip": lambda: zlib.decompressobj(31),
    "zstd": lambda: zstandard.ZstdDecompressor().decompressobj(),
    "xz": lambda: lzma.LZMADecompressor(format=lzma.FORMAT_XZ),
    "bzip2": bz2.BZ2Decompressor,
    "lz4": lz4.frame.LZ4FrameDecompressor,
}
FAULTS = (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError, EOFError, RuntimeError, ValueError)
BY_BLOCKS = ("lz4",)
"""Here a fault may cost less than in the simple way."""
RANDOM = random.Random(25).randbytes(1 << 19)
TEXT = b"".join(b"%d MAIL FROM:<user%d@example.com>\r\n" % (i * i, i) for i in range(8000))
names = st.sampled_from(sorted(UNPACK))
sizes = st.integers(0, 10).map(lambda n: n * 20_001)
contents = st.lists(st.tuples(st.sampled_from(["noise", "text", "zeros"]), sizes), max_size=5).map(
    lambda runs: b"".join(
        {"noise": RANDOM, "text": TEXT, "zeros": bytes(200_010)}[kind][:size] for kind, size in runs
    )
)


def packed(name: str, content: bytes, variant: int) -> bytes:
    if name == "gzip":
        packer = zlib.compressobj(variant % 10, wbits=31)
        return packer.compress(content) + packer.flush()
    if name == "zstd":
        packer = zstandard.ZstdCompressor(
            level=1 + variant % 5, write_checksum=variant % 2 == 0, write_content_size=variant % 3 == 0
        ).compressobj()
        halves = packer.compress(content[: len(content) // 2]) + packer.flush(
            zstandard.COMPRESSOBJ_FLUSH_BLOCK
        )
        return halves + packer.compress(content[len(content) // 2 :]) + packer.flush()
    if name == "lz4":
        return lz4.frame.compress(
            content,
            block_size=4 + variant % 4,
            block_linked=variant % 2 == 0,
            content_checksum=variant % 3 == 0,
            block_checksum=variant % 5 < 2,
            store_size=variant % 7 < 4,
        )
    if name == "xz":
        return lzma.compress(content, preset=0, check=lzma.CHECK_CRC32 if variant % 2 else lzma.CHECK_NONE)
    return bz2.compress(content, 1)


def simple(name: str, octets: bytes) -> tuple[bytes, str]:
    """What a stream unpacks to, and why no further."""
    body = max(len(octets) - TAIL, 0)
    pieces = [octets[at : min(at + LINE, body)] for at in range(0, body, LINE)]
    pieces += [octets[at : at + 1] for at in range(body, len(octets))]
    plain, members, unpacker, is_begun = [], 0, UNPACK[name](), False
    for piece in pieces:
        rest = piece
        while rest := rest if is_begun or not members else rest.lstrip(b"\0"):
            try:
                plain.append(unpacker.decompress(rest))
            except FAULTS:
                place = f" in member {members + 1}" if members else ""
                return b"".join(plain), f"the {name} stream is damaged{place}"
            is_begun = not unpacker.eof
            if is_begun:
                break
            rest = unpacker.unused_data or b""
            members, unpacker = members + 1, UNPACK[name]()
    return b"".join(plain), f"the {name} stream ends too early" if is_begun else ""


def pieces_of(octets: bytes, cuts: list[int]) -> Iterator[bytes]:
    """The octets in pieces of any size."""
    edges = sorted({0, *(min(cut, len(octets)) for cut in cuts), len(octets)})
    for begin, end in pairwise(edges):
        yield octets[begin:end]


def unpacked(pieces: Iterator[bytes]) -> tuple[bytes, str]:
    """The same of what is tested."""
    plain: list[bytes] = []
    name, parts = compression.unpacked(pieces)
    assert name
    try:
        for part in parts:
            plain.append(part)
    except Broken as fault:
        return b"".join(plain), str(fault)
    return b"".join(plain), ""


@pytest.mark.parametrize("name", UNPACK)
@pytest.mark.parametrize("eighth", range(8))
def test_a_fault_costs_no_more_than_in_the_simple_way(name, eighth):
    octets = bytearray(packed(name, TEXT + RANDOM[:9000] + TEXT, 6))
    place = len(octets) * (2 * eighth + 1) // 16
    octets[place : place + 1000] = b"\xff" * 1000
    plain, fault = simple(name, bytes(octets))
    assert fault
    found, reason = unpacked(iter([bytes(octets)]))
    assert reason == fault
    assert found.startswith(plain)


@settings(max_examples=300)
@given(
    names,
    st.lists(st.tuples(contents, st.integers(0, 209)), min_size=1, max_size=3),
    st.integers(0, 3000),
    st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255), st.sampled_from([1, 300])), max_size=2),
    st.none() | st.integers(0, 1 << 20),
    st.lists(st.integers(1, 1 << 20), max_size=8),
)
def test_any_cut_and_any_damage_come_out_as_in_the_simple_way(name, members, padding, damages, end, cuts):
    octets = bytearray(bytes(padding).join(packed(name, *member) for member in members))
    for place, value, count in damages:
        begin = max(place % len(octets), 6)  # not in the magic
        octets[begin : begin + count] = bytes([value]) * len(octets[begin : begin + count])
    whole = bytes(octets[: max(end % len(octets), 6)] if end is not None else octets)
    plain, fault = simple(name, whole)
    found, reason = unpacked(pieces_of(whole, cuts))
    assert reason == fault
    assert found.startswith(plain)
    if not fault:  # the simple way loses what the call gave that met it
        assert len(found) == len(plain)
