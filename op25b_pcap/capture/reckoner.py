"""Reckons SHA-256 of files for who has started it, as a process of its own.

In: who that is, as an argument; paths on stdin, each ended by a zero octet. Out: for each, in turn,
a line with the octets of the file and what they come to; an empty line if it cannot be read. It ends
when nobody asks any more.

It is a script that needs nothing but Python itself, so that it is at work at once. It looks at
files by mapping them, since that saves a copy of every octet; and a file that becomes shorter
meanwhile then ends the process (SIGBUS), which must be no harm to anybody else.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import signal
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

_STEP = 8 << 20
"""Octets that are mapped at a time."""


def main() -> None:
    """Serve."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who has started it sees to that
    parent = int(sys.argv[1])  # it may have gone by now
    for path in _asked():
        try:
            told = _reckoned(Path(os.fsdecode(path)), parent)
        except OSError:
            told = ""
        sys.stdout.write(f"{told}\n")
        sys.stdout.flush()


def _asked() -> Iterator[bytes]:
    held = b""
    while octets := os.read(sys.stdin.fileno(), 1 << 16):
        *paths, held = (held + octets).split(b"\0")
        yield from paths


def _reckoned(path: Path, parent: int) -> str:
    found = hashlib.sha256()
    # A pipe in the place of the file must not hold us.
    with open(path, "rb", buffering=0, opener=_at_once) as file:
        status = os.fstat(file.fileno())
        size = status.st_size
        if not stat.S_ISREG(status.st_mode):
            return ""
        for at in range(0, size, _STEP):
            if os.getppid() != parent:
                sys.exit()
            with mmap.mmap(
                file.fileno(), min(_STEP, size - at), access=mmap.ACCESS_READ, offset=at
            ) as window:
                if hasattr(mmap, "MADV_SEQUENTIAL"):
                    window.madvise(mmap.MADV_SEQUENTIAL)
                found.update(window)
    return f"{size} {found.hexdigest()}"


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


if __name__ == "__main__":
    main()
