"""Many captures as one observation: all their records, in order of packet time.

In: paths of captures, in any order. Out: records, merged by time; and for each capture an
account of what was read and what was lost. Neither the order in which paths are given matters, nor
their names: equal times are told apart by which capture began first.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

from op25b_pcap.capture.digest import CAN_BE_BESIDE
from op25b_pcap.capture.disk import digest_of, flows, size_of
from op25b_pcap.capture.names import path_order, short_names
from op25b_pcap.capture.reading import Capture, Damage, first_record, packed, read, unpacked_size
from op25b_pcap.capture.record import Record
from op25b_pcap.capture.runs import Run, Walks

__all__ = ["Capture", "Damage", "Observation"]

_STEP = 2 << 20
"""Octets read at a time, of a few captures."""
_LEAST_STEP = 1 << 14
_STEPS_TOGETHER = 256 << 20
"""Octets read at a time, of all captures together if they are very many."""
_UNPACKS_TO = 5
"""What an octet of a compressed capture becomes, often."""
_LARGE = 1 << 30
"""Octets of captures of which it does not matter any more how they are packed."""
_WORTH_A_PROCESS = 32 << 20
"""Octets whose digest takes longer than to start a process for it."""
_NEVER = ((1 << 63) - 1, 0)
"""A time and rank beyond those of any record."""


class Observation:
    """Captures read as one. Iterate once, over records in order of time.

    Memory: a window of one step (16 KiB to 2 MiB, the less the more captures there are) and a
    decompressor for each capture whose time has come and is not over; nothing for the others.
    """

    def __init__(self, paths: Iterable[Path], *, beside: bool = True, reckons_unpacked: bool = False) -> None:
        """What cannot be opened will be a damage of its capture.

        `beside`: there is a processor for another process to reckon digests; where that is worth it,
        that of the first is begun. `reckons_unpacked`: those of what captures unpack to are wanted, too.
        """
        ordered = sorted(set(paths), key=path_order)
        self.captures = [
            Capture(name, path, size_of(path))
            for name, path in zip(short_names(ordered), ordered, strict=True)
        ]
        """In natural order of their names."""
        began_ns = {capture.path: _began_ns(capture) for capture in self.captures}
        self.begun = sorted(self.captures, key=lambda one: (flows(one.path), began_ns[one.path]))
        """In the order in which they began, those that flow behind the others: a record's `capture` is
        the index here."""
        self._began_ns = [began_ns[capture.path] for capture in self.begun]
        self.bytes_read = 0
        """Octets read so far, as they lie on disk."""
        self._step = min(_STEP, max(_LEAST_STEP, _STEPS_TOGETHER // max(len(ordered), 1)))
        flowing = any(flows(capture.path) and capture.size is None for capture in self.captures)
        self.bytes_total = None if flowing else sum(capture.size or 0 for capture in self.captures)
        """Octets of all captures as they lie on disk; None if a pipe is among them."""
        self._reckons_unpacked = reckons_unpacked
        self._beside = beside and CAN_BE_BESIDE and (self.bytes_total or 0) >= _WORTH_A_PROCESS
        self._first = digest_of(self.begun[0].path, beside=True) if self._beside else None

    @property
    def octets_expected(self) -> int | None:
        """Octets to be read, unpacked, at a guess; None if a pipe is among them."""
        if self.bytes_total is None or self.bytes_total > _LARGE:
            return self.bytes_total
        return sum(
            (capture.size or 0) * (_UNPACKS_TO if packed(capture.path) else 1) for capture in self.captures
        )

    def octets_unpacked(self, most: int) -> int:
        """Octets to be read, unpacked, and counted as far as `most`: a small file may hold very many."""
        count = 0
        for capture in self.captures:
            if not flows(capture.path):
                count += unpacked_size(capture.path, most - count)
        return count

    @property
    def latest_ns(self) -> int:
        """The latest time of a packet so far, 0 if none has one."""
        return max((capture.last_time_ns or 0 for capture in self.captures), default=0)

    def __iter__(self) -> Iterator[Record]:
        for item in self.items(None):
            if isinstance(item, Record):
                yield item

    def items(self, walks: Walks | None, *, in_order: bool = True) -> Iterator[Record | Run]:
        """The same; with walks, records that follow each other in one capture come as runs.

        If they need not be in order, no run is cut because another capture has packets of the same time.
        """
        queue = self._begun(walks)
        while queue:
            _, rank, reading = heapq.heappop(queue)
            yield from reading.until(rank, queue[0][:2] if queue else _NEVER, in_order=in_order)
            if reading.held:
                heapq.heappush(queue, (reading.held_ns, rank, reading))

    def _begun(self, walks: Walks | None) -> list[tuple[int, int, _Reading]]:
        """Time of the first packet, index and reading of every capture, in this order (so, a heap).

        A file was only glanced at, and is opened again when its time has come; a pipe stays open.
        """
        begun = []
        for index, capture in enumerate(self.begun):
            digest = self._first if index == 0 else None
            records = read(
                capture,
                index,
                self._step,
                self._passing,
                walks,
                digest=digest,
                beside=self._beside,
                reckons_unpacked=self._reckons_unpacked,
            )
            reading = _Reading(capture, records)
            began_ns = reading.begin() if flows(capture.path) else self._began_ns[index]
            begun.append((began_ns, index, reading))
        return sorted(begun, key=lambda entry: entry[:2])

    def _passing(self, passed: int) -> None:
        self.bytes_read += passed


def _began_ns(capture: Capture) -> int:
    """Time of the first packet, -1 if there is none, or if it flows and cannot be glanced at."""
    first = None if flows(capture.path) else first_record(capture.path)
    return first.time_ns if first else -1


class _Reading:
    """One capture on its way: its account, and the records that are still to come."""

    def __init__(self, capture: Capture, items: Iterator[Record | Run]) -> None:
        self.held: list[Record | Run] = []
        """What comes next, if it was fetched before its time had come."""
        self._capture = capture
        self._items = items

    @property
    def held_ns(self) -> int:
        """Time of the next record, if it was fetched."""
        (held,) = self.held
        return held.time_ns if isinstance(held, Record) else held.first_ns

    def begin(self) -> int:
        """Fetch what comes first: its time, -1 if there is none."""
        self.held = list(islice(self._items, 1))
        return self.held_ns if self.held else -1

    def until(self, rank: int, limit: tuple[int, int], *, in_order: bool) -> Iterator[Record | Run]:
        """Records in the file's order, up to one whose time and rank are beyond the limit.

        If they need not be `in_order`, to the end of its run.
        """
        capture = self._capture
        count, earliest_ns, latest_ns = 0, capture.first_time_ns or _NEVER[0], capture.last_time_ns or 0
        limit_ns, _ = limit
        items = chain(self.held, self._items)
        self.held = []
        try:
            for item in items:
                if isinstance(item, Run):
                    run, rest = item.parted(limit_ns, with_limit=rank <= limit[1])
                    if not in_order and len(run.table):
                        run, rest = item, None
                    earliest_ns, latest_ns = run.span(earliest_ns, latest_ns)
                    count += len(run.table)
                    if len(run.table):
                        yield run
                    if rest is not None:
                        self.held = [rest]
                        break
                    continue
                time_ns = item.time_ns
                if time_ns >= limit_ns and (time_ns, rank) > limit:
                    self.held = [item]
                    break
                if time_ns > latest_ns:
                    latest_ns = time_ns
                if 0 < time_ns < earliest_ns:
                    earliest_ns = time_ns
                count += 1
                yield item
        finally:
            capture.packets += count
            capture.first_time_ns = earliest_ns if latest_ns else None
            capture.last_time_ns = latest_ns or None
