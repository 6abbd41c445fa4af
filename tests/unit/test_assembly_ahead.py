"""Memory that is brought up ahead: it is there, and what is in it stays."""

import sys
import time

import numpy as np
import pytest

from op25b_pcap.assembly.ahead import Ahead
from op25b_pcap.leavings import _resident

MIB = 1 << 20


def test_what_is_written_stays() -> None:
    array = np.zeros(64 * MIB, np.uint8)
    ahead = Ahead([array])
    for end in range(MIB, len(array) + 1, MIB):
        array[end - MIB : end] = end // MIB
        ahead.filled([end])
    ahead.stop()
    assert (array.reshape(64, MIB) == np.arange(1, 65, dtype=np.uint8)[:, None]).all()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems bring memory up when it is touched")
def test_as_much_is_there_as_was_filled_and_no_more() -> None:
    arrays = [np.empty(256 * MIB, np.uint8) for _ in range(2)]
    ahead = Ahead(arrays)
    before = _resident()
    ahead.filled([16 * MIB, 0])
    deadline = time.monotonic() + 20
    while _resident() - before < 12 * MIB and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    ahead.stop()
    assert 12 * MIB <= _resident() - before <= 24 * MIB


def test_who_fills_little_or_all_is_not_waited_for() -> None:
    for size, used in ((0, 0), (100, 100), (8 * MIB, 8 * MIB)):
        ahead = Ahead([np.empty(size, np.uint8)])
        ahead.filled([used])
        ahead.stop()
