"""Records to a pcapng file that everybody reads.

In: records of any link types. Out: one section with an interface for each link type, times in
nanoseconds. The file appears under its name when it is complete, or not at all.
"""

from __future__ import annotations

import os
import struct
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from op25b_pcap.capture.disk import STDIN
from op25b_pcap.capture.record import Record
from op25b_pcap.faults import UsageFault

_SECTION, _INTERFACE, _ENHANCED = 0x0A0D0D0A, 1, 6
_BYTE_ORDER = 0x1A2B3C4D
_NANOSECONDS = struct.pack("<HHB3xHH", 9, 1, 9, 0, 0)
"""The options of an interface: if_tsresol is 10^-9; the end."""


def write(records: Iterable[Record], path: Path) -> int:
    """Write a pcapng file in place of what has that name; how many records it holds.

    Only its owner may read it: packets hold other people's mail. `-` is stdout. Raises UsageFault if it
    cannot be written.
    """
    if path == STDIN:
        return _written(records, sys.stdout.buffer)
    try:
        descriptor, name = tempfile.mkstemp(prefix=".writing-", dir=path.parent)
        hidden = Path(name)
        try:
            os.close(descriptor)
            with hidden.open("wb") as file:
                count = _written(records, file)
            hidden.replace(path)
        finally:
            hidden.unlink(missing_ok=True)
    except OSError as fault:
        raise UsageFault(f"cannot write {path}: {fault.strerror or fault}") from fault
    return count


def _written(records: Iterable[Record], file: BinaryIO) -> int:
    file.write(_block(_SECTION, struct.pack("<IHHq", _BYTE_ORDER, 1, 0, -1)))
    interfaces: dict[int, int] = {}
    count = 0
    for record in records:
        count += 1
        if record.link_type not in interfaces:
            interfaces[record.link_type] = len(interfaces)
            described = struct.pack("<HHI", record.link_type, 0, 0)
            file.write(_block(_INTERFACE, described + _NANOSECONDS))
        file.write(_packet(interfaces[record.link_type], record))
    return count


def _packet(interface: int, record: Record) -> bytes:
    time = divmod(record.time_ns, 1 << 32)
    fixed = struct.pack("<IIIII", interface, *time, len(record.data), record.length)
    return _block(_ENHANCED, fixed + record.data)


def _block(kind: int, body: bytes) -> bytes:
    padded = body + bytes(-len(body) % 4)
    length = 12 + len(padded)
    return struct.pack("<II", kind, length) + padded + struct.pack("<I", length)
