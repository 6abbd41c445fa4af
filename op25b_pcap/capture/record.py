"""A captured packet as its file holds it, before anything is dissected."""

from __future__ import annotations

from typing import NamedTuple


class Record(NamedTuple):
    """One packet record of a capture file."""

    capture: int
    """Index of the capture in the observation."""
    number: int
    """1-based, counting every packet record of the file."""
    time_ns: int
    """Integer nanoseconds since 1970 (UTC); 0 where the file has no time (Simple Packet Block)."""
    link_type: int
    """LINKTYPE_ number of the interface it was captured on."""
    interface: int
    """0-based index of the interface in its file, counted over all sections; 0 in pcap."""
    length: int
    """Octets on the wire; `data` may hold fewer."""
    data: bytes


def in_time(record: Record) -> tuple[int, int, int]:
    """What records of all captures are sorted by, however each capture has them."""
    return record.time_ns, record.capture, record.number
