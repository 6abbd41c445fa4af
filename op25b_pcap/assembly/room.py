"""Memory that is used again: the first touch of fresh memory costs more than to copy there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Room:
    """For octets."""

    def __init__(self) -> None:
        self._octets = np.empty(0, np.uint8)

    def of(self, octets: int) -> NDArray[np.uint8]:
        """So much of it; what was there before is lost."""
        if len(self._octets) < octets:
            self._octets = np.empty(0, np.uint8)  # two of them need not be there at a time
            # A little more may be asked for next, and what nobody touches costs nothing.
            self._octets = np.empty(octets + octets // 4, np.uint8)
        return self._octets[:octets]
