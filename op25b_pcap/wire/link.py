"""Link layers that take a few fields to pass: their layouts, in the order of the wire."""

from __future__ import annotations

import struct

MAC_ADDRESSES = 12
"""Destination and source in front of an Ethernet frame; tags stand behind them."""
ETHERNET_HEADER = 14
ETHERNET_DST, ETHERNET_SRC = slice(0, 6), slice(6, 12)
TYPE_ALONE = struct.Struct("!H")
"""An EtherType alone."""

LOOPBACK_HEADER = 4
LOOPBACK_IP_FAMILIES = frozenset({2, 10, 23, 24, 28, 30})
"""AF_INET, and AF_INET6 of Linux, Windows, NetBSD and OpenBSD, FreeBSD, Darwin."""

SLL_HEADER = 16
SLL_KIND, SLL_DEVICE, SLL_ADDRESS, SLL_PROTOCOL = 0, 2, 6, 14
"""Offsets: kind of packet, ARPHRD_ type, address, protocol; the address has eight octets."""
SLL2_HEADER = 20
SLL2_PROTOCOL, SLL2_INTERFACE, SLL2_DEVICE, SLL2_KIND, SLL2_ADDRESS = 0, 4, 8, 10, 12
SLL_ADDRESS_LENGTH = 8
SLL_GRE, SLL_RADIOTAP, SLL_NETLINK = 778, 803, 824
"""ARPHRD_ types that say what the protocol field means (tcpdump.org, LINKTYPE_LINUX_SLL)."""
SLL_LLC = 4
"""Protocol of a frame that begins with an LLC header."""

FDDI = 13
"""Frame control and two addresses."""
TOKEN_RING = 14
"""Access control, frame control and two addresses."""
TOKEN_RING_SOURCE = 8
SOURCE_ROUTED = 0x80
"""In the first octet of the source: a route follows the addresses (IEEE 802.5)."""
ROUTE_LENGTH = 0x1F

ARCNET_TYPE = 2
ARCNET_LINUX_TYPE = 4
ARCNET_OLD_IP = frozenset({240})
"""RFC 1051: the packet follows the type at once."""
ARCNET_IP = frozenset({196, 212})
"""RFC 1201, IPv6 and IPv4: flag and sequence number come before."""
ARCNET_EXCEPTION = 0xFF
"""Flag of a packet whose length the hardware could not express; four octets more."""

APPLE_1394 = struct.Struct("!16sH")
IPOIB = struct.Struct("!40sHH")
DSA = struct.Struct("!4sH")
EDSA = struct.Struct("!8sH")

NFLOG = struct.Struct("!BBH")
NFLOG_ATTRIBUTE = 4
"""Length and type of an attribute, in the byte order of the host that wrote it."""
NFLOG_TYPE = 0x7FFF
NFLOG_IN, NFLOG_OUT, NFLOG_PAYLOAD = 4, 5, 9

PKTAP = struct.Struct("<III24s")
"""Length, kind of what follows, its link type, interface."""
PKTAP_PACKET = 1

JUNIPER = struct.Struct("!3sB")
JUNIPER_MAGIC = b"MGC"
JUNIPER_EXTENSIONS = 0x80
JUNIPER_NO_LINK_LAYER = 0x02
JUNIPER_FAMILY = 4
"""Octets in front of the packet where there is no link layer: the address family."""

LLC_HEADER = 3
LLC_CONTROL = 2
PPP_ADDRESS_CONTROL = b"\xff\x03"
PPP_SHORT = 0x01
"""Set in the first octet of a protocol field that has no second (RFC 1661 section 2)."""
PPP_FLAG = b"\x7e"
PPP_ESCAPE, PPP_ESCAPE_BIT = 0x7D, 0x20
"""RFC 1662 section 4.2."""
CHDLC_ADDRESSES = frozenset({0x0F, 0x8F})
"""Cisco HDLC's unicast and multicast, where PPP has 0xFF."""
PPP_BRIDGED = struct.Struct("!BB")
PPP_BRIDGED_LAN_ID = 0x20
PPP_BRIDGED_ETHERNET = 1

Q922_END = 0x01
"""Set in the last octet of a Frame Relay address, which has two to four."""
Q922_LONGEST = 4
UNNUMBERED = 0x03
NLPID_SNAP = 0x80
SNAP_SAP, IP_SAP, NLPID_SAP = 0xAA, 0x06, 0xFE
ENCAPSULATED_ETHERNET = b"\0\0\0"
BRIDGE_TUNNEL = b"\0\0\xf8"
BRIDGED = b"\0\x80\xc2"
"""Organisation codes in SNAP headers (RFC 1042, IEEE 802.1H, RFC 2684)."""
BRIDGED_ETHERNET = frozenset({1, 7})

WLAN_CONTROL = struct.Struct("<H")
WLAN_HEADER = 24
WLAN_TYPE, WLAN_DATA = 0x000C, 0x0008
WLAN_NO_DATA, WLAN_QOS = 0x0040, 0x0080
WLAN_FOUR_ADDRESSES = 0x0300
WLAN_PROTECTED, WLAN_ORDER = 0x4000, 0x8000
WLAN_AGGREGATE = 0x80
"""In the first octet of the QoS control: the body holds several frames (IEEE 802.11 9.3.2.2)."""
SUBFRAME = struct.Struct("!6s6sH")
SUBFRAME_ALIGNMENT = 4
RADIOTAP = struct.Struct("<BBH")
PRISM = struct.Struct("<II")
PRISM_CODES = frozenset({0x41, 0x44})
AVS = struct.Struct("!II")
PPI = struct.Struct("<BBHI")
