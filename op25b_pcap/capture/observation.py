"""Many captures as one observation: all their records, in order of packet time.

In: paths of captures, in any order. Out: records, merged by time; and for each capture an
account of what was read and what was lost. The order in which paths are given never matters:
captures stand in natural order of their names, and equal times are told apart by which capture
began first.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

from op25b_pcap.capture.disk import flows, size_of
from op25b_pcap.capture.names import path_order, short_names
from op25b_pcap.capture.reading import Capture, Damage, first_time_ns, read
from op25b_pcap.capture.record import Record

__all__ = ["Capture", "Damage", "Observation"]

_STEP = 1 << 20
"""Octets read at a time, of a few captures."""
_LEAST_STEP = 1 << 14
_STEPS_TOGETHER = 256 << 20
"""Octets read at a time, of all captures together if they are very many."""
_NEVER = (1 << 63, 0)
"""A time and rank beyond those of any record."""


class Observation:
    """Captures read as one. Iterate once, over records in order of time.

    Memory: a window of one step (16 KiB to 1 MiB, the less the more captures there are) and a
    decompressor for each capture whose time has come and is not over; nothing for the others.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        """Nothing is opened yet; what cannot be opened will be a damage of its capture."""
        ordered = sorted(set(paths), key=path_order)
        self.captures = [
            Capture(name, path, size_of(path))
            for name, path in zip(short_names(ordered), ordered, strict=True)
        ]
        self.bytes_read = 0
        """Octets read so far, as they lie on disk."""
        self._step = min(_STEP, max(_LEAST_STEP, _STEPS_TOGETHER // max(len(ordered), 1)))
        flowing = any(flows(capture.path) and capture.size is None for capture in self.captures)
        self.bytes_total = None if flowing else sum(capture.size or 0 for capture in self.captures)
        """Octets of all captures as they lie on disk; None if a pipe is among them."""

    def __iter__(self) -> Iterator[Record]:
        queue = self._begun()
        while queue:
            _, rank, reading = heapq.heappop(queue)
            yield from reading.until(rank, queue[0][:2] if queue else _NEVER)
            if reading.held:
                heapq.heappush(queue, (reading.held[0].time_ns, rank, reading))

    def _begun(self) -> list[tuple[int, int, _Reading]]:
        """Time of the first packet, rank and reading of every capture, in this order (so, a heap).

        A file is only glanced at, and opened again when its time has come; a pipe stays open.
        """
        begun = []
        for index, capture in enumerate(self.captures):
            reading = _Reading(capture, read(capture, index, self._step, self._passing))
            begun.append((reading.begin(), index, reading))
        begun.sort(key=lambda entry: entry[:2])
        return [(began_ns, rank, reading) for rank, (began_ns, _, reading) in enumerate(begun)]

    def _passing(self, passed: int) -> None:
        self.bytes_read += passed


class _Reading:
    """One capture on its way: its account, and the records that are still to come."""

    def __init__(self, capture: Capture, records: Iterator[Record]) -> None:
        self.held: list[Record] = []
        """The next record, if it was fetched before its time had come."""
        self._capture = capture
        self._records = records

    def begin(self) -> int:
        """Time of the first packet, -1 if there is none."""
        if flows(self._capture.path):
            self.held = list(islice(self._records, 1))
            return self.held[0].time_ns if self.held else -1
        return first_time_ns(self._capture.path)

    def until(self, rank: int, limit: tuple[int, int]) -> Iterator[Record]:
        """Records in the file's order, up to one whose time and rank are beyond the limit."""
        capture = self._capture
        count, earliest_ns, latest_ns = 0, capture.first_time_ns or _NEVER[0], capture.last_time_ns or 0
        limit_ns, _ = limit
        records = chain(self.held, self._records)
        self.held = []
        try:
            for record in records:
                time_ns = record.time_ns
                if time_ns >= limit_ns and (time_ns, rank) > limit:
                    self.held = [record]
                    break
                if time_ns > latest_ns:
                    latest_ns = time_ns
                if 0 < time_ns < earliest_ns:
                    earliest_ns = time_ns
                count += 1
                yield record
        finally:
            capture.packets += count
            capture.first_time_ns = earliest_ns if latest_ns else None
            capture.last_time_ns = latest_ns or None
