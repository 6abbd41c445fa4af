"""Compressed streams: told by their first octets, never by a name, and unpacked as they come.

In: pieces of octets. Out: the pieces, or what they unpack to. Several members, streams or
frames one after the other are one stream, and zero octets may pad them, as gzip and xz allow.
What is damaged raises `octets.Broken` after everything before it was handed out.

A decompressor that fails keeps what it had unpacked in that call. So none is given more at a
time than one may lose, or than can be tried again, and each call gives a bounded amount.
"""

from __future__ import annotations

import bz2
import lzma
import re
from collections.abc import Callable, Generator, Iterator
from itertools import chain
from typing import Any, NamedTuple, cast

import lz4.frame
import zstandard
from zlib_ng import zlib_ng

from op25b_pcap.capture.blocks import HEAD, Parts, lz4_parts
from op25b_pcap.capture.octets import Broken

_LINE = 1024
"""Compressed octets that are unpacked at a time where nothing better is known. A fault costs no more
than what those held, and they never unpack to more than some 30 MiB: zstd's best is 128 KiB out of 4
octets."""
_STRIDE = 128 * _LINE
"""The same of gzip, whose decompressors can be copied: a call that fails is done again by lines."""
_GZIP_MOST = 1 << 19
"""Octets that a call may give of gzip, whatever it was fed: its best is 1032 out of one."""
_LZ4_MOST = 1 << 23
"""The same of LZ4: twice the largest block. Not told so, its decompressors keep octets back (lz4 4.4)."""
_TAIL = 32
"""The last octets of a stream hold its checksum and are fed one by one, so that a wrong checksum
costs nothing of what it stands behind. The longest of the five ends is xz's, 28 octets."""
_BIT = 1 << 16
"""Octets that are handed out at a time, about: few enough to be in the processor's cache when used."""
_LZMA_MEMORY = 256 << 20
"""Octets that an xz stream may ask for; `xz -9` needs 65 MiB."""
MAGIC_LENGTH = 6
"""Octets that tell a compression."""
_FAULTS = (
    cast("type[Exception]", zlib_ng.error),  # its annotation says it is an exception itself
    lzma.LZMAError,
    zstandard.ZstdError,
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
)


class Compression(NamedTuple):
    """One way of compressing a stream."""

    name: str
    magic: re.Pattern[bytes]
    unpacker: Callable[[], Any]
    """Makes a decompressor for one member; all have `decompress`, `eof` and `unused_data`."""
    parts: Parts | None = None
    """Where the blocks of a member end, if that can be told."""
    most: int = 0
    """Octets that a call may give; 0 if a decompressor need not be told."""
    can_be_copied: bool = False
    """Whether decompressors have `copy`, and then also `unconsumed_tail`."""


COMPRESSIONS = (
    # Measured: zlib-ng unpacks captures 1.2 to 1.4 times faster than zlib, and isal cannot be copied.
    Compression(
        "gzip",
        re.compile(rb"\x1f\x8b\x08"),
        lambda: zlib_ng.decompressobj(16 + zlib_ng.MAX_WBITS),
        can_be_copied=True,
    ),
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
    Compression(
        "lz4",
        re.compile(rb"\x04\x22\x4d\x18"),
        lz4.frame.LZ4FrameDecompressor,
        parts=lz4_parts,
        most=_LZ4_MOST,
    ),
)


def compression_of(head: bytes | memoryview) -> Compression | None:
    """What a stream that begins with `head` is compressed with; None if with nothing known."""
    return next((known for known in COMPRESSIONS if known.magic.match(head)), None)


def unpacked(pieces: Iterator[bytes]) -> tuple[str, Iterator[bytes]]:
    """The name of the compression, empty if there is none, and the pieces without it."""
    head = b""
    while len(head) < MAGIC_LENGTH and (piece := next(pieces, b"")):
        head += piece
    whole = chain([head], pieces) if head else iter(())
    compression = compression_of(head)
    if compression is None:
        return "", whole
    return compression.name, _unpack(_Stream(compression, whole))


def _unpack(stream: _Stream) -> Iterator[bytes]:
    """Every member of the stream; raises Broken where one is damaged or cut.

    In the thread that reads. Another one ahead of it was measured to be slower: it needs the
    interpreter for every call, and so waits more for it than it saves.
    """
    while stream.fill():
        yield from stream.unpack()
    if stream.fault is not None:
        raise stream.fault


class _Stream:
    """A compressed stream: `fill` takes octets in, `unpack` does no I/O."""

    def __init__(self, compression: Compression, pieces: Iterator[bytes]) -> None:
        self.fault: Broken | None = None
        """Why there is nothing more, if not because the stream has ended."""
        self._compression = compression
        self._pieces = pieces
        self._is_ended = False
        self._held = b""
        self._at = 0
        self._offset = 0
        """Octets before the next one; lines are counted from the beginning of the stream."""
        self._members = 0
        self._member = _Member(compression)

    def fill(self) -> bool:
        """Take octets in if they run out; False if there is nothing more to unpack."""
        if self.fault is not None:
            return False
        while not self._is_ended and len(self._held) - self._at < _LINE + _TAIL:
            try:
                piece = next(self._pieces, b"")
            except Broken as fault:
                self.fault = fault
                return False
            self._is_ended = not piece
            self._held = self._held[self._at :] + piece
            self._at = 0
        if self._at < len(self._held):
            return True
        if self._member.is_begun:
            self.fault = Broken(f"the {self._compression.name} stream ends too early")
        return False

    def unpack(self) -> list[bytes]:
        """Unpack some of what was taken in."""
        plain: list[bytes] = []
        size = 0
        try:
            while size < _BIT and (count := self._ready()):
                before = len(plain)
                used = self._feed(self._held, self._at, count, plain)
                size += sum(map(len, plain[before:]))
                self._at += used
                self._offset += used
        except _FAULTS as fault:
            place = f" in member {self._members + 1}" if self._members else ""
            self.fault = Broken(f"the {self._compression.name} stream is damaged{place}")
            self.fault.__cause__ = fault
        return plain

    def _ready(self) -> int:
        """Octets that may be fed: whole lines while more may come, at the end one of the tail."""
        count = len(self._held) - self._at - _TAIL
        if count <= 0:
            return int(self._is_ended and count > -_TAIL)
        whole = count - (self._offset + count) % _LINE
        return whole if whole > 0 else count * self._is_ended

    def _feed(self, held: bytes, at: int, count: int, plain: list[bytes]) -> int:
        """Have the member take some of these octets; how many."""
        member = self._member
        if self._members and not member.is_begun and not held[at]:
            line = held[at : at + min(count, _LINE)]
            return len(line) - len(line.lstrip(b"\0"))
        used = member.feed(held, at, count, _LINE - self._offset % _LINE, plain)
        if member.unpacker.eof:
            used -= len(member.unpacker.unused_data or b"")
            self._member = _Member(self._compression)
            self._members += 1
        return used


class _Member:
    """One member, stream or frame, and its decompressor."""

    def __init__(self, compression: Compression) -> None:
        self.is_begun = False
        self.unpacker = compression.unpacker()
        self._can_be_copied = compression.can_be_copied
        self._most = (compression.most,) if compression.most else ()
        self._parts_of = compression.parts
        self._parts: Generator[int, bytes, None] | None = None
        self._left = 0
        """Octets of the present part that are still to come."""

    def feed(self, held: bytes, at: int, count: int, line: int, plain: list[bytes]) -> int:
        """Unpack some of `count` octets from `at` on, of which `line` end a line; how many were fed."""
        if self._can_be_copied and self.is_begun and count > line:
            return self._stride(held[at : at + min(count, line + _STRIDE)], plain)
        if self._parts_of is not None and not self._left and len(held) - at >= HEAD:
            self._left = self._part(self._parts_of, held[at : at + HEAD])
        self.is_begun = True
        if not self._left:
            return self._lines(held, at, count, line, plain)
        fed = min(self._left, count)
        self._left -= fed
        if out := self.unpacker.decompress(held[at : at + fed], *self._most):
            plain.append(out)
        return fed

    def _lines(self, held: bytes, at: int, count: int, line: int, plain: list[bytes]) -> int:
        """One line after the other, until they have given something worth looking at."""
        unpack, most, size = self.unpacker.decompress, self._most, 0
        begin, end, edge = at, at + count, at + min(line, count)
        while True:
            if out := unpack(held[at:edge], *most):
                plain.append(out)
                size += len(out)
            at, edge = edge, min(edge + _LINE, end)
            if at == end or size >= _BIT or self.unpacker.eof:
                return at - begin

    def _stride(self, piece: bytes, plain: list[bytes]) -> int:
        """As much as a call may give; nothing if it fails, and from then on lines are fed."""
        saved = self.unpacker.copy()
        try:
            out = self.unpacker.decompress(piece, _GZIP_MOST)
        except _FAULTS:
            self.unpacker, self._can_be_copied = saved, False
            return 0
        if out:
            plain.append(out)
        return len(piece) - (0 if self.unpacker.eof else len(self.unpacker.unconsumed_tail))

    def _part(self, parts: Parts, head: bytes) -> int:
        """Length of the part that begins with `head`; 0 if that is not known."""
        if not self.is_begun:
            self._parts = parts(head)
            return next(self._parts, 0)
        try:
            return self._parts.send(head) if self._parts is not None else 0
        except StopIteration:
            self._parts = None
            return 0
