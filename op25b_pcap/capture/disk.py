"""The octets of a capture as they lie on disk, or come through a pipe.

In: a path, `-` for stdin. Out: pieces of octets, counted and hashed as they pass, so that a
SHA-256 costs no second reading. Refused: folders, devices and sockets, which have no end.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, cast

from op25b_pcap.capture.octets import Broken

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

STDIN = Path("-")
_WORTH_A_THREAD = 1 << 17
"""Octets whose sum takes ten times longer than telling another thread of them."""
_STEPS = 4
"""Pieces that are reckoned together: threads that meet too often wait for each other."""
_KINDS = {
    stat.S_IFDIR: "it is a folder",
    stat.S_IFCHR: "it is a device",
    stat.S_IFBLK: "it is a device",
    stat.S_IFSOCK: "it is a socket",
}


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


class _Digest:
    """SHA-256 of octets as they pass, reckoned beside what else is done with them."""

    def __init__(self, step: int) -> None:
        self._hash = hashlib.sha256()
        self._most = _STEPS * step
        self._held: list[bytes] = []
        self._octets = 0
        self._running: Future[None] | None = None

    def update(self, piece: bytes) -> None:
        """Take the next octets in."""
        self._held.append(piece)
        self._octets += len(piece)
        if self._octets < self._most:
            return
        self._wait()
        if self._octets < _WORTH_A_THREAD:
            self._take(self._held)
        else:
            self._running = _beside().submit(self._take, self._held)
        self._held, self._octets = [], 0

    def hex(self) -> str:
        """What all octets so far come to."""
        self._wait()
        self._take(self._held)
        self._held, self._octets = [], 0
        return self._hash.hexdigest()

    def _take(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self._hash.update(piece)

    def _wait(self) -> None:
        if self._running is not None:
            self._running.result()
            self._running = None


@cache
def _beside() -> Executor:
    """A thread for all digests: hashlib lets others run while it reckons."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(1, "digest")


class Disk:
    """One file or pipe, read from its beginning to its end, once."""

    def __init__(self, path: Path, step: int, passing: Callable[[int], None]) -> None:
        """`step` octets at a time; `passing` is told each time how many have come."""
        self.size = 0
        """Octets that have passed."""
        self._path = path
        self._step = step
        self._passing = passing
        self._digest = _Digest(step)
        self._is_broken = False

    @property
    def sha256(self) -> str | None:
        """Hex digest of the octets that have passed; None if they could not all be read."""
        return None if self._is_broken else self._digest.hex()

    def pieces(self) -> Iterator[bytes]:
        """The octets, until the end. Raises Broken if there is something that cannot be read."""
        try:
            with self._opened() as read:
                while piece := read():
                    self.size += len(piece)
                    self._digest.update(piece)
                    self._passing(len(piece))
                    yield piece
        except (OSError, ValueError) as fault:
            self._is_broken = True
            reason = fault.strerror if isinstance(fault, OSError) else None
            raise Broken(f"it cannot be read ({reason or 'no such file'})") from fault
        except Broken:
            self._is_broken = True
            raise

    @contextmanager
    def _opened(self) -> Iterator[Callable[[], bytes]]:
        """A call that gives the next octets, empty at the end."""
        if self._path == STDIN:
            if sys.stdin is None:
                raise Broken("stdin is closed")
            yield partial(cast(BufferedReader, sys.stdin.buffer).read1, self._step)
        elif flows(self._path):
            with self._path.open("rb", buffering=0) as pipe:
                yield partial(pipe.read, self._step)
        else:
            yield self._regular

    def _regular(self) -> bytes:
        """The next octets of a regular file, which is open for this moment only.

        So thousands of captures that overlap in time need no thousands of descriptors; reading
        a megabyte takes a hundred times longer than opening its file.
        """
        kind = stat.S_IFMT(self._path.stat().st_mode)
        if kind != stat.S_IFREG:
            raise Broken(_KINDS.get(kind, "it is no regular file"))
        with self._path.open("rb", buffering=0) as file:
            file.seek(self.size)
            return file.read(self._step)
