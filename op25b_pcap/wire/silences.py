"""Silences after which nothing more belongs to a connection, in nanoseconds."""

from __future__ import annotations

SECOND_NS = 1_000_000_000
UNANSWERED_NS = 180 * SECOND_NS
"""A SYN is repeated for longer than any back-off of a host: Linux waits at most 120 s
(TCP_RTO_MAX) between two."""
CLOSED_NS = 240 * SECOND_NS
"""Twice the maximum segment lifetime (RFC 9293 section 3.4.2): later packets are not its."""
OPEN_NS = 7440 * SECOND_NS
"""Two hours and four minutes, as long as a NAT must remember an idle connection (RFC 5382
REQ-5). IMAP IDLE (RFC 2177) may be silent for 29 minutes."""
