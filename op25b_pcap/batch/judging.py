"""All that was found to the tables of the lake, in one process: roles and findings need the whole view.

In: results of all ranges, without their packets. Memory: some 2 kB an attempt with its session.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow.parquet as pq

from op25b_pcap import __version__
from op25b_pcap.batch import work
from op25b_pcap.batch.account import Account
from op25b_pcap.batch.assembling import found_in
from op25b_pcap.batch.files import Files
from op25b_pcap.batch.ranges import Range
from op25b_pcap.batch.tables import manifest, publish
from op25b_pcap.capture.names import short_names
from op25b_pcap.facts import Facts, facts, gathered
from op25b_pcap.pipeline import Clock, concluded, with_dns
from op25b_pcap.policy import Policy
from op25b_pcap.reports.envelope import Envelope
from op25b_pcap.reports.run import describe
from op25b_pcap.reports.writing import RUN
from op25b_pcap.roles.dns import Answers
from op25b_pcap.tables.table import to_frame


class Gathered(NamedTuple):
    """All that is in the workshop."""

    pieces: list[Account]
    """Those that count, in the order in which they began."""
    joined: Account | None
    """What became of fragments."""
    ranges: list[Range]
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
    lake: Files, gathered_: Gathered, policy: Policy | None, envelope: Envelope, clock: Clock
) -> Written:
    """Write all tables anew, unless nothing has changed since they were written."""
    told = manifest(gathered_.listed)
    signature = _signature(gathered_, told, policy, envelope)
    run = _last_run(lake)
    if run.get("signature") == signature:
        with lake.opened("summary.parquet") as path:
            return Written(run, to_frame(pq.read_table(path)), is_new=False)
    pieces = gathered_.pieces
    names = short_names([Path(piece.path) for piece in pieces])
    tables, policy = concluded(_known(lake, gathered_, names), policy, envelope, clock)
    captures = [piece.capture(name) for piece, name in zip(pieces, names, strict=True)]
    settings = {"engine": "auto", "envelope": envelope}
    run = {
        **describe(captures, _packets(gathered_.counted), policy, tables, settings, clock.laps_s),
        "pieces": told["state"].value_counts().to_dict(),
        "signature": signature,
    }
    publish({**tables, "manifest": told}, run, lake)
    return Written(run, tables["summary"], is_new=True)


def _signature(gathered_: Gathered, told: pd.DataFrame, policy: Policy | None, envelope: Envelope) -> str:
    """A digest of all that the tables depend on."""
    parts = [
        __version__,
        [range_.name for range_ in gathered_.ranges],
        policy.digest if policy else None,
        envelope,
        told.astype(str).to_numpy().tolist(),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _known(lake: Files, gathered_: Gathered, names: Sequence[str]) -> Facts:
    """What all pieces show."""
    answers, workshop = Answers(), work.work_of(lake)
    for account in gathered_.counted:
        if account.answers:
            with workshop.opened(work.answers(account.sha256)) as path:
                work.read_answers(path, answers)
    order = [piece.sha256 for piece in gathered_.pieces]
    found = [found_in(range_, lake, order, answers) for range_ in gathered_.ranges]
    latest_ns = max((piece.last_time_ns or 0 for piece in gathered_.pieces), default=0)
    return with_dns(facts(found or [gathered((), answers)], names, latest_ns), answers)


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
