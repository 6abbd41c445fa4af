"""Shares of one work, each in a process of its own.

A process is forked, so that it has all that its parent has and nothing must be sent to it: what it
finds it writes into a file, and only what it has learnt comes back through a pipe. Where there is
no fork to be trusted, all is done here, one share after the other.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import pyarrow as pa

from op25b_pcap.assembly.flows import Usual
from op25b_pcap.facts import Found, gathered
from op25b_pcap.flows import Flow
from op25b_pcap.roles.dns import Answers

Share = Callable[[], Iterable[Flow | Usual]]
CAN_FORK = sys.platform == "linux"


def gathered_side_by_side(shares: Sequence[Share], answers: Answers, folder: Path) -> list[Found]:
    """What is found in every share; `folder` is for files that are needed as long as that is."""
    if len(shares) == 1 or not CAN_FORK:
        return [gathered(share(), answers) for share in shares]
    context = multiprocessing.get_context("fork")
    first, *others = shares
    started = []
    for number, share in enumerate(others):
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=_elsewhere, args=(share, folder / str(number), there), daemon=True)
        process.start()
        there.close()
        started.append((process, here, folder / str(number)))
    found = [gathered(first(), answers)]
    for process, here, base in started:
        try:
            answers.take(here.recv())
        except EOFError:
            process.join()
            raise ChildProcessError(f"a worker process ended with {process.exitcode}") from None
        process.join()
        found.append(read_found(base))
    return found


def _elsewhere(share: Share, base: Path, there: Connection) -> None:
    answers = Answers()
    write_found(gathered(share(), answers), base)
    there.send(answers.told())


def write_found(found: Found, base: Path) -> None:
    """A file a table, of names that begin so.

    Not compressed: Arrow does that in threads, which a fork of a process that had them waits for.
    """
    unified = pa.ipc.IpcWriteOptions(unify_dictionaries=True)
    for name, table in found.items():
        with pa.ipc.new_file(f"{base}.{name}", table.schema, options=unified) as writer:
            writer.write_table(table)


def read_found(base: Path) -> Found:
    """The same back, as it lies on disk."""
    names = sorted(path.name for path in base.parent.glob(f"{base.name}.*"))
    return {
        name.removeprefix(f"{base.name}."): pa.ipc.open_file(
            pa.memory_map(str(base.parent / name))
        ).read_all()
        for name in names
    }
