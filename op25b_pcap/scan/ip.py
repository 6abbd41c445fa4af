"""Kernels of IP, of what follows it, and of the tunnels between IP ends.

As in `below_ip`: one function a header. Addresses that an extension header replaces and tunnels that
are rare are UNSURE, and so are parts of packets that an error quotes.
"""

from __future__ import annotations

from op25b_pcap.scan.row import (
    AT,
    AUTHENTICATION_LAYER,
    DESTINATION_LAYER,
    END,
    FAILURE_VERSION,
    GO_ON,
    GRE,
    GRE_KEYED,
    GRE_TYPE,
    HAS_LENGTH,
    IP_AT,
    IP_IN_IP,
    IP_LAYER,
    IP_VERSION,
    IPV4_NEXT,
    IPV6_NEXT,
    LAYER,
    MALFORMED,
    NO_IP,
    NOT_TCP,
    PART,
    ROUTING_LAYER,
    UNSURE,
)
from op25b_pcap.scan.view import after, captured, claimed, short, tunnelled
from op25b_pcap.wire import ip as wire
from op25b_pcap.wire import tunnels
from op25b_pcap.wire.words import u16, u32

_EXTENSION = wire.EXTENSION.size
_FRAGMENT = wire.IPV6_FRAGMENT_HEADER
_ROUTE = tunnels.GRE_ROUTE.size
_WHOLE = wire.IPV4_DONT_FRAGMENT | wire.IPV4_RESERVED


def ip(data: bytes, row: list[int], known: bytes) -> int:
    """Either version."""
    wrong = short(row, 1)
    if wrong != GO_ON:
        return wrong
    version = data[row[AT]] >> 4
    if version == 4:
        return ipv4(data, row, known)
    if version == 6:
        return ipv6(data, row, known)
    return NO_IP


def ipv4(data: bytes, row: list[int], known: bytes) -> int:
    """IPv4, whole."""
    if captured(row) < wire.IPV4_HEADER:
        return UNSURE
    at = row[AT]
    size = (data[at] & wire.IPV4_WORDS) * 4
    total = u16(data, at + wire.IPV4_LENGTH)
    if size < wire.IPV4_HEADER:
        return MALFORMED
    if total != 0 and row[FAILURE_VERSION] == 0:
        if total < size:
            return MALFORMED
        claimed(row, total)
    after(row, size)
    row[IP_VERSION] = 4
    row[IP_AT] = at
    row[HAS_LENGTH] = total != 0
    verdict = by_protocol(data, row, known, data[at + wire.IPV4_PROTOCOL])
    if verdict == GO_ON and u16(data, at + wire.IPV4_FRAGMENT) & ~_WHOLE:
        return UNSURE if row[FAILURE_VERSION] != 0 else PART
    return verdict


def ipv6(data: bytes, row: list[int], known: bytes) -> int:
    """IPv6's fixed header."""
    if captured(row) < wire.IPV6_HEADER:
        return UNSURE
    at = row[AT]
    length = u16(data, at + wire.IPV6_LENGTH)
    if length != 0 and row[FAILURE_VERSION] == 0:
        claimed(row, wire.IPV6_HEADER + length)
    after(row, wire.IPV6_HEADER)
    row[IP_VERSION] = 6
    row[IP_AT] = at
    row[HAS_LENGTH] = length != 0
    return by_protocol(data, row, known, data[at + wire.IPV6_NEXT])


def by_protocol(data: bytes, row: list[int], known: bytes, protocol: int) -> int:
    """The layer that a next header announces."""
    version = row[IP_VERSION]
    layer = known[(IPV6_NEXT if version == 6 else IPV4_NEXT) + protocol]
    row[LAYER] = layer
    if layer == 0:
        return NOT_TCP
    if layer == IP_LAYER and captured(row) > 0:
        inner = data[row[AT]] >> 4
        if inner not in (4, 6):
            return UNSURE
        return tunnelled(row, IP_IN_IP, version * 16 + inner)
    return GO_ON


def extension(data: bytes, row: list[int], known: bytes) -> int:
    """Extension headers that only have to be passed."""
    wrong = short(row, _EXTENSION)
    if wrong != GO_ON:
        return wrong
    at, layer = row[AT], row[LAYER]
    units = data[at + 1]
    size = (units + 1) * wire.EXTENSION_UNIT
    if layer == AUTHENTICATION_LAYER:
        size = (units + 2) * wire.AUTHENTICATION_UNIT
    elif layer == ROUTING_LAYER:
        if captured(row) < wire.IPV6_ROUTING_ADDRESSES or data[at + wire.IPV6_SEGMENTS_LEFT] != 0:
            return UNSURE
    elif layer == DESTINATION_LAYER and _names_home(data, at + _EXTENSION, min(at + size, row[END])):
        return UNSURE
    after(row, size)
    return by_protocol(data, row, known, data[at])


def fragment(data: bytes, row: list[int], known: bytes) -> int:
    """IPv6's fragment header; one that says "all of it" (RFC 6946) only has to be passed."""
    if captured(row) < _FRAGMENT or row[IP_VERSION] == 0 or row[FAILURE_VERSION] != 0:
        return UNSURE
    at = row[AT]
    is_later = u16(data, at + wire.IPV6_OFFSET) & wire.IPV6_OFFSET_BITS != 0
    is_part = is_later or data[at + wire.IPV6_MORE] & 1 != 0
    after(row, _FRAGMENT)
    verdict = GO_ON if is_later else by_protocol(data, row, known, data[at])
    return PART if verdict == GO_ON and is_part else verdict


def _names_home(data: bytes, at: int, end: int) -> bool:
    """Whether destination options may replace the source."""
    while at + 1 < end:
        kind = data[at]
        if kind == wire.HOME_ADDRESS:
            return True
        at += 1 if kind == wire.PADDING else 2 + data[at + 1]
    return False


def gre(data: bytes, row: list[int], known: bytes) -> int:
    """GRE with IP inside."""
    if captured(row) < tunnels.GRE_FIXED:
        return UNSURE
    at = row[AT]
    flags = u16(data, at)
    if flags & tunnels.GRE_VERSION == tunnels.PPTP:
        return pptp(data, row, known)
    key_at = at + tunnels.GRE_FIXED
    size = tunnels.GRE_FIXED
    if flags & (tunnels.GRE_CHECKSUM | tunnels.GRE_ROUTED):
        size += tunnels.GRE_FIELD
        key_at += tunnels.GRE_FIELD
    if flags & tunnels.GRE_KEY:
        size += tunnels.GRE_FIELD
    if flags & tunnels.GRE_SEQUENCE:
        size += tunnels.GRE_FIELD
    if captured(row) < size:
        return UNSURE
    after(row, size)
    if flags & tunnels.GRE_ROUTED:
        wrong = behind_routes(data, row)
        if wrong != GO_ON:
            return wrong
    row[LAYER] = known[GRE_TYPE + u16(data, at + tunnels.GRE_TYPE)]
    if row[LAYER] == 0:
        return NO_IP
    if row[LAYER] != IP_LAYER:
        return UNSURE
    if flags & tunnels.GRE_KEY:
        return tunnelled(row, GRE_KEYED, u32(data, key_at))
    return tunnelled(row, GRE, 0)


def behind_routes(data: bytes, row: list[int]) -> int:
    """Past the routes of GRE, the last of which is zero."""
    passed, is_last = 0, False
    while not is_last:
        wrong = short(row, passed + _ROUTE)
        if wrong != GO_ON:
            return wrong
        at = row[AT] + passed
        is_last = u32(data, at) == 0
        passed += _ROUTE + data[at + _ROUTE - 1]
    after(row, passed)
    return GO_ON


def pptp(data: bytes, row: list[int], known: bytes) -> int:
    """The second version of GRE, if it carries nothing that could be IP."""
    at = row[AT]
    if captured(row) < tunnels.GRE_HEADER:
        return UNSURE
    if u16(data, at + tunnels.PPTP_LENGTH) == 0:
        return NOT_TCP
    return UNSURE if known[GRE_TYPE + u16(data, at + tunnels.GRE_TYPE)] != 0 else NO_IP
