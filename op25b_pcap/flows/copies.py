"""The same packet captured twice: at two interfaces, before and after a router, by two mirrors.

A copy has the same TCP header and length as a packet shortly before. What tells it from a
retransmission is time and the IP header: a copy comes within the router's delay and keeps the
Identification; a host that sends again waits for its timer and counts the Identification up.
"""

from __future__ import annotations

from op25b_pcap.tables.packets import FIN, SYN, Seen, TcpSegment

ELSEWHERE_NS = 200_000_000
"""A copy seen elsewhere (other interface, link header, tunnel or TTL) may lag by a router's queue; a
host never repeats a segment faster than its least timer, 200 ms on Linux (RFC 6298: 1 s)."""
SAME_PLACE_NS = 5_000_000
"""A mirror of both directions of a port delivers the copy within milliseconds."""
NO_IDENTIFICATION_NS = 100_000
"""Without a telling Identification only a copy is as fast as this."""


class Copies:
    """Tells them among the segments of one conversation, in order of time."""

    def __init__(self) -> None:
        self.again: set[Seen] = set()
        """Packets that were captured again, of those that came since `forget`."""
        self._last: dict[tuple[object, ...], TcpSegment] = {}
        self._identifications: dict[tuple[bytes, int | None], tuple[object, ...]] = {}

    def has(self, segment: TcpSegment) -> bool:
        """Whether the next segment is a copy of one before."""
        # Not the checksum: an interface may have seen the packet before it was filled in.
        header = (
            segment.src,
            segment.src_port,
            segment.seq,
            segment.ack,
            segment.flags,
            segment.window,
            segment.options,
            segment.payload_length,
        )
        # An Identification that different packets share (a constant) tells nothing, nor does the
        # 0 of hosts that do not number what is never fragmented (RFC 6864 section 4.1).
        first_with = self._identifications.setdefault((segment.src, segment.ip_id), header)
        telling = bool(segment.ip_id) and first_with == header
        before = self._last.get((*header, segment.ip_id))
        if before is not None and _is_copy(before, segment, telling):
            self.again.add(before.seen)
            return True
        self._last[(*header, segment.ip_id)] = segment
        return False

    def forget(self, time_ns: int) -> None:
        """Let go of what no segment from that time on can be a copy of, and of what was captured again."""
        self.again.clear()
        self._last = {
            header: segment
            for header, segment in self._last.items()
            if time_ns - segment.seen.time_ns <= ELSEWHERE_NS
        }


def _is_copy(before: TcpSegment, segment: TcpSegment, telling: bool) -> bool:
    """Whether `segment`, alike in TCP header and Identification, is `before` seen again."""
    if not segment.seen.time_ns:
        return False  # no time, no judgement
    delay = segment.seen.time_ns - before.seen.time_ns
    elsewhere = (
        segment.seen.place != before.seen.place
        or segment.seen.encapsulation != before.seen.encapsulation
        or segment.ttl != before.ttl
    )
    if elsewhere:
        return delay <= ELSEWHERE_NS
    if telling:
        return delay <= SAME_PLACE_NS
    # Identical acknowledgements are how a receiver reports a loss (RFC 5681 section 3.2).
    occupies_sequence = segment.payload_length > 0 or bool(segment.flags & (SYN | FIN))
    return occupies_sequence and delay <= NO_IDENTIFICATION_NS
