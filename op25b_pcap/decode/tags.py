"""Tags and labels between a link layer and IP: VLANs, MPLS, and their relatives."""

from __future__ import annotations

import struct

from op25b_pcap.decode.headers import MPLS, Dot1AH, Dot1Q, header
from op25b_pcap.decode.link import by_ether_type
from op25b_pcap.decode.steps import Ahead, Around, Skip, Step, View, announced, fields
from op25b_pcap.wire import link, tunnels
from op25b_pcap.wire.layers import ETHER_TYPES, NEXT_PROTOCOLS, Layer


def vlan(view: View, around: Around) -> Ahead:
    """A VLAN tag (IEEE 802.1Q, 802.1ad)."""
    found, rest = header(Dot1Q, view, 4)
    return by_ether_type(found["type"], rest, around.tagged(f"vlan:{found['vlan']}"))


def backbone(view: View, around: Around) -> Ahead:
    """The service tag of provider backbone bridges (IEEE 802.1ah)."""
    found, rest = header(Dot1AH, view, 4)
    return Ahead(Layer.ETHERNET, rest, around.tagged(f"pbb:{found['isid']}"))


def e_tag(view: View, around: Around) -> Ahead:
    """The tag of port extenders (IEEE 802.1BR)."""
    _, group_and_base, _, extension, ether_type = fields(tunnels.E_TAG, view)
    identifier = extension << 14 | group_and_base & 0x3FFF
    return by_ether_type(ether_type, view.after(tunnels.E_TAG.size), around.tagged(f"etag:{identifier}"))


def vn_tag(view: View, around: Around) -> Ahead:
    """Cisco's VN-Tag, the port extenders' before the standard."""
    interfaces, ether_type = fields(tunnels.VN_TAG, view)
    word = f"vntag:{interfaces >> 16 & 0x3FFF}"
    return by_ether_type(ether_type, view.after(tunnels.VN_TAG.size), around.tagged(word))


def cisco_meta(view: View, around: Around) -> Ahead:
    """Cisco metadata: a security group, no encapsulation of its own."""
    _, count = fields(tunnels.CISCO_META, view)
    rest = view.after(tunnels.CISCO_META.size + count * tunnels.CISCO_META_OPTION)
    return _by_type(rest, around)


def hsr(view: View, around: Around) -> Ahead:
    """The sequence tag of redundant rings (IEC 62439-3)."""
    _, _, ether_type = fields(tunnels.HSR, view)
    return by_ether_type(ether_type, view.after(tunnels.HSR.size), around.tagged("hsr"))


def trill(view: View, around: Around) -> Ahead:
    """TRILL (RFC 6325): routed Ethernet."""
    flags, _, _ = fields(tunnels.TRILL, view)
    options = (flags >> tunnels.TRILL_OPTIONS & 0x1F) * tunnels.TRILL_OPTION_UNIT
    return Ahead(Layer.ETHERNET, view.after(tunnels.TRILL.size + options), around.tagged("trill"))


def fabric_path(view: View, around: Around) -> Ahead:
    """Cisco FabricPath: TRILL's sibling."""
    view.least(tunnels.FABRIC_PATH)
    return Ahead(Layer.ETHERNET, view.after(tunnels.FABRIC_PATH), around.tagged("fabricpath"))


def service_header(view: View, around: Around) -> Ahead:
    """Network service header (RFC 8300)."""
    base, _, protocol, path = fields(tunnels.NSH, view)
    length = (base & tunnels.NSH_LENGTH) * tunnels.NSH_UNIT
    if length < tunnels.NSH.size:
        raise Skip("malformed")
    return announced(NEXT_PROTOCOLS, protocol, view.after(length), around.tagged(f"nsh:{path >> 8}"))


def mpls(view: View, around: Around) -> Ahead:
    """One label (RFC 3032); behind the last, the first bits tell IP from a pseudowire."""
    found, rest = header(MPLS, view, 4)
    around = around.tagged(f"mpls:{found['label']}")
    if not found["s"]:
        return Ahead(Layer.MPLS, rest, around)
    version = rest.least(1)[0] >> 4
    if version in (4, 6):
        return Ahead(Layer.IP, rest, around)
    worded = rest.after(tunnels.CONTROL_WORD)
    if version == 0 and (_is_ethernet(worded) or not _is_ethernet(rest)):
        return Ahead(Layer.ETHERNET, worded, around)
    return Ahead(Layer.ETHERNET, rest, around)


def _is_ethernet(view: View) -> bool:
    """Whether a known EtherType stands where it would, if a frame began here."""
    at = link.MAC_ADDRESSES
    return int.from_bytes(view.data[at : at + 2]) in ETHER_TYPES


def _by_type(view: View, around: Around) -> Ahead:
    layout: struct.Struct = link.TYPE_ALONE
    (ether_type,) = fields(layout, view)
    return by_ether_type(ether_type, view.after(layout.size), around)


def encrypted(view: View, around: Around) -> Ahead:
    """MACsec, ESP: nothing to be seen inside."""
    raise Skip("encrypted")


STEPS: dict[Layer, Step] = {
    Layer.VLAN: vlan,
    Layer.ISID: backbone,
    Layer.E_TAG: e_tag,
    Layer.VN_TAG: vn_tag,
    Layer.CISCO_META: cisco_meta,
    Layer.HSR: hsr,
    Layer.TRILL: trill,
    Layer.FABRIC_PATH: fabric_path,
    Layer.NSH: service_header,
    Layer.MPLS: mpls,
    Layer.MACSEC: encrypted,
    Layer.ENCRYPTED: encrypted,
}
