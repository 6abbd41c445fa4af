from __future__ import annotations

import struct

import pytest

from tests.capture_files import ETHERNET, SECOND, START, Packet, meant, packets, pcap, pcap_header, read, told


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("magic", [0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34])
def test_every_magic_in_both_byte_orders(tmp_path, order, magic):
    content = packets(20)
    records, capture = read(tmp_path / "a", pcap(content, order, magic))
    assert told(records) == meant(content)
    assert [record.number for record in records] == list(range(1, 21))
    assert {(record.capture, record.link_type, record.interface) for record in records} == {(0, ETHERNET, 0)}
    assert (capture.format, capture.compression, capture.packets, capture.damages) == ("pcap", "", 20, [])
    assert (capture.first_time_ns, capture.last_time_ns) == (content[0].time_ns, content[-1].time_ns)


def test_nanoseconds_are_kept_to_the_last(tmp_path):
    records, _ = read(tmp_path / "a", pcap([Packet(START + 123_456_789, b"x")], magic=0xA1B23C4D))
    assert records[0].time_ns == START + 123_456_789


def test_a_fraction_beyond_a_second_is_added(tmp_path):
    odd = struct.pack("<IIII", 1_700_000_000, 2_500_000, 1, 1) + b"x"
    records, capture = read(tmp_path / "a", pcap_header() + odd)
    assert told(records) == [(START + 2_500_000_000, b"x")]
    assert not capture.damages


def test_times_of_the_last_century_of_pcap_are_times(tmp_path):
    records, _ = read(tmp_path / "a", pcap([Packet((2**32 - 1) * SECOND, b"x")]))
    assert records[0].time_ns == (2**32 - 1) * SECOND


@pytest.mark.parametrize("link", [0x10000001, 0xF4000001, 0x02240001])
def test_only_the_lower_half_of_the_link_type_names_it(tmp_path, link):
    records, _ = read(tmp_path / "a", pcap(packets(1), link=link))
    assert records[0].link_type == 1


def test_a_packet_may_be_cut_short(tmp_path):
    records, _ = read(tmp_path / "a", pcap([Packet(START, b"abc", 1500)]))
    assert (records[0].length, records[0].data) == (1500, b"abc")


@pytest.mark.parametrize(
    ("snap", "captured", "is_read"),
    [
        (0, 262_144, True),
        (1, 262_144, True),  # longer than the file says it can be, as files in the wild are
        (65_535, 262_145, False),
        (524_288, 524_288, True),
        (524_288, 524_289, False),
        (0xFFFFFFFF, 16 << 20, True),
        (0xFFFFFFFF, (16 << 20) + 1, False),
    ],
)
def test_how_long_a_packet_may_be(tmp_path, snap, captured, is_read):
    records, capture = read(
        tmp_path / "a", pcap([Packet(START, b"x"), Packet(START, bytes(captured))], snap=snap)
    )
    assert [len(record.data) for record in records] == ([1, captured] if is_read else [1])
    assert [damage.offset for damage in capture.damages] == ([] if is_read else [24 + 17])


def test_an_empty_packet_is_a_packet(tmp_path):
    records, capture = read(tmp_path / "a", pcap([Packet(START, b"", 60), Packet(START, b"")]))
    assert [record.length for record in records] == [60, 0]
    assert not capture.damages


def test_a_file_without_packets_is_whole(tmp_path):
    records, capture = read(tmp_path / "a", pcap([]))
    assert not records
    assert (capture.packets, capture.first_time_ns, capture.last_time_ns, capture.damages) == (
        0,
        None,
        None,
        [],
    )


@pytest.mark.parametrize(
    ("tail", "reason"),
    [
        (bytes(16), "zeros where a packet header should be"),
        (bytes(5000), "zeros where a packet header should be"),
        (b"\xff" * 16, "a packet of 4294967295 octets, where 262144 are the most"),
        (pcap(packets(3)), "a second pcap file begins here, within the first"),
        (b"abc", "the file ends inside packet 4"),
        (struct.pack("<IIII", 1, 0, 9, 9) + b"abc", "the file ends inside packet 4"),
    ],
)
def test_what_ends_a_file_before_its_end(tmp_path, tail, reason):
    content = packets(3)
    sound = pcap(content)
    records, capture = read(tmp_path / "a", sound + tail)
    assert told(records) == meant(content)
    assert [(d.offset, d.reason) for d in capture.damages] == [(len(sound), reason)]
    assert str(capture.damages[0]) == f"a: at octet {len(sound)} (uncompressed): {reason}"


@pytest.mark.parametrize("version", [(1, 4), (2, 2), (3, 0)])
def test_versions_with_other_packet_headers_are_refused(tmp_path, version):
    records, capture = read(tmp_path / "a", pcap_header(version=version) + pcap(packets(3))[24:])
    assert not records
    assert [d.reason for d in capture.damages] == [f"pcap version {version[0]}.{version[1]} is not supported"]


def test_a_file_header_cut_short(tmp_path):
    _, capture = read(tmp_path / "a", pcap_header()[:20])
    assert [d.reason for d in capture.damages] == ["the file ends inside the file header"]
