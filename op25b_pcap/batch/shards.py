"""All that was found is judged in shards: some stretch of time each, by whichever worker is free.

Tasks of workers, but where there is one shard only. At a barrier all meet: what each has said lies in a
file of the workshop, and so do the answers. A task goes the way of its shard from its beginning to the
next barrier; the last one writes its parts of the lake's large tables, of which each holds the rows of
some time, of one day. So no process holds more than a shard.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from functools import cached_property, lru_cache, partial
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from op25b_pcap.batch import bench, work
from op25b_pcap.batch.assembling import place, places_of_captures
from op25b_pcap.batch.files import Files, files
from op25b_pcap.facts import Facts, facts
from op25b_pcap.leavings import give_back, is_roomy
from op25b_pcap.opinion import Heard, Judged, judging, with_dns
from op25b_pcap.policy import Policy, prefix
from op25b_pcap.reports.envelope import Envelope, masked
from op25b_pcap.reports.writing import write_parquet
from op25b_pcap.roles.dns import Said as SaidByDns
from op25b_pcap.stacks import TOLD, Lying, Slice, Stack, facts_of, tables_of
from op25b_pcap.tables import FLOWS, TABLES
from op25b_pcap.tables.everywhere import Conclusion, Known, Said
from op25b_pcap.tables.meeting import Walk, alone


class View(NamedTuple):
    """What all shards of a run see."""

    results: list[str]
    """Names of what was found, range by range."""
    captures: list[str]
    """Digests of the pieces, in order."""
    names: list[str]
    """What they are called in tables."""
    latest_ns: int
    """When the observation ended."""
    policy: Policy | None


class Part(NamedTuple):
    """Rows of the large tables, of one day."""

    slice: Slice
    number: int
    """Of the day's parts."""
    tables: tuple[str, ...]
    """Those of which there are any, or none anywhere else: who asks for one finds its columns."""

    def name(self, table: str) -> str:
        """Where its rows of a table belong in the lake."""
        return f"{table}/date={np.datetime64(self.slice.day, 'D')}/part-{self.number:03}.parquet"


class Shard(NamedTuple):
    """What one task judges."""

    run: str
    number: int
    parts: tuple[Part, ...]


class Told(NamedTuple):
    """What a shard has come to."""

    flows: pd.DataFrame
    """The columns that judging tells."""
    policy: Policy


class Come(NamedTuple):
    """How far a shard has come."""

    is_end: bool
    parts: list[str]
    """What it has written of the lake."""
    policy: Policy | None
    """By which it was judged."""
    findings: Mapping[str, int]
    """How many attempts there are of each."""


def stack(view: View, workshop: Files) -> Stack:
    """The results of all ranges."""
    rows = work.rows_together() if work.is_packed(workshop) else None
    captures = partial(places_of_captures, view.captures)

    def lying(name: str, table: str) -> Lying:
        with workshop.opened(place(name, table)) as path:
            return Lying(path, rows, captures)

    return Stack(view.results, lying)


def lay_out(run: str, view: View, heard: Heard, workshop: Files) -> None:
    """Lay what all shards see into the workshop."""
    told = view._asdict()
    if view.policy:
        prefixes = {kind: [*map(str, listed)] for kind, listed in view.policy.prefixes.items()}
        told["policy"] = {one.name: getattr(view.policy, one.name) for one in fields(Policy)}
        told["policy"]["prefixes"] = prefixes
    workshop.write(work.told(run, "view"), json.dumps(told).encode())
    _put({**heard.said._asdict(), "lookups": heard.lookups}, workshop, work.told(run, "heard"))


def said_by(shard: Shard, met: int, workshop: Files) -> Mapping[str, Said]:
    """What a shard has said behind so many barriers; it is not told again."""
    name = work.told(shard.run, f"said-{shard.number}-{met}")
    with workshop.opened(name) as path:
        tables = work.read_tables(path)
    workshop.remove(name)
    return {name: Said(table, *json.loads(table.schema.metadata[b"how"])) for name, table in tables.items()}


def lay_down(run: str, met: int, answers: Known, workshop: Files) -> None:
    """Lay down what all have answered who have met so many times before."""
    _put(answers, workshop, work.told(run, f"answers-{met}"))


def forget() -> None:
    """Nothing of a run is needed in this process any more."""
    _about.cache_clear()


def go(shard: Shard, met: int, lake: str, where: str, envelope: Envelope) -> Come:
    """Go from where the shard waits, or from the beginning, to the next barrier or to the end.

    All have met so many times before. `where` is what the names of parts are relative to.
    """
    bench.clear()
    about = _about(shard.run, lake)
    walk = about.waiting(shard, met) or about.walk(shard, is_first=met == 0)
    while not walk.is_end:
        if walk.passed == met:
            about.put_said(shard, met, walk.everywhere.said)
            walk.everywhere.said.clear()
            about.waits(shard, walk)
            return Come(is_end=False, parts=[], policy=None, findings={})
        walk.go(*about.met(walk.passed, walk.conclusion))
    about.put_said(shard, met, walk.everywhere.said)
    flows, policy = walk.end
    del walk
    parts = written(shard, flows, lake, where, envelope)
    return Come(True, parts, None if shard.number else policy, findings_of(flows))


def judged_alone(shard: Shard, lake: str) -> tuple[Told, Known]:
    """The whole way of a shard that has no other to meet; and all answers."""
    about = _about(shard.run, lake)
    return alone(partial(judging, partial(about.seen, shard), about.view.policy), _told_by)


def written(shard: Shard, flows: pd.DataFrame, lake: str, where: str, envelope: Envelope) -> list[str]:
    """Write the parts of a shard, of whose flows that is told; gives their names. For `where` see `go`."""
    give_back()
    return _about(shard.run, lake).written(shard, flows, files(where), envelope)


def findings_of(flows: pd.DataFrame) -> dict[str, int]:
    """How many attempts there are of each finding."""
    counted = flows["finding"].value_counts()
    return {str(finding): int(count) for finding, count in counted.items() if count}


def _told_by(judged: Judged) -> Told:
    return Told(judged.facts.flows[[*TOLD]], judged.policy)


@lru_cache(maxsize=1)
def _about(run: str, lake: str) -> _About:
    """A process looks at it once, as a rule."""
    return _About(run, work.work_of(files(lake)))


class _About:
    """What a process knows of a run."""

    def __init__(self, run: str, workshop: Files) -> None:
        self.workshop = workshop
        told = json.loads(workshop.read(work.told(run, "view")))
        if policy := told["policy"]:
            lists = {kind: tuple(map(prefix, texts)) for kind, texts in policy["prefixes"].items()}
            told["policy"] = Policy(**policy | {"prefixes": lists})
        self.view = View(**told)
        self._run = run
        self._met: list[tuple[Known, Any]] = []
        """Answers, and what was concluded from them, barrier by barrier."""
        self._meeting = Lock()
        self._waiting: dict[int, Walk[Judged]] = {}

    @cached_property
    def _heard(self) -> Heard:
        with self.workshop.opened(work.told(self._run, "heard")) as path:
            told = work.read_tables(path)
        lookups = told.pop("lookups")
        return Heard(SaidByDns(**told), lookups)

    def walk(self, shard: Shard, *, is_first: bool) -> Walk[Judged]:
        """The way of a shard from its beginning to the first barrier."""
        view = partial(self._facts, shard, is_first=is_first)
        walk = Walk(partial(judging, view, self.view.policy), _told_by)
        walk.go({}, None)
        return walk

    def waiting(self, shard: Shard, met: int) -> Walk[Judged] | None:
        """A walk that waits in this process for the answers of that barrier."""
        walk = self._waiting.pop(shard.number, None)
        for number, other in [*self._waiting.items()]:
            if other.passed < met - 1:  # it has gone on in another process
                self._waiting.pop(number, None)
        return walk if walk is not None and walk.passed == met - 1 else None

    def waits(self, shard: Shard, walk: Walk[Judged]) -> None:
        """Let a walk wait here for what the others say, if there is room; else it begins anew."""
        if is_roomy():
            self._waiting[shard.number] = walk

    def seen(self, shard: Shard) -> Facts:
        """What a shard is to judge, out of the results."""
        found = stack(self.view, self.workshop).judged([part.slice for part in shard.parts])
        return with_dns(facts(found, self.view.names, self.view.latest_ns), self._heard)

    def _facts(self, shard: Shard, *, is_first: bool) -> Facts:
        """The same; it is set down the first time, and read from there, of which less is in memory."""
        name = work.told(self._run, f"facts-{shard.number}")
        if is_first:
            _put(tables_of(self.seen(shard)), self.workshop, name)
        with self.workshop.opened(name) as path:
            return facts_of(work.read_tables(path))

    def met(self, number: int, conclusion: Conclusion | None) -> tuple[Known, Any]:
        """The answers of a barrier, and what is concluded there."""
        with self._meeting:
            if number == len(self._met):
                with self.workshop.opened(work.told(self._run, f"answers-{number}")) as path:
                    answers = work.read_tables(path)
                known = {name: table for before, _ in self._met for name, table in before.items()} | answers
                self._met.append((answers, conclusion and conclusion(known)))
            return self._met[number]

    def put_said(self, shard: Shard, met: int, said: Mapping[str, Said]) -> None:
        """Lay down what a shard has to say."""
        tables = {
            name: one.table.replace_schema_metadata({"how": json.dumps([one.each, one.others])})
            for name, one in said.items()
        }
        _put(tables, self.workshop, work.told(self._run, f"said-{shard.number}-{met}"))

    def written(self, shard: Shard, judged: pd.DataFrame, shown: Files, envelope: Envelope) -> list[str]:
        """Write the parts of a shard, whose flows are judged so; gives their names."""
        results, names, begin = stack(self.view, self.workshop), [], 0
        for part in shard.parts:
            beside = judged.iloc[begin : begin + part.slice.flows]
            begin += part.slice.flows
            for table in part.tables:
                frame = results.frame(part.slice, table, beside if table == FLOWS.name else None)
                with shown.scratch() as folder:
                    write_parquet(TABLES[table], masked(table, envelope, frame), folder / "part")
                    shown.put(folder / "part", part.name(table))
                names.append(part.name(table))
        return names


def _put(tables: Mapping[str, pa.Table], workshop: Files, name: str) -> None:
    with workshop.scratch() as folder:
        work.write_tables(tables, folder / "tables", work.compression(workshop))
        workshop.put(folder / "tables", name)
