"""Shares of one work, each in a process of its own.

A process is forked, so that it has all that its parent has and nothing must be sent to it: what it
finds it writes into files, and only their names and what it has learnt come back through a pipe.
The parent waits: what a share leaves behind in a process it would hold to its end. Where there is no
fork to be trusted, all is done here, one share after the other.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from op25b_pcap.assembly.flows import Usual
from op25b_pcap.facts import Found, gathered
from op25b_pcap.flows import Flow
from op25b_pcap.roles.dns import Answers
from op25b_pcap.stacks import Pile, Stack, stack_of, taken_up
from op25b_pcap.tables.everywhere import Known, T
from op25b_pcap.tables.meeting import Begin, InTurn, Step, Walks

Share = Callable[[], Iterable[Flow | Usual]]
CAN_FORK = sys.platform == "linux"
GIVING_WAY = 3
"""So nice, two processes together get as much of the processors as one that is not."""


def gathered_side_by_side(
    shares: Sequence[Share], answers: Answers, folder: Path, *, give_way: bool = False
) -> list[Found] | Stack:
    """What is found in every share: a stack if it is more than a portion in any of them.

    `folder` is for files that are needed as long as the result. `give_way`: what the parent does
    meanwhile takes longer, and is not to wait for a processor.
    """
    if len(shares) == 1 or not CAN_FORK:
        pile = Pile(folder / "0")
        rest = gathered(chain.from_iterable(share() for share in shares), answers, pile.put)
        if not pile.bases:
            return [rest]
        pile.put(rest)
        return stack_of(pile.bases)
    context = multiprocessing.get_context("fork")
    started = []
    for number, share in enumerate(shares):
        here, there = context.Pipe(duplex=False)
        pile = Pile(folder / str(number))
        process = context.Process(target=_elsewhere, args=(share, pile, there, give_way), daemon=True)
        process.start()
        there.close()
        started.append((process, here))
    found: list[list[Path]] = []
    for process, here in started:
        try:
            learnt, bases = here.recv()
        except EOFError:
            raise _ended(process) from None
        answers.take(learnt)
        found.append(bases)
        process.join()
    if all(len(bases) == 1 for bases in found):
        return [taken_up(base) for (base,) in found]
    return stack_of([*chain.from_iterable(found)])


@contextmanager
def walking(
    shards: Sequence[Begin[T]], ends: Callable[[int, T], Any], workers: int, waiting: int
) -> Iterator[Walks]:
    """The walks of all shards, in so many processes if there can be several; for the rest see `InTurn`."""
    count = min(workers, len(shards))
    if count == 1 or not CAN_FORK:
        yield InTurn(shards, ends, waiting)
        return

    def numbered(first: int) -> Callable[[int, T], Any]:
        return lambda number, end: ends(first + number * count, end)

    most = max(waiting // count, 1)
    walks = _SideBySide(
        [InTurn(shards[first::count], numbered(first), most) for first in range(count)], len(shards)
    )
    try:
        yield walks
    finally:
        walks.close()


class _SideBySide:
    """Walks of which each has a share of the shards, and goes them in a process of its own.

    The first goes the first shard, the second the second, and so on in turn.
    """

    def __init__(self, walks: Sequence[Walks], shards: int) -> None:
        context = multiprocessing.get_context("fork")
        self._shards = shards
        self._started = []
        for walk in walks:
            here, there = context.Pipe()
            process = context.Process(target=_walk, args=(walk, there, here), daemon=True)
            process.start()
            there.close()
            self._started.append((process, here))

    def go(self, answers: Known, concluded: Any) -> Iterator[Step]:
        """See `Walks`."""
        for _, here in self._started:
            here.send((answers, concluded))
        for number in range(self._shards):
            process, here = self._started[number % len(self._started)]
            try:
                step: Step = here.recv()
            except EOFError:
                raise _ended(process) from None
            yield step

    def close(self) -> None:
        """Nobody goes any more."""
        for process, _ in self._started:
            process.terminate()
            process.join()


def _walk(walk: Walks, there: Connection, here: Connection) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the parent cleans up
    here.close()  # so that this one ends when the parent does
    while True:
        try:
            answers, concluded = there.recv()
        except EOFError:
            return
        for step in walk.go(answers, concluded):
            there.send(step)


def _ended(process: BaseProcess) -> ChildProcessError:
    process.join()
    return ChildProcessError(f"a worker process ended with {process.exitcode}")


def _elsewhere(share: Share, pile: Pile, there: Connection, give_way: bool) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the parent cleans up
    if give_way:
        os.nice(GIVING_WAY)
    answers = Answers()
    pile.put(gathered(share(), answers, pile.put))
    there.send((answers.told(), pile.bases))
