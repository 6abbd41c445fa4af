"""Memory that is given back."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from op25b_pcap import leavings


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_how_much_a_process_has():
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    told = int(status["VmRSS"].split()[0]) << 10
    assert abs(leavings._resident() - told) < 64 << 20


@pytest.mark.parametrize("small", [0, sys.maxsize])
def test_nothing_that_is_used_is_lost(monkeypatch, small):
    monkeypatch.setattr(leavings, "_SMALL", small)
    held = [bytes(100) for _ in range(10_000)]
    leavings.give_back()
    assert held == [bytes(100)] * 10_000
