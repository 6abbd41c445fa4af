"""Community ID v1: the flow hash that Zeek, Suricata and others share.

Specification: github.com/corelight/community-id-spec. Tunnels are outside of it; ours is the
hash of the innermost tuple.
"""

from __future__ import annotations

import base64
import hashlib

_TCP = 6


def community_id(src: bytes, dst: bytes, src_port: int, dst_port: int, seed: int = 0) -> str:
    """The ID of a TCP conversation; either direction gives the same."""
    one, other = sorted([(src, src_port), (dst, dst_port)])
    tuple_ = (
        seed.to_bytes(2) + one[0] + other[0] + bytes([_TCP, 0]) + one[1].to_bytes(2) + other[1].to_bytes(2)
    )
    return "1:" + base64.b64encode(hashlib.sha1(tuple_, usedforsecurity=False).digest()).decode()
