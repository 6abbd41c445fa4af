"""The same packet captured twice: at two interfaces, before and after a router, by two mirrors.

A copy has the same TCP header and length as a packet shortly before. What tells it from a
retransmission is time and the IP header: a copy comes within the router's delay and keeps the
Identification; a host that sends again waits for its timer and counts the Identification up.
"""

from __future__ import annotations

from collections.abc import Sequence

from op25b_pcap.tables.packets import FIN, SYN, Seen, TcpSegment

ELSEWHERE_NS = 200_000_000
"""A copy seen elsewhere (other interface, link header, tunnel or TTL) may lag by a router's queue; a
host never repeats a segment faster than its least timer, 200 ms on Linux (RFC 6298: 1 s)."""
SAME_PLACE_NS = 5_000_000
"""A mirror of both directions of a port delivers the copy within milliseconds."""
NO_IDENTIFICATION_NS = 100_000
"""Without a telling Identification only a copy is as fast as this."""


def without_copies(segments: Sequence[TcpSegment]) -> tuple[list[TcpSegment], set[Seen]]:
    """The segments (one conversation, in order of time) with each packet once, the first.

    The second value says which of these were captured again.
    """
    if len({(s.src_port, s.seq, s.ack, s.flags, s.payload_length) for s in segments}) == len(segments):
        return list(segments), set()  # no two are alike
    kept: list[TcpSegment] = []
    again: set[Seen] = set()
    last: dict[tuple[object, ...], TcpSegment] = {}
    identifications: dict[tuple[bytes, int | None], tuple[object, ...]] = {}
    for segment in segments:
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
        first_with = identifications.setdefault((segment.src, segment.ip_id), header)
        telling = bool(segment.ip_id) and first_with == header
        before = last.get((*header, segment.ip_id))
        if before is not None and _is_copy(before, segment, telling):
            again.add(before.seen)
            continue
        last[(*header, segment.ip_id)] = segment
        kept.append(segment)
    return kept, again


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
