"""How far a batch is: a live display on a terminal, lines of a log elsewhere. All of it on stderr."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from op25b_pcap.batch.account import Account
from op25b_pcap.batch.watching import Watching

_STAGES = {
    "scan": "reading pieces",
    "compare": "comparing pieces that are alike",
    "join": "joining fragments",
    "assemble": "assembling conversations",
    "judge": "judging",
}
_REMARKABLE = ("leak", "blocked", "intercepted", "disrupted")
"""Findings of which it is said how many there are so far: as many as a line has room for."""


class _Counting(Watching):
    """Counts what it is told."""

    def __init__(self) -> None:
        self.stage = ""
        self.tasks = self.done = 0
        self.octets = self.octets_done = 0
        self.packets = self.flows = 0
        self.findings = Counter[str]()

    @property
    def found(self) -> str:
        """What there is so far, of what was done in this run."""
        remarkable = {name: self.findings[name] for name in _REMARKABLE}
        told = remarkable if self.findings else {"packets": self.packets, "attempts": self.flows}
        return ", ".join(f"{count:,} {name}" for name, count in told.items() if count)

    def begins(self, stage: str, tasks: int, octets: int = 0) -> None:
        self.stage, self.tasks, self.done = stage, tasks, 0
        self.octets, self.octets_done = octets, 0
        self.show(is_new=True)

    def scanned(self, account: Account) -> None:
        self.done += 1
        self.octets_done += account.size
        self.packets += account.records
        self.show()

    def compared(self) -> None:
        self.done += 1
        self.show()

    def assembled(self, flows: int) -> None:
        self.done += 1
        self.flows += flows
        self.show()

    def judged(self, findings: Mapping[str, int]) -> None:
        self.done += 1
        self.findings.update(findings)
        self.show()

    def show(self, *, is_new: bool = False) -> None:
        """Let it be seen."""


class _Lines(_Counting):
    def __init__(self, say: Callable[[str], None], every_s: float) -> None:
        super().__init__()
        self._say, self._every_s = say, every_s
        self._last_s = 0.0

    def show(self, *, is_new: bool = False) -> None:
        now = time.monotonic()
        if not self.tasks or (self.done < self.tasks and not is_new and now - self._last_s < self._every_s):
            return
        self._last_s = now
        told = f"{_STAGES[self.stage]}: {self.done} of {self.tasks}"
        if self.octets:
            told += f", {decimal(self.octets_done)} of {decimal(self.octets)}"
        self._say("; ".join(filter(None, (told, self.found))))


class _Live(_Counting):
    def __init__(self, bar: Progress) -> None:
        super().__init__()
        self._bar = bar
        self._task: TaskID | None = None

    def show(self, *, is_new: bool = False) -> None:
        if is_new and self.tasks:
            if self._task is not None:
                self._bar.update(self._task, visible=False)
            self._task = self._bar.add_task(_STAGES[self.stage], total=self.octets or self.tasks, told="")
        if self._task is not None:
            told = f"{self.done}/{self.tasks}  {self.found}"
            self._bar.update(self._task, completed=self.octets_done if self.octets else self.done, told=told)


@contextmanager
def shown(console: Console, say: Callable[[str], None], every_s: float) -> Iterator[Watching]:
    """Something that watches a batch: lively if the console is a terminal, else with a line now and then."""
    if not console.is_terminal:
        yield _Lines(say, every_s)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        yield _Live(bar)
