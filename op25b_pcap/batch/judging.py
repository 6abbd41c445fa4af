"""All that was found to the tables of the lake: roles and findings need the whole view.

Workers judge it in shards, and write the large tables; here their barriers are, and what is counted.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from itertools import chain, count, islice
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow.parquet as pq

from op25b_pcap import __version__
from op25b_pcap.batch import assembling, bench, work
from op25b_pcap.batch.account import Account
from op25b_pcap.batch.assembling import ANSWERS, answers_in
from op25b_pcap.batch.crew import Crew, survived
from op25b_pcap.batch.files import Files
from op25b_pcap.batch.outcome import Outcome
from op25b_pcap.batch.shards import (
    Come,
    Part,
    Shard,
    View,
    findings_of,
    forget,
    go,
    judged_alone,
    lay_down,
    lay_out,
    said_by,
    stack,
    written,
)
from op25b_pcap.batch.tables import manifest_of, publish, stage
from op25b_pcap.batch.watching import Watching
from op25b_pcap.capture.aside import batches
from op25b_pcap.capture.names import short_names
from op25b_pcap.clock import Clock
from op25b_pcap.compiled import kernels
from op25b_pcap.facts import gathered
from op25b_pcap.leavings import give_back
from op25b_pcap.opinion import FLOWS_OF_A_SHARD, Heard, counts, heard
from op25b_pcap.policy import Policy
from op25b_pcap.reports.envelope import Envelope
from op25b_pcap.reports.explain import advise
from op25b_pcap.reports.run import describe, numbers
from op25b_pcap.reports.subscribers import OF_RULES
from op25b_pcap.reports.writing import ROW_GROUP, RUN
from op25b_pcap.roles.dns import Answers
from op25b_pcap.stacks import Slice, Stack
from op25b_pcap.tables import FLOWS
from op25b_pcap.tables.everywhere import Known
from op25b_pcap.tables.meeting import Meeting
from op25b_pcap.tables.table import to_frame

FLOWS_OF_A_PART = 2 * ROW_GROUP
"""At the most, about: some 10 MB."""


class Gathered(NamedTuple):
    """All that is in the workshop."""

    pieces: list[Account]
    """Those that count, in the order in which they began."""
    joined: Account | None
    """What became of fragments."""
    results: list[str]
    """Names of what was found, range by range."""
    listed: list[Account]
    """All pieces that are in the inbox, or were."""

    @property
    def counted(self) -> list[Account]:
        """Everything that records were counted in."""
        return [*self.pieces, *([self.joined] if self.joined else [])]


def conclude(
    lake: Files,
    gathered_: Gathered,
    policy: Policy | None,
    envelope: Envelope,
    clock: Clock,
    crew: Crew,
    watching: Watching,
) -> Outcome:
    """Write all tables anew, unless nothing has changed since they were written."""
    bench.clear()
    give_back()
    pieces, workshop = gathered_.pieces, work.work_of(lake)
    names = short_names([Path(piece.path) for piece in pieces])
    own = [piece.name for piece in pieces]
    manifest = manifest_of(gathered_.listed, dict(zip(own, names, strict=True)))
    signature = _signature(gathered_, manifest, policy, envelope)
    run = _last_run(lake)
    if run.get("signature") == signature:
        with lake.opened("summary.parquet") as path:
            summary = to_frame(pq.read_table(path))
        return Outcome(run, summary, is_new=False, judged_by="", advice=[], pieces=gathered_.listed)
    before = run.get("policy", {})
    judged_by = before.get("name", "") if policy is None and before.get("assumed") is False else ""
    with stage(lake) as place, _telling(workshop.below(work.TOLD)):
        latest_ns = max((piece.last_time_ns or 0 for piece in pieces), default=0)
        contents = [piece.content for piece in pieces]
        view = View(gathered_.results, contents, names, latest_ns, policy)
        shards = _shards(view, gathered_, workshop, crew.workers)
        by, known, parts = _judged(shards, (lake.root, place.root, envelope), clock, crew, watching, workshop)
        tables = counts(known)
        clock.lap("count")
        captures = [piece.capture(name) for piece, name in zip(pieces, names, strict=True)]
        settings = {"engine": "auto", "envelope": envelope}
        packets = _packets(gathered_.counted)
        run = {
            **describe(captures, packets, by, numbers(known, tables), settings, clock.laps_s),
            "pieces": manifest["state"].value_counts().to_dict(),
            "signature": signature,
        }
        publish({**tables, "manifest": manifest}, parts, run, place)
    forget()
    advice = advise(known, assumed=by.assumed)
    summary, listed = tables["summary"], gathered_.listed
    return Outcome(run, summary, is_new=True, judged_by=judged_by, advice=advice, pieces=listed)


@contextmanager
def _telling(told: Files) -> Iterator[None]:
    """Nothing is told before, by a run that did not come to its end, nor afterwards: it is about mail."""
    told.clear()
    try:
        yield
    finally:
        told.clear()


def _judged(
    shards: Sequence[Shard],
    where: tuple[str, str, Envelope],
    clock: Clock,
    crew: Crew,
    watching: Watching,
    workshop: Files,
) -> tuple[Policy, Known, list[str]]:
    """Let shards go from barrier to barrier; gives the policy, what is counted, and what parts were written.

    `where`: the lake, where its parts are to be written, and how much of envelopes.
    """
    if len(shards) == 1:  # what it needs is loaded here already
        watching.begins("judge", 1)
        (flows, policy), known = judged_alone(shards[0], where[0])
        clock.lap("judge")
        parts = written(shards[0], flows, *where)
        watching.judged(findings_of(flows))
        clock.lap("write")
        return policy, known, parts
    known = {}
    watching.begins("judge", len(shards))
    for met in count():
        come: list[Come] = []
        keys = [(shard.run, shard.number) for shard in shards]
        for _, one in crew.results(go, [(shard, met, *where) for shard in shards], keys):
            come.append(survived(one, "judging"))
            if come[-1].is_end:
                watching.judged(come[-1].findings)
        is_end = come[0].is_end
        clock.lap("write" if is_end else "judge")
        with workshop.scratch() as folder:
            meeting = Meeting(folder, crew.workers)
            for shard in shards:
                meeting.hear(said_by(shard, met, workshop))
            answers = meeting.answers()
        known |= {name: answer for name, answer in answers.items() if is_end or name in OF_RULES}
        if is_end:
            break
        lay_down(shards[0].run, met, answers, workshop)
        del answers
        give_back()
        clock.lap("judge")
    (policy,) = (one.policy for one in come if one.policy)
    return policy, known, [*chain.from_iterable(one.parts for one in come)]


def _shards(view: View, gathered_: Gathered, workshop: Files, workers: int) -> list[Shard]:
    """All that was found, in shards; what they are to see is laid out for them."""
    run = uuid.uuid4().hex
    if not view.results:
        view = view._replace(results=[_nothing(run, workshop)])
    whole = stack(view, workshop)
    together = whole.shards(FLOWS_OF_A_PART, FLOWS_OF_A_SHARD, workers, by_day=True)
    lay_out(run, view, _heard(gathered_, whole, workshop), workshop)
    parts = _parts([*chain.from_iterable(together)])
    return [Shard(run, number, tuple(islice(parts, len(own)))) for number, own in enumerate(together)]


def _parts(slices: Sequence[Slice]) -> Iterator[Part]:
    """What is to be written of each slice."""
    there = {table for one in slices for table, shares in one.shares.items() if shares}
    of_day: Counter[int] = Counter()
    for one in slices:
        # A lake without attempts has a part, too, on the first of all days: else who reads it fails.
        wanted = one.shares if one is slices[0] else there
        tables = [table for table in wanted if one.shares[table] or table not in there]
        yield Part(one, of_day[one.day], tuple(tables))
        of_day[one.day] += 1


def _nothing(run: str, workshop: Files) -> str:
    """A result without rows; gives its name."""
    name = work.told(run, "nothing")
    with workshop.scratch() as folder:
        for table, rows in gathered((), Answers()).items():
            work.write_table(
                work.with_notes(rows, {"captures": []}), folder / table, work.compression(workshop)
            )
            workshop.put(folder / table, assembling.place(name, table))
    return name


def _signature(gathered_: Gathered, manifest: pd.DataFrame, policy: Policy | None, envelope: Envelope) -> str:
    """A digest of all that the tables depend on."""
    parts = [
        __version__,
        gathered_.results,
        policy.digest if policy else None,
        envelope,
        manifest.astype(str).to_numpy().tolist(),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _heard(gathered_: Gathered, whole: Stack, workshop: Files) -> Heard:
    """What DNS said of addresses that were called."""
    there = {name.removesuffix(ANSWERS) for name in workshop.names(ANSWERS)}
    taught = [name for name in gathered_.results if name in there]
    called = cache(partial(whole.different, FLOWS.name, "dst_ip"))
    if not taught and not any(account.heard or account.answers for account in gathered_.counted):
        return heard(Answers(), called)
    answers = Answers(kernels().read_messages, called())
    for account in gathered_.counted:
        if account.heard:
            with workshop.opened(work.heard(account.content)) as path:
                for messages in batches(path):
                    answers.hear(messages)
        if account.answers:
            with workshop.opened(work.answers(account.content)) as path:
                work.read_answers(path, answers)
    for name in taught:
        answers_in(name, workshop, answers)
    return heard(answers, called)


def _last_run(lake: Files) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = json.loads(lake.read(RUN))
    except (OSError, ValueError):
        return {}
    return found


def _packets(counted: Sequence[Account]) -> dict[str, Any]:
    """What became of all records."""
    skipped = Counter[str]()
    for account in counted:
        skipped.update(account.skipped)
    return {
        "read": sum(account.read for account in counted),
        "decoded": sum(account.decoded for account in counted),
        "by_scapy": sum(account.by_scapy for account in counted),
        "skipped": dict(skipped.most_common()),
    }
