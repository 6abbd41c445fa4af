"""Compressed streams: told by their first octets, never by a name, and unpacked as they come.

In: pieces of octets. Out: the pieces, or what they unpack to. Several members, streams or
frames one after the other are one stream, and zero octets may pad them, as gzip and xz allow.
What is damaged raises `octets.Broken` after everything before it was handed out.
"""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from typing import NamedTuple, Protocol

import lz4.frame
import zstandard

from op25b_pcap.capture.octets import Broken

_PIECE = 1024
"""Compressed octets that are unpacked at a time. A fault costs no more than what those held, and
they never unpack to more than some 30 MiB: zstd's best is 128 KiB out of 4 octets."""
_TAIL = 32
"""The last octets of a stream hold its checksum and are fed one by one, so that a wrong checksum
costs nothing of what it stands behind. The longest of the five ends is xz's, 28 octets."""
_LZMA_MEMORY = 256 << 20
"""Octets that an xz stream may ask for; `xz -9` needs 65 MiB."""
_MAGIC_LENGTH = 6
_FAULTS = (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError, EOFError, RuntimeError, ValueError)


class _Unpacker(Protocol):
    """What the decompressors of all five libraries have in common."""

    def decompress(self, data: bytes, /) -> bytes: ...

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes | None: ...


class Compression(NamedTuple):
    """One way of compressing a stream."""

    name: str
    magic: re.Pattern[bytes]
    unpacker: Callable[[], _Unpacker]


COMPRESSIONS = (
    Compression("gzip", re.compile(rb"\x1f\x8b\x08"), lambda: zlib.decompressobj(16 + zlib.MAX_WBITS)),
    # The second magic is a skippable frame (RFC 8878 section 3.1.2), with which pzstd begins.
    Compression(
        "zstd",
        re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
        lambda: zstandard.ZstdDecompressor().decompressobj(),
    ),
    Compression(
        "xz",
        re.compile(rb"\xfd7zXZ\0"),
        lambda: lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_LZMA_MEMORY),
    ),
    Compression("bzip2", re.compile(rb"BZh[1-9]"), bz2.BZ2Decompressor),
    Compression("lz4", re.compile(rb"\x04\x22\x4d\x18"), lz4.frame.LZ4FrameDecompressor),
)


def compression_of(head: bytes) -> Compression | None:
    """What a stream that begins with `head` is compressed with; None if with nothing known."""
    return next((known for known in COMPRESSIONS if known.magic.match(head)), None)


def unpacked(pieces: Iterator[bytes]) -> tuple[str, Iterator[bytes]]:
    """The name of the compression, empty if there is none, and the pieces without it."""
    head = b""
    while len(head) < _MAGIC_LENGTH and (piece := next(pieces, b"")):
        head += piece
    whole = chain([head], pieces) if head else iter(())
    compression = compression_of(head)
    return (compression.name, _unpack(compression, whole)) if compression else ("", whole)


def _unpack(compression: Compression, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Every member of the stream; raises Broken where one is damaged or cut."""
    unpacker, is_begun, members = compression.unpacker(), False, 0
    for piece in _small(pieces):
        rest = piece
        while rest := rest if is_begun or not members else rest.lstrip(b"\0"):
            try:
                out = unpacker.decompress(rest)
            except _FAULTS as fault:
                place = f" in member {members + 1}" if members else ""
                raise Broken(f"the {compression.name} stream is damaged{place}") from fault
            if out:
                yield out
            if not unpacker.eof:
                is_begun = True
                break
            rest = unpacker.unused_data or b""
            unpacker, is_begun, members = compression.unpacker(), False, members + 1
    if is_begun:
        raise Broken(f"the {compression.name} stream ends too early")


def _small(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same octets in pieces of _PIECE, and the last _TAIL of them one by one."""
    held = b""
    for piece in pieces:
        held += piece
        at = 0
        while len(held) - at >= _PIECE + _TAIL:
            yield held[at : at + _PIECE]
            at += _PIECE
        held = held[at:]
    tail = max(len(held) - _TAIL, 0)
    if tail:
        yield held[:tail]
    for at in range(tail, len(held)):
        yield held[at : at + 1]
