"""IPv4 (RFC 791) and IPv6 (RFC 8200): where the fields are that every engine needs."""

from __future__ import annotations

import struct

IPV4_HEADER = 20
IPV4_WORDS = 0x0F
"""In the first octet: length of the header in words of four octets."""
IPV4_LENGTH, IPV4_ID, IPV4_FRAGMENT, IPV4_TTL, IPV4_PROTOCOL, IPV4_ENDS = 2, 4, 6, 8, 9, 12
"""Offsets of fields; both addresses stand together."""
IPV4_SRC = slice(IPV4_ENDS, IPV4_ENDS + 4)
IPV4_DST = slice(IPV4_ENDS + 4, IPV4_ENDS + 8)
IPV4_DONT_FRAGMENT = 0x4000
IPV4_RESERVED = 0x8000
"""Flags that say nothing of a packet in parts; all other bits of their field do."""
MORE_FRAGMENTS = 1
"""The lowest of the three flags."""
SWAPPED_DONT_FRAGMENT = 0x0040
"""Flags and offset of an unfragmented packet in the wrong byte order: so some hosts quote it."""

IPV6_HEADER = 40
IPV6_LENGTH, IPV6_NEXT, IPV6_HOPS, IPV6_ENDS = 4, 6, 7, 8
IPV6_SRC = slice(IPV6_ENDS, IPV6_ENDS + 16)
IPV6_DST = slice(IPV6_ENDS + 16, IPV6_ENDS + 32)

EXTENSION = struct.Struct("!BB")
"""What all extension headers and AH begin with: next header, length."""
EXTENSION_UNIT = 8
PADDING, HOME_ADDRESS = 0, 0xC9
"""Options: one octet of padding; the address that a host away from home is known by (RFC 6275 6.3)."""
AUTHENTICATION_UNIT = 4
"""AH counts its length in words, less two (RFC 4302 section 2.2)."""
IPV6_SEGMENTS_LEFT = 3
IPV6_ROUTING_ADDRESSES = 8
"""Offset of the addresses in routing headers of types 0, 2 and 4."""
SOURCE_ROUTES = (0, 2)
"""Routing types whose last address is where the packet goes in the end (RFC 2460, RFC 6275)."""
SEGMENT_ROUTE = 4
"""Here it is the first (RFC 8754 section 2)."""

FRAGMENT_UNIT = 8
IPV6_FRAGMENT_HEADER = 8
IPV6_OFFSET, IPV6_MORE = 2, 3
IPV6_OFFSET_BITS = 0xFFF8
GREATEST_DATAGRAM = 65_535
"""Octets that fragments may add up to; the length fields have 16 bits."""
