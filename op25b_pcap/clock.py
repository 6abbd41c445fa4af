"""How long the parts of a run take."""

from __future__ import annotations

import time


class Clock:
    """Seconds spent in each part of a run."""

    def __init__(self) -> None:
        self.laps_s: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """End a part and name it; one may come several times."""
        now = time.perf_counter()
        self.laps_s[name] = round(self.laps_s.get(name, 0.0) + now - self._last, 3)
        self._last = now
