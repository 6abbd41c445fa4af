"""A long conversation in few packets: what its course depends on stays, and it is the same course."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from op25b_pcap.assembly import flows
from op25b_pcap.assembly.flows import Sorted
from op25b_pcap.assembly.thin import out_of_line
from op25b_pcap.tables.packets import TcpSegment
from tests.assemblies import assembled, by_reference
from tests.segments import Talk

SEGMENTS, SIZE = 6_000, 1_000
Change = Callable[[list[TcpSegment]], list[TcpSegment]]


def transfer(change: Change = list) -> list[TcpSegment]:
    """Megabytes from the client, each second segment acknowledged; `change` has the client's segments."""
    talk = Talk(client_isn=2**32 - 5_000_000).handshake()
    for number in range(SEGMENTS):
        talk.wait(0.001).client("A", number * SIZE, 0, number.to_bytes(4) * (SIZE // 4))
        if number % 2:
            talk.server("A", 0, (number + 1) * SIZE)
    end = SEGMENTS * SIZE
    talk.client("FA", end).server("FA", 0, end + 1).client("A", end + 1, 1)
    head, rest = talk.packets[:3], talk.packets[3:]
    packets = [*head, *change(rest)]
    times = itertools.count(packets[0].seen.time_ns, 100_000)
    return [
        packet._replace(seen=packet.seen._replace(time_ns=time_ns, number=number))
        for number, (packet, time_ns) in enumerate(zip(packets, times, strict=False), 1)
    ]


def later_by(places: int, at: int) -> Change:
    def change(packets: list[TcpSegment]) -> list[TcpSegment]:
        packet = packets[at]
        return [*packets[:at], *packets[at + 1 : at + 1 + places], packet, *packets[at + 1 + places :]]

    return change


def twice(at: int, behind: int) -> Change:
    def change(packets: list[TcpSegment]) -> list[TcpSegment]:
        again = packets[at]._replace(ip_id=77)
        return [*packets[: at + behind], again, *packets[at + behind :]]

    return change


def closed_window(packets: list[TcpSegment]) -> list[TcpSegment]:
    return [*packets[:4_001], packets[4_001]._replace(window=0), *packets[4_002:]]


@pytest.fixture
def read(monkeypatch):
    """How many packets were read one by one, each time."""
    counts: list[int] = []
    one_by_one = Sorted.one_by_one
    monkeypatch.setattr(
        Sorted, "one_by_one", lambda self, index: counts.append(len(self.order)) or one_by_one(self, index)
    )
    return counts


@pytest.mark.parametrize(
    "change",
    [list, later_by(3, 3_000), twice(3_000, 40), twice(4_500, 2), closed_window],
    ids=["in order", "late", "again", "again at once", "closed window"],
)
def test_what_flows_reads_of_it(read, change):
    packets = transfer(change)
    found, usual = assembled(packets)
    assert (usual, len(read)) == (1, 1)
    assert read[0] < 260
    assert found == by_reference(packets)


def test_what_is_no_longer_the_same_course_is_read_as_a_whole(monkeypatch, read):
    monkeypatch.setattr(flows, "thinned", lambda packets: packets[:50].copy())
    packets = transfer(twice(3_000, 40))
    found, _ = assembled(packets)
    assert read == [len(packets)]
    assert found == by_reference(packets)


def test_segments_that_come_late_or_once_more_or_leave_a_gap():
    seq = np.array([0, 10, 30, 20, 40, 12, 2**32 - 5, 50])
    lengths = np.array([10, 10, 10, 10, 10, 3, 5, 10])
    turn = np.zeros(len(seq), np.int64)
    assert out_of_line(seq, lengths, np.zeros(1, np.int64), turn).tolist() == [
        *(False, True, True, True, False, True, True, False)
    ]
