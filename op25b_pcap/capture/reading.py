"""One capture: from its file to its records, and the account of what was read and what was lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from op25b_pcap.capture import pcap, pcapng
from op25b_pcap.capture.compression import MAGIC_LENGTH, compression_of, unpacked
from op25b_pcap.capture.digest import Digest, Passing
from op25b_pcap.capture.disk import Disk, digest_of, flows, size_of
from op25b_pcap.capture.foreign import HEAD, resemblance
from op25b_pcap.capture.octets import Broken, Octets, of_pieces
from op25b_pcap.capture.record import Record
from op25b_pcap.capture.runs import Run, Walks

FORMATS = ("pcap", "pcapng")
DAMAGES_LISTED = 20
"""Damages of one capture that are kept; that there are more is said once."""
_MAGIC_LENGTH = 4
_GLANCE = 4096
"""Octets that are read at a time to see what a file is."""
_STEP = 1 << 16
"""The same to see how much is in it."""


class Damage(NamedTuple):
    """Something in a capture that could not be read."""

    capture: str
    """Name of the capture."""
    offset: int
    """Octets before it, in the file as it is uncompressed."""
    reason: str

    def __str__(self) -> str:
        return f"{self.capture}: at octet {self.offset} (uncompressed): {self.reason}"


@dataclass(slots=True)
class Capture:
    """One capture of an observation. What is not known yet, or never will be, is None."""

    name: str
    """Base name, or as much of the path as tells it from the others; `-` is stdin. Printable."""
    path: Path
    size: int | None = None
    """Octets as they lie on disk; of a pipe, those that were read."""
    format: str = ""
    """`pcap`, `pcapng`, or empty if it is neither."""
    compression: str = ""
    """`gzip`, `zstd`, `xz`, `bzip2`, `lz4`, or empty if there is none."""
    packets: int = 0
    """Packets read so far."""
    unread: int | None = None
    """Octets behind the last that could be read; of what flows or is compressed that is not known."""
    first_time_ns: int | None = None
    """Earliest time of a packet, nanoseconds since 1970 (UTC)."""
    last_time_ns: int | None = None
    """Latest time of a packet."""
    damages: list[Damage] = field(default_factory=list)
    unpacked: Passing | None = field(default=None, repr=False, compare=False)
    """Of a compressed one what it was unpacked to, if that was asked for."""
    reckoned: Callable[[], str | None] = field(default=lambda: None, repr=False, compare=False)
    """Waits for the digest, and notes as a damage that it cannot be had."""
    _is_reckoned: bool = field(default=False, repr=False)
    _sha256: str | None = field(default=None, repr=False)

    @property
    def sha256(self) -> str | None:
        """Hex digest of the octets that `size` counts.

        It is reckoned beside what else is done with them. Who asks waits for it: best at the end, and
        before `damages` are told.
        """
        if not self._is_reckoned:
            self._is_reckoned, self._sha256 = True, self.reckoned()
        return self._sha256

    def damaged(self, offset: int, reason: str) -> None:
        """Note a damage; a sentence says when there are too many to note."""
        if len(self.damages) == DAMAGES_LISTED:
            reason = "there is more damage, from here on not listed"
        if len(self.damages) <= DAMAGES_LISTED:
            self.damages.append(Damage(self.name, offset, reason))


def format_of(head: bytes | memoryview) -> str:
    """`pcap` or `pcapng`, by the first four octets; empty if neither."""
    magic = bytes(head[:_MAGIC_LENGTH])
    return "pcap" if magic in pcap.MAGICS else "pcapng" if magic == pcapng.MAGIC else ""


def is_capture(path: Path) -> bool:
    """Whether a file begins like a capture, compressed or not.

    True also where that cannot be told, so that reading it will say why.
    """
    octets = _octets(Capture("", path), Disk(path), _GLANCE)
    octets.reach(_MAGIC_LENGTH)
    return bool(octets.fault or format_of(octets.window))


def packed(path: Path) -> bool:
    """Whether a regular file is compressed, as far as its first octets can be read."""
    if flows(path):
        return False
    capture = Capture("", path)
    _octets(capture, Disk(path), _GLANCE)
    return bool(capture.compression)


def unpacked_size(path: Path, most: int) -> int:
    """Octets that a regular file comes to, or `most` if there are more, as far as it can be read."""
    count = 0
    with suppress(Broken):
        compression, pieces = unpacked(Disk(path).pieces(_STEP))
        if not compression:
            return min(size_of(path) or 0, most)
        while count < most and (piece := next(pieces, b"")):
            count += len(piece)
    return min(count, most)


def first_record(path: Path) -> Record | None:
    """The first packet of a regular file, if it has one. The file is not kept open."""
    capture = Capture("", path)
    first = next(_records(capture, 0, _octets(capture, Disk(path), _GLANCE)), None)
    return first if isinstance(first, Record) else None


def read(
    capture: Capture,
    index: int,
    step: int,
    passing: Callable[[int], None],
    walks: Walks | None = None,
    *,
    digest: Digest | None = None,
    beside: bool = False,
    reckons_unpacked: bool = False,
) -> Iterator[Record | Run]:
    """Records of one capture, which is number `index` of its observation; with walks also runs.

    Reads `step` octets at a time and tells `passing` how many came. Keeps the capture's account
    but for the packets and their times, which who takes the records counts. Never raises for
    what the file holds, nor if it cannot be read. The digest may have been begun before, or is
    now, by another process if one is to work `beside`, and goes on until `capture.sha256` asks for it;
    that of what is unpacked is only reckoned if it is asked for.
    """
    disk = Disk(capture.path, passing, digest or digest_of(capture.path, beside=beside))
    try:
        octets = _octets(capture, disk, step, reckons_unpacked=reckons_unpacked)
        yield from _records(capture, index, octets, walks)
        try:
            if not flows(capture.path):
                for _ in disk.pieces(step):  # what a damage has left over belongs to size and hash
                    pass
        except Broken as fault:
            capture.damaged(octets.offset, str(fault))
        capture.size = disk.size
        if not (capture.compression or octets.fault or flows(capture.path)):
            capture.unread = max(disk.size - octets.offset, 0)
        capture.reckoned = partial(_reckoned, capture, disk, octets.offset)
    except BaseException:
        disk.give_up()
        raise
    finally:
        disk.close()


def _reckoned(capture: Capture, disk: Disk, end: int) -> str | None:
    """The digest of what was read; a damage at its end if the file cannot be read again."""
    try:
        return disk.sha256()
    except Broken as fault:
        capture.damaged(end, str(fault))
        return None


def _records(
    capture: Capture, index: int, octets: Octets, walks: Walks | None = None
) -> Iterator[Record | Run]:
    octets.reach(HEAD)
    head = bytes(octets.window[:HEAD])
    capture.format = format_of(head)
    if capture.format == "pcap":
        return pcap.records(octets, index, capture.damaged, walks)
    if capture.format == "pcapng":
        return pcapng.records(octets, index, capture.damaged, walks)
    unseen = octets.fault if len(head) < _MAGIC_LENGTH else ""
    capture.damaged(0, unseen or _refusal(head))
    return iter(())


def _octets(capture: Capture, disk: Disk, step: int, *, reckons_unpacked: bool = False) -> Octets:
    """What the file's octets unpack to, with the name of the compression noted."""
    plain = Octets(disk.readinto, step, is_file=not flows(capture.path))
    plain.reach(MAGIC_LENGTH)
    if plain.fault or compression_of(plain.window) is None:
        return plain
    packed_ones = chain([bytes(plain.window)], disk.pieces(step))
    capture.compression, pieces = unpacked(packed_ones)
    if reckons_unpacked:
        pieces = capture.unpacked = Passing(pieces)
    return Octets(of_pieces(pieces), step)


def _refusal(head: bytes) -> str:
    if not head:
        return "the file is empty"
    kind = resemblance(head)
    return f"no pcap or pcapng file, but {kind}" if kind else "no pcap or pcapng file"
