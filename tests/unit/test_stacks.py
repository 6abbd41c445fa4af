"""Portions on disk in slices of time: every row once, in order, none over midnight."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from op25b_pcap.facts import logged
from op25b_pcap.flowlogs import Flow
from op25b_pcap.stacks import TOLD, Pile, stack_of
from op25b_pcap.tables import FLOWS, SMTP_SESSIONS
from op25b_pcap.tables.sessions import Sessions
from tests.rows import flow, session

DAY_NS = 86_400_000_000_000
TIMES = st.sampled_from([5, 6, DAY_NS - 1, DAY_NS, 3 * DAY_NS + 7]) | st.integers(0, 4 * DAY_NS)
ATTEMPTS = st.lists(st.tuples(TIMES, st.integers(0, 2), st.booleans()), max_size=30)


def attempts(portions):
    """Of each portion its flows, of which no two are alike in capture and packet."""
    number = 0
    for portion in portions:
        told = []
        for start_ns, capture, has_session in portion:
            number = (number + 37) % 1009
            row = flow("203.0.113.5", "198.51.100.7") | {"start_time": start_ns, "end_time": start_ns}
            row |= {"capture": capture, "first_packet": number}
            told.append(Flow(row, Sessions(session(row) if has_session else None, None, [])))
        yield told


@settings(max_examples=60)
@given(st.lists(ATTEMPTS, min_size=1, max_size=5), st.integers(1, 40), st.booleans())
def test_slices_are_all_rows_in_order(portions, most, by_day):
    flows = [*attempts(portions)]
    rows = sorted(
        (one.row["start_time"], one.row["capture"], one.row["first_packet"], one.row["flow_id"], one)
        for portion in flows
        for one in portion
    )
    expected = [row[3] for row in rows]
    carried = [row[3] for row in rows if row[4].sessions.smtp]
    with TemporaryDirectory() as folder:
        pile = Pile(Path(folder, "x"))
        for portion in flows:
            pile.put(logged(portion))
        stack = stack_of(pile.bases)
        slices = stack.slices(most, by_day=by_day)
        told = pd.DataFrame({name: [None] * len(rows) for name in TOLD})
        frames = [stack.frame(one, FLOWS.name, told.iloc[: one.flows]) for one in slices]
        sessions = [stack.frame(one, SMTP_SESSIONS.name) for one in slices]
        found = stack.judged(slices)
    assert [one.flows for one in slices] == [*map(len, frames)]
    assert [*pd.concat(frames)["flow_id"]] == expected
    assert [*pd.concat(sessions)["flow_id"]] == carried
    assert found[FLOWS.name]["start_time"].cast("int64").to_pylist() == [row[0] for row in rows]
    assert found[SMTP_SESSIONS.name]["flow_id"].to_pylist() == [expected.index(one) for one in carried]
    for one, frame in zip(slices, frames, strict=True):
        days = np.unique(frame["start_time"].astype("int64") // DAY_NS)
        assert not by_day or [*days] == [one.day] * bool(one.flows)
    assert all(one.flows for one in slices) or len(slices) == 1


@settings(max_examples=60)
@given(
    portions=st.lists(ATTEMPTS, min_size=1, max_size=5),
    of_slice=st.integers(1, 20),
    of_shard=st.integers(1, 40),
    workers=st.integers(1, 3),
    by_day=st.booleans(),
)
def test_workers_have_shards_of_about_the_same_size(portions, of_slice, of_shard, workers, by_day):
    flows = [*attempts(portions)]
    expected = sorted(
        (one.row["start_time"], one.row["capture"], one.row["first_packet"], one.row["flow_id"])
        for portion in flows
        for one in portion
    )
    with TemporaryDirectory() as folder:
        pile = Pile(Path(folder, "x"))
        for portion in flows:
            pile.put(logged(portion))
        stack = stack_of(pile.bases)
        shards = stack.shards(of_slice, of_shard, workers, by_day=by_day)
        found = [stack.judged(shard)[FLOWS.name] for shard in shards]
    assert [time for shard in found for time in shard["start_time"].cast("int64").to_pylist()] == [
        time for time, *_ in expected
    ]
    sizes = [*map(len, found)]
    assert max(sizes) <= of_shard + of_slice
    assert by_day or max(sizes) - min(sizes) <= of_slice + 1
