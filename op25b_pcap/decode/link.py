"""Link layers with station addresses, and what captures write in their place.

Out of the addresses comes the packet's place: the same packet on both sides of a router has
two of them.
"""

from __future__ import annotations

import struct
from typing import Literal

from op25b_pcap.decode.headers import LLC, SNAP, CookedLinux, CookedLinuxV2, Ether, LoopbackOpenBSD, header
from op25b_pcap.decode.steps import Ahead, Around, Skip, Step, View, announced, between, fields
from op25b_pcap.wire import link
from op25b_pcap.wire.layers import (
    ETHER_TYPES,
    GRE_PROTOCOLS,
    LEAST_ETHER_TYPE,
    LINK_TYPES,
    NLPIDS,
    Layer,
)


def by_ether_type(number: int, view: View, around: Around) -> Ahead:
    """The layer behind an Ethernet header or a tag: an EtherType, or a length and LLC."""
    if number < LEAST_ETHER_TYPE:
        return Ahead(Layer.LLC, view.within(number), around)
    return announced(ETHER_TYPES, number, view, around)


def ethernet(view: View, around: Around) -> Ahead:
    """Ethernet, of either kind."""
    found, rest = header(Ether, view, link.ETHERNET_HEADER)
    stations = between(view.data[link.ETHERNET_SRC], view.data[link.ETHERNET_DST])
    return by_ether_type(found["type"], rest, around.at(stations))


def switch_tag(layout: struct.Struct) -> Step:
    """Ethernet with the tag of a switch chip between addresses and EtherType."""

    def step(view: View, around: Around) -> Ahead:
        stations = view.least(link.MAC_ADDRESSES)
        rest = view.after(link.MAC_ADDRESSES)
        tag, ether_type = fields(layout, rest)
        around = around.at(f"{between(stations[6:12], stations[:6])} {tag.hex()}")
        return by_ether_type(ether_type, rest.after(layout.size), around)

    return step


def logical_link(view: View, around: Around) -> Ahead:
    """LLC (IEEE 802.2), and SNAP behind it."""
    found, rest = header(LLC, view, 3)
    if found["ctrl"] != link.UNNUMBERED:
        raise Skip("no_ip")
    if found["dsap"] == link.SNAP_SAP:
        return subnetwork(rest, around, bridge_padding=2)
    if found["dsap"] == link.IP_SAP:
        return Ahead(Layer.IP, rest, around)
    if found["dsap"] == link.NLPID_SAP:
        return announced(NLPIDS, rest.least(1)[0], rest.after(1), around)
    raise Skip("no_ip")


def subnetwork(view: View, around: Around, bridge_padding: int = 0) -> Ahead:
    """SNAP: an EtherType under an organisation's code, or a bridged frame."""
    found, rest = header(SNAP, view, 5)
    organisation = view.data[:3]
    if organisation in (link.ENCAPSULATED_ETHERNET, link.BRIDGE_TUNNEL):
        return announced(ETHER_TYPES, found["code"], rest, around)
    if organisation == link.BRIDGED and found["code"] in link.BRIDGED_ETHERNET:
        return Ahead(Layer.ETHERNET, rest.after(bridge_padding), around)
    raise Skip("no_ip")


def cooked(view: View, around: Around) -> Ahead:
    """Linux's cooked capture: direction and one address."""
    found, rest = header(CookedLinux, view, 16)
    around = around.at(f"{found['pkttype']} {found['src'].hex()}")
    return _by_device(found["lladdrtype"], found["proto"], rest, around)


def cooked_v2(view: View, around: Around) -> Ahead:
    """The same with the index of the interface."""
    found, rest = header(CookedLinuxV2, view, 20)
    around = around.at(f"{found['ifindex']} {found['pkttype']} {found['src'].hex()}")
    return _by_device(found["lladdrtype"], found["proto"], rest, around)


def _by_device(device: int, protocol: int, view: View, around: Around) -> Ahead:
    if device == link.SLL_NETLINK:
        raise Skip("no_ip")
    if device == link.SLL_RADIOTAP:
        return Ahead(Layer.RADIOTAP, view, around)
    if device == link.SLL_GRE:
        return announced(GRE_PROTOCOLS, protocol, view, around)
    if protocol == link.SLL_LLC:
        return Ahead(Layer.LLC, view, around)
    return announced(ETHER_TYPES, protocol, view, around)


def loopback(view: View, around: Around) -> Ahead:
    """BSD loopback: an address family in the byte order of the host, or of the network."""
    found, rest = header(LoopbackOpenBSD, view, 4)
    family = found["type"]
    if family > 0xFFFF:
        family = int.from_bytes(view.data[:4], "little")
    if family in link.LOOPBACK_IP_FAMILIES:
        return Ahead(Layer.IP, rest, around)
    return announced(ETHER_TYPES, family, rest, around)


def token_ring(view: View, around: Around) -> Ahead:
    """IEEE 802.5, with the route of the frame if it has one."""
    data = view.least(link.TOKEN_RING)
    rest = view.after(link.TOKEN_RING)
    if data[link.TOKEN_RING_SOURCE] & link.SOURCE_ROUTED:
        rest = rest.after(rest.least(1)[0] & link.ROUTE_LENGTH)
    return Ahead(Layer.LLC, rest, around.at(between(data[8:14], data[2:8])))


def fddi(view: View, around: Around) -> Ahead:
    """FDDI."""
    data = view.least(link.FDDI)
    return Ahead(Layer.LLC, view.after(link.FDDI), around.at(between(data[7:13], data[1:7])))


def arcnet(type_at: int) -> Step:
    """ARCNET as BSD or as Linux captures it; packets in several frames are no more looked for."""

    def step(view: View, around: Around) -> Ahead:
        data = view.least(type_at + 1)
        kind = data[type_at]
        around = around.at(between(data[:1], data[1:2]))
        rest = view.after(type_at + 1)
        if kind in link.ARCNET_OLD_IP:
            return Ahead(Layer.IP, rest, around)
        if kind not in link.ARCNET_IP:
            raise Skip("no_ip")
        if rest.least(1)[0] == link.ARCNET_EXCEPTION:
            rest = rest.after(4)
        if rest.least(1)[0]:
            raise Skip("fragment")
        return Ahead(Layer.IP, rest.after(3), around)

    return step


def addressed(layout: struct.Struct) -> Step:
    """A header of addresses and an EtherType: IP over IEEE 1394, IP over InfiniBand."""

    def step(view: View, around: Around) -> Ahead:
        addresses, ether_type, *_ = fields(layout, view)
        return announced(ETHER_TYPES, ether_type, view.after(layout.size), around.at(addresses.hex()))

    return step


def nflog(view: View, around: Around) -> Ahead:
    """Packets as Linux's netfilter logs them: attributes, the packet among them."""
    fields(link.NFLOG, view)
    attributes = view.after(link.NFLOG.size)
    order = _byte_order(attributes)
    at = 0
    interfaces: dict[int, bytes] = {}
    while True:
        data = attributes.least(at + link.NFLOG_ATTRIBUTE)
        length = int.from_bytes(data[at : at + 2], order)
        kind = int.from_bytes(data[at + 2 : at + 4], order) & link.NFLOG_TYPE
        if length < link.NFLOG_ATTRIBUTE:
            raise Skip("malformed")
        if kind == link.NFLOG_PAYLOAD:
            packet = attributes.within(at + length).after(at + link.NFLOG_ATTRIBUTE)
            marks = (f"{name}:{interfaces[name].hex()}" for name in sorted(interfaces))
            return Ahead(Layer.IP, packet, around.at(" ".join(marks)))
        if kind in (link.NFLOG_IN, link.NFLOG_OUT):
            interfaces[kind] = data[at + link.NFLOG_ATTRIBUTE : at + length]
        at += length + -length % 4


def _byte_order(attributes: View) -> Literal["big", "little"]:
    """The one in which the first length is less: it is that of a small attribute."""
    first = attributes.least(2)[:2]
    return "big" if int.from_bytes(first, "big") < int.from_bytes(first, "little") else "little"


def pflog(view: View, around: Around) -> Ahead:
    """OpenBSD's packet filter log; the first octet is the header's length without padding."""
    length = view.least(1)[0]
    return Ahead(Layer.IP, view.after(length + -length % 4), around)


def pktap(view: View, around: Around) -> Ahead:
    """Darwin's packets with their process and interface."""
    length, kind, link_type, interface = fields(link.PKTAP, view)
    if kind != link.PKTAP_PACKET or length < link.PKTAP.size:
        raise Skip("no_ip")
    known = LINK_TYPES.get(link_type)
    if known is None:
        raise Skip("unsupported_link_type")
    name = interface.partition(b"\0")[0].decode("ascii", "backslashreplace")
    return Ahead(known.layer, view.after(length + known.skip), around.at(name))


def juniper(behind: Layer) -> Step:
    """Juniper's header: direction, interface and the like, before the frame or a bare packet."""

    def step(view: View, around: Around) -> Ahead:
        magic, flags = fields(link.JUNIPER, view)
        if magic != link.JUNIPER_MAGIC:
            raise Skip("malformed")
        rest = view.after(link.JUNIPER.size)
        if flags & link.JUNIPER_EXTENSIONS:
            rest = rest.after(2 + int.from_bytes(rest.least(2)[:2]))
        around = around.at(f"{flags & 1}")
        if flags & link.JUNIPER_NO_LINK_LAYER:
            return Ahead(Layer.IP, rest.after(link.JUNIPER_FAMILY), around)
        return Ahead(behind, rest, around)

    return step


STEPS: dict[Layer, Step] = {
    Layer.ETHERNET: ethernet,
    Layer.DSA: switch_tag(link.DSA),
    Layer.EDSA: switch_tag(link.EDSA),
    Layer.LLC: logical_link,
    Layer.SLL: cooked,
    Layer.SLL2: cooked_v2,
    Layer.LOOPBACK: loopback,
    Layer.TOKEN_RING: token_ring,
    Layer.FDDI: fddi,
    Layer.ARCNET: arcnet(link.ARCNET_TYPE),
    Layer.ARCNET_LINUX: arcnet(link.ARCNET_LINUX_TYPE),
    Layer.APPLE_1394: addressed(link.APPLE_1394),
    Layer.IPOIB: addressed(link.IPOIB),
    Layer.NFLOG: nflog,
    Layer.PFLOG: pflog,
    Layer.PKTAP: pktap,
    Layer.JUNIPER_ETHERNET: juniper(Layer.ETHERNET),
    Layer.JUNIPER_PPP: juniper(Layer.PPP),
    Layer.JUNIPER_FRAME_RELAY: juniper(Layer.FRAME_RELAY),
    Layer.JUNIPER_CHDLC: juniper(Layer.CHDLC),
}
