"""Where shards meet: what each has said is put together, and is the answer for all.

Of a question that has other values (how many hosts has a subscriber called) shards say as many rows as
there are attempts, if hosts call each other but once. These are set down on disk, by a digest of the
other value, and put together one part after the other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from op25b_pcap.tables.columns import coded
from op25b_pcap.tables.everywhere import OTHER, Aggregate, Conclusion, Everywhere, Known, Said, T, Way

_MANY = 1 << 20
"""Rows of a question that are held before they are put together, and set down if they are still as many."""
_PARTS = 64


class Meeting:
    """Hears what shards say, one after the other."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder`: where rows may be set down, if they may."""
        self._folder = folder
        self._heard: dict[str, list[Said]] = defaultdict(list)
        self._set_down: dict[str, list[Path]] = defaultdict(list)

    def hear(self, said: Mapping[str, Said]) -> None:
        """Take what one more shard has said; of two the earlier first."""
        for name, one in said.items():
            heard = self._heard[name]
            heard.append(one)
            if len(heard) > 1 and sum(len(each.table) for each in heard) > _MANY:
                if one.others is not None and self._folder:
                    self._put(name, heard)
                    heard[:] = [one._replace(table=one.table.slice(0, 0))]
                else:
                    heard[:] = [together(heard)]

    def answers(self) -> Known:
        """The answers to all questions."""
        return {name: self._answer(name, heard) for name, heard in self._heard.items()}

    def _answer(self, name: str, heard: Sequence[Said]) -> pa.Table:
        one = heard[0]
        if one.others is None:
            return together(heard).table
        if name not in self._set_down:
            return _of_others(together(heard))
        self._put(name, heard)
        answer = None
        for tables in self._parts(name):
            part = _of_others(together([one._replace(table=table) for table in tables]))
            answer = part if answer is None else _grouped(pa.concat_tables([answer, part]), one.others)
        for path in self._set_down.pop(name):
            path.unlink()
        assert answer is not None
        return answer

    def _put(self, name: str, heard: Sequence[Said]) -> None:
        assert self._folder is not None
        path = self._folder / f"{name}-{len(self._set_down[name])}"
        self._set_down[name].append(path)
        table = pa.concat_tables([one.table for one in heard], promote_options="permissive")
        other = coded(table[OTHER])
        part = (pd.util.hash_array(np.array(other.values)) % _PARTS)[other.codes]
        order = np.argsort(part, kind="stable")
        ordered, ends = table.take(order), np.searchsorted(part[order], range(_PARTS + 1))
        with pa.ipc.new_file(str(path), table.schema) as writer:
            for begin, end in pairwise(ends):
                (batch,) = ordered.slice(begin, end - begin).combine_chunks().to_batches() or [None]
                writer.write_batch(batch or pa.RecordBatch.from_pylist([], table.schema))

    def _parts(self, name: str) -> Iterator[list[pa.Table]]:
        """What was set down, some parts at a time."""
        paths = self._set_down[name]
        together = max(_PARTS // len(paths), 1)  # as much as was set down at a time
        for first in range(0, _PARTS, together):
            tables = []
            for path in paths:
                with pa.memory_map(str(path)) as file:
                    reader = pa.ipc.open_file(file)
                    batches = map(reader.get_batch, range(first, min(first + together, _PARTS)))
                    tables.append(pa.Table.from_batches(batches))
            yield tables


Begin = Callable[[Everywhere], Way[T]]
"""Begins the way of a shard."""


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
        self, shards: Sequence[Begin[T]], ends: Callable[[int, T], Any] = lambda _, end: end, waiting: int = 1
    ) -> None:
        """`ends` makes something of what a shard comes to, whose number it is told.

        `waiting`: so many shards wait for the others in memory; the rest begin anew behind each barrier.
        """
        self._shards, self._ends, self._waiting = shards, ends, waiting
        self._known: Known = {}
        self._sent: list[Any] = []
        self._held: dict[int, tuple[Everywhere, Way[T]]] = {}

    def go(self, answers: Known, concluded: Any) -> Iterator[Step]:
        """See `Walks`."""
        self._known |= answers
        self._sent.append(concluded)
        waited, self._held = self._held, {}
        for number in range(len(self._shards)):
            everywhere, way = waited.pop(number) if number in waited else self._anew(number)
            everywhere.settle(answers)
            try:
                step = Step({}, way.send(concluded), is_end=False, end=None)
            except StopIteration as end:
                step = Step({}, None, is_end=True, end=self._ends(number, end.value))
            yield step._replace(said=everywhere.said)
            everywhere.said = {}
            if not step.is_end and len(self._held) < self._waiting:
                self._held[number] = everywhere, way

    def _anew(self, number: int) -> tuple[Everywhere, Way[T]]:
        """A way at the barrier where it is to be sent what was concluded last."""
        everywhere = Everywhere(self._known)
        way = self._shards[number](everywhere)
        for one in self._sent[:-1]:
            way.send(one)
        return everywhere, way


def met(walks: Walks, folder: Path | None = None) -> tuple[list[Any], Known]:
    """What shards come to that meet at barriers until their ends; and all answers, those at the end too."""
    known: Known = {}
    answers: Known = {}
    concluded: Any = None
    while True:
        meeting, steps = Meeting(folder), []
        for step in walks.go(answers, concluded):
            meeting.hear(step.said)
            steps.append(step._replace(said={}))
        answers = meeting.answers()
        known |= answers
        if steps[0].is_end:
            return [step.end for step in steps], known
        conclusion = steps[0].conclusion
        concluded = conclusion and conclusion(known)


def alone(shard: Begin[T]) -> tuple[T, Known]:
    """What one shard comes to, and all answers, where there is no other."""
    (end,), known = met(InTurn([shard]))
    return end, known


def together(said: Sequence[Said]) -> Said:
    """What several have said to a question, as if one had. At least one; in order."""
    if len(said) == 1:
        return said[0]
    whole = pa.concat_tables([one.table for one in said], promote_options="permissive")
    return said[0]._replace(table=_grouped(whole, said[0].each))


def _of_others(said: Said) -> pa.Table:
    assert said.others is not None
    return _grouped(said.table.drop_columns(OTHER), said.others)


def _grouped(table: pa.Table, how: Mapping[str, Aggregate]) -> pa.Table:
    """A row for each key."""
    keys = [name for name in table.column_names if name not in how]
    # Not in threads: rows keep their order, by which the first is told, and threads do not survive a fork.
    found = table.group_by(keys, use_threads=False).aggregate([*how.items()])
    return found.rename_columns([*keys, *how])
