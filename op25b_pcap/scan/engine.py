"""The fast engine: records and runs of records to packets.

In: what an observation gives. Out: the packets and the tally that Scapy's engine makes of the same
records, in the same order. What the kernels are not sure of is handed to that engine, one record
after the other; it is not even imported before there is one. What that sets aside, because it leads
to fragments, is for `join`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from op25b_pcap.capture.record import Record
from op25b_pcap.capture.runs import CAPTURED, INTERFACE, LENGTH, LINK_TYPE, START, TIME, Run
from op25b_pcap.decode import Tally
from op25b_pcap.scan import row as cell
from op25b_pcap.scan.frame import frame
from op25b_pcap.scan.packets import packet
from op25b_pcap.tables.packets import DnsMessage, IcmpError, Packet, TcpSegment

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from op25b_pcap.decode.dissect import Dissector
    from op25b_pcap.scan.kernels import Kernels

_ROWS = 2_560
"""Rows that a sweep may fill before packets are made of them: a window of mail in one go."""


class Settling(Protocol):
    """Where packets wait."""

    def settle(self, run: Run, kept: NDArray[np.int64], /) -> NDArray[np.int64]:
        """Take segments and errors among swept rows; gives the others' numbers: they are answers of DNS."""

    def add(self, packet: TcpSegment | IcmpError, /) -> None:
        """Take a packet."""


class Hearing(Protocol):
    """Where answers of DNS wait."""

    def settle(self, run: Run, kept: NDArray[np.int64], which: NDArray[np.int64], /) -> None:
        """Take them among swept rows, by their numbers."""

    def add(self, message: DnsMessage, /) -> None:
        """Take one."""


class Scan:
    """One run of the engine."""

    def __init__(
        self,
        tally: Tally,
        aside: Callable[[Record], None],
        kernels: Kernels | None = None,
    ) -> None:
        """Without kernels there may be no runs: records are looked at one by one.

        `aside` takes records that lead to fragments; they are not counted before they are joined.
        """
        self.by_scapy = 0
        """Records that Scapy has dissected."""
        self._tally = tally
        self._kernels = kernels
        self._aside = aside
        self._known = cell.registries()
        self._row = [0] * cell.WIDTH
        self._scapy: Dissector | None = None
        self._kept: NDArray[np.int64] | None = None

    def packets(self, items: Iterable[Record | Run]) -> Iterator[Packet]:
        """All packets but those in fragments; the tally is up to date when the last has come."""
        for item in items:
            yield from self._of_run(item) if isinstance(item, Run) else self._of_record(item)

    def settle(self, items: Iterable[Record | Run], store: Settling, messages: Hearing) -> None:
        """The same packets into a store, and answers of DNS to where they wait."""
        for item in items:
            if isinstance(item, Record):
                _put(self._of_record(item), store, messages)
                continue
            for swept in self._swept(item):
                if isinstance(swept, Record):
                    _put(self._by_scapy(swept), store, messages)
                else:
                    others = store.settle(item, swept)
                    if len(others):
                        messages.settle(item, swept, others)

    def _of_record(self, record: Record) -> Iterable[Packet]:
        row, data = self._row, record.data
        row[cell.LAYER], row[cell.AT], row[cell.END] = record.link_type, 0, len(data)
        row[cell.LENGTH] = max(record.length, len(data))
        verdict = frame(data, row, self._known)
        if verdict == cell.UNSURE:
            return self._by_scapy(record)
        if verdict == cell.PART:
            self._set_aside(record)
            return ()
        self._tally.read += 1
        if verdict >= cell.FIRST_REASON:
            self._tally.skipped[cell.REASONS[verdict - cell.FIRST_REASON]] += 1
            return ()
        self._tally.decoded += 1
        row[cell.TIME], row[cell.INTERFACE] = record.time_ns, record.interface
        return (packet(verdict, data, row, record.capture, record.number),)

    def _of_run(self, run: Run) -> Iterator[Packet]:
        for item in self._swept(run):
            if isinstance(item, Record):
                yield from self._by_scapy(item)
            else:
                for row in item.tolist():
                    yield packet_of(run, row)

    def _swept(self, run: Run) -> Iterator[NDArray[np.int64] | Record]:
        """Rows that the kernels have kept, good until the next are asked for, and what they are unsure of."""
        import numpy as np

        if self._kernels is None:
            raise ValueError("a run, and no kernels to sweep it")
        window, table = self._kernels.window(run.window), run.table
        if self._kept is None:
            self._kept = np.empty((_ROWS, cell.WIDTH), np.int64)
        kept = self._kept
        skipped = np.zeros(cell.VERDICTS, np.int64)
        at, end = 0, len(table)
        while at < end:
            begin = at
            count, at = self._kernels.sweep(window, table, at, kept, skipped, self._known)
            self._tally.read += at - begin
            self._tally.decoded += count
            if count:
                yield kept[:count]
            if count < _ROWS and at < end:
                if kept[count, cell.VERDICT] == cell.PART:
                    self._set_aside(record_of(run, at))
                else:
                    yield record_of(run, at)
                at += 1
        for verdict in np.flatnonzero(skipped).tolist():
            self._tally.skipped[cell.REASONS[verdict - cell.FIRST_REASON]] += int(skipped[verdict])

    def _set_aside(self, record: Record) -> None:
        self.by_scapy += 1  # when it is joined
        self._aside(record)

    def _by_scapy(self, record: Record) -> Sequence[Packet]:
        if self._scapy is None:
            from op25b_pcap.decode.dissect import Dissector

            self._scapy = Dissector(self._tally, self._aside)
        self.by_scapy += 1
        return self._scapy.of(record)


def join(records: Iterable[Record], tally: Tally, store: Settling, messages: Hearing) -> None:
    """Packets of records that were set aside, in order of time, to where they wait, as `Scan.settle`s are."""
    from op25b_pcap.decode import dissect

    _put(dissect.join(records, tally), store, messages)


def packet_of(run: Run, row: list[int]) -> Packet:
    """The packet that a kept row of a run tells of."""
    return packet(row[cell.VERDICT], run.window, row, run.capture, run.number + row[cell.RECORD])


def _put(packets: Iterable[Packet], store: Settling, messages: Hearing) -> None:
    for one in packets:
        if isinstance(one, DnsMessage):
            messages.add(one)
        else:
            store.add(one)


def record_of(run: Run, at: int) -> Record:
    """One record of a run as an object."""
    row: list[Any] = run.table[at].tolist()
    data = bytes(run.window[row[START] : row[START] + row[CAPTURED]])
    return Record(run.capture, run.number + at, row[TIME], row[LINK_TYPE], row[INTERFACE], row[LENGTH], data)
