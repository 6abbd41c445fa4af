from __future__ import annotations

import struct

import pytest

from op25b_pcap.capture import pcapng as reader
from tests.capture_files import (
    BE,
    ETHERNET,
    LE,
    RAW,
    SECOND,
    START,
    Blocks,
    meant,
    packets,
    pcapng,
    read,
    told,
)

MICRO = START // 1000


def reasons(capture) -> list[str]:
    return [damage.reason for damage in capture.damages]


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders(tmp_path, order):
    content = packets(20)
    records, capture = read(tmp_path / "a", pcapng(content, order))
    assert told(records) == meant(content)
    assert (capture.format, capture.packets, capture.damages) == ("pcapng", 20, [])


@pytest.mark.parametrize(
    ("resolution", "ticks", "time_ns"),
    [
        (None, MICRO, START),
        (6, MICRO + 1, START + 1000),
        (9, START + 7, START + 7),
        (0, 1_700_000_000, START),
        (3, 1_700_000_000_123, START + 123_000_000),
        (12, 1_700_000 * 10**12 + 1999, 1_700_000 * SECOND + 1),
        (18, 10**18 + 10**9 + 1, SECOND + 1),
        (127, 2**64 - 1, 0),
        (0x80, 1_700_000_000, START),
        (0x80 | 10, 1_700_000_000 << 10 | 512, START + SECOND // 2),
        (0x80 | 30, (1_700_000_000 << 30) + 1, START),  # 2^-30 s is 0.93 ns
        (0x80 | 30, (1_700_000_000 << 30) + (1 << 30) - 1, START + SECOND - 1),
        (0xFF, 2**64 - 1, 0),
    ],
)
def test_resolutions_of_time_are_exact(tmp_path, resolution, ticks, time_ns):
    octets = LE.section() + LE.interface(resolution=resolution) + LE.enhanced(ticks, b"x")
    records, capture = read(tmp_path / "a", octets)
    assert [record.time_ns for record in records] == [time_ns]
    assert not capture.damages


@pytest.mark.parametrize("offset_s", [-3600, 0, 86_400])
def test_offset_of_time(tmp_path, offset_s):
    octets = LE.section() + LE.interface(resolution=9, offset_s=offset_s) + LE.enhanced(START, b"x")
    assert read(tmp_path / "a", octets)[0][0].time_ns == START + offset_s * SECOND


@pytest.mark.parametrize(
    ("resolution", "offset_s", "ticks"),
    [(0, 0, 2**64 - 1), (9, 0, 1 << 62), (9, -1, 1), (9, -(2**63), START), (9, 2**63 - 1, START)],
)
def test_a_time_that_no_calendar_holds(tmp_path, resolution, offset_s, ticks):
    interface = LE.interface(resolution=resolution, offset_s=offset_s) + LE.interface(resolution=9)
    octets = LE.section() + interface + LE.enhanced(ticks, b"x") + LE.enhanced(START, b"y", interface=1)
    records, capture = read(tmp_path / "a", octets)
    assert told(records) == [(START, b"y")]
    assert reasons(capture) == ["a packet whose time is in no calendar"]


def test_every_interface_has_its_own_link_type_and_time(tmp_path):
    octets = (
        LE.section()
        + LE.interface(ETHERNET)
        + LE.interface(RAW, resolution=9)
        + LE.enhanced(START, b"b", interface=1)
        + LE.enhanced(MICRO + 1, b"a")
    )
    records, _ = read(tmp_path / "a", octets)
    assert [(r.time_ns, r.link_type, r.interface) for r in records] == [
        (START, RAW, 1),
        (START + 1000, ETHERNET, 0),
    ]


def test_sections_have_their_own_byte_order_and_interfaces(tmp_path):
    octets = b"".join(
        blocks.section(length=length)
        + blocks.interface(link)
        + blocks.interface(ETHERNET)
        + blocks.enhanced(MICRO, b"x")
        for blocks, link, length in ((LE, RAW, -1), (BE, ETHERNET, 0), (LE, 113, 12345))
    )
    records, capture = read(tmp_path / "a", octets)
    assert [(r.number, r.link_type, r.interface) for r in records] == [
        (1, RAW, 0),
        (2, ETHERNET, 2),
        (3, 113, 4),
    ]
    assert not capture.damages


@pytest.mark.parametrize(("snap", "held"), [(0, 6), (4, 4), (100, 6)])
def test_simple_packets_have_no_time_and_end_at_the_snap_length(tmp_path, snap, held):
    data = b"abcdef"[:held]
    records, capture = read(tmp_path / "a", LE.section() + LE.interface(snap=snap) + LE.simple(data, 6))
    assert [(r.time_ns, r.length, r.data) for r in records] == [(0, 6, data)]
    assert (capture.first_time_ns, capture.damages) == (None, [])


@pytest.mark.parametrize("blocks", [LE, BE])
def test_the_obsolete_packet_block(tmp_path, blocks):
    octets = blocks.section() + blocks.interface() + blocks.interface(RAW) + blocks.obsolete(MICRO, b"abc", 1)
    records, _ = read(tmp_path / "a", octets)
    assert [(r.time_ns, r.link_type, r.data) for r in records] == [(START, RAW, b"abc")]


@pytest.mark.parametrize("kind", [4, 5, 10, 0xBAD, 0x40000BAD, 0x7FFFFFFF])
def test_other_blocks_are_skipped(tmp_path, kind):
    other = LE.block(kind, b"\0\0\0\1" * 100)
    records, capture = read(
        tmp_path / "a", LE.section() + other + LE.interface() + other + LE.enhanced(MICRO, b"x") + other
    )
    assert len(records) == 1
    assert not capture.damages


def test_other_blocks_may_be_longer_than_packets(tmp_path):
    secrets = LE.block(10, bytes(reader.GREATEST_BLOCK + 4))
    records, capture = read(
        tmp_path / "a", LE.section() + secrets + LE.interface() + LE.enhanced(MICRO, b"x")
    )
    assert len(records) == 1
    assert not capture.damages


def test_unknown_options_are_skipped(tmp_path):
    body = (
        struct.pack("<HHI", 1, 0, 0) + LE.option(2, b"eth0") + LE.option(0xBAD, b"?") + LE.option(9, b"\x09")
    )
    octets = LE.section() + LE.block(1, body) + LE.enhanced(START, b"x")
    assert read(tmp_path / "a", octets)[0][0].time_ns == START


def test_options_after_the_last_do_not_count(tmp_path):
    body = struct.pack("<HHI", 1, 0, 0) + LE.option(0, b"") + LE.option(9, b"\x09")
    octets = LE.section() + LE.block(1, body) + LE.enhanced(MICRO, b"x")
    assert read(tmp_path / "a", octets)[0][0].time_ns == START


def test_a_file_without_packets_is_whole(tmp_path):
    for octets in (LE.section(), LE.section() + LE.interface()):
        records, capture = read(tmp_path / "a", octets)
        assert not records
        assert not capture.damages


OVERRUN = struct.pack("<HHI", 1, 0, 0) + struct.pack("<HH", 9, 100) + bytes(4)


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (LE.enhanced(MICRO, b"?", interface=9), "a packet of interface 9, which is not described"),
        (LE.enhanced(MICRO, b"?", captured=5), "a packet of 5 octets in a block that has room for 4"),
        (
            LE.enhanced(MICRO, b"?", captured=2**32 - 1),
            "a packet of 4294967295 octets in a block that has room for 4",
        ),
        (LE.simple(b"abcd", 9), "a packet of 9 octets in a block that has room for 4"),
        (LE.block(6, b"abcd"), "a packet block that ends before its packet"),
        (LE.block(2, b""), "a packet block that ends before its packet"),
        (LE.block(3, b""), "a packet block that ends before its packet"),
        (LE.block(1, b"abcd"), "an interface description without a link type"),
        (LE.block(1, OVERRUN), "an option of an interface runs beyond its block"),
        (
            LE.block(6, bytes(reader.GREATEST_BLOCK)),
            f"a block of {reader.GREATEST_BLOCK + 12} octets, where {reader.GREATEST_BLOCK} are the most",
        ),
    ],
)
def test_a_fault_inside_a_block_costs_that_block_only(tmp_path, block, reason):
    before = LE.section() + LE.interface() + LE.enhanced(MICRO, b"a")
    records, capture = read(tmp_path / "a", before + block + LE.enhanced(MICRO, b"b"))
    assert [(r.number, r.data) for r in records] == [(1, b"a"), (2, b"b")]
    assert [(d.offset, d.reason) for d in capture.damages] == [(len(before), reason)]


def test_an_unreadable_interface_keeps_its_number(tmp_path):
    octets = (
        LE.section()
        + LE.block(1, b"")
        + LE.interface(RAW)
        + LE.enhanced(MICRO, b"a", 0)
        + LE.enhanced(MICRO, b"b", 1)
    )
    records, capture = read(tmp_path / "a", octets)
    assert [(r.interface, r.link_type, r.data) for r in records] == [(1, RAW, b"b")]
    assert len(capture.damages) == 2


def broken_frame(length: int, again: int | None = None) -> bytes:
    body = bytes(max(length - 12, 0))
    return struct.pack("<II", 6, length) + body + struct.pack("<I", length if again is None else again)


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (broken_frame(0), "a block cannot be 0 octets long"),
        (broken_frame(8), "a block cannot be 8 octets long"),
        (broken_frame(33), "a block cannot be 33 octets long"),
        (broken_frame(36, 40), "a block is 36 octets long by its beginning, 40 by its end"),
        (bytes(64), "a block cannot be 0 octets long"),
        (LE.enhanced(MICRO, b"abc")[:-1], "the file ends inside a block"),
        (LE.block(10, bytes(400))[:-1], "the file ends inside a block"),
        (b"\x06", "the file ends inside a block"),
        (struct.pack("<II", 6, 0xFFFFFFF0) + bytes(8), "the file ends inside a block"),
        (
            struct.pack("<III", 0x0A0D0D0A, 28, 0x12345678) + bytes(16),
            "a section header without a byte order",
        ),
        (struct.pack("<III", 0x0A0D0D0A, 16, 0x1A2B3C4D) + bytes(16), "pcapng version 0.0 is not supported"),
        (Blocks("<").section(version=(2, 0)), "pcapng version 2.0 is not supported"),
        (BE.section()[:20], "the file ends inside a block"),
    ],
)
def test_a_broken_frame_ends_the_file(tmp_path, block, reason):
    before = LE.section() + LE.interface() + LE.enhanced(MICRO, b"a")
    records, capture = read(tmp_path / "a", before + block)
    assert [r.data for r in records] == [b"a"]
    assert [(d.offset, d.reason) for d in capture.damages] == [(len(before), reason)]


def test_a_section_header_too_short_for_its_version(tmp_path):
    short = struct.pack("<IIIHHI", 0x0A0D0D0A, 16, 0x1A2B3C4D, 1, 0, 16) + bytes(16)
    _, capture = read(tmp_path / "a", short)
    assert reasons(capture) == ["a block cannot be 16 octets long"]


def test_interfaces_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "GREATEST_INTERFACES", 2)
    octets = LE.section() + LE.interface(RAW) * 3 + LE.enhanced(MICRO, b"x", 2) + LE.enhanced(MICRO, b"y", 1)
    records, capture = read(tmp_path / "a", octets)
    assert [r.data for r in records] == [b"y"]
    assert reasons(capture) == [
        "more than 2 interfaces in one section",
        "a packet of interface 2, which is not described",
    ]


def test_damages_are_bounded(tmp_path):
    octets = LE.section() + LE.enhanced(MICRO, b"x") * 1000 + LE.interface() + LE.enhanced(MICRO, b"y")
    records, capture = read(tmp_path / "a", octets)
    assert [r.data for r in records] == [b"y"]
    assert len(capture.damages) == 21
    assert capture.damages[-1].reason == "there is more damage, from here on not listed"
