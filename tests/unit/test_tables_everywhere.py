"""Questions to all rows, in however many shards: against plain loops."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from functools import partial
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from op25b_pcap.tables import meeting
from op25b_pcap.tables.columns import coded
from op25b_pcap.tables.everywhere import Everywhere, abreast
from op25b_pcap.tables.meeting import InTurn, alone, met

ROW = st.tuples(
    st.sampled_from("abc"), st.sampled_from("xyz"), st.booleans(), st.sampled_from([1, 2, 7, None])
)
SHARDS = st.lists(st.lists(ROW, max_size=6), min_size=1, max_size=5)


def asking(rows, everywhere):
    """A way that asks everything, and at its end tells the answers for its own rows."""
    ones, others = (coded(pa.array([row[at] for row in rows], pa.string())) for at in (0, 1))
    holds = np.array([row[2] for row in rows], dtype=bool)
    numbers = np.array([np.nan if row[3] is None else row[3] for row in rows], dtype=float)
    asked = {
        "any": everywhere.any("any", holds, ones),
        "both": everywhere.any("both", holds, ones, others),
        "least": everywhere.least("least", numbers, ones),
        "greatest": everywhere.greatest("greatest", numbers, ones),
        "count": everywhere.count("count", others, {"held": holds, "all": holds | True}, ones),
        "most": everywhere.most("most", others, ones),
        "ever": everywhere.any("ever", holds),
        "different": everywhere.count("different", others, {"held": holds}),
    }
    values = {"rows": ("sum", np.ones(len(rows))), "other": ("first", others)}
    whole = everywhere.each("each", {"rows": values["rows"], "earliest": values["other"]}, ones)
    yield None
    told = {
        "any": asked["any"].holds().tolist(),
        "of others": asked["any"].holds(others).tolist(),
        "both": asked["both"].holds().tolist(),
        "least": asked["least"].numbers().tolist(),
        "greatest": asked["greatest"].numbers().tolist(),
        "held": asked["count"].numbers(name="held").tolist(),
        "all": asked["count"].of_values("all")[ones.codes].tolist(),
        "most": asked["most"].of_values()[ones.codes].tolist(),
        "rows": whole.numbers(name="rows").tolist(),
        "ever": asked["ever"].at_all(),
        "different": asked["different"].number("held"),
    }
    total = yield sorted_rows
    everywhere.each("at the end", {"rows": ("sum", np.ones(len(rows)))})
    return told, total, dict(zip(*(whole.table[name].to_pylist() for name in ("0", "earliest")), strict=True))


def sorted_rows(known):
    return sorted(known["each"]["rows"].to_pylist())


def expected(rows, shard):
    """The same by loops over all rows, for those of one shard."""

    def of(key, what):
        return [what([row for row in rows if row[0] == own[0]]) for own in shard] if key else what(rows)

    def extreme(best):
        return lambda own: best([row[3] for row in own if row[3] is not None], default=np.nan)

    held = [row for row in rows if row[2]]
    return {
        "any": of(1, lambda own: any(row[2] for row in own)),
        "of others": [own[1] in {row[0] for row in held} for own in shard],
        "both": [own[:2] in {row[:2] for row in held} for own in shard],
        "least": of(1, extreme(min)),
        "greatest": of(1, extreme(max)),
        "held": of(1, lambda own: len({row[1] for row in own if row[2]})),
        "all": of(1, lambda own: len({row[1] for row in own})),
        "most": of(1, lambda own: max(Counter(row[1] for row in own).values())),
        "rows": of(1, len),
        "ever": bool(held),
        "different": len({row[1] for row in held}),
    }


@pytest.mark.parametrize("waiting", [[False], [True], [True, False, False]], ids=["none", "all", "some"])
@pytest.mark.parametrize("many", [0, 3, 1 << 20])
@settings(max_examples=40)
@given(SHARDS)
def test_all_that_shards_ask_each_other_against_plain_loops(waiting, many, shards):
    rows = [row for shard in shards for row in shard]
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        patch.setattr(meeting, "_MANY", many)
        turns = cycle(waiting)
        walks = InTurn([partial(asking, shard) for shard in shards], may_wait=lambda: next(turns))
        found, known = met(walks, Path(folder))
        assert not [*Path(folder).iterdir()]
    for (told, total, earliest), shard in zip(found, shards, strict=True):
        wanted = expected(rows, shard)
        assert {name: value for name, value in told.items() if name in ("ever", "different")} == {
            "ever": wanted.pop("ever"),
            "different": wanted.pop("different"),
        }
        for name, value in wanted.items():
            own = [0.0 if np.isnan(one) and name == "held" else one for one in told[name]]
            assert np.array_equal(own, value, equal_nan=True), name
        assert total == sorted(Counter(row[0] for row in rows).values())
        assert earliest == {row[0]: row[1] for row in rows[::-1]}
    assert sum(known["at the end"]["rows"].to_pylist()) == len(rows)


def test_ways_abreast_come_to_their_barriers_together():
    def way(name, barriers, everywhere):
        for number in range(barriers):
            everywhere.any(f"{name}{number}", np.array([True]))
            yield None
        return name

    seen = []

    def whole(everywhere):
        inner = abreast(way("a", 2, everywhere), way("b", 0, everywhere), way("c", 1, everywhere))
        while True:
            try:
                next(inner)
            except StopIteration as end:
                return end.value
            seen.append(sorted(everywhere.said))
            yield None

    assert alone(whole, list)[0] == ["a", "b", "c"]
    assert seen == [["a0", "c0"], ["a1"]]


def test_whole_numbers_are_told_apart_where_floating_ones_are_not():
    large = 1 << 60
    key = coded(pa.array(["a", "a", "b"]))

    def way(everywhere):
        asked = everywhere.least("earliest", np.array([large + 2, large + 1, large]), key)
        yield None
        return asked.whole_numbers(-1, coded(pa.array(["b", "a", "c"]))).tolist()

    assert alone(way, list)[0] == [large, large + 1, -1]


def test_a_question_that_is_known_is_not_asked_again():
    everywhere = Everywhere({"known": pa.table({"0": ["a"]})})
    key = coded(pa.array(["a", "b"]))
    assert everywhere.any("known", np.array([False, True]), key).holds().tolist() == [True, False]
    assert not everywhere.said


def test_one_long_text_costs_itself_only(tmp_path, monkeypatch):
    """As fixed-width texts each of the others would take as much."""
    monkeypatch.setattr(meeting, "_MANY", 0)
    hearing = meeting.Meeting(tmp_path)
    texts = coded(pa.array([*map(str, range(20_000)), "x" * 100_000]))
    for _ in range(2):
        everywhere = Everywhere()
        everywhere.count("texts", texts, {"all": np.ones(len(texts), dtype=bool)})
        tracemalloc.start()
        hearing.hear(everywhere.said)
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
        tracemalloc.stop()
    assert hearing.answers()["texts"]["all"].to_pylist() == [20_001]
