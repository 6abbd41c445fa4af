"""Memory that is free, but kept by the process for later, given back to the system.

Arrow's pool keeps it, and the C library where small objects lie in between. A stage needs other
sizes than the one before: of two million attempts, 300 MB were kept for nothing between two. But to
have it anew costs a second a gigabyte, so that a process which is small keeps it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import pyarrow as pa

_SMALL, _ROOMY = 400 << 20, 600 << 20
"""Octets."""


def give_back() -> None:
    """Between two stages, when most of what the first one made is gone."""
    if _resident() < _SMALL:
        return
    pa.default_memory_pool().release_unused()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # GNU's library has it, musl has not
        if trim is not None:
            trim(0)


def is_roomy() -> bool:
    """Whether the process is small enough to hold what it could also make anew."""
    return _resident() < _ROOMY


def _resident() -> int:
    """Octets of memory that the process has; where that is not told, as many as any has."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    except OSError:
        return sys.maxsize
    return pages * os.sysconf("SC_PAGE_SIZE")
