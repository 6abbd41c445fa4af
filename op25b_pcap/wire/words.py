"""Numbers out of octets in network order, as the kernels read them: 64-bit integers."""

from __future__ import annotations


def u16(data: bytes, at: int) -> int:
    """Two octets."""
    return data[at] * 256 + data[at + 1]


def u32(data: bytes, at: int) -> int:
    """Four octets."""
    return u16(data, at) * 65536 + u16(data, at + 2)
