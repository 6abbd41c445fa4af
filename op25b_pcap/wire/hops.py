"""How far away a packet was sent from, by what is left of its TTL or Hop Limit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

INITIAL_TTLS = (64, 128, 255)
"""What hosts begin with: Linux, BSD and macOS 64 (RFC 1700), Windows 128, routers 255."""
FARTHER_HOPS = 3
"""Routers between a provider's edge and its neighbours, at the least that is not chance."""


def passed(ttl: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many routers packets have passed, by the TTLs that hosts begin with; infinite if not known."""
    begun = np.array(INITIAL_TTLS)[np.searchsorted(INITIAL_TTLS, np.nan_to_num(ttl, nan=255))]
    return np.nan_to_num(begun - ttl, nan=np.inf)
