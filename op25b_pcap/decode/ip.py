"""IPv4, IPv6 and its extension headers.

Lengths are the IP header's, except where it leaves them open (0: a jumbogram, or a packet that
a network card is to split) and in the quotes of ICMP errors, where some hosts write them in
their own byte order or already less the header: there the captured octets count.
"""

from __future__ import annotations

from op25b_pcap.decode.headers import IP, IPv6, IPv6ExtHdrFragment, IPv6ExtHdrRouting, header
from op25b_pcap.decode.steps import Ahead, Around, Fragment, Ip, Skip, Step, View, fields
from op25b_pcap.wire import ip as wire
from op25b_pcap.wire.layers import IP_PROTOCOLS, IPV6_PROTOCOLS, Layer
from op25b_pcap.wire.tunnels import IP_TUNNELS


def ip(view: View, around: Around) -> Ahead | Fragment:
    """Either version."""
    version = view.least(1)[0] >> 4
    if version == 4:
        return ipv4(view, around)
    if version == 6:
        return ipv6(view, around)
    raise Skip("no_ip")


def ipv4(view: View, around: Around) -> Ahead | Fragment:
    """IPv4; options are passed over."""
    found, _ = header(IP, view, wire.IPV4_HEADER)
    size, total = found["ihl"] * 4, found["len"]
    if size < wire.IPV4_HEADER:
        raise Skip("malformed")
    payload = view.after(size)
    if total and around.failure is None:
        if total < size:
            raise Skip("malformed")
        payload = view.claimed(total).after(size)
    data = view.data
    src, dst = data[wire.IPV4_SRC], data[wire.IPV4_DST]
    around = around._replace(ip=Ip(src, dst, found["ttl"], found["id"], total != 0))
    offset = found["frag"] * wire.FRAGMENT_UNIT
    more = bool(int(found["flags"]) & wire.MORE_FRAGMENTS)
    ahead = _by_protocol(found["proto"], payload, around, 4)
    if not (offset or more):
        return ahead
    if around.failure is not None:
        is_swapped = int.from_bytes(data[wire.IPV4_FRAGMENT : wire.IPV4_TTL]) == wire.SWAPPED_DONT_FRAGMENT
        return _quoted_part(ahead, 0 if is_swapped else offset)
    key = (around.encapsulation, src, dst, found["proto"], found["id"])
    return Fragment(key, offset, more, ahead)


def ipv6(view: View, around: Around) -> Ahead:
    """IPv6's fixed header."""
    found, _ = header(IPv6, view, wire.IPV6_HEADER)
    payload = view.after(wire.IPV6_HEADER)
    if found["plen"] and around.failure is None:
        payload = view.claimed(wire.IPV6_HEADER + found["plen"]).after(wire.IPV6_HEADER)
    src, dst = view.data[wire.IPV6_SRC], view.data[wire.IPV6_DST]
    around = around._replace(ip=Ip(src, dst, found["hlim"], None, found["plen"] != 0))
    return _by_protocol(found["nh"], payload, around, 6)


def _by_protocol(protocol: int, view: View, around: Around, version: int) -> Ahead:
    layer = (IPV6_PROTOCOLS if version == 6 else IP_PROTOCOLS).get(protocol)
    if layer is None:
        raise Skip("not_tcp")
    if layer is Layer.IP and view.data:
        inner = view.data[0] >> 4
        around = around.tunnelled(IP_TUNNELS.get((version, inner), "ipip"))
    return Ahead(layer, view, around)


def _quoted_part(ahead: Ahead, offset: int) -> Ahead:
    """A quoted fragment: all but the first have their ports elsewhere."""
    return ahead._replace(view=ahead.view.within(0)) if offset else ahead


def extension(view: View, around: Around) -> Ahead:
    """Hop-by-hop options and others that only have to be passed."""
    following, units = fields(wire.EXTENSION, view)
    return _by_protocol(following, view.after((units + 1) * wire.EXTENSION_UNIT), around, 6)


def destination_options(view: View, around: Around) -> Ahead:
    """Destination options, among which may be the address that the sender is known by."""
    _, units = fields(wire.EXTENSION, view)
    options = view.within((units + 1) * wire.EXTENSION_UNIT).data
    at = wire.EXTENSION.size
    while at + 1 < len(options):
        kind, length = options[at], options[at + 1]
        value = options[at + 2 : at + 2 + length]
        if kind == wire.HOME_ADDRESS and len(value) == 16 and around.ip is not None:
            around = around._replace(ip=around.ip._replace(src=value))
        at += 1 if kind == wire.PADDING else 2 + length
    return extension(view, around)


def routing(view: View, around: Around) -> Ahead:
    """A routing header: until it is used up, its last stop is the true destination."""
    found, _ = header(IPv6ExtHdrRouting, view, wire.IPV6_ROUTING_ADDRESSES)
    size = (found["len"] + 1) * wire.EXTENSION_UNIT
    stops = view.within(size).data[wire.IPV6_ROUTING_ADDRESSES :]
    last = b""
    if found["segleft"] and found["type"] in wire.SOURCE_ROUTES:
        last = stops[-16:]
    elif found["segleft"] and found["type"] == wire.SEGMENT_ROUTE:
        last = stops[:16]
    if len(last) == 16 and len(view.data) >= size and around.ip is not None:
        around = around._replace(ip=around.ip._replace(dst=last))
    return _by_protocol(found["nh"], view.after(size), around, 6)


def ipv6_fragment(view: View, around: Around) -> Ahead | Fragment:
    """A fragment header; one that says "all of it" (RFC 6946) only has to be passed."""
    found, rest = header(IPv6ExtHdrFragment, view, 8)
    offset, more = found["offset"] * wire.FRAGMENT_UNIT, bool(found["m"])
    if around.ip is None:
        raise Skip("malformed")
    if offset and around.failure is None:  # what a later part seems to begin with is payload
        ahead = Ahead(Layer.IPV6_EXTENSION, rest, around)
    else:
        ahead = _by_protocol(found["nh"], rest, around, 6)
    if not (offset or more):
        return ahead
    if around.failure is not None:
        return _quoted_part(ahead, offset)
    return Fragment((around.encapsulation, around.ip.src, around.ip.dst, found["id"]), offset, more, ahead)


def authentication(view: View, around: Around) -> Ahead:
    """An authentication header (RFC 4302): what it protects is in clear."""
    following, words = fields(wire.EXTENSION, view)
    size = (words + 2) * wire.AUTHENTICATION_UNIT
    version = 4 if around.ip is None or len(around.ip.src) == 4 else 6
    return _by_protocol(following, view.after(size), around, version)


STEPS: dict[Layer, Step] = {
    Layer.IP: ip,
    Layer.IPV6_EXTENSION: extension,
    Layer.IPV6_DESTINATION: destination_options,
    Layer.IPV6_ROUTING: routing,
    Layer.IPV6_FRAGMENT: ipv6_fragment,
    Layer.AUTHENTICATION: authentication,
}
