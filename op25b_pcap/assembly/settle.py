"""Kernels from the scan's rows to packets of fixed size: what must outlive the window is copied out of it.

Digests are products modulo 2^64, as compiled code multiplies. They bring together what is the
same; where it counts that nothing else is, what they stand for is compared, too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from op25b_pcap.assembly.packet import ERROR, SEGMENT
from op25b_pcap.assembly.skim import NO_TAIL, tail_of, takes_messages
from op25b_pcap.scan import row as cell
from op25b_pcap.wire import ip, link, tcp
from op25b_pcap.wire.addresses import NOT_UNIQUE_V4
from op25b_pcap.wire.words import u16, u32

_ODD, _OTHER_ODD = 0x2545F4914F6CDD1D, 0x1B873593CC9E2D51
_WORD = 4294967296
_FREE = -1


def signed(value: Any) -> int:
    """A number of a record as one with which kernels reckon: in 64 bits, with a sign."""
    number: Any = np.int64(value)
    return number


def mixed(digest: int, word: int) -> int:
    """A digest with one more word."""
    digest = (digest ^ word) * _ODD
    digest ^= (digest >> 32) & 0xFFFFFFFF
    digest *= _OTHER_ODD
    return digest ^ ((digest >> 29) & 0x7FFFFFFFF)


def of_octets(data: bytes, at: int, end: int, digest: int) -> int:
    """A digest with some octets more."""
    while at + 4 <= end:
        digest = mixed(digest, u32(data, at))
        at += 4
    while at < end:
        digest = mixed(digest, data[at])
        at += 1
    return digest


def u64(data: bytes, at: int) -> int:
    """Eight octets in network order; of the largest numbers, the complement."""
    return u32(data, at) * _WORD + u32(data, at + 4)


def where_of(data: bytes, row: Any) -> int:
    """The digest of all that `scan.packets.seen` says of a packet but its time and number."""
    at, kind = row[cell.PLACE_AT], row[cell.PLACE]
    digest = mixed(row[cell.INTERFACE] + 1, kind)
    if kind == cell.STATIONS:
        digest = of_octets(data, at, at + link.MAC_ADDRESSES, digest)
    elif kind == cell.COOKED:
        digest = mixed(digest, u16(data, at + link.SLL_KIND))
        at += link.SLL_ADDRESS
        digest = of_octets(data, at, at + link.SLL_ADDRESS_LENGTH, digest)
    elif kind == cell.COOKED_V2:
        digest = mixed(digest, u32(data, at + link.SLL2_INTERFACE))
        digest = mixed(digest, data[at + link.SLL2_KIND])
        at += link.SLL2_ADDRESS
        digest = of_octets(data, at, at + link.SLL_ADDRESS_LENGTH, digest)
    words = row[cell.WORDS]
    for index in range(words):
        digest = mixed(digest, row[cell.WORDS + 1 + index])
    if words != 0 and row[cell.OUTER_VERSION] != 0:
        at = row[cell.OUTER_AT]
        if row[cell.OUTER_VERSION] == 4:
            digest = of_octets(data, at + ip.IPV4_ENDS, at + ip.IPV4_ENDS + 8, digest)
        else:
            digest = of_octets(data, at + ip.IPV6_ENDS, at + ip.IPV6_ENDS + 32, digest)
    return digest


def found(places: Any, digest: int) -> int:
    """The slot of a digest in a table of (digest, number) rows, or the free one where it belongs."""
    last = len(places) - 1
    slot = digest & last
    while places[slot, 1] != _FREE and places[slot, 0] != digest:
        slot = (slot + 1) & last
    return slot


def is_unique(version: int, high: int, low: int) -> bool:
    """What `wire.addresses.is_unique` says."""
    if version == 4:
        for prefix, shift in NOT_UNIQUE_V4:
            if low >> shift == prefix:
                return False
        return True
    first = (high >> 56) & 0xFF
    return first & 0xFE != 0xFC and not (first == 0xFE and (high >> 48) & 0xC0 == 0x80)


def conversation_of(packets: Any, index: int, tunnel: int) -> int:
    """The digest of a packet's conversation; `tunnel` is that of outer addresses, or 0."""
    packet = packets[index]
    one = mixed(mixed(mixed(1, packet["src_high"]), packet["src_low"]), packet["src_port"])
    other = mixed(mixed(mixed(1, packet["dst_high"]), packet["dst_low"]), packet["dst_port"])
    digest = mixed(mixed(1, one + other), one ^ other)
    version = packet["version"]
    if tunnel != 0 and not (
        is_unique(version, packet["src_high"], packet["src_low"])
        and is_unique(version, packet["dst_high"], packet["dst_low"])
    ):
        digest = mixed(digest, tunnel)
    return digest


WORTH_LEAVING = 256
"""Octets of payload that are rather read again from where they lie than copied."""


class Into(NamedTuple):
    """Where packets are put."""

    packets: Any
    octets: Any
    used: Any
    """How many of both are taken."""
    places: Any
    """Rows of (digest, number) of the places that are known."""
    tunnels: Any
    """By the number of a place, the digest of its outer addresses, 0 without them."""
    others: Any
    """Which rows are not for here, and how many: the last is their number."""


def settle(
    data: bytes, kept: Any, begin: int, end: int, into: Into, capture: int, number: int, lying_at: int
) -> int:
    """Rows `begin` to `end` to packets of that capture, whose run begins with packet `number`.

    Their octets lie in a file from `lying_at` (`packet.lying`) on; if it is -1, all are copied. Gives the
    row at which it stopped: because it stands at a place that is not known yet, or finds no room.
    """
    packets, octets, used, places, tunnels, others = into
    most = len(others) - 1
    for index in range(begin, end):
        row = kept[index]
        verdict = row[cell.VERDICT]
        if verdict != cell.SEGMENT and verdict != cell.FAILURE:
            if others[most] == most:
                return index
            others[others[most]] = index
            others[most] += 1
            continue
        size = row[cell.END] - row[cell.AT] + ip.IPV6_HEADER
        if used[0] == len(packets) or used[1] + size > len(octets):
            return index
        slot = found(places, where_of(data, row))
        if places[slot, 1] == _FREE:
            return index
        packet = packets[used[0]]
        packet["where"] = places[slot, 1]
        packet["time_ns"] = row[cell.TIME]
        packet["number"] = number + row[cell.RECORD]
        packet["capture"] = capture
        _ends(data, row, packet)
        packet["at"] = used[1]
        if verdict == cell.SEGMENT:
            used[1] = _segment(data, row, packet, octets, used[1], lying_at)
        else:
            used[1] = _error(data, row, packet, octets, used[1])
        packet["conversation"] = conversation_of(packets, used[0], tunnels[places[slot, 1]])
        used[0] += 1
    return end


def hear(data: bytes, kept: Any, which: Any, begin: int, into: Any, count: int) -> int:
    """Answers of DNS, rows `which` from number `begin` on, behind `count` others; gives how many there are.

    They go `into` octets, edges between these, times, and clients: each address behind its length. It stops
    where there is no room.
    """
    octets, ends, times_ns, clients = into
    for index in range(begin, len(which)):
        row = kept[which[index]]
        size = row[cell.END] - row[cell.AT]
        used = signed(ends[count])
        if count == len(times_ns) or used + size > len(octets):
            return count
        copy(data, row[cell.AT], size, octets, used)
        ends[count + 1] = used + size
        times_ns[count] = row[cell.TIME]
        at, length = row[cell.IP_AT] + ip.IPV4_ENDS + 4, 4
        if row[cell.IP_VERSION] == 6:
            at, length = row[cell.IP_AT] + ip.IPV6_ENDS + 16, 16
        clients[count, 0] = length
        for place in range(length):
            clients[count, 1 + place] = data[at + place]
        count += 1
    return count


def _segment(data: bytes, row: Any, packet: Any, octets: Any, to: int, lying_at: int) -> int:
    """The rest of a segment; gives where its octets end."""
    packet["kind"] = SEGMENT
    packet["src_port"] = row[cell.SRC_PORT]
    packet["dst_port"] = row[cell.DST_PORT]
    packet["seq"] = row[cell.SEQ]
    packet["ack"] = row[cell.ACK]
    packet["flags"] = row[cell.FLAGS]
    packet["window"] = row[cell.WINDOW]
    packet["checksum"] = row[cell.CHECKSUM]
    packet["length"] = row[cell.LENGTH]
    at = row[cell.AT] + tcp.HEADER
    options = max(row[cell.OPTIONS_END] - at, 0)
    captured = row[cell.END] - row[cell.PAYLOAD_AT]
    packet["options"] = options
    packet["captured"] = captured
    is_worth = captured >= WORTH_LEAVING
    packet["tail"] = NO_TAIL
    if is_worth and takes_messages(row[cell.DST_PORT]):
        packet["icmp_type"] = data[row[cell.PAYLOAD_AT]]
        packet["tail"] = tail_of(data, row[cell.PAYLOAD_AT], row[cell.END])
    if lying_at >= 0 and is_worth and row[cell.PAYLOAD_AT] == at + options:
        packet["at"] = ~(lying_at + at)
        return to
    copy(data, at, options, octets, to)
    copy(data, row[cell.PAYLOAD_AT], captured, octets, to + options)
    return to + options + captured


def _error(data: bytes, row: Any, packet: Any, octets: Any, to: int) -> int:
    """The rest of an ICMP error."""
    packet["kind"] = ERROR
    packet["tail"] = NO_TAIL
    packet["icmp_type"] = row[cell.TYPE]
    packet["icmp_code"] = row[cell.CODE]
    packet["src_port"] = max(row[cell.SRC_PORT], 0)
    packet["dst_port"] = max(row[cell.DST_PORT], 0)
    packet["seq"] = max(row[cell.SEQ], 0)
    packet["captured"] = 0
    if row[cell.SRC_PORT] >= 0:
        packet["captured"] = tcp.PORTS_END
    if row[cell.SEQ] >= 0:
        packet["captured"] = tcp.SEQUENCE_END
    at, size = row[cell.FAILURE_AT] + ip.IPV4_ENDS, 4
    if row[cell.FAILURE_VERSION] == 6:
        at, size = row[cell.FAILURE_AT] + ip.IPV6_ENDS, 16
    packet["options"] = size
    copy(data, at, size, octets, to)
    return to + size


def carries(packet: Any) -> int:
    """How many octets a packet has, wherever they lie."""
    size = signed(packet["options"])
    return size + signed(packet["captured"]) if packet["kind"] == SEGMENT else size


def resettle(
    packets: Any,
    words: Any,
    octets: Any,
    lying_at: int,
    wheres: Any,
    captures: Any,
    into_packets: Any,
    into_words: Any,
    into_octets: Any,
    used: Any,
) -> None:
    """Packets out of one store behind those of another, which has room for them; both are told in words, too.

    `wheres` are the other's numbers of places, `captures` of captures, if there are any: the last one
    stands for all that have none. The octets lie in a file from `lying_at` (`packet.lying`) on, and stay
    there where that is worth it; if it is -1, all are copied. `used` are packets and octets there.
    """
    at, to = used[0], used[1]
    for index in range(len(packets)):
        move(words, index, into_words, at)
        packet, mine = packets[index], into_packets[at]
        mine["where"] = wheres[packet["where"]]
        if len(captures) != 0:
            mine["capture"] = captures[min(packet["capture"], len(captures) - 1)]
        begin = packet["at"]
        if begin >= 0:  # if not, they were left elsewhere before
            if lying_at >= 0 and packet["kind"] == SEGMENT and packet["captured"] >= WORTH_LEAVING:
                mine["at"] = ~(lying_at + begin)
            else:
                size = carries(packet)
                copy(octets, begin, size, into_octets, to)
                mine["at"] = to
                to += size
        at += 1
    used[0], used[1] = at, to


def is_cut_quote(packets: Any) -> Any:
    """Of a packet, or of each of many: whether it is an ICMP error whose quote ends before the ports."""
    return (packets["kind"] == ERROR) & (packets["captured"] < tcp.PORTS_END)


def copy(data: bytes, at: int, size: int, octets: Any, to: int) -> None:
    """Octets of one buffer into another: as slices they are copied sixteen at a time."""
    source, target = data[at : at + size], octets[to : to + size]
    for index in range(len(source)):
        target[index] = source[index]


def move(rows: Any, at: int, into: Any, to: int) -> None:
    """One row to a place of the same array or another: as a slice it would be an object."""
    for column in range(rows.shape[1]):
        into[to, column] = rows[at, column]


def _ends(data: bytes, row: Any, packet: Any) -> None:
    """What the IP header says."""
    at, version = row[cell.IP_AT], row[cell.IP_VERSION]
    packet["version"] = version
    if version == 4:
        packet["src_high"] = 0
        packet["src_low"] = u32(data, at + ip.IPV4_ENDS)
        packet["dst_high"] = 0
        packet["dst_low"] = u32(data, at + ip.IPV4_ENDS + 4)
        packet["ttl"] = data[at + ip.IPV4_TTL]
        packet["ip_id"] = u16(data, at + ip.IPV4_ID)
    else:
        packet["src_high"] = u64(data, at + ip.IPV6_ENDS)
        packet["src_low"] = u64(data, at + ip.IPV6_ENDS + 8)
        packet["dst_high"] = u64(data, at + ip.IPV6_ENDS + 16)
        packet["dst_low"] = u64(data, at + ip.IPV6_ENDS + 24)
        packet["ttl"] = data[at + ip.IPV6_HOPS]
        packet["ip_id"] = -1


def gather(packets: Any, octets: Any, to: Any) -> None:
    """What the packets carry, one after the other in `to`, which has room for it."""
    used = 0
    for index in range(len(packets)):
        packet = packets[index]
        if packet["at"] >= 0:
            size = carries(packet)
            copy(octets, packet["at"], size, to, used)
            packet["at"] = used
            used += size
