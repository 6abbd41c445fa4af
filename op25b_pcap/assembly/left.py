"""Octets of packets that were left in their captures, read when a conversation's turn has come.

A payload is most of a packet. As long as the capture lies on disk as it is, not packed, to copy it
into a store, and with the store to disk and back, costs more than to read it once more; and nothing
of a message is written anywhere.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CAN_READ_AGAIN = hasattr(os, "preadv")
"""Not everywhere."""
_GAP = 4_096
"""Octets between two packets that are rather read than passed over: a call costs as much."""


class Left:
    """The captures that octets were left in."""

    def __init__(self, captures: Sequence[Path] = ()) -> None:
        """Their files by index."""
        self._captures = captures

    def fetch(self, packets: NDArray[Any], which: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The octets of those of `which` that were left; their `at` then says where in these.

        What is not there any more was not captured: the file has become shorter since.
        """
        left = which[packets["at"][which] < 0]
        if not len(left):
            return np.empty(0, np.uint8)
        told = packets[["capture", "at", "captured", "options"]][left]
        order = np.lexsort((~told["at"], told["capture"]))
        left, told = left[order], told[order]
        begins, captures = ~told["at"], told["capture"]
        ends = begins + told["options"] + told["captured"]
        is_new = np.ones(len(left), bool)
        is_new[1:] = (captures[1:] != captures[:-1]) | (begins[1:] - ends[:-1] > _GAP)
        firsts = np.flatnonzero(is_new)
        lasts = np.append(firsts[1:], len(left)) - 1
        lengths = ends[lasts] - begins[firsts]
        room = np.empty(int(lengths.sum()), np.uint8)
        to = np.cumsum(lengths) - lengths
        there = self._read(captures[firsts], begins[firsts], lengths, room)
        of = np.cumsum(is_new) - 1
        packets["at"][left] = ~(to[of] + begins - begins[firsts][of])
        gone = left[ends - begins[firsts][of] > there[of]]
        packets["captured"][gone], packets["options"][gone] = 0, 0
        return room

    def _read(
        self,
        captures: NDArray[np.int64],
        begins: NDArray[np.int64],
        lengths: NDArray[np.int64],
        room: NDArray[np.uint8],
    ) -> NDArray[np.int64]:
        """Fill room with stretches of files, one after the other; how much of each was there."""
        there, view, to = np.zeros(len(begins), np.int64), memoryview(room.data), 0
        capture, file = -1, -1
        try:
            for index, (of, begin, length) in enumerate(
                zip(captures.tolist(), begins.tolist(), lengths.tolist(), strict=True)
            ):
                if of != capture:
                    file = _opened(self._captures[of], file)
                    capture = of
                if file >= 0:
                    there[index] = _fill(file, view[to : to + length], begin)
                to += length
        finally:
            _close(file)
        return there


def _opened(path: Path, before: int) -> int:
    """A descriptor of the file, in the place of another; -1: it is gone."""
    _close(before)
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _close(file: int) -> None:
    if file >= 0:
        os.close(file)


def _fill(file: int, room: memoryview, begin: int) -> int:
    """Fill room from there on; how many octets there were."""
    try:
        count = os.preadv(file, [room], begin)
        while 0 < count < len(room) and (more := os.preadv(file, [room[count:]], begin + count)):
            count += more
    except OSError:
        return 0
    return count
