"""Tags and tunnels that take a few fields to pass: their layouts, in the order of the wire."""

from __future__ import annotations

import struct

VLAN = 4
VLAN_TYPE, VLAN_ID = 2, 0x0FFF
"""Offset of the EtherType, and the bits of the tag that are its number."""
MPLS = 4
MPLS_LABEL, MPLS_BOTTOM = 12, 0x100
"""Bits to shift for the label, and the mark of the last one (RFC 3032 section 2.1)."""
PPPOE = 6
PPPOE_CODE, PPPOE_SESSION, PPPOE_LENGTH = 1, 2, 4

IP_TUNNELS = {(4, 4): "ipip", (6, 4): "ipip6", (4, 6): "sit", (6, 6): "ip6ip6"}
"""IP in IP by outer and inner version, as iproute2 names it."""

E_TAG = struct.Struct("!HHBBH")
"""IEEE 802.1BR: priority and ingress, group and E-CID, their extensions, EtherType."""
VN_TAG = struct.Struct("!IH")
CISCO_META = struct.Struct("!BB")
CISCO_META_OPTION = 4
FABRIC_PATH = 2
TRILL = struct.Struct("!HHH")
TRILL_OPTIONS, TRILL_OPTION_UNIT = 6, 4
"""Bits to shift for the length of the options (RFC 6325 section 3)."""
HSR = struct.Struct("!HHH")
NSH = struct.Struct("!HBBI")
NSH_LENGTH, NSH_UNIT = 0x3F, 4

CONTROL_WORD = 4
"""Begins with four zero bits, before the Ethernet frame of a pseudowire (RFC 4385)."""

GRE_HEADER = 16
"""With all of its fields."""
GRE_FIXED, GRE_FIELD = 4, 4
"""Octets that are always there, and of each field that a flag announces."""
GRE_TYPE = 2
GRE_CHECKSUM, GRE_ROUTED, GRE_KEY, GRE_SEQUENCE, GRE_VERSION = 0x8000, 0x4000, 0x2000, 0x1000, 0x0007
GRE_ROUTE = struct.Struct("!HBB")
"""Address family, offset and length of a source route entry; all zeros end the list (RFC 1701)."""
PPTP, PPTP_LENGTH = 1, 4
"""Version of the GRE header that PPTP uses (RFC 2637), and where that has the length of its payload."""
WCCP_REDIRECT = 4
ERSPAN_II, ERSPAN_III = 1, 2
ERSPAN_SUBHEADER = 8
ERSPAN_IP_FRAME = 2
ETHERIP = 2

GENEVE_HEADER = 8
GENEVE_TYPE = 2
GENEVE_VERSION, GENEVE_OPTIONS = 0xC0, 0x3F
"""Bits of the first octet: version, and length of the options."""
GENEVE_OPTION_UNIT = 4
VXLAN_HEADER = 8
VXLAN_HAS_PROTOCOL, VXLAN_HAS_GROUP = 0x04, 0x80
VXLAN_PROTOCOL = 3
"""Flags of the generic extension and of group policies; where the former has its protocol."""

GTP_HEADER = 8
GTP_HEADER_WITH_OPTIONS = 12
GTP_KIND, GTP_U = 0xF0, 0x30
"""Bits of the first octet: version 1, and not charging."""
GTP_USER_DATA = 255
GTP_EXTENSION_UNIT = 4

L2TP_HEADER = 6
L2TP_CONTROL, L2TP_LENGTH, L2TP_SEQUENCE, L2TP_OFFSET = 0x800, 0x400, 0x080, 0x020
"""Of twelve flags, those with which fields come on top of the shortest header."""
L2TPV3 = 3
L2TPV3_OVER_UDP = 4
"""Flags and reserved octets in front of the session (RFC 3931 section 4.1.2)."""
L2TPV3_SESSION = struct.Struct("!I")
L2TPV3_COOKIES = (0, 4, 8, 12)
"""Octets of cookie and sublayer that may follow; only the ends of the tunnel know (RFC 3931 4.1)."""

TEREDO_AUTHENTICATION = struct.Struct("!HBB")
TEREDO_AUTHENTICATION_END = 9
"""Nonce and confirmation, after the identifiers (RFC 4380 section 5.1.1)."""
TEREDO_ORIGIN = 8

AYIYA = struct.Struct("!BBBBI")
AYIYA_HEADER = AYIYA.size
AYIYA_SIGNATURE_UNIT = 4
AYIYA_FORWARD = 1

CAPWAP = struct.Struct("!BBBBHH")
"""Preamble, length, binding, flags, fragment's number and offset (RFC 5415 section 4.3)."""
CAPWAP_OFFSET = 6
CAPWAP_ENCRYPTED = 0x01
"""In the preamble: DTLS follows."""
CAPWAP_UNIT = 4
CAPWAP_NATIVE = 0x01
"""Beside the binding: the payload is a wireless frame, not one of Ethernet."""
CAPWAP_FRAGMENT = 0x80

LISP_HEADER = 8
LISP_INSTANCE = 0x08

TZSP = struct.Struct("!BBH")
TZSP_PADDING, TZSP_END = 0, 1
TZSP_ETHERNET, TZSP_WLAN = 1, 18
