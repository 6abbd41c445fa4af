"""All that was found to the tables of the lake: roles and findings need the whole view.

One process judges, and reads of the results of all ranges the columns that judging looks at; what
they carry beside goes from their files into the lake's, part by part, by the workers: what flows
carried while it judges, the flows while it counts.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow.parquet as pq

from op25b_pcap import __version__
from op25b_pcap.batch import bench, work
from op25b_pcap.batch.account import Account
from op25b_pcap.batch.assembling import answers_in, place, places_of_captures
from op25b_pcap.batch.crew import Crew, Deadly
from op25b_pcap.batch.files import Files
from op25b_pcap.batch.tables import manifest_of, publish, stage
from op25b_pcap.batch.telling import Part, Whole, parts_of_flows, parts_of_sessions, tell
from op25b_pcap.batch.watching import Watching
from op25b_pcap.capture.names import short_names
from op25b_pcap.clock import Clock
from op25b_pcap.compiled import kernels
from op25b_pcap.facts import Facts, facts, gathered
from op25b_pcap.leavings import give_back
from op25b_pcap.pipeline import all_tables, called, opinion, with_dns
from op25b_pcap.policy import Policy
from op25b_pcap.reports.envelope import Envelope
from op25b_pcap.reports.run import describe
from op25b_pcap.reports.writing import RUN
from op25b_pcap.roles.dns import Answers
from op25b_pcap.stacks import Lying, Pile, Stack, stack_of
from op25b_pcap.tables.table import to_frame


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


class Written(NamedTuple):
    """What the lake says now."""

    run: Mapping[str, Any]
    summary: pd.DataFrame
    is_new: bool
    """Whether tables were written."""


def conclude(
    lake: Files,
    gathered_: Gathered,
    policy: Policy | None,
    envelope: Envelope,
    clock: Clock,
    crew: Crew,
    watching: Watching,
) -> Written:
    """Write all tables anew, unless nothing has changed since they were written."""
    bench.clear()
    give_back()
    manifest = manifest_of(gathered_.listed)
    signature = _signature(gathered_, manifest, policy, envelope)
    run = _last_run(lake)
    if run.get("signature") == signature:
        with lake.opened("summary.parquet") as path:
            return Written(run, to_frame(pq.read_table(path)), is_new=False)
    pieces = gathered_.pieces
    names = short_names([Path(piece.path) for piece in pieces])
    with stage(lake) as place:

        def telling(parts: Sequence[Part]) -> Iterator[tuple[int, str | Deadly]]:
            return crew.results(tell, [(part, lake.root, place.root, envelope) for part in parts])

        workshop = work.work_of(lake)
        known, whole = _view(gathered_, names, workshop)
        carried = parts_of_sessions(whole, workshop)
        telling_carried = telling(carried)
        judged, policy = opinion(known, policy)
        attempts = parts_of_flows(whole, judged, workshop)
        telling_attempts = telling(attempts)
        clock.lap("judge")
        tables = all_tables(known, judged)
        clock.lap("count")
        watching.begins("tell", len(carried) + len(attempts))
        told = []
        for _, name in chain(telling_carried, telling_attempts):
            if isinstance(name, Deadly):
                raise MemoryError("writing tables has ended every worker")
            told.append(name)
            watching.told()
        clock.lap("write")
        captures = [piece.capture(name) for piece, name in zip(pieces, names, strict=True)]
        settings = {"engine": "auto", "envelope": envelope}
        run = {
            **describe(captures, _packets(gathered_.counted), policy, tables, settings, clock.laps_s),
            "pieces": manifest["state"].value_counts().to_dict(),
            "signature": signature,
        }
        publish({**tables, "manifest": manifest}, told, run, place)
    return Written(run, tables["summary"], is_new=True)


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


def _view(gathered_: Gathered, names: Sequence[str], workshop: Files) -> tuple[Facts, Whole]:
    """What all pieces show; of the large tables those columns only that are looked at."""
    with workshop.scratch() as folder:
        stack = _stack(gathered_, workshop) if gathered_.results else _nothing(folder)
        order, flow_of = stack.order()
        found = stack.judged(order, flow_of)
    latest_ns = max((piece.last_time_ns or 0 for piece in gathered_.pieces), default=0)
    known = facts(found, names, latest_ns)
    del found
    known = with_dns(known, _answers(gathered_, called(known), workshop))
    return known, Whole(known.flows["start_time"], order, flow_of, stack.bounds)


def _stack(gathered_: Gathered, workshop: Files) -> Stack:
    """The results of all ranges."""

    def lying(name: str, table: str) -> Lying:
        with workshop.opened(place(name, table)) as path:
            return Lying(path, is_packed=is_packed, captures=captures)

    is_packed = work.is_packed(workshop)
    captures = partial(places_of_captures, [piece.sha256 for piece in gathered_.pieces])
    return Stack({name: partial(lying, name) for name in gathered_.results})


def _nothing(folder: Path) -> Stack:
    """One portion without rows, in that folder."""
    pile = Pile(folder / "nothing")
    pile.put(gathered((), Answers()))
    return stack_of(pile.bases)


def _answers(gathered_: Gathered, addresses: Iterable[str], workshop: Files) -> Answers:
    """What DNS taught of these addresses, which were called."""
    answers = Answers(kernels().read_messages, addresses)
    for account in gathered_.counted:
        if account.heard:
            with workshop.opened(work.heard(account.sha256)) as path:
                for message in work.messages(path):
                    answers.add(message)
        if account.answers:
            with workshop.opened(work.answers(account.sha256)) as path:
                work.read_answers(path, answers)
    for name in gathered_.results:
        answers_in(name, workshop, answers)
    return answers


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
