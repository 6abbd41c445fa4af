"""The name of an attempt: the same however the captures were split, and for every engine."""

from __future__ import annotations

import hashlib

OCTETS = 8
"""Octets of a digest that make a name."""


def flow_id(src: bytes, src_port: int, dst: bytes, dst_port: int, number: int, start_ns: int) -> str:
    """16 hex digits of both sockets, opener first, the opening sequence number and the first nanosecond."""
    octets = (
        src + src_port.to_bytes(2) + dst + dst_port.to_bytes(2) + number.to_bytes(4) + start_ns.to_bytes(8)
    )
    return hashlib.sha1(octets, usedforsecurity=False).digest()[:OCTETS].hex()
