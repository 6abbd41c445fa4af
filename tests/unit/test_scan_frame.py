"""What the kernels decide by themselves, and what they leave to Scapy."""

from __future__ import annotations

import struct
import subprocess
import sys

import pytest

from op25b_pcap.decode.steps import MOST_HEADERS
from op25b_pcap.samples.frames import icmp_error, ip, tcp, udp
from op25b_pcap.scan import row as cell
from op25b_pcap.wire.layers import ETHER_TYPES, LINK_TYPES, UDP_PORTS
from op25b_pcap.wire.services import SERVICES
from tests.encapsulations import (
    CLIENT,
    CLIENT6,
    FAR,
    IP4,
    IP6,
    NEAR,
    SERVER,
    STATIONS,
    WRAPPED,
    frame,
    record,
    segment,
    through,
)
from tests.scans import assert_equal

RAW = 101
KNOWN = {
    "ethernet", "ethernet-ipv6", "ethernet-padded", "null-le", "null-be", "null-ipv6-darwin", "loop", "raw",
    "raw-12", "raw-14", "raw-ipv4", "raw-ipv6", "sll", "sll-vlan", "sll2", "ppp", "ppp-bare",
    "ppp-compressed", "ppp-hdlc", "ppp-direction", "ppp-linux", "ppp-mpls", "ppp-ether", "ipnet", "enc",
    "netanalyzer", "mpacket", "slip", "mpls", "vlan", "qinq", "qinq-9100", "mpls-two", "mpls-ipv6", "pppoe",
    "ipip", "sit", "ipip6", "ip6ip6", "ipip6-options", "twice", "gre", "gre-all-fields", "gre-in-ipv6",
    "gre-routed", "mpls-in-ip", "gre-in-udp", "mpls-in-udp", "ah", "ah-tunnel", "hop-by-hop", "chain",
    "mobility-ah", "options", "atomic-fragment",
}  # fmt: skip
"""The wrappings that the kernels pass themselves."""


@pytest.mark.parametrize("name", sorted(WRAPPED))
def test_every_wrapping_gives_the_references_packet(name):
    wrapped = WRAPPED[name]
    made = assert_equal([record(wrapped.data, wrapped.link_type)])
    assert len(made.packets) == 1
    assert made.by_scapy == (name not in KNOWN)


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_every_cut_of_them_too(name):
    link_type, data, *_ = WRAPPED[name]
    cuts = [
        record(data[:size], link_type, length) for size in range(len(data)) for length in (size, len(data))
    ]
    assert_equal(cuts)


@pytest.mark.parametrize("data", [IP4, IP6], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("offset", range(16))
def test_data_offsets_checksums_and_cuts(data, offset):
    header = len(data) - 24
    packets = []
    for checksum in (None, 0, 1, 0xFFFF):
        octets = bytearray(data + b"EHLO home.example.org\r\n")
        octets[header + 12] = offset << 4
        if checksum is not None:
            octets[header + 16 : header + 18] = checksum.to_bytes(2)
        if header == 20:
            octets[2:4] = len(octets).to_bytes(2)
        else:
            octets[4:6] = (len(octets) - 40).to_bytes(2)
        packets += [record(bytes(octets[:size]), RAW, len(octets)) for size in range(header, len(octets) + 1)]
    made = assert_equal(packets)
    assert not made.by_scapy
    assert {packet.checksum_ok for packet in made.packets} >= {False, None}


def icmp_errors():
    quotes = (IP4, IP4[:28], IP4[:24], IP4[:22], IP4[:21], ip(CLIENT, SERVER, 6, segment()[:8], 64, 7))
    for quote in quotes:
        for kind, code in ((3, 13), (3, 1), (11, 0), (5, 1), (8, 0), (12, 0)):
            body = struct.pack("!BBHBBH", kind, code, 0, 0, 0, 0) + quote
            yield ip("192.0.2.99", CLIENT, 1, body, 64)
            extended = struct.pack("!BBHBBH", kind, code, 0, 0, 7, 0) + quote + bytes(64)
            yield ip("192.0.2.99", CLIENT, 1, extended, 64)
    for kind in (1, 2, 3, 4, 128, 135):
        body = struct.pack("!BBHBBH", kind, 1, 0, 0, 0, 0) + IP6
        yield ip("2001:db8::99", CLIENT6, 58, body, 64)
        yield ip("2001:db8::99", CLIENT6, 58, body[:4] + b"\x03" + body[5:], 64)
    quoted_error = ip(CLIENT, NEAR, 1, struct.pack("!BBHI", 3, 1, 0, 0) + IP4, 64)
    yield ip("192.0.2.99", CLIENT, 1, struct.pack("!BBHI", 3, 1, 0, 0) + quoted_error, 64)
    yield ip("192.0.2.99", NEAR, 1, struct.pack("!BBHI", 3, 3, 0, 0) + ip(NEAR, FAR, 4, IP4, 64), 64)
    yield ip(
        "192.0.2.99", NEAR, 1, struct.pack("!BBHI", 3, 3, 0, 0) + ip(NEAR, FAR, 17, b"\0\x35" * 4, 64), 64
    )


def test_icmp_errors_and_their_quotes():
    made = assert_equal([record(packet, RAW) for packet in icmp_errors()])
    assert len(made.packets) > 30
    assert {type(packet).__name__ for packet in made.packets} == {"IcmpError"}


def test_the_sample_error_needs_no_scapy():
    (packet,), tally, by_scapy = assert_equal([record(icmp_error("192.0.2.9", CLIENT, 3, 13, IP4, 64), RAW)])
    assert (packet.type, packet.code, packet.dst_port, packet.seq, by_scapy) == (3, 13, 25, 1000, 0)
    assert tally.decoded == 1


def test_dns_answers_questions_and_tunnels():
    answer = b"\0\1\x81\x80" + bytes(8)
    ends = (SERVER, CLIENT)
    payloads = [answer, b"\0\1\1\0" + bytes(8), answer[:11], b"", answer + b"answer"]
    datagrams = [udp(ends, (53, 40000), payload) for payload in payloads]
    datagrams += [udp(ends, (port, 40000), answer) for port in (*UDP_PORTS, 123, 54)]
    datagrams += [udp(ends, (40000, port), answer) for port in (*UDP_PORTS, 123, 53)]
    datagrams += [datagrams[0][:4] + length + datagrams[0][6:] for length in (b"\0\0", b"\0\7", b"\0\x0c")]
    made = assert_equal([record(ip(*ends, 17, datagram, 64), RAW) for datagram in datagrams])
    assert len(made.packets) == 4


def test_what_is_no_mail_needs_no_scapy():
    frames = [
        frame(0x0806, bytes(28)),
        frame(0x88CC, bytes(46)),
        frame(0x0026, b"\x42\x42\x03" + bytes(43)),
        frame(0x0800, ip(CLIENT, SERVER, 6, tcp((CLIENT, SERVER), (50000, 443), (0, 0), 2, 0), 64)),
        frame(0x0800, ip(CLIENT, SERVER, 17, udp((CLIENT, SERVER), (50000, 443), bytes(99)), 64)),
        frame(0x0800, ip(CLIENT, SERVER, 50, bytes(99), 64)),
        frame(0x0800, ip(CLIENT, SERVER, 17, udp((CLIENT, SERVER), (4500, 4500), bytes(99)), 64)),
        frame(0x0800, ip(CLIENT, SERVER, 89, bytes(99), 64)),
        frame(0x0800, ip(CLIENT, SERVER, 1, b"\x08" + bytes(63), 64)),
        frame(0x8864, b"\x11\0\0\7\0\x0a\xc0\x21" + bytes(38)),
    ]
    made = assert_equal([record(data) for data in frames])
    assert (made.packets, made.by_scapy) == ([], 0)
    assert made.tally.skipped == {"no_ip": 4, "other_port": 1, "not_tcp": 3, "encrypted": 2}


@pytest.mark.parametrize("count", [1, 7, 8, 9, MOST_HEADERS - 3, MOST_HEADERS - 2, MOST_HEADERS])
def test_many_headers_within_each_other(count):
    tags = b"".join(struct.pack("!HH", n, 0x8100 if n < count else 0x0800) for n in range(1, count + 1))
    extensions = through(0, bytes([0, 0, 1, 4, 0, 0, 0, 0]) * (count - 1) + b"\6\0\1\4\0\0\0\0")
    nested = IP4
    for _ in range(count):
        nested = ip(NEAR, FAR, 4, nested, 64)
    assert_equal([record(frame(0x8100, tags + IP4)), record(extensions, RAW), record(nested, RAW)])


def test_unknown_link_types_and_lengths():
    types = [n for n in range(400) if n not in LINK_TYPES] + [65535]
    records = [record(IP4, link_type, length) for link_type in types for length in (0, None, 1 << 31)]
    made = assert_equal(records + [record(IP4, RAW, length) for length in (0, 44, 45, (1 << 32) - 1)])
    assert made.tally.skipped == {"unsupported_link_type": 3 * len(types)}


def test_the_registries_are_those_of_the_wire():
    known = cell.registries()
    assert [p for p in range(65536) if known[cell.WATCHED_PORT + p]] == sorted({*SERVICES, 53})
    for number in (0x0800, 0x8100, 0x8864, 0x88CC, 0x0806):
        layer = ETHER_TYPES.get(number)
        assert known[cell.ETHER_TYPE + number] == (layer.value if layer else 0)
    assert len({*cell.REASONS}) + cell.FIRST_REASON == cell.VERDICTS


def test_stations_of_two_interfaces_are_two_places():
    there = record(frame(0x0800, IP4))._replace(interface=3)
    (here, elsewhere), *_ = assert_equal([record(frame(0x0800, IP4)), there])
    assert here.seen.place == "0 00005e005301>00005e0053fe"
    assert elsewhere.seen.place == "3 00005e005301>00005e0053fe"
    assert STATIONS[:6].hex() in here.seen.place


def test_common_packets_import_neither_scapy_nor_numba():
    code = (
        "import sys\n"
        "from op25b_pcap.pipeline import analyse\n"
        "from pathlib import Path\n"
        "analyse(sorted(Path('sample_pcaps').rglob('*.pcap')))\n"
        "print([name for name in ('scapy', 'numba') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
