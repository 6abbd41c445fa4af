"""The whole way on one page: captures -> packets -> flows -> sessions -> roles -> findings.

Each stage is a function from rows or tables to tables; none knows another. The CLI calls
only this.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from op25b_pcap.capture.observation import Observation
from op25b_pcap.decode import Tally
from op25b_pcap.decode.dissect import decode
from op25b_pcap.flows import flows as flows_of
from op25b_pcap.mail.sessions import read as read_sessions
from op25b_pcap.policy import Policy
from op25b_pcap.reports.subscribers import subscribers
from op25b_pcap.reports.summary import summary, timeline
from op25b_pcap.roles.dns import Answers
from op25b_pcap.roles.exchangers import with_names
from op25b_pcap.roles.tag import assumed_policy, tag
from op25b_pcap.rules.judge import judge
from op25b_pcap.tables import FLOWS, RETRIEVAL_SESSIONS, SMTP_SESSIONS, SMTP_TRANSACTIONS
from op25b_pcap.tables.packets import Packet
from op25b_pcap.wire.services import DOMAIN

Progress = Callable[[Observation], None]
_PROGRESS_EVERY = 1000
_NS = 1_000_000_000


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
    policy: Policy
    tables: dict[str, pd.DataFrame]
    timings_s: dict[str, float] = field(default_factory=dict)

    @property
    def is_damaged(self) -> bool:
        """Whether some input was damaged or could not be read."""
        return any(capture.damages for capture in self.observation.captures)


def analyse(paths: Iterable[Path], policy: Policy | None = None, progress: Progress | None = None) -> Analysis:
    """Captures to tables. Without a policy one is assumed from what the captures show."""
    clock = Clock()
    observation = Observation(list(paths))
    tally = Tally()
    facts = read(decode(_watched(observation, progress), tally), observation)
    clock.lap("read")
    judged, policy = opinion(facts, policy)
    clock.lap("judge")
    tables = {
        "flows": judged,
        "smtp_sessions": facts.smtp_sessions,
        "smtp_transactions": facts.smtp_transactions,
        "retrieval_sessions": facts.retrieval_sessions,
        **counts(judged, facts.smtp_sessions),
    }
    clock.lap("count")
    return Analysis(observation, tally, policy, tables, clock.laps_s)


def read(packets: Iterable[Packet], observation: Observation) -> Facts:
    """Packets to flows and sessions. Memory holds open conversations and finished rows."""
    answers = Answers()
    rows: dict[str, list[dict[str, Any]]] = {
        "flows": [],
        "smtp_sessions": [],
        "smtp_transactions": [],
        "retrieval_sessions": [],
    }
    for flow in flows_of(_without_dns(packets, answers)):
        if flow.row["dst_port"] == DOMAIN:
            _learn_from_stream(flow.row, flow.chunks, answers)
            continue
        sessions = read_sessions(flow.row, flow.chunks)
        rows["flows"].append(flow.row)
        rows["smtp_transactions"] += sessions.transactions
        if sessions.smtp:
            rows["smtp_sessions"].append(sessions.smtp)
        if sessions.retrieval:
            rows["retrieval_sessions"].append(sessions.retrieval)
    names = [capture.name for capture in observation.captures]
    end_ns = max((c.last_time_ns or 0 for c in observation.captures), default=0)
    for row in rows["flows"]:
        row["capture"] = names[row["capture"]]
        row["watched_s"] = max(end_ns - row["end_time"], 0) / _NS
    order = {row["flow_id"]: at for at, row in enumerate(sorted(rows["flows"], key=_by_time))}
    for table in rows.values():
        table.sort(key=lambda row: (order[row["flow_id"]], row.get("transaction_index", 0)))
    flows = with_names(FLOWS.frame(rows["flows"]), answers.frame())
    return Facts(
        flows,
        SMTP_SESSIONS.frame(rows["smtp_sessions"]),
        SMTP_TRANSACTIONS.frame(rows["smtp_transactions"]),
        RETRIEVAL_SESSIONS.frame(rows["retrieval_sessions"]),
    )


def opinion(facts: Facts, policy: Policy | None) -> tuple[pd.DataFrame, Policy]:
    """Flows with their roles and findings, and the policy behind them."""
    if policy is None:
        policy = assumed_policy(facts.flows, facts.smtp_sessions)
    tagged = tag(
        facts.flows, facts.smtp_sessions, facts.smtp_transactions, facts.retrieval_sessions, policy
    )
    return judge(tagged, facts.smtp_sessions, policy), policy


def counts(judged: pd.DataFrame, smtp_sessions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tables that count."""
    return {
        "subscribers": subscribers(judged, smtp_sessions),
        "summary": summary(judged, smtp_sessions),
        "timeline": timeline(judged),
    }


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
