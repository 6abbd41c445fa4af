"""The kernel that finds packets which were captured twice, as `flows.copies` says what these are."""

from __future__ import annotations

from typing import Any, NamedTuple

from op25b_pcap.assembly.packet import ERROR
from op25b_pcap.assembly.settle import mixed, signed
from op25b_pcap.assembly.skim import IN_HAND
from op25b_pcap.flows.copies import ELSEWHERE_NS, NO_IDENTIFICATION_NS, SAME_PLACE_NS
from op25b_pcap.tables.packets import FIN, SYN

DOUBT, NEEDED = -1, -2
"""Instead of how many there are: it is not to be said here; or not without octets that were passed over."""
IDENTIFICATIONS = 1 << 16
MOST_LOOKED_AT = 128
"""Packets in the place of another's in a table, half of which is free: who has chosen headers for that is
not to be waited for."""
_DIFFERENT, _ALIKE, _UNKNOWN = range(3)


class Bytes(NamedTuple):
    """Where octets of packets are."""

    octets: Any
    fetched: Any
    """Of those that were left in files."""
    tails: Any
    """What is known of payload that was passed over (`skim`)."""


def is_from(one: Any, other: Any) -> bool:
    """Whether two packets have the same source."""
    return bool(
        one["src_low"] == other["src_low"]
        and one["src_high"] == other["src_high"]
        and one["src_port"] == other["src_port"]
    )


def mark(
    packets: Any,
    of: Bytes,
    places: Any,
    order: Any,
    begin: int,
    end: int,
    stamp: int,
    last: Any,
    numbers: Any,
    copies: Any,
) -> int:
    """Say of packets `order[begin:end]` in `copies` which are one of one before; gives how many.

    `places`: where packets were captured, the same number for the same place and encapsulation. `last`
    and `numbers` have a place of a packet beside a stamp: the last that has such a header; and the first
    of that side with this Identification.
    """
    first, count, mask = packets[order[begin]], 0, len(last) - 1
    if first["src_low"] == first["dst_low"] and first["src_high"] == first["dst_high"]:
        return DOUBT
    for index in range(begin, end):
        copies[index - begin] = 0
        packet = packets[order[index]]
        if packet["kind"] == ERROR:
            continue
        ip_id, is_telling = signed(packet["ip_id"]), False
        if ip_id > 0:
            number = numbers[ip_id + IDENTIFICATIONS * is_from(packet, first)]
            if number[0] == stamp:
                said = same_header(packets, of, order[number[1]], order[index])
                if said == _UNKNOWN:
                    return NEEDED
                is_telling = said == _ALIKE
            else:
                number[0], number[1] = stamp, index
                is_telling = True
        slot = mixed(mixed(signed(packet["seq"]), signed(packet["ack"])), signed(packet["src_port"]))
        slot = mixed(mixed(slot, signed(packet["length"])), ip_id) & mask
        looked_at = 0
        while last[slot, 0] == stamp:
            looked_at += 1
            if looked_at == MOST_LOOKED_AT:
                return DOUBT
            other = order[last[slot, 1]]
            said = _DIFFERENT
            if packets[other]["ip_id"] == ip_id:
                said = same_header(packets, of, other, order[index])
            if said == _UNKNOWN:
                return NEEDED
            if said == _ALIKE:
                if is_copy(packets[other], packet, places, is_telling):
                    copies[index - begin] = 1
                    count += 1
                break
            slot = (slot + 1) & mask
        if copies[index - begin] == 0:
            last[slot, 0], last[slot, 1] = stamp, index
    return count


def is_copy(before: Any, packet: Any, places: Any, is_telling: bool) -> bool:
    """What `flows.copies` says of two packets that are alike."""
    delay = packet["time_ns"] - before["time_ns"]
    if packet["time_ns"] == 0:
        return False
    if places[packet["where"]] != places[before["where"]] or packet["ttl"] != before["ttl"]:
        return bool(delay <= ELSEWHERE_NS)
    if is_telling:
        return bool(delay <= SAME_PLACE_NS)
    occupies_sequence = packet["length"] > 0 or packet["flags"] & (SYN | FIN) != 0
    return bool(occupies_sequence and delay <= NO_IDENTIFICATION_NS)


def same_header(packets: Any, of: Bytes, one: int, other: int) -> int:
    """Whether two packets have the same TCP header and length, but for the checksum."""
    first, second = packets[one], packets[other]
    if (
        first["seq"] != second["seq"]
        or first["ack"] != second["ack"]
        or first["flags"] != second["flags"]
        or first["window"] != second["window"]
        or first["length"] != second["length"]
        or first["options"] != second["options"]
        or not is_from(first, second)
    ):
        return _DIFFERENT
    if first["options"] == 0:
        return _ALIKE
    if of.tails[one] != IN_HAND or of.tails[other] != IN_HAND:
        return _UNKNOWN
    at, source = first["at"], of.octets
    if at < 0:
        at, source = ~at, of.fetched
    to, target = second["at"], of.octets
    if to < 0:
        to, target = ~to, of.fetched
    for index in range(first["options"]):
        if source[at + index] != target[to + index]:
            return _DIFFERENT
    return _ALIKE
