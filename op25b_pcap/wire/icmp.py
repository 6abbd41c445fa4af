"""ICMP (RFC 792) and ICMPv6 (RFC 4443) error messages: those that quote the packet they are about."""

from __future__ import annotations

import struct

ERROR = struct.Struct("!BBHBBH")
"""Type, code, checksum; then the length of the quote: in ICMPv6 the next octet, in ICMP the one after."""

ICMP_ERRORS = frozenset({3, 4, 5, 11, 12})
"""RFC 1122 section 3.2.2: unreachable, source quench, redirect, time exceeded, parameter problem."""
ICMPV6_ERRORS = frozenset({1, 2, 3, 4})

# (IP version, type, code) of the errors that say "forbidden": RFC 1122 section 3.2.2.1,
# RFC 1812 section 5.2.7.1, RFC 4443 section 3.1.
PROHIBITED = frozenset({(4, 3, 9), (4, 3, 10), (4, 3, 13), (6, 1, 1), (6, 1, 5), (6, 1, 6)})
REJECTED = frozenset({(4, 3, 3), (6, 1, 4)})
"""Port unreachable, as Linux' firewalls reject by default; no router says so of itself."""

ICMP_QUOTE_UNIT = 4
ICMPV6_QUOTE_UNIT = 8
ICMP_WITH_LENGTH = frozenset({3, 11, 12})
ICMPV6_WITH_LENGTH = frozenset({1, 3})
"""Types whose quote may have a length, because extensions follow it (RFC 4884 section 4)."""
