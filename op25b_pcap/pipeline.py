"""The whole way on one page: captures -> packets -> flows -> sessions -> roles -> findings.

Each stage is a function from rows or tables to tables; none knows another. The command line
calls only this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, Self, TypeVar

import pandas as pd

from op25b_pcap.assembly.flows import Assembly
from op25b_pcap.capture.aside import OF_SEVERAL, Aside, by_time
from op25b_pcap.capture.digest import under_way
from op25b_pcap.capture.observation import Observation
from op25b_pcap.capture.record import Record
from op25b_pcap.capture.runs import Run
from op25b_pcap.circles import seldom_sought
from op25b_pcap.clock import Clock
from op25b_pcap.compiled import kernels_to_read
from op25b_pcap.decode import Tally
from op25b_pcap.facts import facts, in_order, merged, ordered
from op25b_pcap.flows import flows as flows_of
from op25b_pcap.leavings import give_back
from op25b_pcap.opinion import Tables, called, counts, heard, opinion, with_dns
from op25b_pcap.policy import Policy
from op25b_pcap.reports.envelope import Envelope, masked
from op25b_pcap.reports.run import describe, numbers
from op25b_pcap.reports.writing import write_run, write_tables
from op25b_pcap.roles.dns import Answers
from op25b_pcap.roles.messages import Messages
from op25b_pcap.scan.engine import Scan, join
from op25b_pcap.side_by_side import Share, gathered_side_by_side
from op25b_pcap.spread import Spread
from op25b_pcap.stacks import JUDGED, Stack
from op25b_pcap.tables.everywhere import Known
from op25b_pcap.tables.packets import DnsMessage, Packet

Engine = Literal["auto", "scapy"]
Progress = Callable[[Observation], None]
_PROGRESS_EVERY = 1024
"""Packets between two signs of life."""

_Item = TypeVar("_Item", Record, Record | Run)


@dataclass
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
    """Of a large capture without the large ones."""
    known: Known
    """What is to be counted of all attempts."""
    clock: Clock
    parts: Mapping[str, Callable[[], Iterator[pd.DataFrame]]] = field(default_factory=dict)
    """The large tables of such a capture, some rows at a time."""
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

    def frames(self, table: str) -> Iterable[pd.DataFrame]:
        """A large table, complete, in one part or several."""
        return self.parts[table]() if table in self.parts else [self.tables[table]]

    @cached_property
    def numbers(self) -> Mapping[str, Any]:
        """How many rows, findings and anomalies there are."""
        return numbers(self.known, self.tables)


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
    kernels = None if engine == "scapy" else kernels_to_read(observation)
    tally = Tally()
    with seldom_sought(), ExitStack() as stack:
        of_rows = _folder(stack)
        answers = Answers(kernels and kernels.read_messages, folder=of_rows)
        messages = Messages(answers.hear, kernels)
        with ExitStack() as of_packets:
            folder = _folder(of_packets)
            captures = [capture.path for capture in observation.begun]
            aside = Aside(folder / "aside.arrow", OF_SEVERAL)
            scan = Scan(tally, aside.add, kernels)
            shares: list[Share]
            if kernels is None:
                packets = _packets(_watched(observation, observation, progress), engine, scan, tally, aside)
                shares = [partial(flows_of, _hearing(packets, messages), lambda: aside.count > 0)]
            else:
                # To change from capture to capture with every packet takes ten times as long.
                items = _watched(observation.items(kernels.walks, in_order=False), observation, progress)
                assembly = Assembly(kernels, folder, captures, beside=workers > 1)
                scan.settle(items, assembly.store, messages)
                aside.close()
                if aside.count:
                    join(by_time(aside), tally, assembly.store, messages)
                messages.close()
                shares = [*assembly.shares(workers)]
                del assembly
                clock.lap("scan")
            found = gathered_side_by_side(shares, answers, of_rows, give_way=under_way())
            del shares  # and with them the packets
        give_back()
        clock.lap("flows")
        names = [capture.name for capture in observation.begun]
        shown = partial(facts, captures=names, latest_ns=observation.latest_ns)
        parts: dict[str, Callable[[], Iterator[pd.DataFrame]]] = {}
        if isinstance(found, Stack):
            spread = Spread(found, shown, of_rows, workers)
            policy, known = spread.judged(spread.heard(answers), policy)
            tables, parts = {}, {name: partial(spread.frames, name, envelope) for name in JUDGED}
        else:
            whole = merged(found)
            found.clear()
            seen = shown(ordered(whole, in_order(whole)))
            judged, known = opinion(with_dns(seen, heard(answers, partial(called, seen))), policy)
            policy = judged.policy
            tables = {name: masked(name, envelope, table) for name, table in judged.tables.items()}
            stack.close()
        give_back()
        clock.lap("judge")
        tables |= counts(known)
        clock.lap("count")
        by_scapy = tally.read if engine == "scapy" else scan.by_scapy
        return Analysis(
            observation,
            tally,
            by_scapy,
            policy,
            engine,
            envelope,
            tables,
            known,
            clock,
            parts,
            stack.pop_all(),
        )


def _folder(stack: ExitStack) -> Path:
    """A folder that is there as long as the stack is open."""
    folder = TemporaryDirectory(prefix="op25b-pcap-", ignore_cleanup_errors=True)
    return Path(stack.enter_context(folder))


def write(analysis: Analysis, folder: Path, *, csv: bool, workers: int = 1) -> None:
    """Tables, their CSV twins if asked for, and last run.json, into a folder that is there."""
    write_tables(
        {**analysis.tables, **{name: analysis.frames(name) for name in analysis.parts}},
        folder,
        csv=csv,
        at_once=workers,
    )
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
        analysis.numbers,
        {"engine": analysis.engine, "envelope": analysis.envelope},
        analysis.clock.laps_s,
    )
    write_run(run, folder)


def _packets(
    records: Iterable[Record], engine: Engine, scan: Scan, tally: Tally, aside: Aside
) -> Iterator[Packet]:
    """Packets by Scapy, or by Python as far as it knows them; those in fragments last."""
    if engine == "scapy":
        from op25b_pcap.decode.dissect import Dissector

        yield from Dissector(tally, aside.add).packets(records)
    else:
        yield from scan.packets(records)
    aside.close()
    if aside.count:
        from op25b_pcap.decode import dissect

        yield from dissect.join(by_time(aside), tally)


def _watched(items: Iterable[_Item], observation: Observation, progress: Progress | None) -> Iterator[_Item]:
    """The same items, with a sign of life now and then."""
    if progress is None:
        yield from items
        return
    for count, item in enumerate(items):
        if count % _PROGRESS_EVERY == 0 or isinstance(item, Run):
            progress(observation)
        yield item


def _hearing(packets: Iterable[Packet], messages: Messages) -> Iterator[Packet]:
    """The packets that belong to flows; answers of DNS are kept on the way."""
    for packet in packets:
        if isinstance(packet, DnsMessage):
            messages.add(packet)
        else:
            yield packet
    messages.close()
