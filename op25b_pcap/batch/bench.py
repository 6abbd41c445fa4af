"""What a worker finds on its bench of the last task: memory that was touched before, and what it has learnt.

To touch fresh memory costs more than to copy there, and most courses of mail are the same in every
range. Each thread has a bench of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import local

from op25b_pcap.assembly.flows import Courses
from op25b_pcap.assembly.left import Left
from op25b_pcap.assembly.room import Room
from op25b_pcap.compiled import kernels

_MOST_REMEMBERED = 1_024
"""Courses: a gigabyte of ordinary mail has some thirty."""


class _Bench(local):
    def __init__(self) -> None:
        self.rooms = Room(), Room()
        self.courses: Courses | None = None


_bench = _Bench()


def rooms() -> tuple[Room, Room]:
    """Memory for the store of one task, its packets and their octets."""
    return _bench.rooms


@contextmanager
def courses(layers: Sequence[Path]) -> Iterator[Courses]:
    """Courses that earlier tasks have met, for packets of which octets were left in these files.

    A task that fails leaves none behind: they may be half learnt.
    """
    known, _bench.courses = _bench.courses, None
    if known is None or len(known) > _MOST_REMEMBERED:
        known = Courses(kernels(), Left(may_go=False))
    known.left.files = layers
    yield known
    _bench.courses = known


def clear() -> None:
    """Give all of it back: what comes now needs memory otherwise."""
    _bench.rooms, _bench.courses = (Room(), Room()), None
