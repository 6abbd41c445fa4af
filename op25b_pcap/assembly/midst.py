"""The kernel that finds which packets are in the midst of a large message, and need not be read.

In: packets in their order, conversation by conversation. Out: those that go on where the one before
them of their turn ended, and of whose payload nothing but the tail matters (`skim.tail_of`). A turn is
what one side says before the other says something.
"""

from __future__ import annotations

from typing import Any

from op25b_pcap.assembly.copies import is_from
from op25b_pcap.assembly.course import later
from op25b_pcap.assembly.packet import SEGMENT
from op25b_pcap.assembly.settle import signed
from op25b_pcap.assembly.skim import NO_TAIL, goes_on
from op25b_pcap.wire.sequence import MODULO

_MOST_LOOKED_AT = 1_024
"""Packets that one which came late is held against: who sends them is not to be waited for."""


def pass_over(packets: Any, order: Any, begins: Any, octets: Any, large: int, head: int, passed: Any) -> int:
    """Mark in `passed`, by their order, packets that may be passed over; gives how many there are.

    Conversation number i is `order[begins[i]:begins[i + 1]]`, and carries no more than what `octets`
    have grown by there. A turn must have `large` octets; its first `head` octets are read.
    """
    count = 0
    for index in range(len(begins) - 1):
        if octets[index + 1] - octets[index] < large:
            continue
        begin, end = begins[index], begins[index + 1]
        first, seen, newest, edge, tail, is_strange = begin, 0, 0, 0, NO_TAIL, False
        for place in range(begin, end):
            packet = packets[order[place]]
            length = signed(packet["length"])
            if packet["kind"] != SEGMENT or length == 0:
                continue
            seq = signed(packet["seq"])
            if seen == 0 or not is_from(packets[order[first]], packet):
                count -= taken_back(passed, first, place, seen < large or is_strange)
                first, seen, newest, edge, tail, is_strange = place, 0, 0, seq, NO_TAIL, False
            at = newest + later(seq, edge)
            if at == newest and seen >= head and may_be(packet, tail):
                passed[place] = True
                count += 1
            elif at < newest:
                kept = kept_for(packets, order, first, place, passed)
                is_strange |= kept < 0
                count -= max(kept, 0)
            if at + length > newest:
                newest, edge = at + length, (seq + length) % MODULO
                tail = signed(packet["tail"]) if packet["captured"] == length else NO_TAIL
            seen += length
        count -= taken_back(passed, first, end, seen < large or is_strange)
    return count


def may_be(packet: Any, before: int) -> bool:
    """Whether a segment may be one of a message: it was left in a file, and has a tail.

    `before` is the tail of what it follows.
    """
    if packet["at"] >= 0 or packet["tail"] == NO_TAIL:
        return False
    return not goes_on(before, packet["icmp_type"])


def kept_for(packets: Any, order: Any, first: int, place: int, passed: Any) -> int:
    """Keep those of a turn before `place` that hold octets of what came late there: how many.

    -1: there are too many to look at.
    """
    late, kept = packets[order[place]], 0
    seq, size = signed(late["seq"]), signed(late["length"])
    for index in range(place - 1, first - 1, -1):
        if place - index > _MOST_LOOKED_AT:
            return -1
        if not passed[index]:
            continue
        packet = packets[order[index]]
        begin = later(signed(packet["seq"]), seq)
        if begin + signed(packet["length"]) <= 0:
            break  # as do all before it that are passed over, for they are in order
        if begin < size:
            passed[index] = False
            kept += 1
    return kept


def taken_back(passed: Any, first: int, end: int, is_so: bool) -> int:
    """Keep all of a turn, if it is so: how many were to be passed over."""
    count = 0
    if is_so:
        for index in range(first, end):
            count += passed[index]
            passed[index] = False
    return count
