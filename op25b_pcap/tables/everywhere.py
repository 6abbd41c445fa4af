"""What all attempts show of the same host, in however many tables they are.

A rule may ask what any attempt shows: did the addressee answer anybody, is a subscriber silent
everywhere. Of many attempts no process holds all: they are judged in shards. So such a question is
asked before a barrier and answered behind it. Whoever asks is a generator (a `Way`) and its barrier a
`yield`: there all shards meet, and what each has said by key is put together (`meeting.py`). A way that
goes on from memory, and one that begins anew and knows the answers, come to the same end.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from op25b_pcap.tables.columns import Coded, Flags, Indices, Kinds, Numbers, alike

Aggregate = Literal["min", "max", "sum", "first"]
Values = Mapping[str, tuple[Aggregate, npt.NDArray[Any] | Coded]]
"""Columns by their name, and how several rows of a key become one."""
Key = tuple[Coded, ...]
Known = dict[str, pa.Table]
"""Answers by their question: the columns of its key by their place, and of values by their name."""
Conclusion = Callable[[Known], Any]
"""What is to be made of all answers, once for all shards of a process; each is sent what comes of it."""
T = TypeVar("T")
Way = Generator[Conclusion | None, Any, T]

_VALUE, OTHER = "value", "other"


class Said(NamedTuple):
    """What a shard, or several, have to say to a question: a row for each key, and each other value of it.

    Texts are in dictionaries there; in answers, if there is but one shard.
    """

    table: pa.Table
    each: Mapping[str, Aggregate]
    """How rows of the same key become one, by the names of the values."""
    others: Mapping[str, Aggregate] | None = None
    """How those of a key with its other values become one at last."""


@dataclass(slots=True, init=False)
class Everywhere:
    """Takes the questions of one shard, and knows the answers behind the barrier."""

    known: Known
    said: dict[str, Said]

    def __init__(self, known: Known | None = None) -> None:
        self.known, self.said = {**(known or {})}, {}

    def any(self, name: str, holds: Flags, *key: Coded) -> Asked:
        """Whether it holds for any row of the same key. A question has a name, and one only."""
        return self._ask(name, key, holds, {})

    def least(self, name: str, numbers: Numbers | Indices, *key: Coded) -> Asked:
        """The least number of all rows of the same key; NaN does not count."""
        return self._ask(name, key, ~np.isnan(numbers), {_VALUE: ("min", numbers)})

    def greatest(self, name: str, numbers: Numbers | Indices, *key: Coded) -> Asked:
        """The greatest."""
        return self._ask(name, key, ~np.isnan(numbers), {_VALUE: ("max", numbers)})

    def each(self, name: str, values: Values, *key: Coded) -> Asked:
        """Of all rows of the same key one. There is no NaN."""
        return self._ask(name, key, None, values)

    def count(self, name: str, other: Coded, holds: Mapping[str, Flags], *key: Coded) -> Asked:
        """How many different values another column has in the rows of the same key that hold.

        Each of several flags has a number of its own, by its name.
        """
        values: Values = {one: ("max", flags.view(np.uint8)) for one, flags in holds.items()}
        others: Mapping[str, Aggregate] = dict.fromkeys(holds, "sum")
        return self._ask(name, (*key, other), np.logical_or.reduce([*holds.values()]), values, others)

    def most(self, name: str, other: Coded, *key: Coded) -> Asked:
        """How many rows of the same key there are of that value of another column that most have."""
        values: Values = {_VALUE: ("sum", np.ones(len(other)))}
        return self._ask(name, (*key, other), None, values, {_VALUE: "max"})

    def asked(self, name: str, *key: Coded) -> Asked:
        """A question that was asked before, of any other column."""
        return Asked(self, name, key)

    def settle(self, answers: Known) -> None:
        """Behind a barrier: what was asked is known."""
        self.known |= answers
        self.said.clear()

    def _ask(
        self,
        name: str,
        key: Key,
        holds: Flags | None,
        values: Values,
        others: Mapping[str, Aggregate] | None = None,
    ) -> Asked:
        """Of the rows that hold; the last column of the key is the other one, if there is one."""
        if name not in self.known:
            each = {one: how for one, (how, _) in values.items()}
            self.said[name] = Said(_by_key(key, holds, values, has_other=others is not None), each, others)
        return Asked(self, name, key if others is None else key[:-1])


def _by_key(key: Key, holds: Flags | None, values: Values, *, has_other: bool) -> pa.Table:
    """A row for each key there is."""
    count = len(next(iter([*key, *(column for _, column in values.values())]), ()))
    if holds is not None:
        rows = np.flatnonzero(holds)
        count, key = len(rows), tuple(column[rows] for column in key)
        values = {name: (how, column[rows]) for name, (how, column) in values.items()}
    kinds = key[0].kinds() if len(key) == 1 else alike(count, key)
    columns = {str(at): _numbered(column[kinds.examples]) for at, column in enumerate(key)}
    if has_other:
        columns[OTHER] = columns.pop(str(len(key) - 1))
    # A table without columns has no rows: where there is no key, there is one that is always the same.
    columns = columns or {"0": pa.array(np.ones(len(kinds.examples), bool))}
    return pa.table(columns | {name: _aggregated(*value, kinds) for name, value in values.items()})


def _numbered(column: Coded) -> pa.Array:
    """The values of a column; texts by their numbers in a dictionary, which are put together faster."""
    known = column.known
    if not isinstance(known, pa.Array) or known.type != pa.string():
        return column.told()
    if known.null_count or len(known) > 2 * len(column):
        return column.told().dictionary_encode()
    return pa.DictionaryArray.from_arrays(pa.array(column.codes, pa.int32()), known)


def _aggregated(how: Aggregate, column: npt.NDArray[Any] | Coded, kinds: Kinds) -> pa.Array:
    """A value for each kind of row."""
    if isinstance(column, Coded):
        if how != "first":
            raise TypeError(f"of a text there is no {how}")
        first = np.empty(len(kinds.examples), np.int64)
        first[kinds.codes[::-1]] = np.arange(len(column))[::-1]
        return column[first].told()
    if how == "sum":
        return pa.array(np.bincount(kinds.codes, column, len(kinds.examples)).astype(np.int64))
    found = column[kinds.examples]  # any to begin with
    (np.minimum if how == "min" else np.maximum).at(found, kinds.codes, column)
    return pa.array(found)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and behind the barrier its answer."""

    _everywhere: Everywhere
    _name: str
    _key: Key

    @property
    def table(self) -> pa.Table:
        """All keys with their values."""
        return plain(self._everywhere.known[self._name])

    def at_all(self) -> bool:
        """Whether it holds for any key."""
        return len(self._answer) > 0

    def holds(self, *key: Coded) -> Flags:
        """For each row whether it holds for its key, or for that of other columns."""
        found: Flags = self._rows(key or self._key) >= 0
        return found

    def numbers(self, *key: Coded, name: str = _VALUE) -> Numbers:
        """For each row the number of its key, or of that of other columns; NaN if there is none."""
        return self._told(key, self._values(name).astype(np.float64), np.nan)

    def whole_numbers(self, otherwise: int, *key: Coded, name: str = _VALUE) -> Indices:
        """The same where numbers are whole, and may be larger than floating ones can tell apart."""
        return self._told(key, self._values(name), otherwise)

    def of_values(self, name: str = _VALUE) -> Numbers:
        """The number for each value of a key of one column; 0 if there is none."""
        (column,) = self._key
        found, codes = np.zeros(len(column.known)), self._codes(column, 0)
        found[codes[codes >= 0]] = self._values(name)[codes >= 0]
        return found

    def number(self, name: str = _VALUE) -> int:
        """The number, where there is no key; 0 if there is none."""
        return int(pc.sum(self._answer[name]).as_py() or 0)

    @property
    def _answer(self) -> pa.Table:
        """The same, where texts may be in dictionaries."""
        return self._everywhere.known[self._name]

    def _values(self, name: str) -> npt.NDArray[Any]:
        found: npt.NDArray[Any] = self._answer[name].to_numpy()
        return found

    def _told(self, key: Key, values: npt.NDArray[Any], otherwise: float) -> npt.NDArray[Any]:
        rows = self._rows(key or self._key)
        found = np.full(len(rows), otherwise, values.dtype)
        there = rows >= 0
        found[there] = values[rows[there]]
        return found

    def _codes(self, column: Coded, at: int) -> Indices:
        """Of each row of the answer the code that its key has in a column; -1 if it is not there."""
        keys, known = self._answer[str(at)].combine_chunks(), pa.array(column.known)
        if not len(keys) or not len(known):
            return np.full(len(keys), -1)
        if pa.types.is_dictionary(keys.type) and not keys.null_count:
            own: Indices = keys.indices.to_numpy()
            same = _is_the_same(keys.dictionary, known)
            return own if same else _places(keys.dictionary, known)[own]
        return _places(_decoded(keys), known)

    def _rows(self, key: Key) -> Indices:
        """For each row which row of the answer is of its key, of one column or two; -1 if there is none."""
        found = np.full(len(key[0]), -1)
        codes = [self._codes(column, at) for at, column in enumerate(key)]
        here = np.flatnonzero(np.logical_and.reduce([one >= 0 for one in codes]))
        if not len(here):
            return found
        if len(key) == 1:
            of_value = np.full(len(key[0].known), -1)
            of_value[codes[0][here]] = here
            return of_value[key[0].codes]
        one, other = key
        theirs = replace(one, codes=codes[0][here]).pairs(replace(other, codes=codes[1][here]))
        order, mine = np.argsort(theirs), one.pairs(other)
        at = order[np.minimum(np.searchsorted(theirs, mine, sorter=order), len(order) - 1)]
        return np.where(theirs[at] == mine, here[at], -1)


def plain(table: pa.Table) -> pa.Table:
    """Texts as they are, without dictionaries."""
    return pa.table({name: _decoded(table[name]) for name in table.column_names})


def _decoded(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _is_the_same(words: pa.Array, known: pa.Array) -> bool:
    """Whether two arrays of texts lie at the same place."""
    told = [
        (array.type, len(array), array.offset, [part.address for part in array.buffers() if part])
        for array in (words, known)
    ]
    return told[0] == told[1]


def _places(words: pa.Array | pa.ChunkedArray, known: pa.Array) -> Indices:
    """Of each word where it stands among those that are known; -1 if it does not."""
    found: Indices = pc.index_in(words, value_set=known.cast(words.type)).fill_null(-1).to_numpy()
    return found


def abreast(*ways: Way[Any]) -> Way[list[Any]]:
    """Several ways at once: they come to their barriers together. None of them concludes anything."""
    found, on_the_way = [None] * len(ways), [*range(len(ways))]
    while on_the_way:
        for number in [*on_the_way]:
            try:
                next(ways[number])
            except StopIteration as end:
                found[number] = end.value
                on_the_way.remove(number)
        if on_the_way:
            yield None
    return found
