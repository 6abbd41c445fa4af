"""TCP sequence numbers: arithmetic modulo 2^32 (RFC 9293 section 3.4), in one place."""

from __future__ import annotations

MODULO = 1 << 32
_HALF = 1 << 31


def difference(a: int, b: int) -> int:
    """`a - b` on the circle: -2^31 … 2^31 - 1, negative where `a` is before `b`."""
    return (a - b + _HALF) % MODULO - _HALF
