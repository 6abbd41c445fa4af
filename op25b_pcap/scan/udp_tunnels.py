"""Kernels of tunnels over UDP: what nearly never is one, and is for nobody.

Their ports are anybody's, and some datagrams of QUIC come from one of them. What stands where a tunnel's
header would be tells that it is none, or what it carries announces nothing that is read: to drop those
few, nobody needs Scapy. What would be kept is BEYOND these kernels, whose rows have no room for what
`decode.udp_tunnels` says of it.
"""

from __future__ import annotations

from op25b_pcap.scan.row import (
    AT,
    AYIYA_LAYER,
    BEYOND,
    CAPWAP_LAYER,
    ENCRYPTED,
    ETHER_TYPE,
    ETHERNET_LAYER,
    FRAGMENT,
    GENEVE_LAYER,
    GO_ON,
    GTP_LAYER,
    IP_LAYER,
    IPV4_NEXT,
    L2TP_LAYER,
    LAYER,
    LISP_LAYER,
    MALFORMED,
    NEXT_PROTOCOL,
    NO_IP,
    NOT_TCP,
    PPP_LAYER,
    TEREDO_LAYER,
    TZSP_LAYER,
    UNSURE,
    VXLAN_GPE_LAYER,
    VXLAN_LAYER,
)
from op25b_pcap.scan.view import after, captured, short, within
from op25b_pcap.wire import tunnels
from op25b_pcap.wire.words import u16

_ENOUGH = 14
"""Octets of the longest header that is looked at here, L2TP's."""


def udp_tunnel(data: bytes, row: list[int], known: bytes, layer: int) -> int:
    """Pass the header of a tunnel."""
    row[BEYOND] = 1
    if layer == TEREDO_LAYER:
        return teredo(data, row)
    if captured(row) < _ENOUGH:
        return UNSURE
    if layer in (VXLAN_LAYER, VXLAN_GPE_LAYER):
        return vxlan(data, row, known)
    if layer == GENEVE_LAYER:
        return geneve(data, row, known)
    if layer == L2TP_LAYER:
        return l2tp(data, row)
    if layer == CAPWAP_LAYER:
        return capwap(data, row)
    return udp_tunnel_seldom(data, row, known, layer)


def udp_tunnel_seldom(data: bytes, row: list[int], known: bytes, layer: int) -> int:
    """The same of those that need little."""
    at = row[AT]
    if layer == GTP_LAYER:
        is_user_data = data[at] & tunnels.GTP_KIND == tunnels.GTP_U and data[at + 1] == tunnels.GTP_USER_DATA
        return UNSURE if is_user_data else NOT_TCP
    if layer == AYIYA_LAYER:
        return ayiya(data, row, known)
    if layer == TZSP_LAYER:
        return UNSURE if u16(data, at + 2) in (tunnels.TZSP_ETHERNET, tunnels.TZSP_WLAN) else NO_IP
    if layer == LISP_LAYER:
        after(row, tunnels.LISP_HEADER)
        row[LAYER] = IP_LAYER
        return GO_ON
    return UNSURE


def vxlan(data: bytes, row: list[int], known: bytes) -> int:
    """VXLAN, generic or not."""
    flags = data[row[AT]]
    row[LAYER] = ETHERNET_LAYER
    if flags & tunnels.VXLAN_HAS_PROTOCOL:
        if flags & tunnels.VXLAN_HAS_GROUP:
            return MALFORMED  # there is no room for both
        row[LAYER] = known[NEXT_PROTOCOL + data[row[AT] + tunnels.VXLAN_PROTOCOL]]
    after(row, tunnels.VXLAN_HEADER)
    return GO_ON if row[LAYER] != 0 else NO_IP


def geneve(data: bytes, row: list[int], known: bytes) -> int:
    """Geneve."""
    at = row[AT]
    if data[at] & tunnels.GENEVE_VERSION:
        return NOT_TCP
    row[LAYER] = known[ETHER_TYPE + u16(data, at + tunnels.GENEVE_TYPE)]
    after(row, tunnels.GENEVE_HEADER)
    after(row, (data[at] & tunnels.GENEVE_OPTIONS) * tunnels.GENEVE_OPTION_UNIT)
    return GO_ON if row[LAYER] != 0 else NO_IP


def l2tp(data: bytes, row: list[int]) -> int:
    """L2TP, but for version 3."""
    at = row[AT]
    flags = u16(data, at) >> 4
    if flags & tunnels.L2TP_CONTROL:
        return NOT_TCP
    if data[at + 1] & 0xF == tunnels.L2TPV3:
        return UNSURE
    size, octets = tunnels.L2TP_HEADER, captured(row)
    if flags & tunnels.L2TP_LENGTH:
        size += 2
        if u16(data, at + 2) != 0:
            within(row, u16(data, at + 2))
    if flags & tunnels.L2TP_SEQUENCE:
        size += 4
    if flags & tunnels.L2TP_OFFSET:
        size += 2 + u16(data, at + size)
    after(row, min(size, octets))
    row[LAYER] = PPP_LAYER
    return GO_ON


def teredo(data: bytes, row: list[int]) -> int:
    """Teredo without indicators."""
    wrong = short(row, 1)
    if wrong != GO_ON:
        return wrong
    first = data[row[AT]]
    if first == 0:
        return UNSURE
    row[LAYER] = IP_LAYER
    return GO_ON if first >> 4 == 6 else NOT_TCP


def ayiya(data: bytes, row: list[int], known: bytes) -> int:
    """AYIYA."""
    at = row[AT]
    if data[at + 2] & 0xF != tunnels.AYIYA_FORWARD:
        return NOT_TCP
    identity, signature = 1 << (data[at] >> 4), (data[at + 1] >> 4) * tunnels.AYIYA_SIGNATURE_UNIT
    row[LAYER] = known[IPV4_NEXT + data[at + 3]]
    after(row, tunnels.AYIYA_HEADER + identity + signature)
    return GO_ON if row[LAYER] != 0 else NO_IP


def capwap(data: bytes, row: list[int]) -> int:
    """CAPWAP with Ethernet inside."""
    at = row[AT]
    if data[at] & tunnels.CAPWAP_ENCRYPTED:
        return ENCRYPTED
    if data[at + 3] & tunnels.CAPWAP_FRAGMENT and u16(data, at + tunnels.CAPWAP_OFFSET) >> 3:
        return FRAGMENT
    if data[at + 2] & tunnels.CAPWAP_NATIVE:
        return UNSURE
    after(row, (data[at + 1] >> 3) * tunnels.CAPWAP_UNIT)
    row[LAYER] = ETHERNET_LAYER
    return GO_ON
