"""IP addresses as octets: their text, and which of them are unique in the world."""

from __future__ import annotations

import socket
from functools import lru_cache

NOT_UNIQUE_V4 = tuple(
    (int.from_bytes(socket.inet_aton(net)) >> (32 - length), 32 - length)
    for net, length in (
        ("10.0.0.0", 8),  # RFC 1918
        ("172.16.0.0", 12),
        ("192.168.0.0", 16),
        ("100.64.0.0", 10),  # RFC 6598, behind a carrier's NAT
        ("192.0.0.0", 24),  # RFC 7335, the inside of DS-Lite
        ("169.254.0.0", 16),  # RFC 3927
    )
)


@lru_cache(maxsize=65536)
def text(address: bytes) -> str:
    """Canonical text of 4 or 16 octets (RFC 5952 for IPv6)."""
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)


def is_unique(address: bytes) -> bool:
    """Whether the address names one host in the world; private and shared space does not."""
    if len(address) == 4:
        value = int.from_bytes(address)
        return all(value >> shift != prefix for prefix, shift in NOT_UNIQUE_V4)
    # fc00::/7 (RFC 4193) and fe80::/10 (RFC 4291)
    return address[0] & 0xFE != 0xFC and not (address[0] == 0xFE and address[1] & 0xC0 == 0x80)
