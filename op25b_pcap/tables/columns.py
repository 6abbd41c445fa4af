"""Columns as arrays: what the stages that work on whole tables read from them and build.

A text column is `Coded`: its few different values once, and for each row the number of its
value, which is how Arrow's dictionary columns are made. Asking a column for words then costs a
look-up by number instead of a comparison of texts, also for millions of rows. Where a verdict depends
on several columns, `alike` finds the few kinds of rows, and the verdict is reached once for each kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Codes = npt.NDArray[np.signedinteger[Any]]
Choice = tuple[Flags, str]

_MOST_NUMBERED = 1 << 62
"""Combinations that fit into an index; beyond, those that are there are numbered anew."""


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of values of which many are the same."""

    known: Sequence[Any] | pa.Array
    """Each value once, though perhaps in no row; None is null. Arrow's where they may be millions."""
    codes: Codes
    """For each row the index of its value."""

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: Indices | Flags) -> Self:
        """Some of the rows."""
        return replace(self, codes=self.codes[rows])

    @property
    def values(self) -> Sequence[Any]:
        """The values as Python's own, made anew at every call."""
        return self.known if isinstance(self.known, Sequence) else self.known.to_pylist()

    def told(self) -> pa.Array:
        """The value of each row."""
        if isinstance(self.known, range):  # of any length
            return pa.array(self.known.start + self.codes * self.known.step)
        return pa.array(self.known).take(pa.array(self.codes))

    def present(self) -> pa.Array:
        """The values that are in any row, each once."""
        return Coded(self.known, np.flatnonzero(np.bincount(self.codes))).told()

    def compact(self) -> Coded:
        """The same column without values that are in no row."""
        there = np.bincount(self.codes, minlength=len(self.known)) > 0
        known = pa.array(self.known).filter(pa.array(there))
        return Coded(known, (np.cumsum(there, dtype=np.int32) - np.int32(1))[self.codes])

    def kinds(self) -> Kinds:
        """The kinds of rows by this column alone."""
        there = np.bincount(self.codes, minlength=len(self.known)) > 0
        codes = (np.cumsum(there) - 1)[self.codes]
        examples = np.empty(np.count_nonzero(there), np.int64)
        examples[codes] = np.arange(len(codes))
        return Kinds(examples, codes)

    def is_in(self, *words: object) -> Flags:
        """Whether each value is one of the words."""
        if isinstance(self.known, Sequence):
            return self.where([value in words for value in self.known])
        return self.where(pc.is_in(self.known, value_set=pa.array(words, self.known.type)))

    def where(self, holds: Sequence[bool] | Flags | pa.Array) -> Flags:
        """What holds for the values, told for the rows."""
        found: Flags = np.asarray(holds, dtype=bool)[self.codes]
        return found

    def mapped(self, function: Callable[[Any], Any]) -> Coded:
        """The column of what a function makes of each value; equal results are one value."""
        return _coded(list(map(function, self.values)), self.codes)

    def turned_into(self, texts: pa.Array | pa.ChunkedArray) -> Coded:
        """The same, made by Arrow: `texts` are what the known values have become."""
        own = coded(texts)
        return Coded(own.known, own.codes[self.codes])

    def equals(self, other: Coded) -> Flags:
        """Whether both hold the same value."""
        if len(self.known) > len(other.known):
            return other.equals(self)  # to look up among the fewer
        same: Flags = self.codes == other.in_words_of(self).codes
        return same

    def in_words_of(self, other: Coded) -> Coded:
        """The column by the codes that the other has for its values; -1 where it has none."""
        mine, theirs = pa.array(self.known), pa.array(other.known)
        if mine.equals(theirs):
            return self
        return Coded(other.known, pc.index_in(mine, value_set=theirs).fill_null(-1).to_numpy()[self.codes])

    def beside(self, other: Coded) -> Coded:
        """The column of pairs."""
        codes, pairs = pd.factorize(self.pairs(other))
        mine, theirs, width = self.values, other.values, max(len(other.known), 1)
        return Coded([(mine[pair // width], theirs[pair % width]) for pair in pairs.tolist()], codes)

    def pairs(self, other: Coded) -> Indices:
        """For each row a number that only rows with the same pair of values have."""
        return self.codes.astype(np.int64) * len(other.known) + other.codes


@dataclass(frozen=True, slots=True)
class Kinds:
    """Rows that are the same in all columns that count are of one kind."""

    examples: Indices
    """A row of each kind."""
    codes: Codes
    """For each row the number of its kind."""

    def told(self, found: pd.Series, index: pd.Index) -> pd.Series:
        """What was found for each kind, as a column of all rows."""
        return _arrow(pa.array(found).take(pa.array(self.codes)), index)


def alike(rows: int, columns: Iterable[Flags | Coded]) -> Kinds:
    """The kinds of rows there are, by several columns of flags or words."""
    numbers, possible = np.zeros(rows, dtype=np.int64), 1
    for column in columns:
        width, codes = (len(column.known), column.codes) if isinstance(column, Coded) else (2, column)
        if rows == 0 or (codes == codes[0]).all():
            continue
        if possible * width > _MOST_NUMBERED:
            numbers, found = pd.factorize(numbers)
            possible = len(found)
        numbers *= width
        numbers += codes
        possible *= width
    codes, found = pd.factorize(numbers)
    examples = np.empty(len(found), dtype=np.int64)
    examples[codes] = np.arange(rows)
    return Kinds(examples, codes)


def coded(column: pd.Series | pa.Array | pa.ChunkedArray) -> Coded:
    """A column of texts or whole numbers, plain or (at no cost) in Arrow's dictionary encoding."""
    array = column.array.__arrow_array__() if isinstance(column, pd.Series) else column
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    words, codes = array.dictionary, array.indices
    if codes.null_count:
        codes = codes.cast(pa.int64()).fill_null(len(words))
        words = pa.concat_arrays([words, pa.nulls(1, words.type)])
    return Coded(words, codes.to_numpy())


def coded_numbers(numbers: Numbers) -> Coded:
    """A column of numbers of which many are the same; NaN is one of them."""
    codes, values = pd.factorize(numbers, use_na_sentinel=False)
    return Coded(values.tolist(), codes)


def coded_times(times: pd.Series, unit_ns: int) -> Coded:
    """In which hour, or minute, each time is: its begin in nanoseconds."""
    units = nanoseconds(times) // unit_ns
    first, last = (units.min(), units.max()) if len(units) else (0, 0)
    return Coded(range(first * unit_ns, (last + 1) * unit_ns, unit_ns), units - first)


def _coded(values: list[Any], codes: Codes) -> Coded:
    """Values of which some may be equal, made one."""
    first: dict[Any, int] = {}
    places = np.array([first.setdefault(value, len(first)) for value in values], codes.dtype)
    return Coded(list(first), places[codes])


def first_that_holds(rows: int, *choices: Choice, otherwise: str) -> Coded:
    """For each row the word of the first choice that holds there."""
    codes = np.full(rows, len(choices), dtype=np.int8)
    for code, (holds, _) in reversed(list(enumerate(choices))):
        np.copyto(codes, code, where=holds)
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

    Null where a flow has none. Text is dictionary-encoded, to be `coded` at no cost.
    """
    ids, others = (frame["flow_id"].array.__arrow_array__() for frame in (flows, table))
    rows = None if ids.equals(others) else found_among(ids, others)
    columns = {}
    for name in names:
        array = table[name].array.__arrow_array__()
        if pa.types.is_string(array.type):
            array = array.dictionary_encode()
        columns[name] = _arrow(array if rows is None else array.take(rows), flows.index)
    return pd.DataFrame(columns)


def found_among(ids: pa.Array | pa.ChunkedArray, others: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The place of each flow's id among others; null where it is not there. Numbers are in order."""
    if not pa.types.is_integer(others.type) or not len(others):
        return pc.index_in(ids, value_set=others)
    sought, among = np.asarray(ids), np.asarray(others)
    places = np.minimum(np.searchsorted(among, sought), len(among) - 1)
    return pa.array(places, mask=among[places] != sought)


def of_words(words: Coded, index: pd.Index | None = None) -> pd.Series:
    """A text column, in Arrow's dictionary encoding."""
    return _arrow(_encoded(words), index)


def of_lists(facts: Mapping[str, Flags | Coded], index: pd.Index | None = None) -> pd.Series:
    """A list column: for each row what holds there of all that is named.

    A fact is told by its name where it is a column of flags, and else by its own text, if any.
    """
    names = list(facts)
    holds = np.column_stack([held(fact) for fact in facts.values()])
    _, found = np.nonzero(holds)
    for column, fact in enumerate(facts.values()):
        if isinstance(fact, Coded):
            found[found == column] = fact.codes[holds[:, column]] + len(names)
            names += list(fact.values)
    offsets = pa.array(np.concatenate([[0], np.cumsum(holds.sum(axis=1))]), pa.int32())
    return _arrow(pa.ListArray.from_arrays(offsets, _encoded(Coded(names, found).compact())), index)


def held(fact: Flags | Coded) -> Flags:
    """Whether a fact holds, for each row: a flag, or a text that is not null."""
    return ~fact.is_in(None) if isinstance(fact, Coded) else fact


def _encoded(words: Coded) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(words.codes), pa.array(words.known, pa.string()))


def _arrow(array: pa.Array, index: pd.Index | None) -> pd.Series:
    return pd.Series(array, index=index, dtype=pd.ArrowDtype(array.type))
