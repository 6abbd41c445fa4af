"""Octets of packets that were left in files, read when a conversation's turn has come.

A payload is most of a packet. As long as the capture lies on disk as it is, not packed, to copy it
into a store, and with the store to disk and back, costs more than to read it once more; and nothing
of a message is written anywhere. A layer of a batch lies there like a capture.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from op25b_pcap.assembly.packet import file_and_offset
from op25b_pcap.assembly.room import Room

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


CAN_READ_AGAIN = hasattr(os, "preadv")
"""Not everywhere."""
_GAP = 4_096
"""Octets between two packets that are rather read than passed over: a call costs as much."""


class Left:
    """The files that octets were left in."""

    def __init__(self, files: Sequence[Path] = (), *, may_go: bool = True) -> None:
        """`may_go`: they are somebody else's, who may shorten or remove them; if not, OSError is raised."""
        self.files = files
        """By their numbers in `packet.lying`."""
        self._may_go = may_go
        self._room = Room()

    def fetch(self, packets: NDArray[Any], which: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The octets of those of `which` that were left; their `at` then says where in these.

        What is not there any more, as files may go, was not captured. The octets stay until the next
        are fetched.
        """
        lie = _stretches(packets, which)
        room = self._room.of(int(lie.lengths.sum()))
        self._fill_all(packets, lie, room)
        return room

    def _fill_all(self, packets: NDArray[Any], lie: _Stretches, room: NDArray[np.uint8]) -> None:
        """Read whole stretches, and let packets point there."""
        to = np.cumsum(lie.lengths) - lie.lengths
        there = self._read(lie.begins, lie.lengths, room)
        packets["at"][lie.packets] = ~(to[lie.of] + lie.offsets)
        gone = lie.packets[lie.offsets + lie.sizes > there[lie.of]]
        packets["captured"][gone], packets["options"][gone] = 0, 0

    def _read(
        self, begins: NDArray[np.int64], lengths: NDArray[np.int64], room: NDArray[np.uint8]
    ) -> NDArray[np.int64]:
        """Fill room with stretches of files, one after the other; how much of each was there."""
        there, view, to = np.zeros(len(begins), np.int64), memoryview(room.data), 0
        files, offsets = file_and_offset(begins)
        number, file = -1, -1
        try:
            for index, (of, offset, length) in enumerate(
                zip(files.tolist(), offsets.tolist(), lengths.tolist(), strict=True)
            ):
                try:
                    if of != number:
                        _close(file)
                        file, number = -1, of
                        file = os.open(self.files[of], os.O_RDONLY | os.O_CLOEXEC)
                    if file >= 0:
                        there[index] = _fill(file, view[to : to + length], offset)
                except OSError:
                    if not self._may_go:
                        raise
                if there[index] < length and not self._may_go:
                    raise OSError(f"{self.files[of]}: it was longer")
                to += length
        finally:
            _close(file)
        return there


class _Stretches(NamedTuple):
    """Of files, with packets that were left in them."""

    begins: NDArray[np.int64]
    """Each a `packet.lying`."""
    lengths: NDArray[np.int64]
    packets: NDArray[np.int64]
    """Which packets, stretch by stretch."""
    of: NDArray[np.int64]
    """Of each in which stretch it lies, how far behind its begin, and its octets."""
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]


def _stretches(packets: NDArray[Any], which: NDArray[np.int64]) -> _Stretches:
    """Where those of `which` lie that were left."""
    left = which[packets["at"][which] < 0]
    begins = ~packets["at"][left]
    order = np.argsort(begins)
    left, begins = left[order], begins[order]
    sizes = packets["options"][left] + packets["captured"][left].astype(np.int64)
    ends = begins + sizes
    is_new = np.ones(len(left), bool)
    is_new[1:] = begins[1:] - ends[:-1] > _GAP
    firsts, of = np.flatnonzero(is_new), np.cumsum(is_new) - 1
    lasts = np.append(firsts[1:], len(left))[: len(firsts)] - 1
    lengths = ends[lasts] - begins[firsts]
    return _Stretches(begins[firsts], lengths, left, of, begins - begins[firsts][of], sizes)


def _close(file: int) -> None:
    if file >= 0:
        os.close(file)


def _fill(file: int, room: memoryview, begin: int) -> int:
    """Fill room from there on; how many octets there were."""
    count = os.preadv(file, [room], begin)
    while 0 < count < len(room) and (more := os.preadv(file, [room[count:]], begin + count)):
        count += more
    return count
