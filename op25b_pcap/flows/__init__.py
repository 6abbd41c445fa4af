"""Packets to flows: attempts, their state and outcome, and the octets they carried."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from op25b_pcap.flows.attempts import attempts
from op25b_pcap.flows.conversations import conversations
from op25b_pcap.flows.flow import Flow, flow
from op25b_pcap.tables.packets import IcmpError, Packet, TcpSegment

__all__ = ["Flow", "flows", "flows_of"]


def flows(packets: Iterable[Packet], is_behind: Callable[[], bool] = lambda: False) -> Iterator[Flow]:
    """All attempts in the packets of one observation, each when it is over; see `conversations`."""
    for conversation in conversations(packets, is_behind):
        yield from flows_of(conversation.in_order(), conversation.cut_quotes)


def flows_of(
    packets: Iterable[TcpSegment | IcmpError], cut_quotes: Sequence[IcmpError] = ()
) -> Iterator[Flow]:
    """The attempts in the packets of one conversation, which come in order of time.

    `cut_quotes` are ICMP errors between its addresses that quote no ports, in order of time.
    """
    for attempt in attempts(packets, cut_quotes):
        yield flow(attempt)
