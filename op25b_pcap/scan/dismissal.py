"""The kernel of what most records are: a whole segment or datagram of somebody else's business.

To dismiss a record takes a third of the time that `frame` takes to come to the same verdict. Anything
that could be mail, DNS, a tunnel or odd in any way goes on to `frame`, which alone says what is right.
"""

from __future__ import annotations

from op25b_pcap.scan.row import (
    ETHER_TYPE,
    ETHERNET_LAYER,
    GO_ON,
    IP_LAYER,
    IPV4_NEXT,
    IPV6_NEXT,
    LINK_SKIP,
    LINK_TYPE,
    NOT_TCP,
    OTHER_PORT,
    TCP_LAYER,
    UDP_LAYER,
    UDP_PORT,
    VLAN_LAYER,
    WATCHED_PORT,
)
from op25b_pcap.wire import ip, link, tcp, tunnels, udp
from op25b_pcap.wire.services import DOMAIN
from op25b_pcap.wire.words import u16

_WHOLE = ip.IPV4_DONT_FRAGMENT | ip.IPV4_RESERVED
_PLAIN = 4 << 4 | ip.IPV4_HEADER // 4
"""The first octet of IPv4 without options."""
_LEAST = link.ETHERNET_HEADER + tunnels.VLAN + ip.IPV4_HEADER + tcp.FLAGS_END
"""With so many octets, all that is read of a frame with IPv4 is there."""


def dismissal(data: bytes, at: int, end: int, link_type: int, known: bytes) -> int:
    """OTHER_PORT or NOT_TCP where `frame` says so of the record data[at:end]; GO_ON of what is left to it."""
    if end - at < _LEAST or known[LINK_TYPE + link_type] != ETHERNET_LAYER or known[LINK_SKIP + link_type]:
        return GO_ON
    layer = known[ETHER_TYPE + u16(data, at + link.MAC_ADDRESSES)]
    at += link.ETHERNET_HEADER
    if layer == VLAN_LAYER:
        layer = known[ETHER_TYPE + u16(data, at + tunnels.VLAN_TYPE)]
        at += tunnels.VLAN
    if layer != IP_LAYER:
        return GO_ON
    # A length of 0 means that it is left open, and here that there is not enough.
    if data[at] == _PLAIN:
        if u16(data, at + ip.IPV4_FRAGMENT) & ~_WHOLE:
            return GO_ON
        layer = known[IPV4_NEXT + data[at + ip.IPV4_PROTOCOL]]
        octets = u16(data, at + ip.IPV4_LENGTH) - ip.IPV4_HEADER
        at += ip.IPV4_HEADER
    elif data[at] >> 4 == 6 and end - at >= ip.IPV6_HEADER + tcp.FLAGS_END:
        layer = known[IPV6_NEXT + data[at + ip.IPV6_NEXT]]
        octets = u16(data, at + ip.IPV6_LENGTH)
        at += ip.IPV6_HEADER
    else:
        return GO_ON
    src_port, dst_port = u16(data, at), u16(data, at + 2)
    if layer == TCP_LAYER and octets >= tcp.FLAGS_END:
        is_watched = known[WATCHED_PORT + src_port] | known[WATCHED_PORT + dst_port]
        return GO_ON if is_watched else OTHER_PORT
    if layer == UDP_LAYER and octets >= udp.HEADER and src_port != DOMAIN:
        is_tunnel = known[UDP_PORT + src_port] | known[UDP_PORT + dst_port]
        return GO_ON if is_tunnel else NOT_TCP
    return GO_ON
