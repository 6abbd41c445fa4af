"""UDP (RFC 768), and as much of DNS (RFC 1035 section 4.1.1) as tells an answer from a question."""

from __future__ import annotations

HEADER = 8
LENGTH = 4
DNS_HEADER = 12
DNS_FLAGS = 2
DNS_RESPONSE = 0x80
"""QR, the first bit of the flags."""
