"""Every link type, tag and tunnel, down to the same SYN."""

from __future__ import annotations

import struct

import pytest

from op25b_pcap.decode import SKIPPED
from op25b_pcap.decode.dissect import STEPS
from op25b_pcap.samples.frames import ip, udp
from op25b_pcap.tables.packets import SYN
from op25b_pcap.wire.addresses import text
from op25b_pcap.wire.layers import Layer
from tests.encapsulations import (
    CLIENT,
    CLIENT6,
    FAR,
    FAR6,
    INNER,
    IP4,
    LLC,
    NEAR,
    NEAR6,
    PLACE,
    SERVER,
    SERVER6,
    STATIONS,
    WLAN_QOS,
    WRAPPED,
    decoded,
    frame,
    on_ethernet,
    only,
    over_ip,
    over_udp,
    record,
    segment,
    subframe,
    syn,
    why_not,
)


@pytest.mark.parametrize("name", WRAPPED)
def test_the_innermost_segment_is_found(name):
    link_type, data, encapsulation, outer, is_ipv6 = WRAPPED[name]
    packet = only(data, link_type)
    assert (text(packet.src), text(packet.dst)) == ((CLIENT6, SERVER6) if is_ipv6 else (CLIENT, SERVER))
    assert packet[3:9] == (50000, 25, 1000, 0, SYN, 64240)
    assert (packet.ttl, packet.ip_id) == (64, None if is_ipv6 else 7)
    assert (packet.options, packet.payload, packet.payload_length) == (bytes.fromhex("020405b4"), b"", 0)
    assert packet.checksum_ok is True
    assert packet.seen.encapsulation == encapsulation
    assert (packet.seen.outer_src, packet.seen.outer_dst) == outer


def test_every_layer_has_its_step():
    assert set(STEPS) == set(Layer)


def test_where_and_when_come_from_the_record():
    (packet,), _ = decoded([record(INNER, number=5, at_s=1.5)._replace(capture=3, interface=2)])
    seen = packet.seen
    assert (seen.time_ns, seen.capture, seen.number) == (1_700_000_001_500_000_000, 3, 5)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("ethernet", f"0 {PLACE}"),
        ("raw", "0"),
        ("sll", "0 4 00005e0053fe0000"),
        ("sll2", "0 3 4 00005e0053fe0000"),
        ("wlan", f"0 {PLACE}"),
        ("nflog", "0 4:00000003"),
        ("pktap", "0 en0"),
        ("vxlan", f"0 {PLACE} {PLACE}"),
    ],
)
def test_the_place_says_what_the_link_layer_says(name, place):
    assert only(WRAPPED[name].data, WRAPPED[name].link_type).seen.place == place


def test_nflog_is_read_in_the_byte_order_of_its_writer():
    attributes = [(1, b"\x08\0\1\0"), (4, b"\0\0\0\3"), (10, b"x\0"), (9, IP4)]
    for order in "<>":
        body = b"".join(
            struct.pack(order + "HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
            for kind, value in attributes
        )
        assert only(b"\2\0\0\0" + body, 239).dst_port == 25


def test_padding_and_trailers_are_no_payload():
    packet = ip(CLIENT, SERVER, 6, segment(payload=b"EHLO"), 64)
    plain = only(frame(0x0800, packet))
    assert plain.payload == b"EHLO"
    assert only(frame(0x0800, packet + bytes(30))) == plain
    tagged = frame(0x8864, struct.pack("!BBHHH", 0x11, 0, 17, len(packet) + 2, 0x21) + packet + b"trailer")
    assert only(tagged).payload == b"EHLO"


def test_an_aggregate_of_wireless_frames_gives_all_its_packets():
    several = [subframe(IP4), subframe(syn(CLIENT, NEAR))]
    body = b"".join(part + bytes(-len(part) % 4) for part in several)
    aggregate = WLAN_QOS[:24] + b"\x80\0" + body
    packets, tally = decoded([record(aggregate, 105)])
    assert [text(packet.dst) for packet in packets] == [SERVER, NEAR]
    assert (tally.read, tally.decoded) == (1, 1)


def test_several_ppp_frames_in_one_record_give_all_their_packets():
    packets, _ = decoded([record(b"~" + b"\xff\3\0\x21" + IP4 + b"~\xff\3\0\x21" + IP4 + b"~", 9)])
    assert len(packets) == 2


def test_words_run_from_the_outside_in():
    inner = frame(0x86DD, ip(NEAR6, FAR6, 4, IP4, 64))
    vxlan = over_udp(4789, b"\x08\0\0\0\0\0\x2a\0" + inner)
    seen = only(frame(0x8100, b"\0\x64\x08\0" + vxlan)).seen
    assert seen.encapsulation == "vlan:100/vxlan:42/ipip6"
    assert (seen.outer_src, seen.outer_dst) == (NEAR6, FAR6)


def test_a_tunnel_that_a_carrier_shares_has_no_payer():
    inner = over_ip(4, IP4)
    assert only(on_ethernet(inner).data).seen.outer_src == NEAR
    gtp = struct.pack("!BBHI", 0x30, 255, len(IP4), 7) + IP4
    twice = ip(NEAR6, FAR6, 4, ip(NEAR, FAR, 17, udp((NEAR, FAR), (2152, 2152), gtp), 64), 64)
    seen = only(on_ethernet(twice).data).seen
    assert (seen.encapsulation, seen.outer_src) == ("ipip6/gtp:7", "")


NO_PACKET = {
    "arp": (frame(0x0806, bytes(28)), 1, "no_ip"),
    "unknown link type": (IP4, 65000, "unsupported_link_type"),
    "unknown link type in ppi": (struct.pack("<BBHI", 0, 0, 8, 999) + IP4, 192, "unsupported_link_type"),
    "unknown link type in pktap": (
        struct.pack("<III24s", 108, 1, 999, b"en0") + bytes(72) + IP4,
        258,
        "unsupported_link_type",
    ),
    "spanning tree": (STATIONS + b"\0\x26\x42\x42\x03" + bytes(35), 1, "no_ip"),
    "novell": (STATIONS + b"\0\x26\xff\xff" + bytes(36), 1, "no_ip"),
    "pppoe discovery code": (frame(0x8864, b"\x11\x09\0\0\0\0"), 1, "no_ip"),
    "lcp": (b"\xff\3\xc0\x21\1\1\0\4", 9, "no_ip"),
    "netlink": (struct.pack("!HHH8sH", 4, 824, 0, b"", 0) + bytes(16), 113, "no_ip"),
    "ip version 5": (b"\x55" + IP4[1:], 101, "no_ip"),
    "beacon": (b"\x80\0" + bytes(30), 105, "no_ip"),
    "wireless without data": (b"\x48\1" + bytes(30), 105, "no_ip"),
    "udp": (on_ethernet(over_udp(4000, bytes(40))).data, 1, "not_tcp"),
    "igmp": (over_ip(2, bytes(8)), 101, "not_tcp"),
    "gtp echo": (over_udp(2152, b"\x32\1\0\4" + bytes(8)), 101, "not_tcp"),
    "l2tp control": (over_udp(1701, b"\xc8\2\0\x0c" + bytes(8)), 101, "not_tcp"),
    "pptp acknowledgement": (over_ip(47, b"\x20\x81\x88\x0b\0\0\0\7" + bytes(4)), 101, "not_tcp"),
    "port nobody watches": (on_ethernet(IP4[:22] + b"\0\x50" + IP4[24:]).data, 1, "other_port"),
    "esp": (over_ip(50, bytes(40)), 101, "encrypted"),
    "esp in udp": (over_udp(4500, bytes(40)), 101, "encrypted"),
    "macsec": (frame(0x88E5, bytes(40)), 1, "encrypted"),
    "protected wireless": (b"\x08\x41" + bytes(40), 105, "encrypted"),
    "dtls in capwap": (over_udp(5247, b"\1" + bytes(40)), 101, "encrypted"),
    "arcnet's later frame": (b"\1\2\xd4\2\0\7" + IP4, 7, "fragment"),
    "capwap's later part": (over_udp(5247, b"\0\x10\0\x80\0\1\0\x08" + INNER), 101, "fragment"),
    "empty": (b"", 1, "malformed"),
    "half an ethernet header": (INNER[:9], 1, "malformed"),
    "ip header too short": (b"\x44" + IP4[1:], 101, "malformed"),
    "ip length less than the header": (IP4[:2] + b"\0\x13" + IP4[4:], 101, "malformed"),
    "frame relay address without end": (b"\x18\x40\x40\x40\x40" + IP4, 107, "malformed"),
    "juniper without its magic": (b"MGX\0" + INNER, 178, "malformed"),
    "attribute shorter than itself": (b"\2\0\0\0\1\0\0\0" + bytes(8), 239, "malformed"),
    "tcp outside of ip": (frame(0x894F, b"\x0f\xc1\1\1\0\1\2\xff" + IP4), 1, "malformed"),
    "labels without end": (bytes(4000), 219, "too_deep"),
}


@pytest.mark.parametrize("name", NO_PACKET)
def test_what_is_no_packet_says_why(name):
    data, link_type, reason = NO_PACKET[name]
    assert why_not(data, link_type) == reason


def test_cut_frames_are_truncated():
    assert why_not(b"", length=60) == "truncated"
    assert why_not(INNER[:40], length=len(INNER)) == "truncated"
    assert why_not(LLC[:6], 100, length=len(LLC)) == "truncated"


def test_every_reason_has_a_case():
    assert {reason for _, _, reason in NO_PACKET.values()} | {"truncated"} == set(SKIPPED)
