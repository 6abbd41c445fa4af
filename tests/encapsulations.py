"""One SYN to port 25 in every wrapping that the decoder knows, written by `struct` alone.

`WRAPPED` has the frames by name: link type, octets, and what the decoder must say of them.
`decoded` shows frames to the decoder.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from op25b_pcap.capture.record import Record
from op25b_pcap.decode import Tally
from op25b_pcap.samples.frames import SYN, UDP, ethernet, ip, octets, tcp, udp
from tests.reference import decode

GRE = 47
CLIENT, SERVER = "203.0.113.5", "198.51.100.7"
CLIENT6, SERVER6 = "2001:db8:100::5", "2001:db8:25::7"
NEAR, FAR = "192.0.2.1", "192.0.2.254"
NEAR6, FAR6 = "2001:db8:ffff::1", "2001:db8:ffff::2"
STATIONS = bytes.fromhex("00005e0053fe00005e005301")
PLACE = "00005e005301>00005e0053fe"


def segment(src: str = CLIENT, dst: str = SERVER, flags: int = SYN, payload: bytes = b"") -> bytes:
    return tcp((src, dst), (50000, 25), (1000, 0), flags, 64240, bytes.fromhex("020405b4"), payload)


def syn(src: str = CLIENT, dst: str = SERVER) -> bytes:
    return ip(src, dst, 6, segment(src, dst), ttl=64, identification=7)


IP4, IP6 = syn(), syn(CLIENT6, SERVER6)


def over_ip(protocol: int, payload: bytes) -> bytes:
    return ip(NEAR, FAR, protocol, payload, ttl=255)


def over_udp(port: int, payload: bytes) -> bytes:
    return over_ip(UDP, udp((NEAR, FAR), (40000 + port % 1000, port), payload))


def frame(ether_type: int, payload: bytes) -> bytes:
    return STATIONS + struct.pack("!H", ether_type) + payload


INNER = frame(0x0800, IP4)
SNAP = bytes.fromhex("aaaa03000000")
LLC = SNAP + b"\x08\x00" + IP4
WLAN = bytes.fromhex("08010000") + STATIONS + STATIONS[:6] + b"\0\0"
WLAN_QOS = bytes.fromhex("88010000") + STATIONS + STATIONS[:6] + b"\0\0\0\0"


def record(
    data: bytes, link_type: int = 1, length: int | None = None, number: int = 1, at_s: float = 0
) -> Record:
    time_ns = 1_700_000_000_000_000_000 + round(at_s * 1e9)
    return Record(0, number, time_ns, link_type, 0, len(data) if length is None else length, data)


def decoded(records: Iterable[Record]) -> tuple[list, Tally]:
    """Packets and tally, after a look at the tally's sums."""
    tally = Tally()
    packets = list(decode(records, tally))
    assert tally.read == tally.decoded + sum(tally.skipped.values())
    assert min(tally.skipped.values(), default=1) > 0
    return packets, tally


def only(data: bytes, link_type: int = 1, length: int | None = None):
    """The one packet of a frame."""
    (packet,), _ = decoded([record(data, link_type, length)])
    return packet


def why_not(data: bytes, link_type: int = 1, length: int | None = None) -> str:
    """The reason why a frame is no packet."""
    packets, tally = decoded([record(data, link_type, length)])
    assert not packets
    (reason,) = tally.skipped
    return reason


class Wrapped(NamedTuple):
    link_type: int
    data: bytes
    encapsulation: str = ""
    outer: tuple[str, str] = ("", "")
    is_ipv6: bool = False


def on_ethernet(
    packet: bytes, encapsulation: str = "", outer: tuple[str, str] = ("", ""), is_ipv6: bool = False
) -> Wrapped:
    return Wrapped(1, ethernet(packet, upstream=True), encapsulation, outer, is_ipv6)


def extension(following: int, body: bytes) -> bytes:
    return bytes([following, len(body) // 8]) + body


def through(protocol: int, headers: bytes) -> bytes:
    """The IPv6 SYN behind extension headers."""
    return ip(CLIENT6, SERVER6, protocol, headers + segment(CLIENT6, SERVER6), ttl=64)


def subframe(packet: bytes) -> bytes:
    body = SNAP + b"\x08\x00" + packet
    return STATIONS + struct.pack("!H", len(body)) + body


def escaped(data: bytes) -> bytes:
    return b"".join(bytes([0x7D, o ^ 0x20]) if o in (0x7D, 0x7E) or o < 0x20 else bytes([o]) for o in data)


LINKS = {
    "ethernet": Wrapped(1, INNER),
    "ethernet-ipv6": Wrapped(1, frame(0x86DD, IP6), is_ipv6=True),
    "ethernet-padded": Wrapped(1, INNER + bytes(46)),
    "ethernet-llc": Wrapped(1, STATIONS + struct.pack("!H", len(LLC)) + LLC + b"trailer"),
    "ethernet-llc-jumbo": Wrapped(1, frame(0x8870, LLC)),
    "null-le": Wrapped(0, b"\2\0\0\0" + IP4),
    "null-be": Wrapped(0, b"\0\0\0\2" + IP4),
    "null-ipv6-darwin": Wrapped(0, b"\x1e\0\0\0" + IP6, is_ipv6=True),
    "loop": Wrapped(108, b"\0\0\0\x18" + IP6, is_ipv6=True),
    "raw": Wrapped(101, IP4),
    "raw-12": Wrapped(12, IP6, is_ipv6=True),
    "raw-14": Wrapped(14, IP4),
    "raw-ipv4": Wrapped(228, IP4),
    "raw-ipv6": Wrapped(229, IP6, is_ipv6=True),
    "sll": Wrapped(113, struct.pack("!HHH8sH", 4, 1, 6, STATIONS[:6], 0x0800) + IP4),
    "sll-llc": Wrapped(113, struct.pack("!HHH8sH", 0, 1, 6, STATIONS[:6], 4) + LLC),
    "sll-vlan": Wrapped(113, struct.pack("!HHH8sHHH", 0, 1, 6, b"", 0x8100, 100, 0x0800) + IP4, "vlan:100"),
    "sll-gre": Wrapped(113, struct.pack("!HHH8sH", 0, 778, 4, b"", 0x86DD) + IP6, is_ipv6=True),
    "sll2": Wrapped(276, struct.pack("!HHIHBB8s", 0x86DD, 0, 3, 1, 4, 6, STATIONS[:6]) + IP6, is_ipv6=True),
    "ppp": Wrapped(9, b"\xff\3\0\x21" + IP4),
    "ppp-bare": Wrapped(9, b"\0\x57" + IP6, is_ipv6=True),
    "ppp-compressed": Wrapped(9, b"\x21" + IP4),
    "ppp-hdlc": Wrapped(50, b"\xff\3\0\x21" + IP4),
    "ppp-hdlc-cisco": Wrapped(50, b"\x0f\0\x08\0" + IP4),
    "ppp-direction": Wrapped(204, b"\1\xff\3\0\x21" + IP4),
    "ppp-linux": Wrapped(166, b"\0\3\0\x21" + IP4),
    "ppp-mpls": Wrapped(9, b"\xff\3\2\x81" + struct.pack("!I", 17 << 12 | 0x140) + IP4, "mpls:17"),
    "ppp-bridged": Wrapped(9, b"\xff\3\0\x31\0\1" + INNER),
    "ppp-ether": Wrapped(51, struct.pack("!BBHHH", 0x11, 0, 9, len(IP4) + 2, 0x21) + IP4, "pppoe:9"),
    "cisco-hdlc": Wrapped(104, b"\x0f\0\x86\xdd" + IP6, is_ipv6=True),
    "cisco-hdlc-direction": Wrapped(205, b"\0\x0f\0\x08\0" + IP4),
    "frame-relay": Wrapped(107, b"\x18\x41\x03\xcc" + IP4),
    "frame-relay-cisco": Wrapped(107, b"\x18\x41\x08\0" + IP4),
    "frame-relay-snap": Wrapped(107, b"\x18\x41\x03\0\x80\0\x80\xc2\0\x07" + INNER),
    "atm": Wrapped(100, LLC),
    "atm-nlpid": Wrapped(100, b"\xfe\xfe\x03\xcc" + IP4),
    "atm-bridged": Wrapped(100, b"\xaa\xaa\x03\0\x80\xc2\0\x07\0\0" + INNER),
    "sunatm": Wrapped(123, b"\2\0\0\x2a" + LLC),
    "fddi": Wrapped(10, b"\x50" + STATIONS + LLC),
    "token-ring": Wrapped(6, b"\x10\x40" + STATIONS + LLC),
    "token-ring-routed": Wrapped(
        6, b"\x10\x40" + STATIONS[:6] + b"\x80" + STATIONS[7:] + b"\x06\xb0\0\x11\0\x20" + LLC
    ),
    "arcnet": Wrapped(7, b"\1\2\xd4\0\0\7" + IP4),
    "arcnet-linux": Wrapped(129, b"\1\2\0\0\xd4\0\0\7" + IP4),
    "arcnet-old": Wrapped(7, b"\1\2\xf0" + IP4),
    "ieee1394": Wrapped(138, bytes(16) + b"\x08\0" + IP4),
    "ip-over-fc": Wrapped(122, b"\x10\0" + STATIONS[:6] + b"\x10\0" + STATIONS[6:] + LLC),
    "ipoib": Wrapped(242, bytes(40) + b"\x08\0\0\0" + IP4),
    "ipnet": Wrapped(226, struct.pack("!BBHIIIII", 1, 2, 0, len(IP4), 1, 0, 0, 0) + IP4),
    "enc": Wrapped(109, struct.pack("<II", 2, 7) + bytes(4) + IP4),
    "pflog": Wrapped(117, bytes([61, 2]) + bytes(62) + IP4),
    "nflog": Wrapped(
        239,
        b"\2\0\0\5" + struct.pack("<HH", 8, 4) + b"\0\0\0\3" + struct.pack("<HH", 4 + len(IP4), 9) + IP4,
    ),
    "nflog-be": Wrapped(
        239,
        b"\2\0\0\5" + struct.pack(">HH", 5, 10) + b"\0\0\0\0" + struct.pack(">HH", 4 + len(IP4), 9) + IP4,
    ),
    "pktap": Wrapped(258, struct.pack("<III24s", 156, 1, 0, b"en0") + bytes(120) + b"\2\0\0\0" + IP4),
    "juniper-ethernet": Wrapped(178, b"MGC\x80\0\6\1\4\0\0\0\1" + INNER),
    "juniper-bare": Wrapped(178, b"MGC\x02\0\0\0\2" + IP4),
    "juniper-ppp": Wrapped(179, b"MGC\x00\xff\3\0\x21" + IP4),
    "netanalyzer": Wrapped(240, b"\0\0\4\0" + INNER),
    "mpacket": Wrapped(274, b"\x55" * 7 + b"\xd5" + INNER),
    "dsa": Wrapped(284, STATIONS + b"\0\0\0\0\x08\0" + IP4),
    "edsa": Wrapped(285, STATIONS + b"\xda\xda\0\0\0\0\0\0\x08\0" + IP4),
    "brcm-tag": Wrapped(281, STATIONS + b"\0\0\0\0\x08\0" + IP4),
    "wlan": Wrapped(105, WLAN + LLC),
    "wlan-qos": Wrapped(105, WLAN_QOS + LLC),
    "wlan-four-addresses": Wrapped(105, b"\x08\3" + WLAN[2:] + STATIONS[:6] + LLC),
    "radiotap": Wrapped(127, b"\0\0\x08\0\0\0\0\0" + WLAN + LLC),
    "radiotap-aligned": Wrapped(127, b"\0\0\x09\0\2\0\0\0\x20" + WLAN_QOS + b"\0\0" + LLC),
    "prism": Wrapped(119, struct.pack("<II", 0x44, 144) + bytes(136) + WLAN + LLC),
    "avs": Wrapped(163, struct.pack("!II", 0x80211001, 64) + bytes(56) + WLAN + LLC),
    "ppi": Wrapped(192, struct.pack("<BBHI", 0, 0, 8, 105) + WLAN + LLC),
    "slip": Wrapped(8, b"\1" + bytes(15) + IP4),
    "mpls": Wrapped(219, struct.pack("!I", 99 << 12 | 0x140) + IP4, "mpls:99"),
}

TAGS = {
    "vlan": Wrapped(1, frame(0x8100, b"\x60\x64\x08\0" + IP4), "vlan:100"),
    "qinq": Wrapped(1, frame(0x88A8, b"\0\xc8\x81\0\0\x64\x86\xdd" + IP6), "vlan:200/vlan:100", is_ipv6=True),
    "qinq-9100": Wrapped(1, frame(0x9100, b"\0\xc8\x81\0\0\x64\x08\0" + IP4), "vlan:200/vlan:100"),
    "vlan-llc": Wrapped(1, frame(0x8100, b"\0\x64" + struct.pack("!H", len(LLC)) + LLC), "vlan:100"),
    "mpls-two": Wrapped(
        1, frame(0x8847, struct.pack("!II", 16 << 12 | 0x40, 17 << 12 | 0x140) + IP4), "mpls:16/mpls:17"
    ),
    "mpls-ipv6": Wrapped(1, frame(0x8847, struct.pack("!I", 2 << 12 | 0x140) + IP6), "mpls:2", is_ipv6=True),
    "mpls-pseudowire": Wrapped(1, frame(0x8847, struct.pack("!II", 16 << 12 | 0x1FF, 0) + INNER), "mpls:16"),
    "mpls-ethernet": Wrapped(1, frame(0x8847, struct.pack("!I", 16 << 12 | 0x1FF) + INNER), "mpls:16"),
    "pppoe": Wrapped(
        1,
        frame(0x8864, struct.pack("!BBHHH", 0x11, 0, 17, len(IP6) + 2, 0x57) + IP6),
        "pppoe:17",
        is_ipv6=True,
    ),
    "pbb": Wrapped(1, frame(0x88E7, b"\0\0\x30\x39" + INNER), "pbb:12345"),
    "e-tag": Wrapped(1, frame(0x893F, b"\0\0\0\xd3\0\0\x08\0" + IP4), "etag:211"),
    "vn-tag": Wrapped(1, frame(0x8926, b"\x80\x0a\0\0\x08\0" + IP4), "vntag:10"),
    "cisco-meta": Wrapped(1, frame(0x8909, b"\1\1\0\1\0\x2a\x08\0" + IP4)),
    "fabric-path": Wrapped(1, frame(0x8903, b"\0\x44" + INNER), "fabricpath"),
    "trill": Wrapped(1, frame(0x22F3, b"\0\x3f\0\1\0\2" + INNER), "trill"),
    "hsr": Wrapped(1, frame(0x892F, b"\0\x40\0\1\x08\0" + IP4), "hsr"),
    "nsh": Wrapped(1, frame(0x894F, b"\x0f\xc6\1\1\0\1\2\xff" + bytes(16) + IP4), "nsh:258"),
}

TUNNELS = {
    "ipip": on_ethernet(over_ip(4, IP4), "ipip", (NEAR, FAR)),
    "sit": on_ethernet(over_ip(41, IP6), "sit", (NEAR, FAR), True),
    "ipip6": on_ethernet(ip(NEAR6, FAR6, 4, IP4, 64), "ipip6", (NEAR6, FAR6)),
    "ip6ip6": on_ethernet(ip(NEAR6, FAR6, 41, IP6, 64), "ip6ip6", (NEAR6, FAR6), True),
    "ipip6-options": on_ethernet(
        ip(NEAR6, FAR6, 60, extension(4, b"\4\1\4\1\0\0") + IP4, 64), "ipip6", (NEAR6, FAR6)
    ),
    "twice": on_ethernet(over_ip(41, ip(NEAR6, FAR6, 4, IP4, 64)), "sit/ipip6", (NEAR, FAR)),
    "gre": on_ethernet(over_ip(GRE, b"\0\0\x08\0" + IP4), "gre", (NEAR, FAR)),
    "gre-all-fields": on_ethernet(
        over_ip(GRE, b"\xb0\0\x86\xdd" + struct.pack("!HHII", 0, 0, 42, 7) + IP6), "gre:42", (NEAR, FAR), True
    ),
    "gre-routed": on_ethernet(
        over_ip(GRE, b"\x40\0\x08\0" + bytes(4) + b"\0\2\0\4\xc0\0\2\1" + bytes(4) + IP4), "gre", (NEAR, FAR)
    ),
    "gre-ethernet": on_ethernet(over_ip(GRE, b"\x20\0\x65\x58\0\0\x0a\0" + INNER), "gre:2560"),
    "gre-in-ipv6": on_ethernet(ip(NEAR6, FAR6, GRE, b"\0\0\x08\0" + IP4, 64), "gre", (NEAR6, FAR6)),
    "pptp": on_ethernet(
        over_ip(
            GRE, b"\x30\x81\x88\x0b" + struct.pack("!HHII", len(IP4) + 4, 9, 1, 1) + b"\xff\3\0\x21" + IP4
        ),
        "pptp:9",
    ),
    "gre-stuffed": on_ethernet(
        over_ip(GRE, b"\x20\0\x88\x81\0\0\0\7" + b"~" + escaped(b"\xff\3\0\x21" + IP4 + b"\x12\x34") + b"~"),
        "gre:7",
    ),
    "gre-aruba": on_ethernet(over_ip(GRE, b"\0\0\x82\x00" + WLAN + LLC), "gre"),
    "wccp": on_ethernet(over_ip(GRE, b"\0\0\x88\x3e\0\0\0\0" + IP4), "wccp"),
    "erspan-1": on_ethernet(over_ip(GRE, b"\0\0\x88\xbe" + INNER), "erspan"),
    "erspan-2": on_ethernet(
        over_ip(GRE, b"\x10\0\x88\xbe\0\0\0\1\x10\0\x08\x07\0\0\0\0" + INNER), "erspan:7"
    ),
    "erspan-3": on_ethernet(
        over_ip(GRE, b"\x10\0\x22\xeb\0\0\0\1\x20\0\x08\x07" + bytes(8) + INNER), "erspan:7"
    ),
    "erspan-3-long": on_ethernet(
        over_ip(GRE, b"\x10\0\x22\xeb\0\0\0\1\x20\0\x08\x07" + bytes(7) + b"\1" + bytes(8) + INNER),
        "erspan:7",
    ),
    "etherip": on_ethernet(over_ip(97, b"\x30\0" + INNER), "etherip"),
    "mpls-in-ip": on_ethernet(over_ip(137, struct.pack("!I", 99 << 12 | 0x140) + IP4), "mpls:99"),
    "ah": on_ethernet(ip(CLIENT, SERVER, 51, b"\6\4" + bytes(22) + segment(), 64, 7)),
    "ah-tunnel": on_ethernet(over_ip(51, b"\4\4" + bytes(22) + IP4), "ipip", (NEAR, FAR)),
    "l2tpv3": on_ethernet(over_ip(115, b"\0\0\0\x2a" + bytes(4) + INNER), "l2tpv3:42"),
    "l2tpv3-udp": on_ethernet(over_udp(1701, b"\0\3\0\0\0\0\0\x2a" + INNER), "l2tpv3:42"),
    "l2tp": on_ethernet(
        over_udp(1701, struct.pack("!HHHH", 0x4002, len(IP4) + 12, 5, 6) + b"\xff\3\0\x21" + IP4), "l2tp:5.6"
    ),
    "l2tp-all-fields": on_ethernet(
        over_udp(1701, struct.pack("!HHHHHH", 0x0A02, 5, 6, 1, 1, 4) + b"pad!" + b"\0\x21" + IP4), "l2tp:5.6"
    ),
    "vxlan": on_ethernet(over_udp(4789, b"\x08\0\0\0\0\0\x2a\0" + INNER), "vxlan:42"),
    "vxlan-linux": on_ethernet(over_udp(8472, b"\x08\0\0\0\0\0\x2a\0" + INNER), "vxlan:42"),
    "vxlan-gpe": on_ethernet(over_udp(4790, b"\x0c\0\0\1\0\0\x2a\0" + IP4), "vxlan:42"),
    "geneve": on_ethernet(over_udp(6081, b"\1\0\x65\x58\0\0\x2a\0\1\2\3\0" + INNER), "geneve:42"),
    "geneve-ip": on_ethernet(over_udp(6081, b"\0\0\x08\0\0\0\x2a\0" + IP4), "geneve:42"),
    "gtp": on_ethernet(over_udp(2152, struct.pack("!BBHI", 0x30, 255, len(IP4), 77) + IP4), "gtp:77"),
    "gtp-extended": on_ethernet(
        over_udp(
            2152, struct.pack("!BBHIHBB", 0x34, 255, 8 + len(IP6), 77, 0, 0, 0x85) + b"\1\x10\x09\0" + IP6
        ),
        "gtp:77",
        is_ipv6=True,
    ),
    "gre-in-udp": on_ethernet(over_udp(4754, b"\0\0\x08\0" + IP4), "gre", (NEAR, FAR)),
    "mpls-in-udp": on_ethernet(over_udp(6635, struct.pack("!I", 99 << 12 | 0x140) + IP4), "mpls:99"),
    "teredo": on_ethernet(over_udp(3544, IP6), "teredo", (NEAR, FAR), True),
    "teredo-indicators": on_ethernet(
        over_udp(3544, b"\0\1\0\0" + bytes(9) + b"\0\0" + bytes(6) + IP6), "teredo", (NEAR, FAR), True
    ),
    "ayiya": on_ethernet(
        over_udp(5072, b"\x41\x52\x11\x29" + bytes(4) + bytes(16) + bytes(20) + IP6),
        "ayiya",
        (NEAR, FAR),
        True,
    ),
    "capwap": on_ethernet(over_udp(5247, b"\0\x10\2\0\0\0\0\0" + INNER), "capwap"),
    "capwap-wlan": on_ethernet(over_udp(5247, b"\0\x10\3\0\0\0\0\0\1\x08" + WLAN[2:] + LLC), "capwap"),
    "lisp": on_ethernet(over_udp(4341, b"\x88\0\0\0\0\0\x05\0" + IP4), "lisp:5"),
    "tzsp": on_ethernet(over_udp(37008, b"\1\0\0\1\x0a\1\xff\0\1" + INNER), "tzsp"),
    "tzsp-wlan": on_ethernet(over_udp(37008, b"\1\0\0\x12\1" + WLAN + LLC), "tzsp"),
    "mirrored-tunnel": on_ethernet(
        over_ip(GRE, b"\0\0\x88\xbe" + frame(0x86DD, ip(NEAR6, FAR6, 4, IP4, 64))),
        "erspan/ipip6",
        (NEAR6, FAR6),
    ),
}

EXTENSIONS = {
    "home-address": on_ethernet(
        ip(NEAR6, SERVER6, 60, b"\6\2\1\2\0\0\xc9\x10" + octets(CLIENT6) + segment(CLIENT6, SERVER6), 64),
        is_ipv6=True,
    ),
    "hop-by-hop": on_ethernet(through(0, extension(6, b"\1\4\0\0\0\0")), is_ipv6=True),
    "chain": on_ethernet(
        through(0, extension(60, b"\1\4\0\0\0\0") + extension(6, b"\1\4\0\0\0\0")), is_ipv6=True
    ),
    "atomic-fragment": on_ethernet(through(44, b"\6\0\0\0\0\0\0\1"), is_ipv6=True),
    "mobility-ah": on_ethernet(through(51, b"\6\4" + bytes(22)), is_ipv6=True),
    "routed": on_ethernet(
        ip(
            CLIENT6,
            NEAR6,
            43,
            b"\6\2\0\1" + bytes(4) + octets(SERVER6) + segment(CLIENT6, SERVER6),
            64,
        ),
        is_ipv6=True,
    ),
    "segment-routed": on_ethernet(
        ip(
            CLIENT6,
            NEAR6,
            43,
            b"\6\4\4\1\1\0\0\0" + octets(SERVER6) + octets(NEAR6) + segment(CLIENT6, SERVER6),
            64,
        ),
        is_ipv6=True,
    ),
    "options": on_ethernet(
        b"\x46" + ip(CLIENT, SERVER, 6, b"\1\1\1\0" + segment(), 64, 7)[1:],
    ),
}

WRAPPED: dict[str, Wrapped] = LINKS | TAGS | TUNNELS | EXTENSIONS
