"""Packets to flows: attempts, their state and outcome, and the octets they carried."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from op25b_pcap.flows.attempts import attempts
from op25b_pcap.flows.conversations import conversations
from op25b_pcap.flows.flow import Flow, flow
from op25b_pcap.tables.packets import Packet

__all__ = ["Flow", "flows"]


def flows(packets: Iterable[Packet]) -> Iterator[Flow]:
    """All attempts in the packets of one observation, each when it is over."""
    for conversation in conversations(packets):
        for attempt in attempts(conversation):
            yield flow(attempt)
