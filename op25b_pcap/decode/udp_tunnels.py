"""Tunnels over UDP. Their ports are anybody's: what does not look like the tunnel is no TCP."""

from __future__ import annotations

from op25b_pcap.decode.headers import GENEVE, L2TP, VXLAN, GTP_U_Header, header
from op25b_pcap.decode.steps import Ahead, Around, Skip, Step, View, announced, fields
from op25b_pcap.wire import tunnels
from op25b_pcap.wire.layers import ETHER_TYPES, IP_PROTOCOLS, NEXT_PROTOCOLS, Layer


def vxlan(view: View, around: Around) -> Ahead:
    """VXLAN (RFC 7348), and with the right flag its generic extension."""
    found, rest = header(VXLAN, view, tunnels.VXLAN_HEADER)
    around = around.carried(f"vxlan:{found['vni']}")
    if int(found["flags"]) & tunnels.VXLAN_HAS_PROTOCOL:
        return announced(NEXT_PROTOCOLS, found["NextProtocol"], rest, around)
    return Ahead(Layer.ETHERNET, rest, around)


def geneve(view: View, around: Around) -> Ahead:
    """Geneve (RFC 8926); options are passed over."""
    found, rest = header(GENEVE, view, tunnels.GENEVE_HEADER)
    if found["version"]:
        raise Skip("not_tcp")
    rest = rest.after(found["optionlen"] * tunnels.GENEVE_OPTION_UNIT)
    return announced(ETHER_TYPES, found["proto"], rest, around.carried(f"geneve:{found['vni']}"))


def gtp(view: View, around: Around) -> Ahead:
    """GTP-U (3GPP TS 29.281): a mobile's packet on its way between base station and core."""
    found, rest = header(GTP_U_Header, view, tunnels.GTP_HEADER_WITH_OPTIONS)
    if (found["version"], found["PT"], found["gtp_type"]) != (1, 1, tunnels.GTP_USER_DATA):
        raise Skip("not_tcp")
    if found["length"]:
        rest = view.within(tunnels.GTP_HEADER + found["length"]).after(len(view.data) - len(rest.data))
    if found["E"]:
        rest = _behind_extensions(found["next_ex"], rest)
    around = around.carried(f"gtp:{found['teid']}")
    is_ip = rest.least(1)[0] >> 4 in (4, 6)
    return Ahead(Layer.IP if is_ip else Layer.PPP, rest, around)


def _behind_extensions(kind: int, view: View) -> View:
    at = 0
    while kind:
        size = view.least(at + 1)[at] * tunnels.GTP_EXTENSION_UNIT
        if not size:
            raise Skip("malformed")
        at += size
        kind = view.least(at)[at - 1]
    return view.after(at)


def l2tp(view: View, around: Around) -> Ahead:
    """L2TP (RFC 2661): PPP between an access concentrator and the provider's edge."""
    found, rest = header(L2TP, view, len(view.data))
    if int(found["hdr"]) & tunnels.L2TP_CONTROL:
        raise Skip("not_tcp")
    if found["version"] == tunnels.L2TPV3:
        return Ahead(Layer.L2TPV3, view.after(tunnels.L2TPV3_OVER_UDP), around)
    if found.get("len"):
        rest = view.within(found["len"]).after(len(view.data) - len(rest.data))
    word = f"l2tp:{found['tunnel_id']}.{found['session_id']}"
    return Ahead(Layer.PPP, rest, around.carried(word))


def teredo(view: View, around: Around) -> Ahead:
    """Teredo (RFC 4380 section 5.1.1): IPv6, perhaps behind one or two indicators."""
    if view.data.startswith(b"\0\1"):
        _, identifier, value = fields(tunnels.TEREDO_AUTHENTICATION, view)
        size = tunnels.TEREDO_AUTHENTICATION.size + identifier + value + tunnels.TEREDO_AUTHENTICATION_END
        view = view.after(size)
    if view.data.startswith(b"\0\0"):
        view = view.after(tunnels.TEREDO_ORIGIN)
    if view.least(1)[0] >> 4 != 6:
        raise Skip("not_tcp")
    return Ahead(Layer.IP, view, around.tunnelled("teredo"))


def ayiya(view: View, around: Around) -> Ahead:
    """AYIYA, the tunnel of SixXS (draft-massar-v6ops-ayiya-02)."""
    identity, signature, operation, following, _ = fields(tunnels.AYIYA, view)
    if operation & 0xF != tunnels.AYIYA_FORWARD:
        raise Skip("not_tcp")
    size = (1 << (identity >> 4)) + (signature >> 4) * tunnels.AYIYA_SIGNATURE_UNIT
    rest = view.after(tunnels.AYIYA.size + size)
    return announced(IP_PROTOCOLS, following, rest, around.tunnelled("ayiya"))


def capwap(view: View, around: Around) -> Ahead:
    """A wireless controller's tunnel (RFC 5415): frames of the air, or of Ethernet."""
    preamble, length_and_radio, binding, flags, _, offset = fields(tunnels.CAPWAP, view)
    if preamble & tunnels.CAPWAP_ENCRYPTED:
        raise Skip("encrypted")
    if flags & tunnels.CAPWAP_FRAGMENT and offset >> 3:
        raise Skip("fragment")
    around = around.carried("capwap")
    rest = view.after((length_and_radio >> 3) * tunnels.CAPWAP_UNIT)
    if not binding & tunnels.CAPWAP_NATIVE:
        return Ahead(Layer.ETHERNET, rest, around)
    first = rest.least(2)[:2]
    if first[0] & 0xF != 0x8 == first[1] & 0xF:
        # Cisco's controllers swap the frame control field.
        rest = View(first[::-1] + rest.data[2:], rest.length)
    return Ahead(Layer.WLAN, rest, around)


def lisp(view: View, around: Around) -> Ahead:
    """The data plane of LISP (RFC 9300)."""
    data = view.least(tunnels.LISP_HEADER)
    instance = int.from_bytes(data[4:7]) if data[0] & tunnels.LISP_INSTANCE else 0
    word = f"lisp:{instance}" if instance else "lisp"
    return Ahead(Layer.IP, view.after(tunnels.LISP_HEADER), around.carried(word))


def tzsp(view: View, around: Around) -> Ahead:
    """TZSP, a mirror of wireless and of MikroTik's routers: tags, then the frame."""
    _, _, kind = fields(tunnels.TZSP, view)
    layer = {tunnels.TZSP_ETHERNET: Layer.ETHERNET, tunnels.TZSP_WLAN: Layer.WLAN}.get(kind)
    if layer is None:
        raise Skip("no_ip")
    at = tunnels.TZSP.size
    while (tag := view.least(at + 1)[at]) != tunnels.TZSP_END:
        at += 1 if tag == tunnels.TZSP_PADDING else 2 + view.least(at + 2)[at + 1]
    return Ahead(layer, view.after(at + 1), around.carried("tzsp"))


STEPS: dict[Layer, Step] = {
    Layer.VXLAN: vxlan,
    Layer.VXLAN_GPE: vxlan,
    Layer.GENEVE: geneve,
    Layer.GTP: gtp,
    Layer.L2TP: l2tp,
    Layer.TEREDO: teredo,
    Layer.AYIYA: ayiya,
    Layer.CAPWAP: capwap,
    Layer.LISP: lisp,
    Layer.TZSP: tzsp,
}
