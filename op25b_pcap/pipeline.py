"""The whole way on one page: captures -> packets -> flows -> sessions -> roles -> findings.

Each stage is a function from rows or tables to tables; none knows another. The command line
calls only this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal, Self, TypeVar

import pandas as pd

from op25b_pcap.assembly.flows import Assembly
from op25b_pcap.capture.digest import under_way
from op25b_pcap.capture.observation import Observation
from op25b_pcap.capture.record import Record
from op25b_pcap.capture.runs import Run
from op25b_pcap.circles import seldom_sought
from op25b_pcap.clock import Clock
from op25b_pcap.compiled import WORTH_COMPILING, kernels_for
from op25b_pcap.decode import Tally
from op25b_pcap.facts import Facts, facts, in_order, merged, ordered
from op25b_pcap.flows import flows as flows_of
from op25b_pcap.leavings import give_back
from op25b_pcap.policy import Policy
from op25b_pcap.reports.envelope import Envelope, masked
from op25b_pcap.reports.run import describe
from op25b_pcap.reports.subscribers import subscribers
from op25b_pcap.reports.summary import summary, timeline
from op25b_pcap.reports.writing import ROW_GROUP, write_run, write_tables
from op25b_pcap.roles.assumed import assumed_policy
from op25b_pcap.roles.behaviour import conduct
from op25b_pcap.roles.dns import Answers
from op25b_pcap.roles.exchangers import with_lookups, with_names
from op25b_pcap.roles.tag import tag
from op25b_pcap.rules.judge import judge
from op25b_pcap.rules.stopping import trips
from op25b_pcap.scan.engine import Scan
from op25b_pcap.side_by_side import Share, gathered_side_by_side
from op25b_pcap.stacks import SHOWN, Stack
from op25b_pcap.tables.columns import coded
from op25b_pcap.tables.everywhere import Everywhere, Way, alone
from op25b_pcap.tables.packets import DnsMessage, Packet

if TYPE_CHECKING:
    from op25b_pcap.scan.kernels import Kernels

Engine = Literal["auto", "scapy"]
Progress = Callable[[Observation], None]
_PROGRESS_EVERY = 1024
"""Packets between two signs of life."""

_Item = TypeVar("_Item", Record, Record | Run)
Tables = dict[str, pd.DataFrame]


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
    """Of a large capture the large ones with those columns only that are looked at after judging."""
    clock: Clock
    parts: Mapping[str, Iterable[pd.DataFrame]] = field(default_factory=dict)
    """The large tables of such a capture, complete, some rows at a time; they can be read once."""
    _folder: ExitStack = field(default_factory=ExitStack)
    """Where these are read from."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.close()

    @property
    def is_damaged(self) -> bool:
        """Whether some input was damaged or could not be read."""
        return any(capture.damages for capture in self.observation.captures)


def analyse(
    captures: Iterable[Path] | Observation,
    policy: Policy | None = None,
    envelope: Envelope = "domain",
    progress: Progress | None = None,
    engine: Engine = "auto",
    workers: int = 1,
) -> Analysis:
    """Captures to tables. Without a policy one is assumed from what the captures show."""
    clock = Clock()
    observation = captures if isinstance(captures, Observation) else Observation(captures)
    kernels = None if engine == "scapy" else _kernels(observation)
    tally, answers = Tally(), Answers(kernels and kernels.read_messages)
    scan = Scan(tally, kernels)
    with seldom_sought(), ExitStack() as stack:
        of_rows = _folder(stack)
        with ExitStack() as of_packets:
            folder = _folder(of_packets)
            captures = [capture.path for capture in observation.captures]
            shares: list[Share]
            if kernels is None:
                packets = _packets(_watched(observation, observation, progress), engine, scan, tally)
                shares = [partial(flows_of, _learning_dns(packets, answers))]
            else:
                items = _watched(observation.items(kernels.walks), observation, progress)
                assembly = Assembly(kernels, folder, captures, beside=workers > 1)
                for message in scan.settle(items, assembly.store):
                    answers.add(message)
                shares = [*assembly.shares(workers)]
                del assembly
                clock.lap("scan")
            found = gathered_side_by_side(shares, answers, of_rows, give_way=under_way())
            del shares  # and with them the packets
        give_back()
        clock.lap("flows")
        names = [capture.name for capture in observation.captures]
        if isinstance(found, Stack):
            order, flow_of = found.order()
            in_hand = found.judged(order, flow_of)
        else:
            whole = merged(found)
            found.clear()
            order = in_order(whole)
            in_hand = ordered(whole, order)
        known = with_dns(facts(in_hand, names, observation.latest_ns), answers)
        del in_hand
        give_back()
        clock.lap("gather")
        tables, policy = concluded(known, policy, clock)
        del known
        parts: dict[str, Iterable[pd.DataFrame]] = {}
        if isinstance(found, Stack):
            tables |= {name: tables[name][[*columns]] for name, columns in SHOWN.items()}
            give_back()
            for name, rows in order.items():
                told = tables["flows"] if name == "flows" else None
                parts[name] = map(partial(masked, name, envelope), found.frames(name, rows, told, ROW_GROUP))
        else:
            tables = {name: masked(name, envelope, table) for name, table in tables.items()}
            stack.close()
        by_scapy = tally.read if engine == "scapy" else scan.by_scapy
        return Analysis(
            observation, tally, by_scapy, policy, engine, envelope, tables, clock, parts, stack.pop_all()
        )


def concluded(known: Facts, policy: Policy | None, clock: Clock) -> tuple[Tables, Policy]:
    """All tables out of the facts, and the policy behind them; envelope addresses are as they were."""
    judged, policy = opinion(known, policy)
    give_back()
    clock.lap("judge")
    tables = all_tables(known, judged)
    give_back()
    clock.lap("count")
    return tables, policy


def _kernels(observation: Observation) -> Kernels | None:
    """Compiled kernels where they are worth it; what seems small may unpack to much."""
    kernels = kernels_for(observation.octets_expected)
    return kernels or kernels_for(observation.octets_unpacked(WORTH_COMPILING))


def _folder(stack: ExitStack) -> Path:
    """A folder that is there as long as the stack is open."""
    folder = TemporaryDirectory(prefix="op25b-pcap-", ignore_cleanup_errors=True)
    return Path(stack.enter_context(folder))


def write(analysis: Analysis, folder: Path, *, csv: bool, workers: int = 1) -> None:
    """Tables, their CSV twins if asked for, and last run.json, into a folder that is there."""
    write_tables({**analysis.tables, **analysis.parts}, folder, csv=csv, at_once=workers)
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


def _packets(records: Iterable[Record], engine: Engine, scan: Scan, tally: Tally) -> Iterator[Packet]:
    """Packets by Scapy, or by Python as far as it knows them."""
    if engine == "scapy":
        from op25b_pcap.decode.dissect import decode

        return decode(records, tally)
    return scan.packets(records)


def with_dns(facts: Facts, answers: Answers) -> Facts:
    """The same with what DNS said of addresses."""
    named = with_names(facts.flows, answers.said(called(facts)))
    return replace(facts, flows=with_lookups(named, answers.lookups()))


def called(facts: Facts) -> list[str]:
    """The addresses that were called, each once."""
    addresses: list[str] = coded(facts.flows["dst_ip"]).present().to_pylist()
    return addresses


def opinion(facts: Facts, policy: Policy | None) -> tuple[pd.DataFrame, Policy]:
    """Flows with their roles and findings, and the policy behind them."""
    everywhere = Everywhere()
    return alone(judging(facts, policy, everywhere), everywhere)


def judging(facts: Facts, policy: Policy | None, everywhere: Everywhere) -> Way[tuple[pd.DataFrame, Policy]]:
    """The same of one shard of them."""
    shown = conduct(facts.flows, facts.smtp_sessions, facts.smtp_transactions, everywhere)
    trips(facts.flows, everywhere)
    if policy is None:
        policy = yield from assumed_policy(facts.flows, facts.smtp_transactions, shown, everywhere)
    else:
        yield None
    tagged = tag(facts.flows, shown, policy)
    del shown
    judged = yield from judge(tagged, facts.smtp_sessions, facts.retrieval_sessions, policy, everywhere)
    return judged, policy


def all_tables(known: Facts, judged: pd.DataFrame) -> Tables:
    """Facts, of flows with what was judged, and the tables that count."""
    return {
        "flows": judged,
        "smtp_sessions": known.smtp_sessions,
        "smtp_transactions": known.smtp_transactions,
        "retrieval_sessions": known.retrieval_sessions,
        **counts(judged, known.smtp_sessions),
    }


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
