"""What all attempts show of the same host, in however many tables they are.

A rule may ask what any attempt shows: did the addressee answer anybody, is a subscriber silent
everywhere. Of many attempts no process holds all: they are judged in shards. So such a question is
asked before a barrier and answered behind it. Whoever asks is a generator (a `Way`) and its barrier a
`yield`: there all shards meet, and what each has said by key is put together. A way that goes on
afterwards from memory, or one that begins anew and knows the answers, comes to the same end.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from op25b_pcap.tables.columns import Coded, Flags, Indices, Kinds, Numbers, alike

How = Literal["any", "least", "greatest", "count"]
_AGGREGATES = {"least": "min", "greatest": "max", "count": "max"}
_OTHER, _VALUE = "other", "value"

T = TypeVar("T")
Known = dict[str, pa.Table]
"""Answers by their question: the columns of its key by their place, and of values, named `value0`, …"""
Conclusion = Callable[[Known], Any]
"""What is to be made of all answers, once and not in every shard; each is sent what comes of it."""
Way = Generator[Conclusion | None, Any, T]
Key = tuple[Coded, ...]
"""Two columns at the most. Without any there is one key, which all rows have."""


class Said(NamedTuple):
    """What a shard, or several, have to say to a question: a row for each key that it holds for."""

    how: How
    table: pa.Table


@dataclass(slots=True)
class Everywhere:
    """Takes questions of one shard, and knows the answers behind the barrier."""

    known: Known
    said: dict[str, Said]

    def __init__(self, known: Known | None = None) -> None:
        self.known, self.said = known or {}, {}

    def any(self, name: str, holds: Flags, *key: Coded) -> Asked:
        """Whether it holds for any row of the same key. A question has a name, and one only."""
        if name not in self.known:
            _, _, keys = _of_kinds(holds, key)
            self.said[name] = Said("any", pa.table(keys))
        return Asked(self, name, key)

    def least(self, name: str, numbers: Numbers | Indices, *key: Coded) -> Asked:
        """The least number of all rows of the same key; NaN does not count."""
        return self._extreme("least", name, numbers, key)

    def greatest(self, name: str, numbers: Numbers, *key: Coded) -> Asked:
        """The greatest."""
        return self._extreme("greatest", name, numbers, key)

    def count(self, name: str, other: Coded, holds: Sequence[Flags], *key: Coded) -> Asked:
        """How many different values another column has in all rows of the same key that hold.

        Of several flags each has a number of its own.
        """
        if name not in self.known:
            rows, kinds, keys = _of_kinds(np.logical_or.reduce(holds), (*key, other))
            keys[_OTHER] = keys.pop(str(len(key)))
            for at, one in enumerate(holds):
                there = np.zeros(len(kinds.examples), np.uint8)
                there[kinds.codes[one[rows]]] = 1
                keys[_value(at)] = pa.array(there)
            self.said[name] = Said("count", pa.table(keys))
        return Asked(self, name, key)

    def settle(self, answers: Known) -> None:
        """Behind a barrier: what was asked is known."""
        self.known |= answers
        self.said.clear()

    def _extreme(
        self, how: Literal["least", "greatest"], name: str, numbers: Numbers | Indices, key: Key
    ) -> Asked:
        if name not in self.known:
            rows, kinds, keys = _of_kinds(~np.isnan(numbers), key)
            found = numbers[rows[kinds.examples]]  # any to begin with
            (np.minimum if how == "least" else np.maximum).at(found, kinds.codes, numbers[rows])
            self.said[name] = Said(how, pa.table({**keys, _value(0): found}))
        return Asked(self, name, key)


def _of_kinds(holds: Flags, key: Key) -> tuple[Indices, Kinds, dict[str, pa.Array]]:
    """The rows that hold, the kinds of them by key, and each kind's key."""
    rows = np.flatnonzero(holds)
    kinds = alike(len(rows), (column[rows] for column in key))
    examples = rows[kinds.examples]
    keys = {str(at): column[examples].told() for at, column in enumerate(key)}
    # A table without columns has no rows either: where there is no key, there is one that is always so.
    return rows, kinds, keys or {"0": pa.array(np.ones(len(examples), bool))}


def _value(at: int) -> str:
    return f"{_VALUE}{at}"


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and behind the barrier its answer."""

    _everywhere: Everywhere
    _name: str
    _key: Key

    @property
    def table(self) -> pa.Table:
        """All keys with their values."""
        return self._everywhere.known[self._name]

    def holds(self, *key: Coded) -> Flags:
        """For each row whether it holds for its key, or for that of another column."""
        found: Flags = self._rows(key or self._key) >= 0
        return found

    def numbers(self, *key: Coded) -> Numbers:
        """For each row the number of its key, or of that of other columns; NaN if there is none."""
        return self._told(key, self._values(0), np.nan)

    def whole_numbers(self, otherwise: int, *key: Coded) -> Indices:
        """The same where numbers are whole, and may be larger than floating ones can tell apart."""
        return self._told(key, self.table[_value(0)].to_numpy(), otherwise)

    def _told(self, key: Key, values: npt.NDArray[Any], otherwise: float) -> npt.NDArray[Any]:
        rows = self._rows(key or self._key)
        found = np.full(len(rows), otherwise, values.dtype)
        there = rows >= 0
        found[there] = values[rows[there]]
        return found

    def of_values(self, at: int = 0) -> Numbers:
        """The same for each value of a key of one column; 0 if there is none."""
        (column,) = self._key
        found, codes = np.zeros(len(column.known)), self._codes(column, 0)
        found[codes[codes >= 0]] = self._values(at)[codes >= 0]
        return found

    def number(self, at: int = 0) -> int:
        """The number, where there is no key."""
        return int(self._values(at).sum())

    def at_all(self) -> bool:
        """Whether it holds for any row of any key."""
        return len(self.table) > 0

    def _values(self, at: int) -> Numbers:
        found: Numbers = self.table[_value(at)].to_numpy().astype(np.float64)
        return found

    def _codes(self, column: Coded, at: int) -> Indices:
        """Of each row of the answer the code that its key has in a column; -1 if it is not there."""
        keys = self.table[str(at)]
        known = pa.array(column.known)
        if not len(keys) or not len(known):
            return np.full(len(keys), -1)
        found: Indices = pc.index_in(keys, value_set=known.cast(keys.type)).fill_null(-1).to_numpy()
        return found

    def _rows(self, key: Key) -> Indices:
        """For each row which row of the answer is of its key; -1 if there is none."""
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


def together(said: Sequence[Said]) -> Said:
    """What several shards have said to a question, as if one had. At least one."""
    how, table = said[0]
    if len(said) == 1:
        return said[0]
    whole = pa.concat_tables([one.table for one in said], promote_options="permissive")
    values = [name for name in table.column_names if name.startswith(_VALUE)]
    keys = [name for name in table.column_names if name not in values]
    # In threads rows would come in any order, and Arrow's threads do not survive a fork.
    found = whole.group_by(keys, use_threads=False).aggregate([(name, _AGGREGATES[how]) for name in values])
    return Said(how, found.rename_columns([*keys, *values]))


def answer(said: Said) -> pa.Table:
    """The answer, when all shards have been put together: of other values only how many there are."""
    if said.how != "count":
        return said.table
    keys = [name for name in said.table.column_names if name.isdigit()]
    values = [name for name in said.table.column_names if name.startswith(_VALUE)]
    if not keys:
        return pa.table({name: [pc.sum(said.table[name]).as_py() or 0] for name in values})
    counted = said.table.group_by(keys, use_threads=False).aggregate([(name, "sum") for name in values])
    return counted.rename_columns([*keys, *values])


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


def alone(way: Way[T], everywhere: Everywhere) -> T:
    """Go a way to its end, where there is one shard."""
    concluded = None
    while True:
        try:
            conclusion = way.send(concluded)
        except StopIteration as end:
            found: T = end.value
            return found
        everywhere.settle({name: answer(said) for name, said in everywhere.said.items()})
        concluded = conclusion and conclusion(everywhere.known)
