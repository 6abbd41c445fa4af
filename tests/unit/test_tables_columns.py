"""Columns by numbers say the same as columns by values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from op25b_pcap.tables import columns
from op25b_pcap.tables.columns import (
    Coded,
    alike,
    beside,
    coded,
    coded_numbers,
    coded_times,
    first_that_holds,
    flattened,
    of_lists,
    of_words,
)

TEXTS = st.lists(st.tuples(st.sampled_from("abc") | st.none(), st.sampled_from("xyz"), st.booleans()))


def texts(values) -> Coded:
    return coded(pa.chunked_array([pa.array(values, pa.string())]))


def told(column: Coded) -> list:
    return [column.values[code] for code in column.codes]


@given(TEXTS)
def test_all_that_a_column_is_asked_against_plain_loops(rows):
    ones, others, holds = ([row[at] for row in rows] for at in range(3))
    one, other, flags = texts(ones), texts(others), np.array(holds, dtype=bool)
    assert told(one) == ones
    assert one.is_in("a", None).tolist() == [value in ("a", None) for value in ones]
    held = {value for value, hold in zip(ones, holds, strict=True) if hold}
    assert told(one.beside(other)) == list(zip(ones, others, strict=True))
    assert set(one[flags].present().to_pylist()) == held
    assert one.equals(texts(ones[::-1])).tolist() == [a == b for a, b in zip(ones, ones[::-1], strict=True)]
    assert told(one.mapped(lambda value: value == "a")) == [value == "a" for value in ones]


@pytest.mark.parametrize("most", [1, 1 << 62])
@given(TEXTS)
def test_rows_of_one_kind_are_the_same_in_all_columns(most, rows):
    one, other = texts([row[0] for row in rows]), texts([row[1] for row in rows])
    flags = np.array([row[2] for row in rows], dtype=bool)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "_MOST_NUMBERED", most)
        kinds = alike(len(rows), [one, flags, other])
    assert len(kinds.examples) == len(set(rows))
    assert [rows[kinds.examples[code]] for code in kinds.codes] == rows


@given(st.lists(st.sampled_from("abc") | st.none()), st.data())
def test_a_dictionary_column_is_read_as_it_is_told(values, data):
    column = pa.array(values, pa.string())
    rows = data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)))
    chosen = column.dictionary_encode().filter(pa.array(rows, pa.bool_()))  # with values in no row
    expected = [value for value, row in zip(values, rows, strict=True) if row]
    assert told(coded(chosen)) == expected
    assert told(coded(chosen).compact()) == expected
    assert set(coded(chosen).compact().values) == set(expected)
    assert coded(chosen).equals(coded(pa.array(expected, pa.string()))).all()


def test_times_by_the_hour():
    times = pd.Series(
        pa.array([3_599, 3_600, 10_800]).cast(pa.timestamp("s")), dtype="timestamp[ns][pyarrow]"
    )
    assert told(coded_times(times, 3_600_000_000_000)) == [0, 3_600_000_000_000, 10_800_000_000_000]


def test_numbers_are_values_too_and_nan_is_one_of_them():
    column = coded_numbers(np.array([3.0, np.nan, 3.0, np.nan]))
    assert column.codes.tolist() == [0, 1, 0, 1]


def test_the_first_choice_that_holds():
    yes, no = np.array([True, True, False]), np.array([False, True, False])
    assert told(first_that_holds(3, (no, "a"), (yes, "b"), otherwise="c")) == ["b", "a", "c"]
    assert told(first_that_holds(3, (no, "a"), (yes, "a"), otherwise="a")) == ["a", "a", "a"]


def test_columns_made_of_arrays():
    index = pd.RangeIndex(3)
    words = of_words(first_that_holds(3, (np.array([True, False, True]), "a"), otherwise="b"), index)
    assert words.tolist() == ["a", "b", "a"]
    flags, figures = np.array([True, False, False]), texts(["q:1", None, "q:2"])
    lists = of_lists({"p": flags, "q": figures, "r": ~flags}, index)
    assert [list(names) for names in lists] == [["p", "q:1"], ["r"], ["q:2", "r"]]
    rows, names = flattened(lists)
    assert (rows.tolist(), told(names)) == ([0, 0, 1, 2, 2], ["p", "q:1", "r", "q:2", "r"])


def test_another_table_is_laid_beside_by_flow():
    def frame(**columns: list) -> pd.DataFrame:
        arrays = {name: pa.array(values) for name, values in columns.items()}
        return pa.table(arrays).to_pandas(types_mapper=pd.ArrowDtype)

    flows, table = frame(flow_id=["a", "b", "c"]), frame(flow_id=["c", "a"], code=[3, 1])
    found = beside(flows, table, ("code",))["code"]
    assert (found.isna().tolist(), found.fillna(0).tolist()) == ([False, True, False], [1, 0, 3])
