"""Columns of words made of arrays: what the stages that work in pandas build theirs with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

Flags = npt.NDArray[np.bool_]
Words = npt.NDArray[np.object_]
Numbers = npt.NDArray[np.float64]
Choice = tuple[Flags, str]


def first_that_holds(rows: int, *choices: Choice, otherwise: str) -> Words:
    """For each row the word of the first choice that holds there."""
    chosen: Words = np.full(rows, otherwise, dtype=object)
    for holds, word in reversed(choices):
        chosen[holds] = word
    return chosen


def is_in(column: pd.Series, words: Sequence[str] | set[str]) -> Flags:
    """Whether each value is one of the words."""
    found: Flags = column.isin(list(words)).to_numpy(bool)
    return found


def is_filled(lists: pd.Series) -> Flags:
    """Whether each list holds anything; null holds nothing."""
    filled: Flags = (lists.list.len() > 0).fillna(False).to_numpy(bool)
    return filled


def of_words(words: Words, index: pd.Index) -> pd.Series:
    """A text column."""
    return _arrow(pa.array(words, pa.string()), index)


def of_lists(holds: npt.NDArray[np.bool_], names: Sequence[str], index: pd.Index) -> pd.Series:
    """A list column: for each row the names of the columns of `holds` that are true there."""
    _, found = np.nonzero(holds)
    return of_ragged(np.array(names, dtype=object)[found], holds.sum(axis=1), index)


def of_ragged(values: Words, lengths: npt.NDArray[Any], index: pd.Index) -> pd.Series:
    """A list column: the values of all rows one after the other, so many for each."""
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return _arrow(
        pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values, pa.string())), index
    )


def _arrow(array: pa.Array, index: pd.Index) -> pd.Series:
    return pd.Series(array, index=index, dtype=pd.ArrowDtype(array.type))
