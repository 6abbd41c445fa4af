"""The whole way on one page: captures -> packets -> flows -> sessions -> roles -> findings.

Each stage is a function from rows or tables to tables; none knows another. The command line
calls only this.
"""

from __future__ import annotations

import gc
import time
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd

from op25b_pcap.capture.observation import Observation
from op25b_pcap.capture.record import Record
from op25b_pcap.capture.runs import Run
from op25b_pcap.decode import Tally
from op25b_pcap.faults import UsageFault
from op25b_pcap.flows import flows as flows_of
from op25b_pcap.flows.wanted import Wanted
from op25b_pcap.mail.sessions import Sessions
from op25b_pcap.mail.sessions import read as read_sessions
from op25b_pcap.policy import Policy
from op25b_pcap.reports.envelope import Envelope, mask_text, mask_transactions
from op25b_pcap.reports.explain import explain as in_words
from op25b_pcap.reports.run import describe, redescribe, sources
from op25b_pcap.reports.subscribers import subscribers
from op25b_pcap.reports.summary import summary, timeline
from op25b_pcap.reports.writing import read_run, read_tables, write_run, write_tables
from op25b_pcap.roles.assumed import assumed_policy
from op25b_pcap.roles.dns import Answers
from op25b_pcap.roles.exchangers import with_lookups, with_names
from op25b_pcap.roles.tag import tag
from op25b_pcap.rules.catalogue import rules
from op25b_pcap.rules.evidence import meanings
from op25b_pcap.rules.judge import judge
from op25b_pcap.scan.engine import Scan, kernels_for
from op25b_pcap.tables import FLOWS, RETRIEVAL_SESSIONS, SMTP_SESSIONS, SMTP_TRANSACTIONS
from op25b_pcap.tables.gathering import Gathering
from op25b_pcap.tables.packets import DnsMessage, Packet
from op25b_pcap.wire.services import DOMAIN

Engine = Literal["auto", "scapy"]
Progress = Callable[[Observation], None]
_PROGRESS_EVERY = 1024
"""Packets between two signs of life."""
_NS = 1_000_000_000
_TUPLES_BETWEEN_COLLECTIONS = 500_000
"""Python's own is 700."""

_Item = TypeVar("_Item", Record, Record | Run)
Row = dict[str, Any]
Tables = dict[str, pd.DataFrame]


class Clock:
    """Seconds spent in each part of a run."""

    def __init__(self) -> None:
        self.laps_s: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """End a part and name it."""
        now = time.perf_counter()
        self.laps_s[name] = round(now - self._last, 3)
        self._last = now


@dataclass(slots=True)
class Facts:
    """What the captures show, before anybody's opinion."""

    flows: pd.DataFrame
    smtp_sessions: pd.DataFrame
    smtp_transactions: pd.DataFrame
    retrieval_sessions: pd.DataFrame


@dataclass(slots=True)
class Analysis:
    """Everything that one call has found, ready to be written."""

    observation: Observation
    tally: Tally
    by_scapy: int
    """Records that Scapy has dissected."""
    policy: Policy
    engine: Engine
    envelope: Envelope
    tables: Tables
    clock: Clock

    @property
    def is_damaged(self) -> bool:
        """Whether some input was damaged or could not be read."""
        return any(capture.damages for capture in self.observation.captures)


def analyse(
    paths: Iterable[Path],
    policy: Policy | None = None,
    envelope: Envelope = "domain",
    progress: Progress | None = None,
    engine: Engine = "auto",
) -> Analysis:
    """Captures to tables. Without a policy one is assumed from what the captures show."""
    clock = Clock()
    observation = Observation(paths)
    tally = Tally()
    with _seldom_collected():
        if engine == "scapy":
            from op25b_pcap.decode.dissect import decode

            facts = read(decode(_watched(observation, observation, progress), tally), observation)
            by_scapy = tally.read
        else:
            kernels = kernels_for(observation.bytes_total)
            scan = Scan(tally, kernels)
            items = observation.items(kernels.walks if kernels else None)
            facts = read(scan.packets(_watched(items, observation, progress)), observation)
            by_scapy = scan.by_scapy
    clock.lap("read")
    judged, policy = opinion(facts, policy)
    clock.lap("judge")
    tables = {
        "flows": judged,
        "smtp_sessions": mask_text(facts.smtp_sessions, envelope),
        "smtp_transactions": mask_transactions(facts.smtp_transactions, envelope),
        "retrieval_sessions": mask_text(facts.retrieval_sessions, envelope),
        **counts(judged, facts.smtp_sessions),
    }
    clock.lap("count")
    return Analysis(observation, tally, by_scapy, policy, engine, envelope, tables, clock)


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """Millions of tuples are made and none is in a circle: looking for circles costs a fifth of a run."""
    before = gc.get_threshold()
    gc.set_threshold(_TUPLES_BETWEEN_COLLECTIONS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def write(analysis: Analysis, folder: Path, *, csv: bool) -> None:
    """Tables, their CSV twins if asked for, and last run.json, into a folder that is there."""
    write_tables(analysis.tables, folder, csv=csv)
    analysis.clock.lap("write")
    tally = analysis.tally
    run = describe(
        analysis.observation.captures,
        {
            "read": tally.read,
            "decoded": tally.decoded,
            "by_scapy": analysis.by_scapy,
            "skipped": dict(tally.skipped.most_common()),
        },
        analysis.policy,
        analysis.tables,
        {"engine": analysis.engine, "envelope": analysis.envelope},
        analysis.clock.laps_s,
    )
    write_run(run, folder)


def rejudge(folder: Path, policy: Policy) -> tuple[Tables, Mapping[str, Any]]:
    """Tables that were written before under another policy, and their run.json; no captures needed."""
    clock = Clock()
    tables, run = read_tables(folder), read_run(folder)
    facts = Facts(*(tables[name] for name in Facts.__slots__))
    judged, _ = opinion(facts, policy)
    tables = {**tables, "flows": judged, **counts(judged, facts.smtp_sessions)}
    clock.lap("judge")
    return tables, redescribe(run, policy, tables, clock.laps_s)


def carve(folder: Path, flow_ids: Collection[str], out: Path) -> Iterator[Record]:
    """The records of some flows of a report folder, in order of time, out of the captures themselves.

    Their packets, and the errors that quote them; of a datagram in fragments only the one that
    completed it. Raises UsageFault for a flow, or a capture, that is not there, and if `out`,
    where they are to be written, is one of the captures.
    """
    from op25b_pcap.decode.dissect import decode

    flows = read_tables(folder)["flows"]
    chosen = FLOWS.arrow(flows[flows["flow_id"].isin(list(flow_ids))]).to_pylist()
    if missing := set(flow_ids) - {row["flow_id"] for row in chosen}:
        raise UsageFault(f"no flow {sorted(missing)[0]!r} in {folder}")
    captures = sources(read_run(folder))
    if out.exists() and any(out.samefile(capture) for capture in captures):
        raise UsageFault(f"{out} is a capture that the packets come from: it would be overwritten")
    wanted = Wanted(chosen)
    current: list[Record] = []

    def passing() -> Iterator[Record]:
        for record in Observation(captures):
            current[:] = [record]
            yield record

    for packet in decode(passing(), Tally()):
        if not isinstance(packet, DnsMessage) and packet in wanted:
            yield current[0]


def explain(folder: Path, wanted: str) -> list[str]:
    """One attempt, or all of a subscriber, in words; `wanted` is a flow_id or a subscriber_key."""
    return in_words(read_tables(folder), wanted, {rule.id: rule.meaning for rule in rules()}, meanings())


def read(packets: Iterable[Packet], observation: Observation) -> Facts:
    """Packets to flows and sessions. Memory holds open conversations and finished rows."""
    answers = Answers()
    gathered = _Gathered(observation)
    for flow in flows_of(_learning_dns(packets, answers)):
        if flow.row["dst_port"] == DOMAIN:
            answers.add_stream(flow.chunks, flow.row["src_ip"])
        else:
            gathered.add(flow.row, read_sessions(flow.row, flow.chunks))
    facts = gathered.facts()
    facts.flows = with_lookups(with_names(facts.flows, answers.frame()), answers.lookups())
    return facts


class _Gathered:
    """Finished rows, and what brings them into the order of time."""

    def __init__(self, observation: Observation) -> None:
        self._observation = observation
        self._flows = Gathering(FLOWS)
        self._places = {name: array("q") for name in ("start_time", "end_time", "capture", "first_packet")}
        self._smtp, self._transactions = Gathering(SMTP_SESSIONS), Gathering(SMTP_TRANSACTIONS)
        self._retrieval = Gathering(RETRIEVAL_SESSIONS)
        self._of: dict[Gathering, array[int]] = {
            table: array("q") for table in (self._smtp, self._transactions, self._retrieval)
        }
        """Of each row the number of its flow."""

    def add(self, row: Row, sessions: Sessions) -> None:
        """Take a flow, which is the latest to be finished, with its sessions."""
        number = len(self._places["capture"])
        for name, column in self._places.items():
            column.append(row[name])
        row["capture"] = self._observation.captures[row["capture"]].name
        self._flows.add(row)
        for table, found in (
            (self._smtp, [sessions.smtp] if sessions.smtp else []),
            (self._transactions, sessions.transactions),
            (self._retrieval, [sessions.retrieval] if sessions.retrieval else []),
        ):
            for session in found:
                table.add(session)
                self._of[table].append(number)

    def facts(self) -> Facts:
        """All tables in order of time, and how long each flow was watched."""
        start, end, capture, first = (np.array(column, np.int64) for column in self._places.values())
        latest_ns = max((capture.last_time_ns or 0 for capture in self._observation.captures), default=0)
        watched = np.maximum(latest_ns - end, 0) / _NS
        order = np.lexsort((first, capture, start))
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        sessions = (
            # Stable: transactions keep their order.
            table.frame(np.argsort(rank[np.array(of, np.int64)], kind="stable"))
            for table, of in self._of.items()
        )
        smtp, transactions, retrieval = sessions
        return Facts(self._flows.frame(order, {"watched_s": watched}), smtp, transactions, retrieval)


def opinion(facts: Facts, policy: Policy | None) -> tuple[pd.DataFrame, Policy]:
    """Flows with their roles and findings, and the policy behind them."""
    if policy is None:
        policy = assumed_policy(facts.flows, facts.smtp_sessions, facts.smtp_transactions)
    tagged = tag(facts.flows, facts.smtp_sessions, facts.smtp_transactions, policy)
    return judge(tagged, facts.smtp_sessions, facts.retrieval_sessions, policy), policy


def counts(judged: pd.DataFrame, smtp_sessions: pd.DataFrame) -> Tables:
    """The tables that count."""
    return {
        "subscribers": subscribers(judged, smtp_sessions),
        "summary": summary(judged, smtp_sessions),
        "timeline": timeline(judged),
    }


def _watched(items: Iterable[_Item], observation: Observation, progress: Progress | None) -> Iterator[_Item]:
    """The same items, with a sign of life now and then."""
    if progress is None:
        yield from items
        return
    for count, item in enumerate(items):
        if count % _PROGRESS_EVERY == 0 or isinstance(item, Run):
            progress(observation)
        yield item


def _learning_dns(packets: Iterable[Packet], answers: Answers) -> Iterator[Packet]:
    """The packets that belong to flows; DNS answers are learnt on the way."""
    for packet in packets:
        if isinstance(packet, DnsMessage):
            answers.add(packet)
        else:
            yield packet
