"""How far away a packet was sent from, by what is left of its TTL or Hop Limit."""

from __future__ import annotations

INITIAL_TTLS = (64, 128, 255)
"""What hosts begin with: Linux, BSD and macOS 64 (RFC 1700), Windows 128, routers 255."""
