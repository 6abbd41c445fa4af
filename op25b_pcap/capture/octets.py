"""A window that moves over a stream of octets.

In: a call that fills room with octets. Out: a window in which a parser finds as many octets as
it asks for. Parsers look into the window and never read themselves. A stream that breaks (a read
error, a damaged compression) simply ends there; `fault` then says why.

The room is used again and again: the first touch of fresh memory costs more than to scan what is
written there. So nobody may keep the window, or a part of it, when more is fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

Fill = Callable[[memoryview], int]
"""Writes octets to the beginning of some room, at least one; how many, 0 at the end. Raises Broken."""


class Broken(Exception):
    """A stream cannot be read on; the text says why and quotes nothing of it."""


class Octets:
    """Octets of one stream, seen through `window`; the next unread one is `window[at]`."""

    __slots__ = ("_base", "_fill", "_room", "_step", "at", "fault", "is_file", "window")

    def __init__(self, fill: Fill, step: int, *, is_file: bool = False) -> None:
        """`step` is how many octets the window holds, if not more are asked for.

        `is_file`: they stand so in a file, from its beginning on, and can be read there again.
        """
        self._room = memoryview(bytearray(step))
        self.window = self._room[:0].toreadonly()
        self.at = 0
        self.fault = ""
        self._base = 0
        self.is_file = is_file
        self._fill = fill
        self._step = step

    @property
    def lies_at(self) -> int:
        """Where in a file the window begins; -1 if it does not stand in any."""
        return self._base if self.is_file else -1

    @property
    def offset(self) -> int:
        """Octets of the stream before the next unread one."""
        return self._base + self.at

    @property
    def left(self) -> int:
        """Octets of the window that are not read yet."""
        return len(self.window) - self.at

    def reach(self, wanted: int) -> bool:
        """Get `wanted` octets into the window from `at` on; False if the stream ends before.

        INVARIANT: the window never holds more than `step` octets, or `wanted` if that is more.
        """
        held = self.left
        if held >= wanted:
            return True
        size = max(wanted, self._step)
        room = self._room if len(self._room) == size else memoryview(bytearray(size))
        room[:held] = self.window[self.at :]
        while held < size and (count := self._fetch(room[held:])):
            held += count
        self._base += self.at
        self.at = 0
        self._room, self.window = room, room[:held].toreadonly()
        return held >= wanted

    def skip(self, count: int) -> bool:
        """Go on by `count` octets without holding them; False if the stream ends before."""
        while count > self.left:
            count -= self.left
            self.at = len(self.window)
            if not self.reach(1):
                return False
        self.at += count
        return True

    def ending(self, inside: str) -> str:
        """Why the stream ended inside something, as a reason for a damage."""
        return self.fault or f"the file ends inside {inside}"

    def _fetch(self, room: memoryview) -> int:
        try:
            return self._fill(room)
        except Broken as fault:
            self.fault = str(fault)
            return 0


def of_pieces(pieces: Iterator[bytes]) -> Fill:
    """Pieces of octets of any size, one after the other, as what fills room."""
    rest = memoryview(b"")

    def fill(room: memoryview) -> int:
        nonlocal rest
        while not rest:
            piece = next(pieces, None)
            if piece is None:
                return 0
            rest = memoryview(piece)
        count = min(len(rest), len(room))
        room[:count] = rest[:count]
        rest = rest[count:]
        return count

    return fill
