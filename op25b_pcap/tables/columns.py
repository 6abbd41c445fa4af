"""Columns as arrays: what the stages that work on whole tables read from them and build.

A text column is `Coded`: its few different values once, and for each row the number of its
value. Asking a column for words, or whether something holds anywhere else for the same host,
then costs a look-up by number instead of a comparison of texts, also for millions of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Choice = tuple[Flags, str]


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of values of which many are the same."""

    values: Sequence[Any]
    """Each value once; None is null."""
    codes: Indices
    """For each row the index of its value."""

    def __len__(self) -> int:
        return len(self.codes)

    def is_in(self, *words: object) -> Flags:
        """Whether each value is one of the words."""
        return self.where([value in words for value in self.values])

    def where(self, holds: Sequence[bool] | Flags) -> Flags:
        """What holds for the values, told for the rows."""
        found: Flags = np.asarray(holds, dtype=bool)[self.codes]
        return found

    def anywhere(self, holds: Flags) -> Flags:
        """Whether it holds for any row with the same value."""
        return self.where(np.bincount(self.codes[holds], minlength=len(self.values)) > 0)

    def distinct(self, other: Coded, holds: Flags) -> Numbers:
        """For each row how many different values `other` has in the rows of its value that hold."""
        pairs = np.unique(self.codes[holds] * len(other.values) + other.codes[holds])
        counts = np.bincount(pairs // max(len(other.values), 1), minlength=len(self.values))
        return counts[self.codes].astype(np.float64)

    def extreme(self, of: np.ufunc, numbers: Numbers) -> Numbers:
        """For each row the least or greatest (`np.fmin`, `np.fmax`) number among its value's rows."""
        found = np.full(len(self.values), np.nan)
        of.at(found, self.codes, numbers)
        return found[self.codes]

    def mapped(self, function: Callable[[Any], Any]) -> Coded:
        """The column of what a function makes of each value; equal results are one value."""
        return _coded(list(map(function, self.values)), self.codes)

    def equals(self, other: Coded) -> Flags:
        """Whether both hold the same value."""
        places = {value: place for place, value in enumerate(self.values)}
        translated = np.array([places.get(value, -1) for value in other.values], dtype=np.int64)
        same: Flags = self.codes == translated[other.codes]
        return same

    def paired(self, other: Coded) -> Coded:
        """Which rows have the same pair, this value and the other's; the pairs are only numbered."""
        pairs, codes = np.unique(self.codes * len(other.values) + other.codes, return_inverse=True)
        return Coded(range(len(pairs)), codes.astype(np.int64))

    def beside(self, other: Coded) -> Coded:
        """The column of pairs themselves."""
        pairs, codes = np.unique(self.codes * len(other.values) + other.codes, return_inverse=True)
        width = max(len(other.values), 1)
        values = [(self.values[pair // width], other.values[pair % width]) for pair in pairs.tolist()]
        return Coded(values, codes.astype(np.int64))


def coded(column: pd.Series | pa.Array | pa.ChunkedArray) -> Coded:
    """A text column of a table."""
    array = column.array.__arrow_array__() if isinstance(column, pd.Series) else column
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    encoded = array.dictionary_encode(null_encoding="encode")
    return Coded(encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64))


def coded_numbers(numbers: Numbers) -> Coded:
    """A column of numbers of which many are the same; NaN is one of them."""
    values, codes = np.unique(numbers, return_inverse=True)
    return Coded(values.tolist(), codes.astype(np.int64))


def _coded(values: list[Any], codes: Indices) -> Coded:
    """Values of which some may be equal, made one."""
    first: dict[Any, int] = {}
    places = np.array([first.setdefault(value, len(first)) for value in values], dtype=np.int64)
    return Coded(list(first), places[codes])


def first_that_holds(rows: int, *choices: Choice, otherwise: str) -> Coded:
    """For each row the word of the first choice that holds there."""
    codes = np.full(rows, len(choices), dtype=np.int64)
    for code, (holds, _) in reversed(list(enumerate(choices))):
        codes[holds] = code
    return _coded([*(word for _, word in choices), otherwise], codes)


def numbers(column: pd.Series) -> Numbers:
    """A numeric column; null is NaN."""
    found: Numbers = column.to_numpy(np.float64, na_value=np.nan)
    return found


def nanoseconds(column: pd.Series) -> Indices:
    """A column of times as integers."""
    return np.asarray(column.astype("int64").to_numpy(), dtype=np.int64)


def is_true(column: pd.Series) -> Flags:
    """A column of truths; null is false."""
    found: Flags = column.fillna(False).to_numpy(bool)
    return found


def is_filled(lists: pd.Series) -> Flags:
    """Whether each list holds anything; null holds nothing."""
    filled: Flags = (lists.list.len() > 0).fillna(False).to_numpy(bool)
    return filled


def flattened(lists: pd.Series) -> tuple[Indices, Coded]:
    """All elements of a column of lists: the row of each, and the element."""
    array = lists.array.__arrow_array__()
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    return pc.list_parent_indices(array).to_numpy().astype(np.int64), coded(pc.list_flatten(array))


def beside(flows: pd.DataFrame, table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The columns of another table with one row a flow at most, in the order of `flows`.

    Null where a flow has none.
    """
    ids, others = (frame["flow_id"].array.__arrow_array__() for frame in (flows, table))
    rows = pc.index_in(ids, value_set=others)
    columns = {
        name: pd.Series(taken, dtype=pd.ArrowDtype(taken.type))
        for name in names
        if (taken := pc.take(table[name].array.__arrow_array__(), rows)) is not None
    }
    return pd.DataFrame(columns)


def of_words(words: Coded, index: pd.Index) -> pd.Series:
    """A text column."""
    return _arrow(_taken(words), index)


def of_lists(holds: npt.NDArray[np.bool_], names: Sequence[str], index: pd.Index) -> pd.Series:
    """A list column: for each row the names of the columns of `holds` that are true there."""
    _, found = np.nonzero(holds)
    return of_ragged(Coded(list(names), found), holds.sum(axis=1), index)


def of_ragged(elements: Coded, lengths: npt.NDArray[Any], index: pd.Index) -> pd.Series:
    """A list column: the elements of all rows one after the other, so many for each."""
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return _arrow(pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), _taken(elements)), index)


def _taken(words: Coded) -> pa.Array:
    return pa.array(words.values, pa.string()).take(pa.array(words.codes))


def _arrow(array: pa.Array, index: pd.Index) -> pd.Series:
    return pd.Series(array, index=index, dtype=pd.ArrowDtype(array.type))
