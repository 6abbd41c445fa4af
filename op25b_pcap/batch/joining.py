"""Fragments of all pieces to packets: one task, which takes what was set aside in order of time."""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from op25b_pcap.assembly.shelf import Shelf
from op25b_pcap.assembly.store import Store
from op25b_pcap.batch import work
from op25b_pcap.batch.account import Account, compact
from op25b_pcap.batch.files import files
from op25b_pcap.capture.aside import Kept, records
from op25b_pcap.capture.record import Record, in_time
from op25b_pcap.compiled import kernels
from op25b_pcap.decode import Tally
from op25b_pcap.roles.messages import MESSAGES, Messages
from op25b_pcap.scan import engine


def signature(contents: Sequence[str]) -> str:
    """The name of what the fragments of these pieces, in this order, are joined to."""
    return hashlib.sha256("\n".join(contents).encode()).hexdigest()


def join(contents: Sequence[str], lake: str) -> Account:
    """All that pieces have set aside because of fragments, in order of time, to packets.

    The pieces are in the order in which they began.
    """
    workshop = work.work_of(files(lake))
    tally = Tally()
    account = Account("", 0, 0, signature(contents), kind="joined")
    with ExitStack() as stack:
        folder = stack.enter_context(workshop.scratch())
        paths = [stack.enter_context(workshop.opened(work.aside(content))) for content in contents]
        heard = Kept(folder / "messages.arrow", MESSAGES, work.COMPRESSION)
        messages = Messages(heard.put)
        layers = Shelf(kernels(), folder, work.compression(workshop))
        store = Store(kernels(), layers)
        engine.join(_merged(paths), tally, store, messages)
        messages.close()
        layers.put(store)
        heard.close()
        for number, file in enumerate(layers.paths):
            workshop.put(file, work.layer(account.sha256, number))
        if heard.count:
            workshop.put(heard.path, work.heard(account.sha256))
        account.heard = heard.count
        account.layers = compact(layers.sizes)
        account.read, account.decoded, account.skipped = tally.read, tally.decoded, dict(tally.skipped)
        workshop.write(joined_name(account.sha256), account.octets())
    return account


def joined_name(content: str) -> str:
    """Where the account of joined fragments lies."""
    return f"joined/{content}.json"


def _merged(paths: Sequence[Path]) -> Iterator[Record]:
    """Records of pieces, each in order of time, as `record.in_time` sorts them all.

    A piece is only glanced at before its time has come, and some records of it are held from then on.
    """
    begins = sorted((next(records(path, number)).time_ns, number) for number, path in enumerate(paths))
    heap: list[tuple[tuple[int, int, int], Record, Iterator[Record]]] = []
    begun = 0
    while heap or begun < len(begins):
        while begun < len(begins) and (not heap or begins[begun] <= heap[0][0][:2]):
            _, number = begins[begun]
            _push(heap, records(paths[number], number))
            begun += 1
        _, record, stream = heapq.heappop(heap)
        yield record
        _push(heap, stream)


def _push(
    heap: list[tuple[tuple[int, int, int], Record, Iterator[Record]]], stream: Iterator[Record]
) -> None:
    for record in itertools.islice(stream, 1):
        heapq.heappush(heap, (in_time(record), record, stream))
