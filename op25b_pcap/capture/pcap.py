"""Classic pcap files (draft-ietf-opsawg-pcap) to records.

In: the octets of one file. Out: its records in order. Both byte orders, microseconds and
nanoseconds, and the longer packet headers of Kuznetzov's "modified" pcap. Refused: pcap
versions before 2.3 (captured and original length stand the other way round) and AIX's, which
calls itself 2.2.

A packet header that cannot be true ends the file: nothing says where the next one begins, and
a search for something that looks like a header would sometimes find one inside a packet.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from op25b_pcap.capture.octets import Octets
from op25b_pcap.capture.record import Record
from op25b_pcap.capture.runs import Form, Run, Walks, new_table

TRUSTED_LENGTH = 262_144
"""Octets that a packet may always hold, whatever snap length its file claims: tcpdump's own bound.
Files with snap length 0, or with packets beyond it, are read by everybody."""
GREATEST_LENGTH = 16 << 20
"""Octets that no packet may exceed, whatever snap length its file claims."""
_NS = 1_000_000_000
_FILE_HEADER = 24
_LINK_TYPE = 0xFFFF
"""The bits above hold the length of the FCS and, long ago, a class of link types."""


class _Variant(NamedTuple):
    order: str
    magic: int
    tick_ns: int
    packet_header: int


_VARIANTS = {
    struct.pack(order + "I", magic): _Variant(order, magic, tick_ns, packet_header)
    for order in "<>"
    for magic, tick_ns, packet_header in (
        (0xA1B2C3D4, 1000, 16),
        (0xA1B23C4D, 1, 16),
        (0xA1B2CD34, 1000, 24),
    )
}
MAGICS = frozenset(_VARIANTS)


class _File(NamedTuple):
    """What all records of one file have in common."""

    capture: int
    order: str
    magic: int
    form: Form


def records(
    octets: Octets, capture: int, report: Callable[[int, str], None], walks: Walks | None = None
) -> Iterator[Record | Run]:
    """Records of a file whose first four octets are one of MAGICS; `report` gets offset and reason.

    With walks, records that lie together in a window come as a run.
    """
    if not octets.reach(_FILE_HEADER):
        report(octets.offset, octets.ending("the file header"))
        return iter(())
    variant = _VARIANTS[bytes(octets.window[octets.at : octets.at + 4])]
    major, minor, snap_length, link_type = struct.unpack_from(
        variant.order + "4xHH8xII", octets.window, octets.at
    )
    if major != 2 or minor < 3:
        report(octets.offset, f"pcap version {major}.{minor} is not supported")
        return iter(())
    octets.at += _FILE_HEADER
    bound = max(TRUSTED_LENGTH, min(snap_length, GREATEST_LENGTH))
    form = Form(
        int(variant.order == ">"), variant.packet_header, variant.tick_ns, bound, link_type & _LINK_TYPE
    )
    file = _File(capture, variant.order, variant.magic, form)
    return _packets(octets, file, report) if walks is None else _runs(octets, file, report, walks)


def _runs(
    octets: Octets, file: _File, report: Callable[[int, str], None], walks: Walks
) -> Iterator[Record | Run]:
    """Records as runs; one that is odd by itself."""
    table, form, number = new_table(), tuple(file.form), 0
    while True:
        count, octets.at = walks.pcap(octets.window, octets.at, form, table)
        if count:
            yield Run(file.capture, number + 1, octets.window, table[:count], octets.lies_at)
            number += count
        if count == len(table) or (octets.left < (size := _size(octets, file)) and octets.reach(size)):
            continue
        record = next(_packets(octets, file, report, number), None)
        if record is None:
            return
        yield record
        number += 1


def _size(octets: Octets, file: _File) -> int:
    """Octets of the next record; of its header alone if there is no more, or it cannot be true."""
    header, bound = file.form.header, file.form.bound
    if octets.left < header:
        return header
    (captured,) = struct.unpack_from(file.order + "8xI", octets.window, octets.at)
    return header + captured if captured <= bound else header


def _packets(
    octets: Octets, file: _File, report: Callable[[int, str], None], number: int = 0
) -> Iterator[Record]:
    capture, order, _, form = file
    _, header, tick_ns, bound, link_type = form
    new = tuple.__new__
    unpack = struct.Struct(order + "IIII").unpack_from
    window, at, end = octets.window, octets.at, len(octets.window)
    while True:
        if at + header > end:
            octets.at = at
            if not octets.reach(header):
                break
            window, at, end = octets.window, octets.at, len(octets.window)
        seconds, fraction, captured, length = unpack(window, at)
        if (captured > bound or not captured) and (
            fault := _fault(file, seconds, fraction, captured, length)
        ):
            octets.at = at
            report(octets.offset, fault)
            return
        data = at + header
        after = data + captured
        if after > end:
            octets.at = at
            if not octets.reach(header + captured):
                break
            window, at, end = octets.window, octets.at, len(octets.window)
            data = at + header
            after = data + captured
        number += 1
        # A fraction of a second and more is out of its range, and simply added.
        time_ns = seconds * _NS + fraction * tick_ns
        octets.at = after
        yield new(Record, (capture, number, time_ns, link_type, 0, length, bytes(window[data:after])))
        at = after
    if octets.left or octets.fault:
        report(octets.offset, octets.ending(f"packet {number + 1}"))


def _fault(file: _File, seconds: int, fraction: int, captured: int, length: int) -> str:
    """What is wrong with a packet header that claims no octets, or too many; empty if nothing."""
    if captured > file.form.bound:
        return f"a packet of {captured} octets, where {file.form.bound} are the most"
    if not (seconds or fraction or length):
        return "zeros where a packet header should be"
    if seconds == file.magic and not length:
        return "a second pcap file begins here, within the first"
    return ""
