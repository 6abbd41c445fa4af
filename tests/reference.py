"""The Scapy engine on records in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from op25b_pcap.capture.record import Record, in_time
from op25b_pcap.decode import Tally
from op25b_pcap.decode.dissect import Dissector, join
from op25b_pcap.tables.packets import Packet


def decode(records: Iterable[Record], tally: Tally) -> Iterator[Packet]:
    """All packets, those in fragments last."""
    aside: list[Record] = []
    yield from Dissector(tally, aside.append).packets(records)
    yield from join(sorted(aside, key=in_time), tally)
