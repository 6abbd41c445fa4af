"""Tunnels directly over IP: GRE and what it carries, and pseudowires."""

from __future__ import annotations

from op25b_pcap.decode.headers import ERSPAN_II, ERSPAN_III, GRE, GRE_PPTP, header
from op25b_pcap.decode.steps import Ahead, Around, Skip, Step, View, announced, fields
from op25b_pcap.wire import link, tunnels
from op25b_pcap.wire.layers import ETHER_TYPES, GRE_PROTOCOLS, Layer


def gre(view: View, around: Around) -> Ahead:
    """GRE (RFC 2784, 2890, 1701), and its second version (RFC 2637), which carries PPP for PPTP."""
    found, rest = header(GRE, view, tunnels.GRE_HEADER)
    if found["version"] == tunnels.PPTP:
        return _pptp(view, around)
    if found["routing_present"]:
        rest = _behind_routes(rest)
    ahead = announced(GRE_PROTOCOLS, found["proto"], rest, around)
    if ahead.layer is Layer.ERSPAN and not found["seqnum_present"]:
        # The first version has no header of its own.
        return Ahead(Layer.ETHERNET, rest, around.carried("erspan"))
    if ahead.layer in (Layer.ERSPAN, Layer.WCCP):
        return ahead
    word = f"gre:{found['key']}" if found["key_present"] else "gre"
    inside = around.tunnelled(word) if ahead.layer is Layer.IP else around.carried(word)
    return ahead._replace(around=inside)


def _pptp(view: View, around: Around) -> Ahead:
    found, rest = header(GRE_PPTP, view, tunnels.GRE_HEADER)
    if not found["payload_len"]:
        raise Skip("not_tcp")  # an acknowledgement
    rest = rest.within(found["payload_len"])
    return announced(GRE_PROTOCOLS, found["proto"], rest, around.carried(f"pptp:{found['call_id']}"))


def _behind_routes(view: View) -> View:
    at = 0
    while any(entry := tunnels.GRE_ROUTE.unpack_from(view.least(at + tunnels.GRE_ROUTE.size), at)):
        at += tunnels.GRE_ROUTE.size + entry[-1]
    return view.after(at + tunnels.GRE_ROUTE.size)


def erspan(view: View, around: Around) -> Ahead:
    """A switch's mirror (draft-foschiano-erspan), versions II and III."""
    version = view.least(1)[0] >> 4
    if version == tunnels.ERSPAN_II:
        found, rest = header(ERSPAN_II, view, 8)
        return Ahead(Layer.ETHERNET, rest, around.carried(f"erspan:{found['session_id']}"))
    if version == tunnels.ERSPAN_III:
        found, rest = header(ERSPAN_III, view, 12)
        around = around.carried(f"erspan:{found['session_id']}")
        if found["o"]:
            rest = rest.after(tunnels.ERSPAN_SUBHEADER)
        is_ip = found["ft"] == tunnels.ERSPAN_IP_FRAME
        return Ahead(Layer.IP if is_ip else Layer.ETHERNET, rest, around)
    return Ahead(Layer.ETHERNET, view, around.carried("erspan"))


def wccp(view: View, around: Around) -> Ahead:
    """Packets that a router redirects to a cache: version 2 has a header, version 1 has none."""
    first = view.least(1)[0]
    is_ip = first >> 4 == 4 and first & 0xF >= 5
    rest = view if is_ip else view.after(tunnels.WCCP_REDIRECT)
    return Ahead(Layer.IP, rest, around.carried("wccp"))


def etherip(view: View, around: Around) -> Ahead:
    """Ethernet in IP (RFC 3378)."""
    view.least(tunnels.ETHERIP)
    return Ahead(Layer.ETHERNET, view.after(tunnels.ETHERIP), around.carried("etherip"))


def l2tpv3(view: View, around: Around) -> Ahead:
    """L2TP version 3 (RFC 3931): how long the cookie is and what follows, only the ends know.

    The first length at which a frame makes sense is taken.
    """
    (session,) = fields(tunnels.L2TPV3_SESSION, view)
    if not session:
        raise Skip("not_tcp")  # control
    around = around.carried(f"l2tpv3:{session}")
    inside = view.after(tunnels.L2TPV3_SESSION.size)
    for cookie in tunnels.L2TPV3_COOKIES:
        frame = inside.after(cookie)
        if int.from_bytes(frame.data[link.MAC_ADDRESSES :][:2]) in ETHER_TYPES:
            return Ahead(Layer.ETHERNET, frame, around)
    for cookie in tunnels.L2TPV3_COOKIES:
        frame = inside.after(cookie)
        if frame.data.startswith(link.PPP_ADDRESS_CONTROL):
            return Ahead(Layer.PPP, frame, around)
        if _is_ip(frame):
            return Ahead(Layer.IP, frame, around)
    raise Skip("no_ip")


def _is_ip(view: View) -> bool:
    """Whether an IP header with just this length could begin here."""
    version = view.data[0] >> 4 if view.data else 0
    if version == 4:
        return int.from_bytes(view.data[2:4]) == view.length
    return version == 6 and 40 + int.from_bytes(view.data[4:6]) == view.length


STEPS: dict[Layer, Step] = {
    Layer.GRE: gre,
    Layer.ERSPAN: erspan,
    Layer.WCCP: wccp,
    Layer.ETHERIP: etherip,
    Layer.L2TPV3: l2tpv3,
}
