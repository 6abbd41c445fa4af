"""Memory that is free, but kept by the process for later, given back to the system.

Arrow's pool keeps it, and the C library where small objects lie in between. A stage needs other
sizes than the one before: of two million attempts, 300 MB were kept for nothing between two.
"""

from __future__ import annotations

import ctypes
import sys

import pyarrow as pa


def give_back() -> None:
    """Between two stages, when most of what the first one made is gone."""
    pa.default_memory_pool().release_unused()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # GNU's library has it, musl has not
        if trim is not None:
            trim(0)
