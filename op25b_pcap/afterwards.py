"""What follows an analysis, from its report folder: another policy, one attempt in words, its packets."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from op25b_pcap.capture.reading import FORMATS
from op25b_pcap.capture.record import Record
from op25b_pcap.clock import Clock
from op25b_pcap.decode.fragments import PATIENCE_NS
from op25b_pcap.facts import Facts
from op25b_pcap.faults import UsageFault
from op25b_pcap.opinion import Tables, counts, opinion
from op25b_pcap.policy import Policy
from op25b_pcap.reports.explain import advise
from op25b_pcap.reports.explain import explain as in_words
from op25b_pcap.reports.run import numbers, redescribe, sources
from op25b_pcap.reports.writing import read_run, read_table, read_tables
from op25b_pcap.rules.catalogue import rules
from op25b_pcap.rules.evidence import meanings
from op25b_pcap.tables import FLOWS

_WORST = 20
"""Subscribers that a person looks at."""


def rejudge(folder: Path, policy: Policy) -> tuple[Tables, Mapping[str, Any], list[str]]:
    """Tables that were written before under another policy, their run.json, and what would be stopped.

    No captures are needed.
    """
    clock = Clock()
    tables, run = read_tables(folder), read_run(folder)
    facts = Facts(*(tables[name] for name in Facts.__slots__))
    judged, known = opinion(facts, policy)
    counted = counts(known)
    clock.lap("judge")
    run = redescribe(run, policy, numbers(known, counted), clock.laps_s)
    return {**tables, **judged.tables, **counted}, run, advise(known, assumed=policy.assumed)


def carve(folder: Path, flow_ids: Collection[str], out: Path) -> Iterator[Record]:
    """The records of some flows of a report folder, in order of time, out of the captures themselves.

    Their packets, and the errors that quote them; of a datagram in fragments only the one that
    completed it. Raises UsageFault for a flow, or a capture, that is not there, for a flow that a log
    tells of, and if `out`, where they are to be written, is one of the captures.
    """
    from op25b_pcap.carving import carved

    flows = read_tables(folder)["flows"]
    chosen = FLOWS.arrow(flows[flows["flow_id"].isin(list(flow_ids))]).to_pylist()
    if missing := set(flow_ids) - {row["flow_id"] for row in chosen}:
        raise UsageFault(f"no flow {sorted(missing)[0]!r} in {folder}")
    run = read_run(folder)
    logs = {entry["capture"] for entry in run["inputs"] if entry["format"] not in FORMATS}
    if told := [row for row in chosen if row["capture"] in logs]:
        raise UsageFault(f"{told[0]['flow_id']} is told of by {told[0]['capture']}, a log: it has no packets")
    begin_ns = min(row["start_time"].value for row in chosen) - PATIENCE_NS  # of fragments
    captures = sources(run, begin_ns, max(row["end_time"].value for row in chosen))
    if out.exists() and any(out.samefile(capture) for capture in captures):
        raise UsageFault(f"{out} is a capture that the packets come from: it would be overwritten")
    yield from carved(chosen, captures)


def worst(folder: Path) -> tuple[pd.DataFrame, int]:
    """The subscribers of whom there is most to explain, and how many there are."""
    read_run(folder)
    subscribers = read_table(folder, "subscribers")
    by = ["leaked", "blocked", "flows"]
    ordered = subscribers.sort_values([*by, "subscriber_key"], ascending=[False] * len(by) + [True])
    return ordered.head(_WORST)[["subscriber_key", "profile", *by, "distinct_destinations"]], len(ordered)


def explain(folder: Path, wanted: str) -> list[str]:
    """One attempt, or all of a subscriber, in words; `wanted` is a flow_id or a subscriber_key."""
    return in_words(read_tables(folder), wanted, {rule.id: rule.meaning for rule in rules()}, meanings())
