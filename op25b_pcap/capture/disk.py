"""The octets of a capture as they lie on disk, or come through a pipe.

In: a path, `-` for stdin. Out: octets, counted as they pass. Refused: folders, devices and sockets,
which have no end.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader, FileIO
from pathlib import Path
from typing import cast

from op25b_pcap.capture.digest import Digest, InPassing, OfFile, OfFlow
from op25b_pcap.capture.octets import Broken

STDIN = Path("-")
_KINDS = {
    stat.S_IFDIR: "it is a folder",
    stat.S_IFCHR: "it is a device",
    stat.S_IFBLK: "it is a device",
    stat.S_IFSOCK: "it is a socket",
}
_CLOSED = "it is a folder that may not be looked into"


def size_of(path: Path) -> int | None:
    """Octets of a regular file; None for what flows, or cannot be asked."""
    try:
        status = path.stat() if path != STDIN else os.fstat(sys.stdin.fileno() if sys.stdin else -1)
    except (OSError, ValueError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def flows(path: Path) -> bool:
    """Whether it is a pipe: what was read from it cannot be read again."""
    try:
        return path == STDIN or stat.S_ISFIFO(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def digest_of(path: Path, *, beside: bool) -> Digest | None:
    """Begins to reckon what octets of a path come to, if it is anything to be read.

    `beside`: what lies on disk by another process.
    """
    if flows(path):
        return OfFlow()
    if size_of(path) is None:
        return None
    return OfFile(path) if beside else InPassing()


class Disk:
    """One file or pipe, read from its beginning to its end, once."""

    def __init__(
        self, path: Path, passing: Callable[[int], None] | None = None, digest: Digest | None = None
    ) -> None:
        """`passing` is told each time how many octets have come; without a digest there is no hash."""
        self.size = 0
        """Octets that have passed."""
        self._path = path
        self._passing = passing
        self._digest = digest
        self._is_broken = False
        self._pipe: BufferedReader | FileIO | None = None
        self._flows = flows(path)

    def sha256(self) -> str | None:
        """Hex digest of the octets that have passed; None if not all could be. Raises Broken."""
        if self._is_broken or self._digest is None:
            return None
        with self._told():
            return self._digest.hex(self.size)

    def readinto(self, room: memoryview) -> int:
        """Fill room with the next octets, or a part of it; how many, 0 at the end. Raises Broken, once."""
        if self._is_broken:
            return 0
        with self._told():
            count = self._flowing(room) if self._flows else self._regular(room)
        self.size += count
        if isinstance(self._digest, OfFlow | InPassing):
            self._digest.update(room[:count])
        if self._passing is not None and count:
            self._passing(count)
        return count

    def pieces(self, step: int) -> Iterator[bytes]:
        """The octets that are left, `step` at a time. Raises Broken."""
        room = memoryview(bytearray(step))
        while count := self.readinto(room):
            yield bytes(room[:count])

    def close(self) -> None:
        """Nothing more will be read; the digest may still be asked for."""
        if self._pipe is not None and self._path != STDIN:
            self._pipe.close()

    def give_up(self) -> None:
        """Nobody will ask for the digest."""
        if self._digest is not None:
            self._digest.give_up()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What the system says against reading as Broken."""
        try:
            yield
        except (OSError, ValueError) as fault:
            self._is_broken = True
            reason = fault.strerror if isinstance(fault, OSError) else None
            raise Broken(f"it cannot be read ({reason or 'no such file'})") from fault
        except Broken:
            self._is_broken = True
            raise

    def _flowing(self, room: memoryview) -> int:
        """As much as there is, at least one octet before the end."""
        if self._pipe is None:
            if self._path != STDIN:
                self._pipe = self._path.open("rb", buffering=0)
            elif sys.stdin is None:
                raise Broken("stdin is closed")
            else:
                self._pipe = cast(BufferedReader, sys.stdin.buffer)
        pipe = self._pipe
        return pipe.readinto1(room) if isinstance(pipe, BufferedReader) else pipe.readinto(room) or 0

    def _regular(self, room: memoryview) -> int:
        """The next octets of a regular file, which is open for this moment only.

        So thousands of captures that overlap in time need no thousands of descriptors; reading
        a megabyte takes a hundred times longer than opening its file.
        """
        kind = stat.S_IFMT(self._path.stat().st_mode)
        if kind != stat.S_IFREG:
            is_closed = kind == stat.S_IFDIR and not os.access(self._path, os.R_OK, effective_ids=True)
            raise Broken(_CLOSED if is_closed else _KINDS.get(kind, "it is no regular file"))
        with self._path.open("rb", buffering=0) as file:
            file.seek(self.size)
            return file.readinto(room) or 0
