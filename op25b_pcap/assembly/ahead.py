"""Memory brought up before it is used, by a processor that has nothing else to do.

The first touch of a page makes the system find one and clear it, which takes longer than to write
packets there; a virtual machine may have to ask its host for it, which takes five times as long.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from threading import Condition, Thread
from typing import Any

from numpy.typing import NDArray

_POPULATE_WRITE = 23
"""madvise(2): as if it were written to, but what is there stays; since Linux 5.14."""
_STEP, _FARTHEST = 4 << 20, 32 << 20
"""Octets brought up at a time, and at most before who fills them."""


class Ahead:
    """Goes through arrays in a thread, before who fills them from their beginnings on.

    It goes as far ahead as he has come: a small capture needs none of what a large one does.
    """

    def __init__(self, arrays: Sequence[NDArray[Any]]) -> None:
        self._arrays = arrays  # as long as the thread runs
        self._begins = [array.ctypes.data for array in arrays]
        self._there = [-(-begin // _STEP) * _STEP for begin in self._begins]
        self._used = [0] * len(arrays)
        self._is_over = False
        self._changed = Condition()
        self._thread = Thread(target=self._run, name="memory", daemon=True)
        self._thread.start()

    def filled(self, octets: Sequence[int]) -> None:
        """So much of each array is used."""
        with self._changed:
            self._used[:] = octets
            self._changed.notify()

    def stop(self) -> None:
        """No more will be used."""
        with self._changed:
            self._is_over = True
            self._changed.notify()
        self._thread.join()

    def _next(self) -> int | None:
        """Where the next step begins that is worth it now."""
        for number, (array, begin, used) in enumerate(
            zip(self._arrays, self._begins, self._used, strict=True)
        ):
            at = max(self._there[number], (begin + used) // _STEP * _STEP)
            if at < begin + used + min(used, _FARTHEST) and at + _STEP <= begin + array.nbytes:
                self._there[number] = at + _STEP
                return at
        return None

    def _run(self) -> None:
        madvise = ctypes.CDLL(None).madvise if sys.platform == "linux" else None
        while madvise is not None:
            with self._changed:
                while (at := self._next()) is None and not self._is_over:
                    self._changed.wait()
                if self._is_over or at is None:
                    return
            if madvise(ctypes.c_void_p(at), ctypes.c_size_t(_STEP), _POPULATE_WRITE):
                return  # the system cannot do it, or has no more memory: who fills it will see
