"""Packets by their numbers, whole."""

from __future__ import annotations

import numpy as np
import pytest

from op25b_pcap.assembly.packet import PACKET, chosen


@pytest.mark.parametrize("which", [[], [2], [4, 0, 0, 3], list(range(5))])
def test_chosen_is_what_an_index_gives(which):
    packets = np.random.default_rng(1).integers(0, 256, 6 * PACKET.itemsize, np.uint8).view(PACKET)[:5]
    numbers = np.array(which, np.int64)
    assert chosen(packets, numbers).tolist() == packets[numbers].tolist()
    assert chosen(packets[:0], numbers[:0]).tolist() == []
