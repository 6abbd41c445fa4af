"""What a worker finds on its bench of the last task: memory that was touched before, and what it has learnt.

To touch fresh memory costs more than to copy there, and most courses of mail are the same in every
range. Each thread has a bench of its own.
"""

from __future__ import annotations

from threading import local

from op25b_pcap.assembly.flows import Courses
from op25b_pcap.assembly.room import Room
from op25b_pcap.compiled import kernels

_MOST_COURSES = 1_024
"""That are remembered: a gigabyte of ordinary mail has some thirty."""


class _Bench(local):
    def __init__(self) -> None:
        self.rooms = Room(), Room()
        self.courses: Courses | None = None


_bench = _Bench()


def rooms() -> tuple[Room, Room]:
    """Memory for the store of one task, its packets and their octets."""
    return _bench.rooms


def courses() -> Courses:
    """Courses that earlier tasks have met."""
    if _bench.courses is None or len(_bench.courses) > _MOST_COURSES:
        _bench.courses = Courses(kernels())
    return _bench.courses


def clear() -> None:
    """Give all of it back: what comes now needs memory otherwise."""
    _bench.rooms, _bench.courses = (Room(), Room()), None
