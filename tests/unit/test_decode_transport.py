"""What is read of a TCP segment, of an ICMP error's quote and of an answer of DNS."""

from __future__ import annotations

import struct

import pytest

from op25b_pcap.samples.frames import SYN, checksum, icmp_error, ip, octets, tcp, udp
from op25b_pcap.tables.packets import DnsMessage, IcmpError, TcpSegment
from op25b_pcap.wire.addresses import text
from tests.encapsulations import (
    CLIENT,
    CLIENT6,
    FAR,
    FAR6,
    GRE,
    IP4,
    IP6,
    NEAR,
    NEAR6,
    SERVER,
    SERVER6,
    decoded,
    only,
    over_udp,
    record,
    segment,
    why_not,
)

RAW = 101
DATA = ip(CLIENT, SERVER, 6, segment(flags=0x18, payload=b"EHLO home.example.org\r\n"), 64, 9)
DATA6 = ip(CLIENT6, SERVER6, 6, segment(CLIENT6, SERVER6, 0x18, b"EHLO home.example.org\r\n"), 64)


def patched(packet: bytes, at: int, octets_: bytes) -> bytes:
    return packet[:at] + octets_ + packet[at + len(octets_) :]


class TestSegments:
    def test_all_fields(self):
        header = struct.pack("!HHIIBBHHH", 2525, 40000, 7, 8, 0x61, 0xD5, 99, 0, 0)
        packet = only(ip(SERVER, CLIENT, 6, header + b"\1\1\1\0" + b"data", 3, 0xBEEF), RAW)
        assert packet[1:13] == (
            octets(SERVER),
            octets(CLIENT),
            2525,
            40000,
            7,
            8,
            0xD5,
            99,
            3,
            0xBEEF,
            b"\1\1\1\0",
            b"data",
        )
        assert packet.payload_length == 4

    @pytest.mark.parametrize("port", [25, 587, 465, 110, 995, 143, 993, 2525, 53])
    def test_watched_ports_on_either_end(self, port):
        for ports in ((port, 40000), (40000, port)):
            data = ip(CLIENT, SERVER, 6, tcp((CLIENT, SERVER), ports, (0, 0), SYN, 0), 64)
            assert isinstance(only(data, RAW), TcpSegment)

    @pytest.mark.parametrize("data", [DATA, DATA6], ids=["ipv4", "ipv6"])
    def test_a_cut_segment_keeps_what_was_captured(self, data):
        whole = only(data, RAW)
        header = len(data) - 4 - 20 - whole.payload_length
        for size in range(len(data)):
            if size < header + 14:
                assert why_not(data[:size], RAW, len(data)) == "truncated"
                continue
            packet = only(data[:size], RAW, len(data))
            assert packet[:8] == whole[:8]
            assert packet.window == (None if size < header + 16 else whole.window)
            assert packet.payload_length == whole.payload_length
            assert packet.payload == data[header + 24 : size]
            assert packet.options == data[header + 20 : min(size, header + 24)]
            assert packet.checksum_ok is None

    def test_ip_tells_how_much_there_was_even_if_the_file_does_not(self):
        packet = only(DATA[:50], RAW)
        assert (len(packet.payload), packet.payload_length) == (6, 23)

    @pytest.mark.parametrize("offset", [0, 4, 15])
    def test_a_data_offset_that_cannot_be_leaves_no_payload(self, offset):
        packet = only(patched(IP4, 32, bytes([offset << 4])), RAW)
        assert (packet.flags, packet.payload, packet.payload_length) == (SYN, b"", 0)

    def test_length_left_open_is_the_captures(self):
        for packet in (
            only(patched(DATA, 2, b"\0\0"), RAW),
            only(patched(DATA6, 4, b"\0\0"), RAW),
            only(patched(DATA, 2, b"\0\0")[:60], RAW, len(DATA)),
        ):
            assert packet.payload_length == 23
            assert packet.checksum_ok is None

    def test_jumbogram(self):
        body = b"\6\0\xc2\4\0\1\x11\x7c" + segment(CLIENT6, SERVER6, 0x18, bytes(70000))
        header = struct.pack("!IHBB", 6 << 28, 0, 0, 64) + octets(CLIENT6) + octets(SERVER6)
        assert only(header + body, RAW).payload_length == 70000


class TestChecksums:
    @pytest.mark.parametrize("data", [DATA, DATA6, IP4, IP6], ids=["odd4", "odd6", "even4", "even6"])
    def test_right_and_wrong(self, data):
        assert only(data, RAW).checksum_ok is True
        at = (20 if len(data) < len(DATA6) and data[0] == 0x45 else 40) + 17
        assert only(patched(data, at, bytes([data[at] ^ 1])), RAW).checksum_ok is False

    def test_left_to_the_card(self):
        pseudo = octets(CLIENT) + octets(SERVER) + struct.pack("!II", len(DATA) - 20, 6)
        partial = ~checksum(pseudo) & 0xFFFF
        assert only(patched(DATA, 36, struct.pack("!H", partial)), RAW).checksum_ok is None
        assert only(patched(DATA, 36, b"\0\0"), RAW).checksum_ok is None

    def test_a_sum_that_is_rightly_zero(self):
        for window in range(0x10000):
            body = struct.pack("!HHIIBBHHH", 50000, 25, 1, 0, 0x50, 2, window, 0, 0)
            pseudo = octets(CLIENT) + octets(SERVER) + struct.pack("!II", 20, 6)
            if checksum(pseudo + body) == 0:
                assert only(ip(CLIENT, SERVER, 6, body, 64), RAW).checksum_ok is True
                return
        raise AssertionError("no window makes the sum zero")


def quoting(quoted: bytes, type_: int = 3, code: int = 13) -> bytes:
    return icmp_error(NEAR, CLIENT, type_, code, quoted, 255)


def quoting6(quoted: bytes, type_: int = 1, code: int = 1) -> bytes:
    return icmp_error(NEAR6, CLIENT6, type_, code, quoted, 255)


class TestIcmp:
    @pytest.mark.parametrize(
        ("type_", "code"), [(3, 0), (3, 1), (3, 9), (3, 10), (3, 13), (4, 0), (5, 1), (11, 0), (12, 0)]
    )
    def test_errors_of_ipv4(self, type_, code):
        error = only(quoting(IP4[:28], type_, code), RAW)
        assert isinstance(error, IcmpError)
        assert error[1:] == (
            octets(NEAR),
            type_,
            code,
            octets(CLIENT),
            octets(SERVER),
            50000,
            25,
            1000,
        )

    @pytest.mark.parametrize(("type_", "code"), [(1, 0), (1, 1), (1, 5), (1, 6), (2, 0), (3, 0), (4, 1)])
    def test_errors_of_ipv6(self, type_, code):
        error = only(quoting6(IP6, type_, code), RAW)
        assert error[1:] == (octets(NEAR6), type_, code, octets(CLIENT6), octets(SERVER6), 50000, 25, 1000)

    @pytest.mark.parametrize(("message", "header"), [(quoting(IP4), 28), (quoting6(IP6), 48)])
    def test_a_quote_cut_short_keeps_what_it_has(self, message, header):
        whole = only(message, RAW)
        inner = header + header - 8
        for size in range(header, len(message)):
            if size < inner:
                assert why_not(message[:size], RAW, len(message)) == "truncated"
                continue
            error = only(message[:size], RAW, len(message))
            assert error[:6] == whole[:6]
            expected = (50000, 25) if size >= inner + 4 else (None, None)
            assert (error.src_port, error.dst_port) == expected
            assert error.seq == (1000 if size >= inner + 8 else None)

    def test_a_router_that_quotes_no_more_than_the_header(self):
        error = only(quoting(IP4[:20]), RAW)
        assert (error.src_port, error.dst_port, error.seq) == (None, None, None)

    def test_what_is_no_error_or_about_something_else(self):
        assert why_not(quoting(IP4, type_=8), RAW) == "not_tcp"
        assert why_not(quoting6(IP6, type_=137), RAW) == "not_tcp"
        assert why_not(quoting(patched(IP4, 22, b"\0\x50")), RAW) == "other_port"
        assert why_not(quoting(over_udp(53, bytes(20))), RAW) == "not_tcp"
        assert why_not(quoting(ip(CLIENT, SERVER, 1, quoting(IP4), 64)), RAW) == "not_tcp"

    def test_an_answer_s_quote(self):
        error = only(
            quoting(ip(SERVER, CLIENT, 6, tcp((SERVER, CLIENT), (25, 50000), (5, 6), 0x12, 0), 64)), RAW
        )
        assert (text(error.src), error.src_port) == (SERVER, 25)

    @pytest.mark.parametrize("length", [b"\x2c\0", b"\0\x18", b"\xff\xff", b"\0\x14", b"\0\0"])
    def test_whatever_length_the_quoted_header_says(self, length):
        assert only(quoting(patched(IP4, 2, length)), RAW).seq == 1000

    def test_flags_of_the_quoted_header_in_the_wrong_byte_order(self):
        assert only(quoting(patched(IP4, 6, b"\0\x40")), RAW).dst_port == 25

    def test_a_quoted_fragment_has_ports_only_if_it_is_the_first(self):
        assert only(quoting(patched(IP4, 6, b"\x20\0")), RAW).dst_port == 25
        assert only(quoting(patched(IP4, 6, b"\x20\x10")), RAW).dst_port is None
        fragment = ip(CLIENT6, SERVER6, 44, b"\6\0\0\x11\0\0\0\1" + bytes(40), 64)
        assert only(quoting6(fragment), RAW).dst_port is None

    def test_extensions_are_no_part_of_the_quote(self):
        labels = b"\x20\0\0\0\0\x08\1\1" + struct.pack("!I", 25 << 12 | 0x101)
        ports_alone = patched(quoting(IP4[:24] + labels), 25, b"\6")  # the quote's length in words
        assert only(ports_alone, RAW)[-3:] == (50000, 25, None)
        padded = patched(quoting6(IP6[:64] + bytes(8) + labels), 44, b"\x09")
        assert only(padded, RAW)[-3:] == (50000, 25, 1000)

    def test_an_error_inside_a_tunnel(self):
        error = only(ip(NEAR6, FAR6, 4, quoting(IP4[:28]), 64), RAW)
        assert (error.seen.encapsulation, error.seen.outer_src, error.dst_port) == ("ipip6", NEAR6, 25)

    def test_a_router_inside_the_tunnel_quotes_the_tunnel(self):
        tunnelled = ip(NEAR6, FAR6, 4, IP4, 64)
        error = only(icmp_error("2001:db8::99", NEAR6, 1, 1, tunnelled, 64), RAW)
        assert (text(error.reporter), text(error.dst), error.dst_port) == ("2001:db8::99", SERVER, 25)
        assert (error.seen.encapsulation, error.seen.outer_src, error.seen.outer_dst) == (
            "ipip6",
            NEAR6,
            FAR6,
        )
        gre = ip(NEAR, FAR, GRE, b"\0\0\x08\0" + IP4, 64)
        assert only(icmp_error("192.0.2.99", NEAR, 11, 0, gre, 64), RAW).seen.outer_dst == FAR


def dns(sport: int, dport: int, flags: int, payload: bytes = bytes(8)) -> bytes:
    return ip(
        SERVER, CLIENT, 17, udp((SERVER, CLIENT), (sport, dport), struct.pack("!HH", 7, flags) + payload), 64
    )


class TestDns:
    def test_an_answer(self):
        message = only(dns(53, 40000, 0x8180) + b"trailer", RAW)
        assert isinstance(message, DnsMessage)
        assert message[1:] == (octets(CLIENT), b"\0\7\x81\x80" + bytes(8))

    def test_an_answer_to_the_port_of_a_tunnel(self):
        assert isinstance(only(dns(53, 4789, 0x8180), RAW), DnsMessage)

    def test_what_is_none(self):
        assert why_not(dns(53, 40000, 0x0100), RAW) == "not_tcp"
        assert why_not(dns(40000, 53, 0x8180), RAW) == "not_tcp"
        assert why_not(dns(5353, 5353, 0x8400), RAW) == "not_tcp"
        assert why_not(dns(53, 40000, 0x8180, b""), RAW) == "malformed"
        assert why_not(dns(53, 40000, 0x8180)[:38], RAW, 40) == "truncated"


def test_segments_come_in_the_order_of_their_records():
    packets, tally = decoded(record(IP4, RAW, number=n) for n in range(1, 6))
    assert [packet.seen.number for packet in packets] == [1, 2, 3, 4, 5]
    assert (tally.read, tally.decoded) == (5, 5)
