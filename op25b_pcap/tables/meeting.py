"""Where shards meet: what each has said is put together, and is the answer for all.

Of a question that has other values (how many hosts has a subscriber called) shards say as many rows as
there are attempts, if hosts call each other but once. These are set down on disk, by a digest of the
other value, and put together one part after the other.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa

from op25b_pcap.leavings import is_roomy
from op25b_pcap.tables.columns import Indices, coded
from op25b_pcap.tables.everywhere import OTHER, Aggregate, Conclusion, Everywhere, Known, Said, T, Way, plain

_MANY = 1 << 20
"""Rows of a question that are held before they are put together, and set down if they are still as many."""
_PARTS = 64


class Meeting:
    """Hears what shards say, one after the other."""

    def __init__(self, folder: Path | None = None, at_once: int = 1) -> None:
        """`folder`: where rows may be set down, if they may; `at_once`: questions answered at a time."""
        self._folder, self._at_once = folder, min(at_once, os.cpu_count() or 1)
        self._heard: dict[str, list[Said]] = defaultdict(list)
        self._set_down: dict[str, list[tuple[Path, Indices]]] = defaultdict(list)
        """Files, and where in them each part begins and the last one ends."""

    def hear(self, said: Mapping[str, Said]) -> None:
        """Take what one more shard has said; of two the earlier first, where it is asked what came first."""
        for name, one in said.items():
            heard = self._heard[name]
            heard.append(one)
            if _are_many([each.table for each in heard]):
                if one.others is not None and self._folder:
                    self._put(name, heard)
                    heard[:] = [one._replace(table=one.table.slice(0, 0))]
                else:
                    heard[:] = [together(heard)]

    def answers(self) -> Known:
        """The answers to all questions, texts as they are; what was heard is forgotten."""
        return {name: plain(answer) for name, answer in self.coded_answers().items()}

    def coded_answers(self) -> Known:
        """The same, with texts in dictionaries."""
        names = [*self._heard]
        with ThreadPoolExecutor(self._at_once) as threads:
            return dict(zip(names, threads.map(self._answer, names), strict=True))

    def _answer(self, name: str) -> pa.Table:
        heard = self._heard.pop(name)
        one = heard[0]
        if one.others is None:
            return together(heard).table
        if name not in self._set_down:
            return _of_others(together(heard))
        self._put(name, heard)
        found: list[pa.Table] = []
        for tables in self._parts(name):
            found.append(_of_others(one._replace(table=_grouped(_joined(tables), one.each))))
            if _are_many(found):
                found[:] = [_grouped(_joined(found), one.others)]
        for path, _ in self._set_down.pop(name):
            path.unlink()
        return _grouped(_joined(found), one.others)

    def _put(self, name: str, heard: Sequence[Said]) -> None:
        table = _joined([one.table for one in heard])
        if self._folder is None or not len(table):
            return
        path = self._folder / f"{name}-{len(self._set_down[name])}"
        other = coded(table[OTHER])
        # As objects: in an array of texts each would take as much as the longest one.
        values = pa.array(other.known).to_numpy(zero_copy_only=False)
        part = (pd.util.hash_array(values) % _PARTS)[other.codes]
        order = np.argsort(part, kind="stable")
        with pa.ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table.take(order).combine_chunks())
        self._set_down[name].append((path, np.searchsorted(part[order], range(_PARTS + 1))))

    def _parts(self, name: str) -> Iterator[list[pa.Table]]:
        """What was set down, some parts at a time."""
        files = self._set_down[name]
        together = max(_PARTS // len(files), 1)  # as much as was set down at a time
        for first in range(0, _PARTS, together):
            tables = []
            for path, ends in files:
                begin, end = ends[first], ends[min(first + together, _PARTS)]
                with pa.memory_map(str(path)) as file:
                    tables.append(pa.ipc.open_file(file).read_all().slice(begin, end - begin))
            yield tables


E = TypeVar("E")
Begin = Callable[[Everywhere], Way[T]]
"""Begins the way of a shard."""


class Walk(Generic[T]):
    """How far a shard has gone on its way."""

    conclusion: Conclusion | None = None
    """What is to be concluded at the barrier where it is."""
    end: Any = None
    """What was made of what it came to."""

    def __init__(self, begin: Begin[T], ends: Callable[[T], Any], known: Known | None = None) -> None:
        """It stands before its first step.

        `ends` makes something of what it comes to, which is not kept. What is `known` it will not ask.
        """
        self.everywhere = Everywhere(known)
        self.is_end = False
        self.passed = -1
        """Barriers that it has passed."""
        self._way, self._ends = begin(self.everywhere), ends

    def go(self, answers: Known, concluded: Any) -> None:
        """Go on to the next barrier, or the end."""
        self.everywhere.settle(answers)
        self.passed += 1
        try:
            self.conclusion = self._way.send(concluded)
        except StopIteration as end:
            self.is_end, self.end = True, self._ends(end.value)


class Step(NamedTuple):
    """How far a shard has come, at a barrier or at its end."""

    said: Mapping[str, Said]
    conclusion: Conclusion | None
    is_end: bool
    end: Any
    """What was made of what it came to."""


class Walks(Protocol):
    """Goes the ways of many shards."""

    def go(self, answers: Known, concluded: Any) -> Iterator[Step]:
        """Each to its next barrier, in order; they are sent what all have answered and concluded at the
        last one.
        """


class InTurn(Generic[T]):
    """One after the other."""

    def __init__(
        self,
        shards: Sequence[Begin[T]],
        ends: Callable[[int, T], Any] = lambda _, end: end,
        may_wait: Callable[[], bool] = is_roomy,
    ) -> None:
        """`ends`, as that of a `Walk`, is told the number of its shard, too.

        `may_wait`: whether one more may wait for the others in memory; the rest begin anew behind each
        barrier.
        """
        self._shards, self._ends, self._may_wait = shards, ends, may_wait
        self._known: Known = {}
        self._sent: list[Any] = []
        self._held: dict[int, Walk[T]] = {}

    def go(self, answers: Known, concluded: Any) -> Iterator[Step]:
        """See `Walks`."""
        self._known |= answers
        self._sent.append(concluded)
        waited, self._held = self._held, {}
        for number in range(len(self._shards)):
            walk = waited.pop(number) if number in waited else self._anew(number)
            walk.go(answers, concluded)
            yield Step(walk.everywhere.said, walk.conclusion, walk.is_end, walk.end)
            walk.everywhere.said = {}
            if not walk.is_end and (len(self._shards) == 1 or self._may_wait()):
                self._held[number] = walk
            del walk

    def _anew(self, number: int) -> Walk[T]:
        """A walk at the barrier where it is to be sent what was concluded last."""
        walk = Walk(self._shards[number], partial(self._ends, number), self._known)
        for one in self._sent[:-1]:
            walk.go({}, one)
        return walk


def met(
    walks: Walks, folder: Path | None = None, at_once: int = 1, *, are_several: bool = True
) -> tuple[list[Any], Known]:
    """What shards come to that meet at barriers until their ends; and all answers, those at the end too.

    For `folder` and `at_once` see `Meeting`. If they are several, texts are told as they are: dictionaries
    would not be theirs.
    """
    known: Known = {}
    answers: Known = {}
    concluded: Any = None
    while True:
        meeting, steps = Meeting(folder, at_once), []
        for step in walks.go(answers, concluded):
            meeting.hear(step.said)
            steps.append(step._replace(said={}))
        coded_answers = meeting.coded_answers()
        plain_answers = {name: plain(answer) for name, answer in coded_answers.items()}
        answers = plain_answers if are_several else coded_answers
        known |= plain_answers
        if steps[0].is_end:
            return [step.end for step in steps], known
        conclusion = steps[0].conclusion
        concluded = conclusion and conclusion(known)


def alone(shard: Begin[T], ends: Callable[[T], E]) -> tuple[E, Known]:
    """What `ends` makes of what one shard comes to, and all answers, where there is no other."""
    (end,), known = met(InTurn([shard], lambda _, end: ends(end)), are_several=False)
    return end, known


def _are_many(tables: Sequence[pa.Table]) -> bool:
    """Whether they are to be put together: when there are twice as many rows as were left last time."""
    return len(tables) > 1 and sum(map(len, tables)) > max(_MANY, 2 * len(tables[0]))


def together(said: Sequence[Said]) -> Said:
    """What several have said to a question, as if one had. At least one; in order."""
    if len(said) == 1:
        return said[0]
    return said[0]._replace(table=_grouped(_joined([one.table for one in said]), said[0].each))


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    """All rows of several, with one dictionary a column."""
    whole = pa.concat_tables(tables, promote_options="permissive")
    return whole.unify_dictionaries().combine_chunks()


def _of_others(said: Said) -> pa.Table:
    assert said.others is not None
    return _grouped(said.table.drop_columns(OTHER), said.others)


def _grouped(table: pa.Table, how: Mapping[str, Aggregate]) -> pa.Table:
    """A row for each key."""
    keys = [name for name in table.column_names if name not in how]
    texts = {}
    for name in keys:
        if pa.types.is_dictionary(table[name].type):  # by number it takes a quarter of the time
            column = table[name].combine_chunks()
            texts[name] = column.dictionary
            table = table.set_column(table.column_names.index(name), name, column.indices)
    # Not in threads: rows keep their order, by which the first is told, and threads do not survive a fork.
    found = table.group_by(keys, use_threads=False).aggregate([*how.items()]).combine_chunks()
    columns = dict(zip([*keys, *how], found.columns, strict=True))
    for name, known in texts.items():
        columns[name] = pa.DictionaryArray.from_arrays(columns[name].combine_chunks(), known)
    return pa.table(columns)
