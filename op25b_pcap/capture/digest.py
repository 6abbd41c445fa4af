"""SHA-256 of a capture, reckoned beside what else is done with it if that has a processor.

What lies on disk is read a second time, out of the system's cache, by a process (`reckoner`): it
need not wait for who scans the octets, nor he for it, and it can begin before anybody knows what to
do with them. What flows is handed to a thread as it comes.
"""

from __future__ import annotations

import atexit
import errno
import hashlib
import os
import select
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock, RLock

from op25b_pcap.capture import reckoner

_STEP = 1 << 20
"""Octets that are read at a time where the process could not help."""
_WORTH_HANDING = 1 << 20
"""Octets that are reckoned together: threads that meet too often wait for each other."""
CAN_BE_BESIDE = hasattr(select, "poll")
"""Whether a process can be asked how far it is without waiting for it."""
_MOST_ASKED = 32
"""Files that the process may have before it: their answers fit into the smallest pipe, so that it never
waits for somebody to hear them while that one waits for it to take the next."""


class OfFile:
    """Of a regular file, as long as it is when its turn comes."""

    def __init__(self, path: Path) -> None:
        """The file is opened when those before it are done."""
        self._path = path
        self._process = _beside()
        self._turn = self._process.ask(path)

    def hex(self, size: int) -> str:
        """What the first `size` octets come to. Raises OSError if they cannot be read."""
        there, found = self._process.hear(self._turn)
        # It may have grown meanwhile, or become shorter.
        return found if there == size else _first(self._path, size)

    def give_up(self) -> None:
        """Nobody will ask any more."""
        self._process.give_up(self._turn)


class OfFlow:
    """Of octets that pass once."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._held: list[bytes] = []
        self._octets = 0
        self._running: Future[None] | None = None

    def update(self, octets: memoryview) -> None:
        """Take the next octets in, which may change after this."""
        self._held.append(bytes(octets))
        self._octets += len(octets)
        if self._octets >= _WORTH_HANDING:
            self._wait()
            held, self._held, self._octets = self._held, [], 0
            self._running = _thread().submit(self._take, held)

    def hex(self, _: int) -> str:
        """What all octets so far come to."""
        self._wait()
        self._take(self._held)
        self._held, self._octets = [], 0
        return self._hash.hexdigest()

    def give_up(self) -> None:
        """Nobody will ask any more."""

    def _take(self, held: list[bytes]) -> None:
        for octets in held:
            self._hash.update(octets)

    def _wait(self) -> None:
        if self._running is not None:
            self._running.result()


class InPassing:
    """Of octets that pass once, at once: they are in the processor's cache, and it has no other to spare."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, octets: memoryview) -> None:
        """Take the next octets in."""
        self._hash.update(octets)

    def hex(self, _: int) -> str:
        """What all octets so far come to."""
        return self._hash.hexdigest()

    def give_up(self) -> None:
        """Nobody will ask any more."""


class Passing:
    """Pieces of octets on their way, which are counted and reckoned as they pass."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._hash = hashlib.sha256()
        self.octets = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = next(self._pieces)
        self._hash.update(piece)
        self.octets += len(piece)
        return piece

    def hex(self) -> str:
        """What all octets so far come to."""
        return self._hash.hexdigest()


Digest = OfFile | OfFlow | InPassing


def under_way() -> bool:
    """Whether the process has something left to do that somebody will ask for."""
    return _process is not None and _process.is_busy()


class _Process:
    """A `reckoner`, and what it has told. Where it cannot be, or ends too early, it tells nothing."""

    def __init__(self) -> None:
        self._of = os.getpid()
        self._one_at_a_time = RLock()
        self._asked = self._heard = 0
        """How many files, in turn."""
        self._told: dict[int, tuple[int, str]] = {}
        self._unwanted = set[int]()
        self._line = b""
        self._running: subprocess.Popen[bytes] | None = None
        with suppress(OSError):
            self._running = subprocess.Popen(
                [sys.executable, "-I", "-S", reckoner.__file__, str(os.getpid())],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )

    def ask(self, path: Path) -> int:
        """Have it reckon a file; gives its turn."""
        with self._one_at_a_time:
            while self._asked - self._heard >= _MOST_ASKED:
                self._listen()
            if self._running is not None and self._running.stdin is not None:
                try:
                    self._running.stdin.write(os.fsencode(path.absolute()) + b"\0")
                except OSError:
                    self.end()
            self._asked += 1
            return self._asked - 1

    def hear(self, turn: int) -> tuple[int, str]:
        """Octets of the file and what they come to, -1 if it tells nothing: so in a fork of who has asked."""
        if self._of != os.getpid():
            return -1, ""
        with self._one_at_a_time:
            while self._heard <= turn:
                self._listen()
            return self._told.pop(turn, (-1, ""))

    def give_up(self, turn: int) -> None:
        """It ends if nobody waits for anything else."""
        if self._of != os.getpid():
            return
        with self._one_at_a_time:
            self._unwanted.add(turn)
            if not self.is_busy():
                self.end()

    def is_busy(self) -> bool:
        """Whether it has something left to do that is wanted."""
        with self._one_at_a_time:
            while self._heard < self._asked and self._can_be_heard():
                self._listen()
            return any(turn not in self._unwanted for turn in range(self._heard, self._asked))

    def end(self) -> None:
        """Let it go; the next who asks gets another."""
        global _process
        with self._one_at_a_time:
            if self._running is not None:
                self._running.kill()
                self._running.communicate()
            self._running = None
            if _process is self:
                _process = None

    def leave(self) -> None:
        """A fork has nothing to do with it, and does not keep it waiting for questions."""
        for pipe in (self._running.stdin, self._running.stdout) if self._running is not None else ():
            if pipe is not None:
                pipe.close()

    def _can_be_heard(self) -> bool:
        stdout = self._running and self._running.stdout
        if not stdout:
            return True
        waiting = select.poll()
        waiting.register(stdout, select.POLLIN)
        return bool(waiting.poll(0))

    def _listen(self) -> None:
        """Wait for what it tells next; nothing of all that is left if it has ended."""
        stdout = self._running and self._running.stdout
        octets = os.read(stdout.fileno(), 1 << 16) if stdout else b""
        if not octets:
            self.end()
            self._heard = self._asked
            return
        *lines, self._line = (self._line + octets).split(b"\n")
        for line in lines:
            if line:
                size, found = line.decode().split(" ")
                self._told[self._heard] = int(size), found
            self._heard += 1


_process: _Process | None = None
"""Of this process: a fork has none of its own before it asks."""


_only_one = Lock()


def _beside() -> _Process:
    global _process
    with _only_one:
        if _process is None:
            _process = _Process()
        return _process


@atexit.register
def _end() -> None:
    if _process is not None:
        _process.end()


@cache
def _thread() -> ThreadPoolExecutor:
    """The thread of all that flows."""
    return ThreadPoolExecutor(1, "digest")


def _forget() -> None:
    global _process, _only_one
    _only_one = Lock()
    if _process is not None:
        _process.leave()
    _process = None
    _thread.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _first(path: Path, size: int) -> str:
    """What the first octets of a file come to. Raises OSError."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EIO, "it is no regular file any more")
    found, left = hashlib.sha256(), size
    room = memoryview(bytearray(_STEP))
    with path.open("rb", buffering=0) as file:
        while left:
            count = file.readinto(room[: min(left, _STEP)])
            if not count:
                raise OSError(errno.EIO, "it became shorter while it was read")
            found.update(room[:count])
            left -= count
    return found.hexdigest()
