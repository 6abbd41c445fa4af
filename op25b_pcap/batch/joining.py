"""Fragments of all pieces to packets: one task, which takes what was set aside in order of time."""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from op25b_pcap.assembly.shelf import Shelf
from op25b_pcap.assembly.store import Store
from op25b_pcap.batch import work
from op25b_pcap.batch.account import Account, compact
from op25b_pcap.batch.files import files
from op25b_pcap.capture.aside import Kept, records
from op25b_pcap.capture.record import Record
from op25b_pcap.compiled import kernels
from op25b_pcap.decode import Tally
from op25b_pcap.roles.messages import MESSAGES, Messages
from op25b_pcap.scan import engine


def signature(contents: Sequence[str]) -> str:
    """The name of what the fragments of these pieces, in this order, are joined to."""
    return hashlib.sha256("\n".join(contents).encode()).hexdigest()


def join(contents: Sequence[str], began_ns: Sequence[int], lake: str) -> Account:
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
        streams = [records(path, number) for number, path in enumerate(paths)]
        engine.join(_merged(streams, began_ns), tally, store, messages)
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
        account.by_scapy = tally.read
        workshop.write(joined_name(account.sha256), account.octets())
    return account


def joined_name(content: str) -> str:
    """Where the account of joined fragments lies."""
    return f"joined/{content}.json"


def _merged(streams: Sequence[Iterator[Record]], began_ns: Sequence[int]) -> Iterator[Record]:
    """Records by time, and by who began first; nothing is held of a piece whose time has not come."""
    heap: list[tuple[int, int, Record]] = []
    waiting = iter(enumerate(began_ns))
    following = next(waiting, None)
    while heap or following:
        while following and (not heap or following[1] <= heap[0][0]):
            _push(heap, streams[following[0]], following[0])
            following = next(waiting, None)
        if heap:
            _, rank, record = heapq.heappop(heap)
            yield record
            _push(heap, streams[rank], rank)


def _push(heap: list[tuple[int, int, Record]], stream: Iterator[Record], rank: int) -> None:
    for record in itertools.islice(stream, 1):
        heapq.heappush(heap, (record.time_ns, rank, record))
