"""Captures of the same time, read by turns of a window: no packet more, less or otherwise than one by one."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from op25b_pcap import compiled
from op25b_pcap.capture import aside as room
from op25b_pcap.capture.aside import OF_SEVERAL, Aside, by_time
from op25b_pcap.capture.observation import Observation
from op25b_pcap.capture.record import Record, in_time
from op25b_pcap.capture.runs import CAPTURED, INTERFACE, LENGTH, LINK_TYPE, START, TIME, WALKS, Run
from op25b_pcap.pipeline import analyse
from op25b_pcap.tables import TABLES
from tests.capture_files import pcap, pcapng
from tests.lakes import SAMPLES, mistimed, octets, policy, records_of, torn_apart

CAPTURES = st.lists(
    st.tuples(
        st.sampled_from([pcap, pcapng]),
        st.lists(
            st.tuples(st.integers(1, 40).map(lambda ms: ms * 1_000_000), st.binary(min_size=1), st.none())
        ),
    ),
    max_size=5,
)


def each(run: Run) -> Iterator[Record]:
    """The records of a run."""
    for at, row in enumerate(run.table.tolist()):
        data = bytes(run.window[row[START] : row[START] + row[CAPTURED]])
        number = run.number + at
        yield Record(run.capture, number, row[TIME], row[LINK_TYPE], row[INTERFACE], row[LENGTH], data)


@settings(max_examples=100)
@given(CAPTURES, st.sampled_from([100, 1000, 1 << 20]), st.integers(1, 9))
def test_what_is_set_aside_comes_back_in_the_order_of_time(captures, step, held):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "_HELD", held)
        paths = [Path(folder, f"{number}.pcap") for number in range(len(captures))]
        for path, (written, content) in zip(paths, captures, strict=True):
            path.write_bytes(written(content))
        expected = sorted(Observation(paths), key=in_time)
        observation, aside = Observation(paths), Aside(Path(folder, "aside"), OF_SEVERAL)
        observation._step = step
        for item in observation.items(WALKS, in_order=False):
            for record in [item] if isinstance(item, Record) else each(item):
                aside.add(record)
        aside.close()
        assert [*by_time(aside)] == expected
        assert sum(capture.packets for capture in observation.captures) == len(expected)


@pytest.mark.parametrize("seed", range(3))
def test_taps_of_the_same_time(seed, tmp_path, monkeypatch):
    """Fragments of one packet are in several of them, too; and the times of some records cannot be true."""
    rng = random.Random(seed)
    records = mistimed(torn_apart(records_of(*(path for path in SAMPLES.rglob("*.pcap*"))), rng), rng)
    taps: list[list[Record]] = [[] for _ in range(3)]
    for record in records:
        rng.choice(taps).append(record)
    paths = [tmp_path / f"tap{number}.pcap" for number in range(3)]
    for path, content in zip(paths, taps, strict=True):
        path.write_bytes(octets(content))
    monkeypatch.setattr(import_module("op25b_pcap.flows.conversations"), "_SWEEP_EVERY", 64)
    slow = analyse(paths, policy(), engine="scapy")
    monkeypatch.setattr(compiled, "WORTHWHILE", 0)
    monkeypatch.setattr(compiled, "WORTH_COMPILING", 0)
    fast = analyse(paths, policy())
    assert (fast.tally, fast.tally.skipped["fragment"] > 0) == (slow.tally, True)
    for name, table in TABLES.items():
        assert table.arrow(fast.tables[name]).to_pylist() == table.arrow(slow.tables[name]).to_pylist()
