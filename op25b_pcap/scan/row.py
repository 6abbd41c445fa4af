"""A packet as a row of integers: what the kernels write, and what packets are made of.

A row begins as a place to work (the next layer and its octets, which are those of
`decode.steps.View`) and ends as the account of one packet. Offsets are those of the buffer
that the record lies in. Here is also what the kernels ask of the registries: one table of
octets, because a kernel takes no dictionaries.
"""

from __future__ import annotations

from op25b_pcap.decode import SKIPPED
from op25b_pcap.wire.layers import (
    ETHER_TYPES,
    GRE_PROTOCOLS,
    IP_PROTOCOLS,
    IPV6_PROTOCOLS,
    LINK_TYPES,
    NEXT_PROTOCOLS,
    PPP_PROTOCOLS,
    UDP_PORTS,
    Layer,
)
from op25b_pcap.wire.services import WATCHED

# The cells of a row. The layer that is next, its octets as far as captured, and as many as
# there were:
LAYER, AT, END, LENGTH = range(4)
# Whose row it is:
RECORD, TIME, INTERFACE = range(4, 7)
# Where it was captured: what kind of link header says so, and where that stands.
PLACE, PLACE_AT = 7, 8
# The innermost IP header, and the outermost of a tunnel; version 0 if there is none.
IP_VERSION, IP_AT, HAS_LENGTH, OUTER_VERSION, OUTER_AT = range(9, 14)
# The ICMP error around it: the IP header of who sent it.
FAILURE_VERSION, FAILURE_AT, TYPE, CODE = range(14, 18)
# TCP. A segment begins at AT. -1 stands for what was not captured.
SRC_PORT, DST_PORT, SEQ, ACK, FLAGS, WINDOW, OPTIONS_END, PAYLOAD_AT, CHECKSUM = range(18, 27)
# The encapsulations: how many, and for each a word and its number.
WORDS = 27
MOST_WORDS = 8
VERDICT = WORDS + 1 + MOST_WORDS
# Whether a header was passed of which only Scapy can tell: then a packet is UNSURE.
BEYOND = VERDICT + 1
WIDTH = BEYOND + 1

NUMBER_BITS = 32
"""Of an encapsulation's cell; the word stands above."""

# What CHECKSUM may say.
WRONG, RIGHT, UNKNOWABLE, UNCHECKED = 0, 1, 2, 3
# What PLACE may say.
NOWHERE, STATIONS, COOKED, COOKED_V2 = 0, 1, 2, 3
# The words of encapsulations.
VLAN, MPLS, PPPOE, GRE, GRE_KEYED = range(5)
IP_IN_IP = 5
"""From here on: IP in IP, by outer and inner version."""

# What the kernels say of a record: go on; not for us, ask Scapy; a part of a packet, to be set aside;
# a packet; or no packet, and why.
GO_ON, UNSURE, PART, SEGMENT, FAILURE, ANSWER = range(6)
FIRST_REASON = 6
REASONS = tuple(SKIPPED)
UNSUPPORTED, NO_IP, NOT_TCP, OTHER_PORT, ENCRYPTED, FRAGMENT, TRUNCATED, MALFORMED = (
    FIRST_REASON + REASONS.index(reason)
    for reason in (
        "unsupported_link_type",
        "no_ip",
        "not_tcp",
        "other_port",
        "encrypted",
        "fragment",
        "truncated",
        "malformed",
    )
)
VERDICTS = FIRST_REASON + len(REASONS)

# Where each registry begins in the table of registries.
_NUMBERS, _OCTETS = 1 << 16, 1 << 8
ETHER_TYPE, GRE_TYPE, PPP_TYPE, UDP_PORT, LINK_TYPE, LINK_SKIP, WATCHED_PORT, IPV4_NEXT = (
    _NUMBERS * n for n in range(8)
)
IPV6_NEXT, NEXT_PROTOCOL = IPV4_NEXT + _OCTETS, IPV4_NEXT + 2 * _OCTETS


def registries() -> bytes:
    """For every number of every registry the layer that it announces, or 0."""
    table = bytearray(NEXT_PROTOCOL + _OCTETS)
    for begin, registry in (
        (ETHER_TYPE, ETHER_TYPES),
        (GRE_TYPE, GRE_PROTOCOLS),
        (PPP_TYPE, PPP_PROTOCOLS),
        (UDP_PORT, UDP_PORTS),
        (IPV4_NEXT, IP_PROTOCOLS),
        (IPV6_NEXT, IPV6_PROTOCOLS),
        (NEXT_PROTOCOL, NEXT_PROTOCOLS),
    ):
        for number, layer in registry.items():
            table[begin + number] = layer.value
    for number, link in LINK_TYPES.items():
        table[LINK_TYPE + number], table[LINK_SKIP + number] = link.layer.value, link.skip
    for port in WATCHED:
        table[WATCHED_PORT + port] = 1
    return bytes(table)


(
    ETHERNET_LAYER,
    LLC_LAYER,
    LOOPBACK_LAYER,
    SLL_LAYER,
    SLL2_LAYER,
    PPP_LAYER,
    VLAN_LAYER,
    MPLS_LAYER,
    PPPOE_LAYER,
    IP_LAYER,
    EXTENSION_LAYER,
    DESTINATION_LAYER,
    ROUTING_LAYER,
    AUTHENTICATION_LAYER,
    FRAGMENT_LAYER,
    ENCRYPTED_LAYER,
    TCP_LAYER,
    UDP_LAYER,
    ICMP_LAYER,
    ICMPV6_LAYER,
    GRE_LAYER,
    VXLAN_LAYER,
    VXLAN_GPE_LAYER,
    GENEVE_LAYER,
    GTP_LAYER,
    L2TP_LAYER,
    TEREDO_LAYER,
    AYIYA_LAYER,
    CAPWAP_LAYER,
    LISP_LAYER,
    TZSP_LAYER,
) = (
    layer.value
    for layer in (
        Layer.ETHERNET,
        Layer.LLC,
        Layer.LOOPBACK,
        Layer.SLL,
        Layer.SLL2,
        Layer.PPP,
        Layer.VLAN,
        Layer.MPLS,
        Layer.PPPOE,
        Layer.IP,
        Layer.IPV6_EXTENSION,
        Layer.IPV6_DESTINATION,
        Layer.IPV6_ROUTING,
        Layer.AUTHENTICATION,
        Layer.IPV6_FRAGMENT,
        Layer.ENCRYPTED,
        Layer.TCP,
        Layer.UDP,
        Layer.ICMP,
        Layer.ICMPV6,
        Layer.GRE,
        Layer.VXLAN,
        Layer.VXLAN_GPE,
        Layer.GENEVE,
        Layer.GTP,
        Layer.L2TP,
        Layer.TEREDO,
        Layer.AYIYA,
        Layer.CAPWAP,
        Layer.LISP,
        Layer.TZSP,
    )
)
