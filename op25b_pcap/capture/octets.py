"""A window that moves over a stream of octets.

In: pieces of octets of any size, one after the other. Out: a window in which a parser finds as
many octets as it asks for. Parsers look into the window and never read themselves. A stream
that breaks (a read error, a damaged compression) simply ends there; `fault` then says why.
"""

from __future__ import annotations

from collections.abc import Iterator


class Broken(Exception):
    """A stream cannot be read on; the text says why and quotes nothing of it."""


class Octets:
    """Octets of one stream, seen through `window`; the next unread one is `window[at]`."""

    __slots__ = ("_base", "_pieces", "_step", "at", "fault", "window")

    def __init__(self, pieces: Iterator[bytes], step: int) -> None:
        """`step` is how many octets are fetched at a time, at least."""
        self.window = b""
        self.at = 0
        self.fault = ""
        self._base = 0
        self._pieces = pieces
        self._step = step

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

        INVARIANT: the window never holds more than `wanted` + `step` octets and one piece.
        """
        held = self.left
        if held >= wanted:
            return True
        parts = [self.window[self.at :]]
        while held < max(wanted, self._step) and (piece := self._fetch()):
            parts.append(piece)
            held += len(piece)
        self._base += self.at
        self.at = 0
        self.window = b"".join(parts)
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

    def _fetch(self) -> bytes:
        try:
            return next(self._pieces, b"")
        except Broken as fault:
            self.fault = str(fault)
            return b""
