"""Records to a capture that everybody reads.

In: records of any link types. Out: pcapng, one section with an interface for each link type, times in
nanoseconds; or pcap where the file's name says so and it can hold all. The file appears under its name
when it is complete, or not at all.
"""

from __future__ import annotations

import os
import struct
import sys
import tempfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from op25b_pcap.capture.disk import STDIN
from op25b_pcap.capture.observation import Observation
from op25b_pcap.capture.record import Record
from op25b_pcap.faults import UsageFault

_SECTION, _INTERFACE, _ENHANCED = 0x0A0D0D0A, 1, 6
_BYTE_ORDER = 0x1A2B3C4D
_NANOSECONDS = struct.pack("<HHB3xHH", 9, 1, 9, 0, 0)
"""The options of an interface: if_tsresol is 10^-9; the end."""


_MICROSECONDS_MAGIC, _NANOSECONDS_MAGIC = 0xA1B2C3D4, 0xA1B23C4D
_SNAPLEN = 1 << 18
_SECOND_NS, _SECONDS_END = 1_000_000_000, 1 << 32


class _Held(NamedTuple):
    """What a written file holds."""

    records: int
    link_types: list[int]
    is_in_microseconds: bool
    fits_pcap: bool


def write(records: Iterable[Record], path: Path) -> int:
    """Write a capture in place of what has that name; how many records it holds.

    It is pcap if the name ends so and all records are of one link type. Only its owner may read it: packets
    hold other people's mail. `-` is stdout. Raises UsageFault if it cannot be written.
    """
    if path == STDIN:
        return _written(records, sys.stdout.buffer).records
    try:
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as folder:
            made = Path(folder, "capture.pcapng")
            with _private(made) as file:
                held = _written(records, file)
            if path.suffix == ".pcap" and held.fits_pcap:
                made = Path(folder, "capture.pcap")
                with _private(made) as file:
                    _write_pcap(Observation([made.with_suffix(".pcapng")]), held, file)
            made.replace(path)
    except OSError as fault:
        raise UsageFault(f"cannot write {path}: {fault.strerror or fault}") from fault
    return held.records


def _private(path: Path) -> BinaryIO:
    """A new file that only its owner may read."""
    return open(path, "xb", opener=partial(os.open, mode=0o600))


def _write_pcap(records: Iterable[Record], held: _Held, file: BinaryIO) -> None:
    """Write records of one link type (draft-ietf-opsawg-pcap)."""
    magic, unit_ns = (_MICROSECONDS_MAGIC, 1_000) if held.is_in_microseconds else (_NANOSECONDS_MAGIC, 1)
    (link_type,) = held.link_types
    file.write(struct.pack("<IHHiIII", magic, 2, 4, 0, 0, _SNAPLEN, link_type))
    for record in records:
        seconds, rest_ns = divmod(record.time_ns, _SECOND_NS)
        file.write(struct.pack("<IIII", seconds, rest_ns // unit_ns, len(record.data), record.length))
        file.write(record.data)


def _written(records: Iterable[Record], file: BinaryIO) -> _Held:
    file.write(_block(_SECTION, struct.pack("<IHHq", _BYTE_ORDER, 1, 0, -1)))
    interfaces: dict[int, int] = {}
    count, is_in_microseconds, is_in_range = 0, True, True
    for record in records:
        count += 1
        is_in_microseconds &= record.time_ns % 1_000 == 0
        is_in_range &= 0 <= record.time_ns < _SECONDS_END * _SECOND_NS and len(record.data) <= _SNAPLEN
        if record.link_type not in interfaces:
            interfaces[record.link_type] = len(interfaces)
            described = struct.pack("<HHI", record.link_type, 0, 0)
            file.write(_block(_INTERFACE, described + _NANOSECONDS))
        file.write(_packet(interfaces[record.link_type], record))
    return _Held(count, [*interfaces], is_in_microseconds, is_in_range and len(interfaces) == 1)


def _packet(interface: int, record: Record) -> bytes:
    time = divmod(record.time_ns, 1 << 32)
    fixed = struct.pack("<IIIII", interface, *time, len(record.data), record.length)
    return _block(_ENHANCED, fixed + record.data)


def _block(kind: int, body: bytes) -> bytes:
    padded = body + bytes(-len(body) % 4)
    length = 12 + len(padded)
    return struct.pack("<II", kind, length) + padded + struct.pack("<I", length)
