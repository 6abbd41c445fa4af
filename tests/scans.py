"""The fast engine beside the reference: the same records to both, compiled and as Python."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from op25b_pcap.capture import runs
from op25b_pcap.capture.observation import Observation
from op25b_pcap.capture.record import Record, in_time
from op25b_pcap.capture.runs import Run, Walks
from op25b_pcap.compiled import kernels
from op25b_pcap.decode import Tally
from op25b_pcap.decode.dissect import join
from op25b_pcap.scan import frame, sweep
from op25b_pcap.scan.engine import Scan
from op25b_pcap.scan.kernels import Kernels
from tests.reference import decode

AS_PYTHON = Kernels(
    lambda window: window, runs.WALKS, frame.frame, sweep.sweep, *[None] * (len(Kernels._fields) - 4)
)
"""The kernels as they stand in their modules: NumPy then raises where an integer would wrap."""


class Made(NamedTuple):
    packets: list
    tally: Tally
    by_scapy: int = 0


class Watched(bytes):
    """Octets that cannot be read outside: an index below zero is no index from behind."""

    def __getitem__(self, at):
        if not isinstance(at, slice) and not 0 <= at < len(self):
            raise IndexError(at)
        return super().__getitem__(at)


def reference(records: Iterable[Record]) -> Made:
    tally = Tally()
    return Made(list(decode(records, tally)), tally, tally.read)


def scanned(items: Iterable[Record | Run], with_kernels: Kernels | None = None) -> Made:
    tally, aside = Tally(), []
    scan = Scan(tally, aside.append, with_kernels)
    packets = list(scan.packets(items))
    return Made(packets + list(join(sorted(aside, key=in_time), tally)), tally, scan.by_scapy)


def as_runs(records: Sequence[Record], most: int) -> Iterator[Run]:
    """The records of one capture as runs, as if `most` of them lay in a window."""
    for begin in range(0, len(records), most):
        part = records[begin : begin + most]
        table = np.zeros((len(part), 6), np.int64)
        at = 0
        for row, (_, _, time_ns, link_type, interface, length, data) in zip(table, part, strict=True):
            row[:] = at + 16, len(data), length, time_ns, link_type, interface
            at += 16 + len(data)
        window = Watched(b"".join(bytes(16) + record.data for record in part))
        yield Run(part[0].capture, part[0].number, window, table)


def assert_equal(records: Sequence[Record], most: int = 1000) -> Made:
    """All ways of the fast engine make the reference's packets and tally; gives what they made."""
    records = [record._replace(number=number) for number, record in enumerate(records, 1)]
    expected = reference(records)
    watched = [record._replace(data=Watched(record.data)) for record in records]
    plain = [run._replace(window=bytes(run.window)) for run in as_runs(records, most)]
    ways = [scanned(watched), scanned(as_runs(records, most), AS_PYTHON), scanned(plain, kernels())]
    for made in ways:
        for one, other in zip(expected.packets, made.packets, strict=False):
            assert one == other
        assert len(made.packets) == len(expected.packets)
        assert made.tally == expected.tally
        assert made.by_scapy == ways[0].by_scapy
    return ways[0]


class Account(NamedTuple):
    """All that an observation tells of its captures."""

    captures: list
    made: Made


def observed(paths: Iterable[Path], walks: Walks | None = None, *, by_scapy: bool = False) -> Account:
    """A whole observation: by the reference, as Python record by record, or compiled with walks."""
    observation = Observation(paths)
    if by_scapy:
        made = reference(observation)
    else:
        made = scanned(observation.items(walks), None if walks is None else kernels())
    return Account(
        [
            (c.name, c.size, c.sha256, c.format, c.packets, c.first_time_ns, c.last_time_ns, c.damages)
            for c in observation.captures
        ],
        made,
    )


def assert_observed_equal(paths: Iterable[Path]) -> Account:
    """The same of captures, with what is told of them."""
    paths = list(paths)
    expected = observed(paths, by_scapy=True)
    for account in (observed(paths), observed(paths, kernels().walks)):
        assert account.captures == expected.captures
        assert account.made.tally == expected.made.tally
        assert account.made.packets == expected.made.packets
    return account
