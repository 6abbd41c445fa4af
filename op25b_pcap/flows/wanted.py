"""Packets of flows that were written before: found again by sockets, tunnel and time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from op25b_pcap.tables.packets import IcmpError, TcpSegment
from op25b_pcap.wire.addresses import text

_Ends = frozenset[tuple[str, int | None]]


class Wanted:
    """Some rows of `flows`; asks of a packet whether it is one of theirs."""

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """A row needs the columns of both sockets, `outer_src_ip`, and times that know their nanoseconds."""
        self._spans: dict[_Ends, list[tuple[int, int, str | None]]] = defaultdict(list)
        for row in rows:
            ends = frozenset({(row["src_ip"], row["src_port"]), (row["dst_ip"], row["dst_port"])})
            self._spans[ends].append((row["start_time"].value, row["end_time"].value, row["outer_src_ip"]))

    def __contains__(self, packet: TcpSegment | IcmpError) -> bool:
        ends = frozenset({(text(packet.src), packet.src_port), (text(packet.dst), packet.dst_port)})
        seen = packet.seen
        return any(
            start <= seen.time_ns <= end and outer in (None, seen.outer_src, seen.outer_dst)
            for start, end, outer in self._spans.get(ends, ())
        )
