"""SHA-256 of a capture, reckoned in a thread beside what else is done with it if that has a processor.

What lies on disk is read a second time, out of the system's cache: the thread need not wait for
who scans the octets, nor he for it, and it can begin before anybody knows what to do with them. What
flows is handed over as it comes.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache
from mmap import mmap
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

_STEP = 32 << 20
"""Octets read at a time: while another thread is busy with Python, this one gets its turn seldom."""
_WORTH_HANDING = 1 << 20
"""Octets that are reckoned together: threads that meet too often wait for each other."""


class OfFile:
    """Of a regular file as long as it was at the beginning; more of it on demand."""

    def __init__(self, path: Path) -> None:
        """The file is opened in the thread, when those before it are done."""
        self._path = path
        self._hash = hashlib.sha256()
        self._octets = 0
        self._is_given_up = False
        self._running = _beside(self._all)

    def hex(self, size: int) -> str:
        """What the first `size` octets come to. Raises OSError if they cannot be read."""
        self._running.result()
        if self._octets > size:  # it has become shorter, or grew while it was scanned
            self._hash, self._octets = hashlib.sha256(), 0
        self._take(size)
        if self._octets != size:
            raise OSError(errno.EIO, "it became shorter while it was read")
        return self._hash.hexdigest()

    def give_up(self) -> None:
        """Nobody will ask any more."""
        self._is_given_up = True

    def _all(self) -> None:
        if not self._is_given_up:
            self._take(self._path.stat().st_size)

    def _take(self, size: int) -> None:
        """Go on until so many octets are reckoned, or the file ends."""
        if self._octets >= size:
            return
        # Whole pages into whole pages: a few octets beside them, processors copy at a quarter of the speed.
        room = memoryview(mmap(-1, min(_STEP, size - self._octets)))
        with self._path.open("rb", buffering=0) as file:
            file.seek(self._octets)
            while not self._is_given_up and (
                count := file.readinto(room[: min(len(room), size - self._octets)])
            ):
                self._hash.update(room[:count])
                self._octets += count


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
            self._running = _beside(lambda: self._take(held))

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
    """Of octets that pass once, at once: they are in the processor's cache, and it has no thread to spare."""

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


Digest = OfFile | OfFlow | InPassing


def under_way() -> bool:
    """Whether the thread of all digests has something left to do."""
    return not all(task.done() for task in _newest)


def _beside(task: Callable[[], None]) -> Future[None]:
    """Have it done in the thread of all digests, after what it was given before."""
    done: Future[None] = Future()
    _tasks().put((task, done))
    _newest[:] = [done]
    return done


_newest: list[Future[None]] = []
"""What the thread was given last, if anything."""


@cache
def _tasks() -> SimpleQueue[tuple[Callable[[], None], Future[None]]]:
    """What the thread is to do. It is a daemon: a run that fails does not wait for it."""
    tasks: SimpleQueue[tuple[Callable[[], None], Future[None]]] = SimpleQueue()
    Thread(target=_work, args=(tasks,), name="digest", daemon=True).start()
    return tasks


def _work(tasks: SimpleQueue[tuple[Callable[[], None], Future[None]]]) -> None:
    while True:
        task, done = tasks.get()
        try:
            task()
        except BaseException as fault:
            done.set_exception(fault)
        else:
            done.set_result(None)
        del task, done  # else it would hold them until the next comes


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_tasks.cache_clear)  # a child has none of its parent's threads
