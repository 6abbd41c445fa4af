"""Runs: many records of one window as a table of integers, for who cannot afford an object each.

The walks find where records lie, as `pcap` and `pcapng` do, but pass over nothing that is
odd: there they stop, and the reader takes the next record by itself. They are plain functions of
a buffer, integers and tables, so that they can be compiled; `Walks` says who runs them. Every
length is compared with what the window holds before it is believed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Table = NDArray[np.int64]

START, CAPTURED, LENGTH, TIME, LINK_TYPE, INTERFACE = range(6)
"""Columns of a run: offset in the window, octets there, octets on the wire; then as in `Record`."""
_COLUMNS = 6
_ROWS = 1 << 14
_FEW = 16
"""Interfaces of a section that there is room for from the beginning."""
_LATEST_NS = 1 << 62

ENHANCED, ENHANCED_HEADER = 6, 28
"""The block that a walk knows: its type, and the octets before the packet."""
_LEAST_BLOCK = ENHANCED_HEADER + 4
"""Octets of one without a packet: its length stands at the end once more."""


class Run(NamedTuple):
    """Records that follow each other in one capture, good until the next of it is asked for."""

    capture: int
    number: int
    """Of the first; counts as in `Record`."""
    window: memoryview
    """Read anew with what follows: none of it may be kept."""
    table: Table
    lies_at: int = -1
    """Where in its file the window begins; -1: its octets cannot be read again."""

    @property
    def first_ns(self) -> int:
        """Time of the first record."""
        return int(self.table[0, TIME])

    def span(self, earliest_ns: int, latest_ns: int) -> tuple[int, int]:
        """The earliest time and the latest, with these records; 0 is none."""
        times = self.table[:, TIME]
        if not len(times):
            return earliest_ns, latest_ns
        timed = times[times > 0]
        earliest = int(timed.min()) if len(timed) else earliest_ns
        return min(earliest, earliest_ns), max(int(times.max()), latest_ns)

    def parted(self, limit_ns: int, *, with_limit: bool) -> tuple[Run, Run | None]:
        """The records before one that is later than the limit, or as late; and that one and the rest."""
        times = self.table[:, TIME]
        beyond = times > limit_ns if with_limit else times >= limit_ns
        count = int(beyond.argmax())
        if not beyond[count]:
            return self, None
        rest = self._replace(number=self.number + count, table=self.table[count:])
        return self._replace(table=self.table[:count]), rest


class Form(NamedTuple):
    """What a walk must know of a pcap file; it takes it as a bare tuple."""

    is_big: int
    header: int
    """Octets of a packet header."""
    tick_ns: int
    bound: int
    """Octets that no packet exceeds."""
    link_type: int


class Walks(NamedTuple):
    """Both walks, compiled or as they stand here. Each gives the number of records, and where it stopped."""

    pcap: Callable[[memoryview, int, tuple[int, ...], Any], tuple[int, int]]
    pcapng: Callable[[memoryview, int, int, Any, Any], tuple[int, int]]


def new_table() -> Table:
    """Room for the records of a run."""
    import numpy as np

    return np.empty((_ROWS, _COLUMNS), np.int64)


class Described:
    """The interfaces of a section as `pcapng_walk` wants them.

    Of clocks whose arithmetic 64 bits have no room for, no walk takes a packet.
    """

    def __init__(self, before: int) -> None:
        """`before` stand in earlier sections."""
        import numpy as np

        self._before, self._count = before, 0
        self._room: Table = np.zeros((_FEW, 5), np.int64)

    def table(self, interfaces: Sequence[tuple[int, ...] | None]) -> Table:
        """All interfaces of the section so far; only those are looked at that are new."""
        import numpy as np

        if len(interfaces) > len(self._room):
            more = np.zeros((len(interfaces), 5), np.int64)  # doubled: there may be packets between any two
            self._room = np.concatenate([self._room, more])
        for index in range(self._count, len(interfaces)):
            interface = interfaces[index]
            if interface is not None:
                link_type, _, multiplier, divisor, offset_ns = interface
                if multiplier * divisor < _LATEST_NS * 2 and abs(offset_ns) < _LATEST_NS:
                    self._room[index] = self._before + index, link_type, multiplier, divisor, offset_ns
        self._count = len(interfaces)
        return self._room[: self._count]


def number(data: memoryview, at: int, is_big: int) -> int:
    """Four octets."""
    if is_big:
        return data[at] * 16777216 + data[at + 1] * 65536 + data[at + 2] * 256 + data[at + 3]
    return data[at + 3] * 16777216 + data[at + 2] * 65536 + data[at + 1] * 256 + data[at]


def pcap_walk(window: memoryview, at: int, form: tuple[int, ...], table: Any) -> tuple[int, int]:
    """Records of pcap from `at` on."""
    is_big, header, tick_ns, bound, link_type = form
    end, most, count = len(window), len(table), 0
    while count < most and at + header <= end:
        captured = number(window, at + 8, is_big)
        if captured == 0 or captured > bound or captured > end - at - header:
            break
        table[count, START] = at + header
        table[count, CAPTURED] = captured
        table[count, LENGTH] = number(window, at + 12, is_big)
        table[count, TIME] = (
            number(window, at, is_big) * 1_000_000_000 + number(window, at + 4, is_big) * tick_ns
        )
        table[count, LINK_TYPE] = link_type
        table[count, INTERFACE] = 0
        count += 1
        at += header + captured
    return count, at


def pcapng_walk(window: memoryview, at: int, is_big: int, interfaces: Any, table: Any) -> tuple[int, int]:
    """Records of Enhanced Packet Blocks from `at` on.

    An interface is a row: its number in the file, link type, multiplier, divisor, offset in
    nanoseconds; a multiplier of 0 marks one that is not known.
    """
    end, most, count = len(window), len(table), 0
    while count < most and end - at >= _LEAST_BLOCK:
        length = number(window, at + 4, is_big)
        if number(window, at, is_big) != ENHANCED or length % 4 or length < _LEAST_BLOCK or length > end - at:
            break
        index, captured = number(window, at + 8, is_big), number(window, at + 20, is_big)
        if captured > length - _LEAST_BLOCK or number(window, at + length - 4, is_big) != length:
            break
        if index >= len(interfaces) or interfaces[index, 2] == 0:
            break
        time_ns = pcapng_time(
            number(window, at + 12, is_big), number(window, at + 16, is_big), interfaces[index]
        )
        if time_ns < 0:
            break
        table[count, START] = at + ENHANCED_HEADER
        table[count, CAPTURED] = captured
        table[count, LENGTH] = number(window, at + 24, is_big)
        table[count, TIME] = time_ns
        table[count, LINK_TYPE] = interfaces[index, 1]
        table[count, INTERFACE] = interfaces[index, 0]
        count += 1
        at += length
    return count, at


def pcapng_time(high: int, low: int, interface: Any) -> int:
    """Nanoseconds of a time in two halves; -1 where there is no room for the arithmetic, or no calendar."""
    multiplier, divisor = interface[2], interface[3]
    if high >= 1 << 31:
        return -1
    ticks = high * 4294967296 + low
    if ticks // divisor > _LATEST_NS // multiplier - 1:
        return -1
    # Exact, and without the product of all: 64 bits have no room for it.
    time_ns = ticks // divisor * multiplier + ticks % divisor * multiplier // divisor + interface[4]
    return time_ns if time_ns < _LATEST_NS else -1


WALKS = Walks(pcap_walk, pcapng_walk)
