"""Serial lines: PPP in its many frames, Cisco HDLC, Frame Relay; and PPPoE."""

from __future__ import annotations

import re

from op25b_pcap.decode.headers import CHDLC, PPP, PPPoE, header
from op25b_pcap.decode.link import subnetwork
from op25b_pcap.decode.steps import MOST_HEADERS, Ahead, Around, Skip, Step, View, announced, fields
from op25b_pcap.wire import link
from op25b_pcap.wire.layers import ETHER_TYPES, NLPIDS, PPP_PROTOCOLS, Layer

_ESCAPED = re.compile(bytes([link.PPP_ESCAPE]) + b"(.?)", re.DOTALL)


def pppoe(view: View, around: Around) -> Ahead:
    """PPPoE (RFC 2516): only its sessions carry packets."""
    found, rest = header(PPPoE, view, 6)
    if found["code"]:
        raise Skip("no_ip")
    return Ahead(Layer.PPP, rest.within(found["len"]), around.tagged(f"pppoe:{found['sessionid']}"))


def ppp(view: View, around: Around) -> Ahead:
    """PPP (RFC 1661), its address and control fields and half of its protocol field optional."""
    first = view.least(1)[:1]
    if first == link.PPP_FLAG:
        return Ahead(Layer.PPP_STUFFED, view, around)
    if first[0] in link.CHDLC_ADDRESSES:
        return Ahead(Layer.CHDLC, view, around)
    if view.data.startswith(link.PPP_ADDRESS_CONTROL):
        view = view.after(len(link.PPP_ADDRESS_CONTROL))
    found, rest = header(PPP, view, 2)
    return announced(PPP_PROTOCOLS, found["proto"], rest, around)


def ppp_stuffed(view: View, around: Around) -> list[Ahead]:
    """PPP as it goes over an asynchronous line (RFC 1662 section 4): flags and escapes."""
    frames = [frame for frame in view.data.split(link.PPP_FLAG, MOST_HEADERS)[:MOST_HEADERS] if frame]
    if not frames:
        raise Skip("malformed")
    plain = [_ESCAPED.sub(_unescaped, frame) for frame in frames]
    lengths = [len(frame) for frame in plain]
    lengths[-1] += view.length - len(view.data)
    return [
        Ahead(Layer.PPP, View(frame, length), around) for frame, length in zip(plain, lengths, strict=True)
    ]


def _unescaped(escape: re.Match[bytes]) -> bytes:
    return bytes([escape[1][0] ^ link.PPP_ESCAPE_BIT]) if escape[1] else b""  # cut in between


def ppp_bridged(view: View, around: Around) -> Ahead:
    """An Ethernet frame in PPP (RFC 3518 section 4.2)."""
    flags, kind = fields(link.PPP_BRIDGED, view)
    if kind != link.PPP_BRIDGED_ETHERNET:
        raise Skip("no_ip")
    lan = 4 if flags & link.PPP_BRIDGED_LAN_ID else 0
    return Ahead(Layer.ETHERNET, view.after(link.PPP_BRIDGED.size + lan), around)


def cisco_hdlc(view: View, around: Around) -> Ahead:
    """Cisco HDLC."""
    found, rest = header(CHDLC, view, 4)
    return announced(ETHER_TYPES, found["proto"], rest, around)


def frame_relay(view: View, around: Around) -> Ahead:
    """Frame Relay: RFC 2427's header behind the address, or Cisco's EtherType."""
    size = 2
    while not view.least(size)[size - 1] & link.Q922_END:
        size += 1
        if size > link.Q922_LONGEST:
            raise Skip("malformed")
    rest = view.after(size)
    if rest.least(2)[0] != link.UNNUMBERED:
        (ether_type,) = fields(link.TYPE_ALONE, rest)
        return announced(ETHER_TYPES, ether_type, rest.after(2), around)
    rest = rest.after(1 if rest.data[1] else 2)
    identifier = rest.least(1)[0]
    if identifier == link.NLPID_SNAP:
        return subnetwork(rest.after(1), around)
    return announced(NLPIDS, identifier, rest.after(1), around)


STEPS: dict[Layer, Step] = {
    Layer.PPPOE: pppoe,
    Layer.PPP: ppp,
    Layer.PPP_STUFFED: ppp_stuffed,
    Layer.PPP_BRIDGED: ppp_bridged,
    Layer.CHDLC: cisco_hdlc,
    Layer.FRAME_RELAY: frame_relay,
}
