"""Packets to flows: attempts, their state and outcome, and the octets they carried."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from op25b_pcap.flows.attempts import attempts
from op25b_pcap.flows.conversations import CutQuotes, conversations
from op25b_pcap.flows.flow import Flow, flow
from op25b_pcap.tables.packets import Packet

__all__ = ["CutQuotes", "Flow", "flows"]


def flows(packets: Iterable[Packet], cut_quotes: CutQuotes | None = None) -> Iterator[Flow]:
    """All attempts in the packets of one observation, each when it is over.

    `cut_quotes` are ICMP errors that quote no ports, if they are not among the packets.
    """
    for conversation in conversations(packets, cut_quotes):
        for attempt in attempts(conversation):
            yield flow(attempt)
