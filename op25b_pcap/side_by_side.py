"""Shares of one work, each in a process of its own.

A process is forked, so that it has all that its parent has and nothing must be sent to it: what it
finds it writes into files, and only their names and what it has learnt come back through a pipe.
The parent waits: what a share leaves behind in a process it would hold to its end. Where there is no
fork to be trusted, all is done here, one share after the other.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from op25b_pcap.assembly.flows import Usual
from op25b_pcap.compiled import kernels
from op25b_pcap.facts import Found, gathered
from op25b_pcap.faults import WorkerEnded, in_worker, place_of
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
    piles = [Pile(folder / str(number)) for number in range(len(shares))]
    found: list[list[Path]] = []
    gathering = [partial(_gather, share, pile, give_way) for share, pile in zip(shares, piles, strict=True)]
    with _working_for_us(gathering) as workers:
        for worker in workers:
            learnt, bases = worker.hear()
            answers.take(learnt)
            found.append(bases)
    if all(len(bases) == 1 for bases in found):
        return [taken_up(base) for (base,) in found]
    return stack_of([*chain.from_iterable(found)])


@contextmanager
def walking(shards: Sequence[Begin[T]], ends: Callable[[int, T], Any], workers: int) -> Iterator[Walks]:
    """The walks of all shards, in so many processes if there can be several; for the rest see `InTurn`."""
    count = min(workers, len(shards))
    if count == 1 or not CAN_FORK:
        yield InTurn(shards, ends)
        return

    def numbered(first: int) -> Callable[[int, T], Any]:
        return lambda number, end: ends(first + number * count, end)

    walks = [InTurn(shards[first::count], numbered(first)) for first in range(count)]
    with _working_for_us(partial(_walk, one, number == 0) for number, one in enumerate(walks)) as hired:
        yield _SideBySide(hired, len(shards))


class _SideBySide:
    """Walks of several workers: the first goes the first shard, the second the second, and so on in turn."""

    def __init__(self, workers: Sequence[_Worker], shards: int) -> None:
        self._workers, self._shards = workers, shards

    def go(self, answers: Known, concluded: Any) -> Iterator[Step]:
        """See `Walks`."""
        for worker in self._workers:
            worker.say((answers, concluded))
        for number in range(self._shards):
            step: Step = self._workers[number % len(self._workers)].hear()
            yield step


@contextmanager
def _working_for_us(work: Iterable[Callable[[Connection], None]]) -> Iterator[list[_Worker]]:
    """A worker for each; none of them outlasts the block."""
    workers: list[_Worker] = []
    try:
        workers += map(_Worker, work)
        yield workers
    finally:
        for worker in workers:
            worker.stop()


class _Fault(NamedTuple):
    """What went wrong in a worker, and where."""

    fault: Exception
    place: str
    trace: str


class _Worker:
    """A process forked from this one, and a pipe to it."""

    def __init__(self, work: Callable[[Connection], None]) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=_working, args=(work, there, self._pipe), daemon=True)
        self._process.start()
        there.close()

    def say(self, message: Any) -> None:
        """Raises WorkerEnded."""
        try:
            self._pipe.send(message)
        except OSError:
            self._has_ended()

    def hear(self) -> Any:
        """What it says next. Raises WorkerEnded, and what went wrong there."""
        try:
            found = self._pipe.recv()
        except (EOFError, OSError):
            self._has_ended()
        if isinstance(found, _Fault):
            found.fault.add_note(found.trace)
            raise in_worker(found.fault, found.place)
        return found

    def stop(self) -> None:
        """Nobody waits for it any more."""
        self._process.terminate()
        self._process.join()

    def _has_ended(self) -> NoReturn:
        self._process.join()
        code = self._process.exitcode or 0
        raise WorkerEnded(
            f"a worker process was ended by signal {-code}: is there too little memory?"
            if code < 0
            else f"a worker process has ended with {code}"
        ) from None


def _working(work: Callable[[Connection], None], there: Connection, here: Connection) -> None:
    """The whole of a worker. Its parent sees to signals, and tells what went wrong."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    here.close()  # else this one would wait for itself when its parent has gone
    try:
        work(there)
    except EOFError:
        pass  # it has gone
    except Exception as fault:
        told = _Fault(fault, place_of(fault), "".join(traceback.format_exception(fault)))
        try:
            pickle.loads(pickle.dumps(fault))
        except Exception:
            told = told._replace(fault=RuntimeError(type(fault).__name__))
        with suppress(OSError):  # it has gone
            there.send(told)


def _gather(share: Share, pile: Pile, give_way: bool, there: Connection) -> None:
    if give_way:
        os.nice(GIVING_WAY)
    answers = Answers(kernels().read_messages)  # there are several shares only where kernels made them
    pile.put(gathered(share(), answers, pile.put))
    there.send((answers.told(), pile.bases))


def _walk(walks: Walks, has_first: bool, there: Connection) -> None:
    while True:
        for number, step in enumerate(walks.go(*there.recv())):
            # What is to be concluded may hold all subscribers: it is asked of the first shard.
            there.send(step if has_first and not number else step._replace(conclusion=None))
