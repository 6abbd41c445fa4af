"""Which header follows which: the registries, as far as they lead to TCP.

One dictionary a registry, from its number to the layer that the number announces. A number
that does not stand here announces nothing that a mail connection could be in. What an engine
does with a layer is the engine's own affair; all engines read these pages.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple


class Layer(Enum):
    """A kind of header. `IP` is either version: the first four bits of a packet tell."""

    # Link layers
    ETHERNET = auto()
    LLC = auto()
    TOKEN_RING = auto()
    FDDI = auto()
    ARCNET = auto()
    ARCNET_LINUX = auto()
    LOOPBACK = auto()
    SLL = auto()
    SLL2 = auto()
    APPLE_1394 = auto()
    IPOIB = auto()
    DSA = auto()
    EDSA = auto()
    NFLOG = auto()
    PFLOG = auto()
    PKTAP = auto()
    JUNIPER_ETHERNET = auto()
    JUNIPER_PPP = auto()
    JUNIPER_FRAME_RELAY = auto()
    JUNIPER_CHDLC = auto()
    # Serial lines
    PPP = auto()
    PPP_STUFFED = auto()
    CHDLC = auto()
    FRAME_RELAY = auto()
    PPP_BRIDGED = auto()
    # Wireless
    WLAN = auto()
    RADIOTAP = auto()
    PRISM = auto()
    AVS = auto()
    PPI = auto()
    # Tags, labels and sessions between link layer and IP
    VLAN = auto()
    ISID = auto()
    E_TAG = auto()
    VN_TAG = auto()
    CISCO_META = auto()
    FABRIC_PATH = auto()
    TRILL = auto()
    HSR = auto()
    MACSEC = auto()
    MPLS = auto()
    NSH = auto()
    PPPOE = auto()
    # IP and what follows it
    IP = auto()
    IPV6_EXTENSION = auto()
    IPV6_DESTINATION = auto()
    IPV6_ROUTING = auto()
    IPV6_FRAGMENT = auto()
    AUTHENTICATION = auto()
    ENCRYPTED = auto()
    TCP = auto()
    UDP = auto()
    ICMP = auto()
    ICMPV6 = auto()
    # Tunnels over IP
    GRE = auto()
    ERSPAN = auto()
    WCCP = auto()
    ETHERIP = auto()
    L2TPV3 = auto()
    # Tunnels over UDP
    VXLAN = auto()
    VXLAN_GPE = auto()
    GENEVE = auto()
    GTP = auto()
    L2TP = auto()
    TEREDO = auto()
    AYIYA = auto()
    CAPWAP = auto()
    LISP = auto()
    TZSP = auto()


class LinkType(NamedTuple):
    """What a capture's link type announces, after so many octets that say nothing."""

    layer: Layer
    skip: int = 0


LINK_TYPES: dict[int, LinkType] = {
    0: LinkType(Layer.LOOPBACK),
    1: LinkType(Layer.ETHERNET),
    6: LinkType(Layer.TOKEN_RING),
    7: LinkType(Layer.ARCNET),
    8: LinkType(Layer.IP, 16),  # SLIP: direction and compression state
    9: LinkType(Layer.PPP),
    10: LinkType(Layer.FDDI),
    12: LinkType(Layer.IP),
    14: LinkType(Layer.IP),
    50: LinkType(Layer.PPP),
    51: LinkType(Layer.PPPOE),
    100: LinkType(Layer.LLC),  # RFC 1483
    101: LinkType(Layer.IP),
    104: LinkType(Layer.CHDLC),
    105: LinkType(Layer.WLAN),
    107: LinkType(Layer.FRAME_RELAY),
    108: LinkType(Layer.LOOPBACK),
    109: LinkType(Layer.IP, 12),  # OpenBSD enc: family, SPI, flags
    113: LinkType(Layer.SLL),
    117: LinkType(Layer.PFLOG),
    119: LinkType(Layer.PRISM),
    122: LinkType(Layer.LLC, 16),  # RFC 2625: destination, source
    123: LinkType(Layer.LLC, 4),  # SunATM: flags, VPI, VCI
    127: LinkType(Layer.RADIOTAP),
    129: LinkType(Layer.ARCNET_LINUX),
    138: LinkType(Layer.APPLE_1394),
    163: LinkType(Layer.AVS),
    166: LinkType(Layer.PPP, 2),  # direction, control
    167: LinkType(Layer.JUNIPER_ETHERNET),
    178: LinkType(Layer.JUNIPER_ETHERNET),
    179: LinkType(Layer.JUNIPER_PPP),
    180: LinkType(Layer.JUNIPER_FRAME_RELAY),
    181: LinkType(Layer.JUNIPER_CHDLC),
    192: LinkType(Layer.PPI),
    204: LinkType(Layer.PPP, 1),  # direction
    205: LinkType(Layer.CHDLC, 1),
    206: LinkType(Layer.FRAME_RELAY, 1),
    219: LinkType(Layer.MPLS),
    226: LinkType(Layer.IP, 24),  # Solaris ipnet: families, zones, interfaces
    228: LinkType(Layer.IP),
    229: LinkType(Layer.IP),
    239: LinkType(Layer.NFLOG),
    240: LinkType(Layer.ETHERNET, 4),  # netANALYZER
    241: LinkType(Layer.ETHERNET, 12),  # the same with the preamble
    242: LinkType(Layer.IPOIB),
    258: LinkType(Layer.PKTAP),
    259: LinkType(Layer.ETHERNET, 8),  # EPON preamble
    274: LinkType(Layer.ETHERNET, 8),  # mPacket preamble
    276: LinkType(Layer.SLL2),
    281: LinkType(Layer.DSA),
    282: LinkType(Layer.ETHERNET, 4),  # Broadcom tag in front
    284: LinkType(Layer.DSA),
    285: LinkType(Layer.EDSA),
}
"""LINKTYPE_ numbers of capture files (tcpdump.org/linktypes.html)."""

ETHER_TYPES: dict[int, Layer] = {
    0x0800: Layer.IP,
    0x22F3: Layer.TRILL,
    0x2452: Layer.WLAN,
    0x6558: Layer.ETHERNET,  # RFC 1701: transparent Ethernet bridging
    0x8100: Layer.VLAN,
    0x86DD: Layer.IP,
    0x880B: Layer.PPP,
    0x8847: Layer.MPLS,
    0x8848: Layer.MPLS,
    0x8864: Layer.PPPOE,
    0x8870: Layer.LLC,  # frames that are too long for a length field
    0x88A8: Layer.VLAN,
    0x88E5: Layer.MACSEC,
    0x88E7: Layer.ISID,
    0x8903: Layer.FABRIC_PATH,
    0x8909: Layer.CISCO_META,
    0x8926: Layer.VN_TAG,
    0x892F: Layer.HSR,
    0x893F: Layer.E_TAG,
    0x894F: Layer.NSH,
    0x9100: Layer.VLAN,  # QinQ before 802.1ad
    0x9200: Layer.VLAN,
    0x9300: Layer.VLAN,
}
LEAST_ETHER_TYPE = 0x0600
"""A lesser number in the place of the EtherType is the length of an LLC frame (IEEE 802.3 3.2.6)."""

GRE_PROTOCOLS: dict[int, Layer] = (
    ETHER_TYPES
    | {
        0x22EB: Layer.ERSPAN,
        0x6400: Layer.ETHERNET,
        0x6559: Layer.FRAME_RELAY,
        0x880B: Layer.PPP,
        0x883E: Layer.WCCP,
        0x8881: Layer.PPP_STUFFED,  # 3GPP2 A10/A11
        0x88BE: Layer.ERSPAN,
        0x88D2: Layer.PPP_STUFFED,
    }
    # Aruba's access points: the wireless frame; the low bits name queue and cipher.
    | dict.fromkeys(range(0x8200, 0x8380, 0x10), Layer.WLAN)
)

PPP_PROTOCOLS: dict[int, Layer] = {
    0x0021: Layer.IP,
    0x0031: Layer.PPP_BRIDGED,  # RFC 3518
    0x0057: Layer.IP,
    0x0281: Layer.MPLS,
    0x0283: Layer.MPLS,
    0x0800: Layer.IP,
    0x86DD: Layer.IP,
}

NLPIDS: dict[int, Layer] = {0x8E: Layer.IP, 0xCC: Layer.IP, 0xCF: Layer.PPP}
"""Network layer protocol identifiers of Frame Relay and ATM (RFC 2427)."""

IP_PROTOCOLS: dict[int, Layer] = {
    1: Layer.ICMP,
    4: Layer.IP,
    6: Layer.TCP,
    17: Layer.UDP,
    41: Layer.IP,
    47: Layer.GRE,
    50: Layer.ENCRYPTED,
    51: Layer.AUTHENTICATION,
    58: Layer.ICMPV6,
    94: Layer.IP,  # IPIP of KA9Q
    97: Layer.ETHERIP,
    115: Layer.L2TPV3,
    137: Layer.MPLS,
    143: Layer.ETHERNET,  # RFC 8986 section 4.9
}
IPV6_PROTOCOLS: dict[int, Layer] = IP_PROTOCOLS | {
    0: Layer.IPV6_EXTENSION,  # hop-by-hop
    43: Layer.IPV6_ROUTING,
    44: Layer.IPV6_FRAGMENT,
    60: Layer.IPV6_DESTINATION,
    135: Layer.IPV6_EXTENSION,  # mobility
    139: Layer.IPV6_EXTENSION,  # HIP
    140: Layer.IPV6_EXTENSION,  # Shim6
}

UDP_PORTS: dict[int, Layer] = {
    1701: Layer.L2TP,
    2152: Layer.GTP,
    3544: Layer.TEREDO,
    4341: Layer.LISP,
    4500: Layer.ENCRYPTED,  # ESP (RFC 3948)
    4754: Layer.GRE,  # RFC 8086
    4789: Layer.VXLAN,
    4790: Layer.VXLAN_GPE,
    5072: Layer.AYIYA,
    5247: Layer.CAPWAP,
    6081: Layer.GENEVE,
    6635: Layer.MPLS,  # RFC 7510
    8472: Layer.VXLAN,  # Linux, before there was a number
    37008: Layer.TZSP,
}
"""UDP ports of tunnels. Either port may be it: some tunnels answer from where they are called."""

NEXT_PROTOCOLS: dict[int, Layer] = {
    1: Layer.IP,
    2: Layer.IP,
    3: Layer.ETHERNET,
    4: Layer.NSH,
    5: Layer.MPLS,
}
"""The small registry that VXLAN-GPE and NSH share (RFC 8300 section 2.2)."""
