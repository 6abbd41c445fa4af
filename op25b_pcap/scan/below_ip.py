"""Kernels of what lies below IP: link layers, tags, labels and sessions.

Each function passes one header, as its namesake in `decode` does, and says how to go on. Where
octets are missing, or a header is of a kind that is rare, it says UNSURE: then Scapy decides.
"""

from __future__ import annotations

from op25b_pcap.scan.row import (
    AT,
    BEYOND,
    COOKED,
    COOKED_V2,
    END,
    ETHER_TYPE,
    ETHERNET_LAYER,
    GO_ON,
    IP_LAYER,
    LAYER,
    LLC_LAYER,
    MPLS,
    MPLS_LAYER,
    NO_IP,
    PLACE,
    PLACE_AT,
    PPP_LAYER,
    PPP_TYPE,
    PPPOE,
    STATIONS,
    UNSURE,
    VLAN,
)
from op25b_pcap.scan.view import after, captured, short, tagged, within
from op25b_pcap.wire import link, tunnels
from op25b_pcap.wire.layers import LEAST_ETHER_TYPE
from op25b_pcap.wire.words import u16, u32

# A kernel knows integers only.
_PPP_FLAG = link.PPP_FLAG[0]
_PPP_ADDRESS, _PPP_CONTROL = link.PPP_ADDRESS_CONTROL
_CHDLC_UNICAST, _CHDLC_MULTICAST = sorted(link.CHDLC_ADDRESSES)
_FAMILIES = tuple(sorted(link.LOOPBACK_IP_FAMILIES))


def by_ether_type(row: list[int], known: bytes, number: int) -> int:
    """The layer that an EtherType announces; a lesser number is the length of an LLC frame."""
    if number < LEAST_ETHER_TYPE:
        row[LAYER] = LLC_LAYER
        within(row, number)
        return GO_ON
    return announced(row, known, ETHER_TYPE + number)


def announced(row: list[int], known: bytes, entry: int) -> int:
    """The layer that a registry's entry names."""
    row[LAYER] = known[entry]
    return GO_ON if row[LAYER] != 0 else NO_IP


def ethernet(data: bytes, row: list[int], known: bytes) -> int:
    """Ethernet; within other frames its stations are a second place."""
    wrong = short(row, link.ETHERNET_HEADER)
    if wrong != GO_ON:
        return wrong
    at = row[AT]
    if row[PLACE] == 0:
        row[PLACE] = STATIONS
        row[PLACE_AT] = at
    else:
        row[BEYOND] = 1
    after(row, link.ETHERNET_HEADER)
    return by_ether_type(row, known, u16(data, at + link.MAC_ADDRESSES))


def logical_link(data: bytes, row: list[int]) -> int:
    """LLC: spanning tree and the like go, IP in SNAP is for Scapy."""
    if captured(row) < link.LLC_HEADER:
        return UNSURE
    at = row[AT]
    service = data[at]
    if data[at + link.LLC_CONTROL] != link.UNNUMBERED:
        return NO_IP
    if service in (link.SNAP_SAP, link.IP_SAP, link.NLPID_SAP):
        return UNSURE
    return NO_IP


def cooked(data: bytes, row: list[int], known: bytes) -> int:
    """Linux's cooked capture."""
    if captured(row) < link.SLL_HEADER or row[PLACE] != 0:
        return UNSURE
    at = row[AT]
    row[PLACE] = COOKED
    row[PLACE_AT] = at
    after(row, link.SLL_HEADER)
    device, protocol = u16(data, at + link.SLL_DEVICE), u16(data, at + link.SLL_PROTOCOL)
    return _by_device(row, known, device, protocol)


def cooked_v2(data: bytes, row: list[int], known: bytes) -> int:
    """The same with the index of the interface."""
    if captured(row) < link.SLL2_HEADER or row[PLACE] != 0:
        return UNSURE
    at = row[AT]
    row[PLACE] = COOKED_V2
    row[PLACE_AT] = at
    after(row, link.SLL2_HEADER)
    device, protocol = u16(data, at + link.SLL2_DEVICE), u16(data, at + link.SLL2_PROTOCOL)
    return _by_device(row, known, device, protocol)


def _by_device(row: list[int], known: bytes, device: int, protocol: int) -> int:
    if device == link.SLL_NETLINK:
        return NO_IP
    if device == link.SLL_RADIOTAP or device == link.SLL_GRE or protocol == link.SLL_LLC:
        return UNSURE
    return announced(row, known, ETHER_TYPE + protocol)


def loopback(data: bytes, row: list[int], known: bytes) -> int:
    """BSD loopback: an address family in the byte order of the host, or of the network."""
    if captured(row) < link.LOOPBACK_HEADER:
        return UNSURE
    at = row[AT]
    family = u32(data, at)
    if family > 0xFFFF:
        family = data[at] + data[at + 1] * 256 + data[at + 2] * 65536 + data[at + 3] * 16777216
    after(row, link.LOOPBACK_HEADER)
    for ip in _FAMILIES:
        if family == ip:
            row[LAYER] = IP_LAYER
            return GO_ON
    if family > 0xFFFF:
        return NO_IP
    return announced(row, known, ETHER_TYPE + family)


def vlan(data: bytes, row: list[int], known: bytes) -> int:
    """A VLAN tag."""
    if captured(row) < tunnels.VLAN:
        return UNSURE
    at = row[AT]
    if tagged(row, VLAN, u16(data, at) & tunnels.VLAN_ID) != GO_ON:
        return UNSURE
    after(row, tunnels.VLAN)
    return by_ether_type(row, known, u16(data, at + tunnels.VLAN_TYPE))


def mpls(data: bytes, row: list[int], known: bytes) -> int:
    """One label; behind the last, IP or a pseudowire."""
    if captured(row) < tunnels.MPLS:
        return UNSURE
    entry = u32(data, row[AT])
    if tagged(row, MPLS, entry >> tunnels.MPLS_LABEL) != GO_ON:
        return UNSURE
    after(row, tunnels.MPLS)
    row[LAYER] = MPLS_LAYER
    if entry & tunnels.MPLS_BOTTOM:
        wrong = short(row, 1)
        if wrong != GO_ON:
            return wrong
        version = data[row[AT]] >> 4
        row[LAYER] = IP_LAYER
        if version != 4 and version != 6:
            row[LAYER] = ETHERNET_LAYER
            has_word = _is_ethernet(data, row, known, tunnels.CONTROL_WORD)
            if version == 0 and (has_word or not _is_ethernet(data, row, known, 0)):
                after(row, tunnels.CONTROL_WORD)
    return GO_ON


def _is_ethernet(data: bytes, row: list[int], known: bytes, skip: int) -> bool:
    """Whether a known EtherType stands where it would, if a frame began after some octets."""
    at = row[AT] + skip + link.MAC_ADDRESSES
    return at + 2 <= row[END] and known[ETHER_TYPE + u16(data, at)] != 0


def pppoe(data: bytes, row: list[int]) -> int:
    """PPPoE: only its sessions carry packets."""
    if captured(row) < tunnels.PPPOE:
        return UNSURE
    at = row[AT]
    if data[at + tunnels.PPPOE_CODE] != 0:
        return NO_IP
    if tagged(row, PPPOE, u16(data, at + tunnels.PPPOE_SESSION)) != GO_ON:
        return UNSURE
    after(row, tunnels.PPPOE)
    within(row, u16(data, at + tunnels.PPPOE_LENGTH))
    row[LAYER] = PPP_LAYER
    return GO_ON


def ppp(data: bytes, row: list[int], known: bytes) -> int:
    """PPP, with or without its address field, its protocol in one octet or two."""
    wrong = short(row, 1)
    if wrong != GO_ON:
        return wrong
    if captured(row) < 4:
        return UNSURE
    first = data[row[AT]]
    if first in (_PPP_FLAG, _CHDLC_UNICAST, _CHDLC_MULTICAST):
        return UNSURE
    if first == _PPP_ADDRESS and data[row[AT] + 1] == _PPP_CONTROL:
        after(row, 2)
    at = row[AT]
    if data[at] & link.PPP_SHORT:
        after(row, 1)
        return announced(row, known, PPP_TYPE + data[at])
    after(row, 2)
    return announced(row, known, PPP_TYPE + u16(data, at))
