"""Packets by conversation, beside the same by sorting."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from op25b_pcap.assembly import group
from op25b_pcap.assembly.group import grouped
from op25b_pcap.assembly.packet import ERROR, PACKET, SEGMENT
from op25b_pcap.compiled import kernels
from op25b_pcap.wire.tcp import PORTS_END

AS_PYTHON = SimpleNamespace(group=group.group, place=group.place)


def packets(count, conversations, seed=1):
    rng = np.random.default_rng(seed)
    made = np.zeros(count, PACKET)
    digests = rng.integers(-(1 << 63), 1 << 63, conversations)
    made["conversation"] = rng.choice(digests, count)
    made["time_ns"] = np.arange(count) // 3
    made["number"] = np.arange(1, count + 1)
    made["captured"] = rng.integers(0, 1460, count)
    return made


def by_sorting(made):
    """Numbers of packets, conversation by conversation."""
    order = np.lexsort([made[name] for name in ("number", "capture", "time_ns")])
    firsts = dict.fromkeys(made["conversation"].tolist())
    return [order[made["conversation"][order] == digest].tolist() for digest in firsts]


def told(found):
    return [
        found.order[begin:end].tolist() for begin, end in zip(found.begins, found.begins[1:], strict=False)
    ]


@pytest.fixture(params=["compiled", "as Python"])
def how(request):
    return kernels() if request.param == "compiled" else AS_PYTHON


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
class TestGrouped:
    @pytest.mark.parametrize(("count", "conversations"), [(1, 1), (2, 1), (500, 1), (500, 40), (500, 1000)])
    def test_is_what_sorting_gives(self, how, count, conversations):
        made = packets(count, conversations)
        found = grouped(made, how)
        assert told(found) == by_sorting(made)
        assert found.octets.tolist() == [
            0,
            *np.cumsum([made["captured"][which].sum() for which in by_sorting(made)]),
        ]

    def test_nothing(self, how):
        found = grouped(packets(0, 1), how)
        assert told(found) == []
        assert found.octets.tolist() == [0]
        assert not found.has_cut_quotes

    @pytest.mark.parametrize("name", ["time_ns", "capture", "number"])
    def test_packets_that_came_late_are_put_in_order(self, how, name):
        made = packets(300, 20)
        made[name] = made[name][::-1]
        assert told(grouped(made, how)) == by_sorting(made)

    @pytest.mark.parametrize(
        ("kind", "captured", "cut"),
        [(ERROR, PORTS_END - 1, True), (ERROR, PORTS_END, False), (SEGMENT, 0, False)],
    )
    def test_says_whether_a_quote_is_cut(self, how, kind, captured, cut):
        made = packets(9, 3)
        made["kind"][4], made["captured"][4] = kind, captured
        assert grouped(made, how).has_cut_quotes == cut

    def test_digests_that_share_their_low_bits_are_no_harm(self, how):
        made = packets(400, 1)
        made["conversation"] = np.arange(400) << 40
        assert told(grouped(made, how)) == by_sorting(made)
