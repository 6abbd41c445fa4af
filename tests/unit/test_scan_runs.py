"""Runs: the walks find what the readers find, and several captures of runs are one observation."""

from __future__ import annotations

import random
import struct

import numpy as np
import pytest

from op25b_pcap.capture import runs
from op25b_pcap.capture.observation import Observation
from op25b_pcap.capture.runs import Run
from op25b_pcap.compiled import kernels
from tests.capture_files import BE, LE, SECOND, START, Packet, packets, pcap, pcap_header, pcapng
from tests.encapsulations import IP4, WRAPPED, frame, record
from tests.scans import Watched, as_runs, assert_observed_equal

MAGICS = (0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34)


def unrolled(items):
    """Records of records and runs."""
    for item in items:
        if not isinstance(item, Run):
            yield item
            continue
        for index, (at, captured, length, time_ns, link_type, interface) in enumerate(item.table.tolist()):
            data = bytes(item.window[at : at + captured])
            yield item.capture, item.number + index, time_ns, link_type, interface, length, data


def walked(path, walks):
    observation = Observation([path])
    items = list(map(tuple, unrolled(observation.items(walks))))
    (capture,) = observation.captures
    return items, (capture.packets, capture.first_time_ns, capture.last_time_ns, capture.damages)


def assert_walked_equal(path, content: bytes):
    path.write_bytes(content)
    expected = walked(path, None)
    assert walked(path, kernels().walks) == expected
    if len(content) < 50_000:  # as Python they are slow
        assert walked(path, runs.WALKS) == expected
    return expected


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("magic", MAGICS)
def test_pcap_of_every_kind(order, magic, tmp_path):
    content = packets(300)
    items, _ = assert_walked_equal(tmp_path / "a.pcap", pcap(content, order, magic))
    assert len(items) == 300


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_of_both_orders(order, tmp_path):
    items, _ = assert_walked_equal(tmp_path / "a.pcapng", pcapng(packets(300), order))
    assert len(items) == 300


def test_more_records_than_a_table_and_more_octets_than_a_window(tmp_path):
    small = [Packet(START + n, b"x") for n in range(40_000)]
    large = [Packet(START + n, bytes(n % 5 * 20_000 + 1)) for n in range(400)]
    for content in (small, large):
        for octets in (pcap(content, magic=MAGICS[1]), pcapng(content)):
            items, _ = assert_walked_equal(tmp_path / "a", octets)
            assert len(items) == len(content)


@pytest.mark.parametrize("blocks", [LE, BE], ids=["little", "big"])
@pytest.mark.parametrize(
    ("resolution", "offset_s"),
    [
        (None, None), (0, 0), (3, 5), (6, -7), (9, 1 << 40), (12, 0), (18, 0), (30, 0),
        (0x80, 0), (0x94, 0), (0xA0, 3), (0xBF, 0), (0xFF, 0),
    ],
)  # fmt: skip
def test_clocks(blocks, resolution, offset_s, tmp_path):
    ticks = [0, 1, 5, 1 << 31, (1 << 32) - 1, 1 << 32, 1_700_000_000_123_456, 1 << 60, 1 << 62, (1 << 64) - 1]
    content = blocks.section() + blocks.interface(resolution=resolution, offset_s=offset_s)
    content += b"".join(blocks.enhanced(t, b"data") for t in ticks)
    assert_walked_equal(tmp_path / "a.pcapng", content)


def test_several_sections_interfaces_and_kinds_of_block(tmp_path):
    content = b""
    for blocks in (LE, BE, LE):
        content += blocks.section() + blocks.interface(1) + blocks.interface(101, resolution=9)
        content += blocks.enhanced(5, b"one") + blocks.enhanced(7, b"two", interface=1)
        content += blocks.simple(b"no time") + blocks.block(5, bytes(20)) + blocks.obsolete(9, b"old")
        content += (
            blocks.enhanced(11, b"lost", interface=2)
            + blocks.interface(9)
            + blocks.enhanced(13, b"found", interface=2)
        )
        content += blocks.enhanced(15, b"too long", captured=99) + blocks.enhanced(17, b"")
    items, (*_, damages) = assert_walked_equal(tmp_path / "a.pcapng", content)
    assert len(items) == 18
    assert len(damages) == 6


@pytest.mark.parametrize(
    "damage",
    [
        struct.pack("<IIII", 1, 2, 1 << 31, 4),
        struct.pack("<IIII", 1, 2, 0, 4),
        bytes(16),
        pcap_header(),
        b"short",
        struct.pack("<IIII", 1, 2, 99, 99) + b"cut",
    ],
    ids=["length", "empty", "zeros", "second header", "cut header", "cut packet"],
)
def test_damages_of_pcap(damage, tmp_path):
    items, _ = assert_walked_equal(tmp_path / "a.pcap", pcap(packets(20)) + damage)
    assert len(items) >= 20


@pytest.mark.parametrize(
    "damage", [b"\6\0\0\0\0\0\0\0" * 9, LE.block(6, b""), b"\0" * 11, LE.enhanced(1, bytes(99))[:-3]]
)
def test_damages_of_pcapng(damage, tmp_path):
    items, _ = assert_walked_equal(
        tmp_path / "a.pcapng", pcapng(packets(20)) + damage + LE.enhanced(1, b"more")
    )
    assert len(items) >= 20


def times(run):
    return run.table[:, runs.TIME].tolist()


def test_a_run_is_parted_at_a_limit():
    (run,) = as_runs([record(b"x", number=n, at_s=s) for n, s in enumerate([0, 1, 2, 2, 1, 3], 1)], 9)
    limit = run.first_ns + 2 * SECOND
    before, after = run.parted(limit, with_limit=False)
    assert (times(before), after.number) == (times(run)[:2], 3)
    before, after = run.parted(limit, with_limit=True)
    assert (times(before), times(after)) == (times(run)[:5], times(run)[5:])
    assert run.parted(limit + SECOND, with_limit=True) == (run, None)
    nothing, everything = run.parted(0, with_limit=True)
    assert (len(nothing.table), times(everything)) == (0, times(run))
    assert nothing.span(5, 7) == (5, 7)
    assert run.span(1 << 62, 0) == (run.first_ns, run.first_ns + 3 * SECOND)


def test_records_without_time_are_no_earliest():
    (run,) = as_runs([record(b"x")._replace(time_ns=t) for t in (0, 5, 0)], 9)
    assert run.span(1 << 62, 0) == (5, 5)


def mixed(seed: int, count: int, every_ns: int) -> list[Packet]:
    rng = random.Random(seed)
    known = [w.data for w in WRAPPED.values() if w.link_type == 1] + [frame(0x0806, bytes(28))] * 50
    return [
        Packet(START + n * every_ns + rng.randrange(-3, 3) * every_ns, rng.choice(known))
        for n in range(count)
    ]


@pytest.mark.parametrize("seed", range(4))
def test_captures_that_overlap_in_time_are_merged_alike(seed, tmp_path):
    paths = []
    for part, every_ns in enumerate((1, 7, SECOND // 3, 100 * SECOND)):
        path = tmp_path / f"{part}.cap"
        content = mixed(seed + part, 60 * (part + 1), every_ns)
        path.write_bytes(pcapng(content) if part % 2 else pcap(content, magic=MAGICS[1]))
        paths.append(path)
    account = assert_observed_equal(paths)
    assert account.made.tally.read == 600
    assert account.made.by_scapy


def test_walks_do_not_leave_the_window():
    table = runs.new_table()
    interfaces = np.array([[0, 1, 1000, 1, 0]])
    whole = Watched(pcap([Packet(START, IP4)])[24:])
    block = Watched(LE.enhanced(5, IP4))
    for size in range(len(whole)):
        assert runs.pcap_walk(Watched(whole[:size]), 0, (0, 16, 1000, 99, 1), table) == (0, 0)
    for size in range(len(block)):
        assert runs.pcapng_walk(Watched(block[:size]), 0, 0, interfaces, table) == (0, 0)
    assert runs.pcapng_walk(block, 0, 0, interfaces, table) == (1, len(block))
    assert runs.pcapng_walk(block, 0, 0, interfaces[:0], table) == (0, 0)
