"""The kernel of one record: from its link layer to what it is for us.

In: a buffer, a row whose LAYER, AT, END and LENGTH say where the record's octets lie, and the
table of registries. Out: a verdict of `row`; for SEGMENT, FAILURE and ANSWER the row is filled.
"""

from __future__ import annotations

import numpy as np

from op25b_pcap.decode.steps import MOST_HEADERS
from op25b_pcap.scan.below_ip import (
    cooked,
    cooked_v2,
    ethernet,
    logical_link,
    loopback,
    mpls,
    ppp,
    pppoe,
    vlan,
)
from op25b_pcap.scan.ip import extension, fragment, gre, ip
from op25b_pcap.scan.row import (
    ACK,
    ANSWER,
    AT,
    AUTHENTICATION_LAYER,
    BEYOND,
    CHECKSUM,
    CODE,
    DESTINATION_LAYER,
    DST_PORT,
    ENCRYPTED,
    ENCRYPTED_LAYER,
    END,
    ETHERNET_LAYER,
    EXTENSION_LAYER,
    FAILURE,
    FAILURE_AT,
    FAILURE_VERSION,
    FIRST_REASON,
    FLAGS,
    FRAGMENT_LAYER,
    GO_ON,
    GRE_LAYER,
    HAS_LENGTH,
    ICMP_LAYER,
    ICMPV6_LAYER,
    IP_AT,
    IP_LAYER,
    IP_VERSION,
    LAYER,
    LENGTH,
    LINK_SKIP,
    LINK_TYPE,
    LLC_LAYER,
    LOOPBACK_LAYER,
    MALFORMED,
    MPLS_LAYER,
    NOT_TCP,
    NOWHERE,
    OPTIONS_END,
    OTHER_PORT,
    OUTER_VERSION,
    PAYLOAD_AT,
    PLACE,
    PPP_LAYER,
    PPPOE_LAYER,
    RIGHT,
    ROUTING_LAYER,
    SEGMENT,
    SEQ,
    SLL2_LAYER,
    SLL_LAYER,
    SRC_PORT,
    TCP_LAYER,
    TYPE,
    UDP_LAYER,
    UDP_PORT,
    UNCHECKED,
    UNKNOWABLE,
    UNSUPPORTED,
    UNSURE,
    VLAN_LAYER,
    WATCHED_PORT,
    WINDOW,
    WORDS,
    WRONG,
)
from op25b_pcap.scan.udp_tunnels import udp_tunnel
from op25b_pcap.scan.view import after, captured, short, within
from op25b_pcap.wire import icmp as icmp_wire
from op25b_pcap.wire import ip as ip_wire
from op25b_pcap.wire import tcp as tcp_wire
from op25b_pcap.wire import udp as udp_wire
from op25b_pcap.wire.services import DOMAIN
from op25b_pcap.wire.words import u16, u32

_MOST = MOST_HEADERS - 1
"""A record with as many headers as Scapy's engine reads is left to it."""
_ICMP_HEADER = icmp_wire.ERROR.size
_ICMP_QUOTE, _ICMPV6_QUOTE = 5, 4
"""Offsets of the quote's length, as `icmp.ERROR` has them."""
_ICMP_ERRORS = tuple(sorted(icmp_wire.ICMP_ERRORS))
_ICMPV6_ERRORS = tuple(sorted(icmp_wire.ICMPV6_ERRORS))
_ICMP_WITH_LENGTH = tuple(sorted(icmp_wire.ICMP_WITH_LENGTH))
_ICMPV6_WITH_LENGTH = tuple(sorted(icmp_wire.ICMPV6_WITH_LENGTH))


def frame(data: bytes, row: list[int], known: bytes) -> int:
    """What a record is; its link type stands in LAYER to begin with."""
    row[PLACE] = NOWHERE
    row[IP_VERSION] = 0
    row[OUTER_VERSION] = 0
    row[FAILURE_VERSION] = 0
    row[WORDS] = 0
    row[BEYOND] = 0
    link_type = row[LAYER]
    row[LAYER] = known[LINK_TYPE + link_type]
    if row[LAYER] == 0:
        return UNSUPPORTED
    after(row, known[LINK_SKIP + link_type])
    for _ in range(_MOST):
        verdict = step(data, row, known)
        if verdict >= FIRST_REASON:
            return verdict
        if verdict != GO_ON:
            return UNSURE if row[BEYOND] else verdict
    return UNSURE


def step(data: bytes, row: list[int], known: bytes) -> int:
    """Pass one header."""
    layer = row[LAYER]
    if layer == IP_LAYER:
        return ip(data, row, known)
    if layer == TCP_LAYER:
        return tcp(data, row, known)
    if layer == ETHERNET_LAYER:
        return ethernet(data, row, known)
    if layer == UDP_LAYER:
        return udp(data, row, known)
    if layer == VLAN_LAYER:
        return vlan(data, row, known)
    if layer == PPPOE_LAYER:
        return pppoe(data, row)
    if layer == PPP_LAYER:
        return ppp(data, row, known)
    if layer == MPLS_LAYER:
        return mpls(data, row, known)
    if layer == GRE_LAYER:
        return gre(data, row, known)
    return step_seldom(data, row, known, layer)


def step_seldom(data: bytes, row: list[int], known: bytes, layer: int) -> int:
    """Pass one header of those that are met less."""
    if layer == ICMP_LAYER:
        return icmp(data, row)
    if layer == ICMPV6_LAYER:
        return icmpv6(data, row)
    if layer in (EXTENSION_LAYER, DESTINATION_LAYER, ROUTING_LAYER, AUTHENTICATION_LAYER):
        return extension(data, row, known)
    if layer == FRAGMENT_LAYER:
        return fragment(data, row, known)
    if layer == LLC_LAYER:
        return logical_link(data, row)
    if layer == SLL_LAYER:
        return cooked(data, row, known)
    if layer == SLL2_LAYER:
        return cooked_v2(data, row, known)
    if layer == LOOPBACK_LAYER:
        return loopback(data, row, known)
    if layer == ENCRYPTED_LAYER:
        return ENCRYPTED
    return udp_tunnel(data, row, known, layer)


def tcp(data: bytes, row: list[int], known: bytes) -> int:
    """A segment, if one of its ports is watched."""
    if row[IP_VERSION] == 0:
        return MALFORMED
    if row[FAILURE_VERSION] != 0:
        return quoted(data, row, known)
    wrong = short(row, tcp_wire.FLAGS_END)
    if wrong != GO_ON:
        return wrong
    at, end, length = row[AT], row[END], row[LENGTH]
    src_port, dst_port = u16(data, at), u16(data, at + 2)
    if known[WATCHED_PORT + src_port] == 0 and known[WATCHED_PORT + dst_port] == 0:
        return OTHER_PORT
    row[SRC_PORT] = src_port
    row[DST_PORT] = dst_port
    row[SEQ] = u32(data, at + tcp_wire.PORTS_END)
    row[ACK] = u32(data, at + tcp_wire.ACK)
    row[FLAGS] = data[at + tcp_wire.FLAGS]
    row[WINDOW] = u16(data, at + tcp_wire.WINDOW) if end - at >= tcp_wire.WINDOW_END else -1
    size = (data[at + tcp_wire.DATA_OFFSET] >> 4) * 4
    row[OPTIONS_END] = min(at + max(size, tcp_wire.HEADER), end)
    if size < tcp_wire.HEADER or size > length:
        size = length
    row[PAYLOAD_AT] = min(at + size, end)
    checkable = row[HAS_LENGTH] != 0 and end - at == length
    row[CHECKSUM] = UNCHECKED if checkable else UNKNOWABLE
    row[LENGTH] = length - size
    return SEGMENT


def quoted(data: bytes, row: list[int], known: bytes) -> int:
    """As much of a quoted segment as there is."""
    at, octets = row[AT], captured(row)
    row[SRC_PORT] = -1
    row[DST_PORT] = -1
    row[SEQ] = -1
    if octets >= tcp_wire.PORTS_END:
        src_port, dst_port = u16(data, at), u16(data, at + 2)
        if known[WATCHED_PORT + src_port] == 0 and known[WATCHED_PORT + dst_port] == 0:
            return OTHER_PORT
        row[SRC_PORT] = src_port
        row[DST_PORT] = dst_port
    if octets >= tcp_wire.SEQUENCE_END:
        row[SEQ] = u32(data, at + tcp_wire.PORTS_END)
    return FAILURE


def udp(data: bytes, row: list[int], known: bytes) -> int:
    """An answer of DNS, or a tunnel, which is Scapy's."""
    if captured(row) < udp_wire.HEADER or row[IP_VERSION] == 0:
        return UNSURE
    at, is_quoted = row[AT], row[FAILURE_VERSION] != 0
    src_port, dst_port = u16(data, at), u16(data, at + 2)
    length = u16(data, at + udp_wire.LENGTH)
    after(row, udp_wire.HEADER)
    if length >= udp_wire.HEADER and not is_quoted:
        within(row, length - udp_wire.HEADER)
    if src_port == DOMAIN and not is_quoted:
        wrong = short(row, udp_wire.DNS_HEADER)
        if wrong != GO_ON:
            return wrong
        return ANSWER if data[row[AT] + udp_wire.DNS_FLAGS] & udp_wire.DNS_RESPONSE else NOT_TCP
    row[LAYER] = known[UDP_PORT + dst_port]
    if row[LAYER] == 0:
        row[LAYER] = known[UDP_PORT + src_port]
    return GO_ON if row[LAYER] != 0 else NOT_TCP


def icmp(data: bytes, row: list[int]) -> int:
    """An ICMP error, and into its quote."""
    wrong = short(row, _ICMP_HEADER)
    if wrong != GO_ON:
        return wrong
    kind = data[row[AT]]
    if kind not in _ICMP_ERRORS:
        return NOT_TCP
    words = data[row[AT] + _ICMP_QUOTE] if kind in _ICMP_WITH_LENGTH else 0
    return quote(data, row, words * icmp_wire.ICMP_QUOTE_UNIT)


def icmpv6(data: bytes, row: list[int]) -> int:
    """The same of IPv6."""
    wrong = short(row, _ICMP_HEADER)
    if wrong != GO_ON:
        return wrong
    kind = data[row[AT]]
    if kind not in _ICMPV6_ERRORS:
        return NOT_TCP
    words = data[row[AT] + _ICMPV6_QUOTE] if kind in _ICMPV6_WITH_LENGTH else 0
    return quote(data, row, words * icmp_wire.ICMPV6_QUOTE_UNIT)


def quote(data: bytes, row: list[int], length: int) -> int:
    """Into the quote, which ends where its length says if it has one."""
    if row[FAILURE_VERSION] != 0:
        return NOT_TCP
    if row[IP_VERSION] == 0:
        return MALFORMED
    at = row[AT]
    row[TYPE] = data[at]
    row[CODE] = data[at + 1]
    row[FAILURE_VERSION] = row[IP_VERSION]
    row[FAILURE_AT] = row[IP_AT]
    row[IP_VERSION] = 0
    after(row, _ICMP_HEADER)
    if length != 0:
        within(row, length)
    row[LAYER] = IP_LAYER
    return GO_ON


def checksum(data: bytes, row: list[int]) -> int:
    """What `wire.tcp.checksum_ok` says, for buffers in which slices cost."""
    at, end = row[AT], row[END]
    ends, size = row[IP_AT] + ip_wire.IPV4_ENDS, 8
    if row[IP_VERSION] == 6:
        ends, size = row[IP_AT] + ip_wire.IPV6_ENDS, 32
    header = _words(data, ends, ends + size) + tcp_wire.PROTOCOL + end - at
    if (header + _words(data, at, end)) % 0xFFFF == 0:
        return RIGHT
    place = at + tcp_wire.CHECKSUM
    found = 0
    if end - place >= 2:
        found = u16(data, place)
    elif end > place:
        found += data[place]
    return UNKNOWABLE if found == 0 or found == header % 0xFFFF else WRONG


def _words(data: bytes, at: int, end: int) -> int:
    """The sum of all 16-bit words, the last filled up with zero."""
    octets = data[at:end]
    # Of two sums of 32 bits, for which no record is too long, the compiler makes many additions at a time.
    high, low = np.uint32(0), np.uint32(0)
    for index in range(len(octets) // 2):
        high = np.uint32(high + octets[2 * index])
        low = np.uint32(low + octets[2 * index + 1])
    total = int(high) * 256 + int(low)
    if len(octets) % 2:
        total += octets[len(octets) - 1] * 256
    return total
