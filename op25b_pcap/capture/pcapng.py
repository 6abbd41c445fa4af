"""pcapng files (draft-ietf-opsawg-pcapng) to records.

In: the octets of one file. Out: its records in order. Any number of sections, each in its own
byte order; any number of interfaces, each with its own link type, resolution and offset of
time, which is integer arithmetic throughout; Enhanced, Simple and (obsolete) Packet Blocks.
All other blocks are skipped. Section lengths are not needed and not read.

Where the length of a block is sound, a fault inside costs that block only. Where it is not,
the file ends for us: nothing says where the next block begins.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from op25b_pcap.capture.octets import Octets
from op25b_pcap.capture.record import Record
from op25b_pcap.capture.runs import Described, Run, Walks, new_table

MAGIC = b"\x0a\x0d\x0d\x0a"
GREATEST_BLOCK = 16 << 20
"""Octets of the longest block that is looked into; longer ones are passed by."""
GREATEST_INTERFACES = 65_536
"""Interfaces of one section that are remembered."""
LATEST_NS = 1 << 62
"""Times from here on (the year 2116, beyond what pcap can say) are no times."""
_SECTION, _INTERFACE, _PACKET, _SIMPLE, _ENHANCED = 0x0A0D0D0A, 1, 2, 3, 6
_READ = frozenset({_INTERFACE, _PACKET, _SIMPLE, _ENHANCED})
_FRAME = 12
"""Octets of a block around its body: type, length, and the length again."""
_SECTION_HEADER = 28
_END_OF_OPTIONS, _IF_TSRESOL, _IF_TSOFFSET = 0, 9, 14
_NS = 1_000_000_000

Report = Callable[[int, str], None]


class _Layout(NamedTuple):
    """The fixed parts of blocks in one byte order."""

    head: struct.Struct
    tail: struct.Struct
    version: struct.Struct
    interface: struct.Struct
    option: struct.Struct
    offset: struct.Struct
    packets: dict[int, struct.Struct]
    """By type of block. All but the Simple Packet Block begin alike: interface, time in two
    halves, captured length, length."""


def _layout(order: str) -> _Layout:
    def fields(names: str) -> struct.Struct:
        return struct.Struct(order + names)

    return _Layout(
        head=fields("II"),
        tail=fields("I"),
        version=fields("HH"),
        interface=fields("H2xI"),
        option=fields("HH"),
        offset=fields("q"),
        packets={_PACKET: fields("H2xIIII"), _SIMPLE: fields("I"), _ENHANCED: fields("IIIII")},
    )


_LITTLE, _BIG = b"\x4d\x3c\x2b\x1a", b"\x1a\x2b\x3c\x4d"
_LAYOUTS = {_LITTLE: _layout("<"), _BIG: _layout(">")}
"""By the byte-order magic of a section."""
_new = tuple.__new__


class _Interface(NamedTuple):
    """What an Interface Description Block says of the packets that name it."""

    link_type: int
    snap_length: int
    """0 for no limit."""
    multiplier: int
    divisor: int
    """Ticks × multiplier // divisor are nanoseconds."""
    offset_ns: int


class _Fault(Exception):
    """What is wrong inside a block."""


def records(
    octets: Octets, capture: int, report: Report, walks: Walks | None = None
) -> Iterator[Record | Run]:
    """Records of a file whose first four octets are MAGIC; `report` gets offset and reason.

    With walks, records that lie together in a window come as a run.
    """
    section = _Section(capture, walks)
    for block in _blocks(octets, section, report):
        if isinstance(block, Run):
            yield block
            continue
        kind, window, at, end = block
        try:
            if kind == _INTERFACE:
                section.add_interface(window, at, end)
            else:
                yield section.packet(kind, window, at, end)
        except _Fault as fault:
            report(octets.offset, str(fault))


def _blocks(
    octets: Octets, section: _Section, report: Report
) -> Iterator[tuple[int, memoryview, int, int] | Run]:
    """Type and body, window[at:end], of each interface and packet block whose frame is sound.

    While a block is looked at, the offset of `octets` is that of its beginning. Packet blocks that a
    walk has read come as a run.
    """
    while octets.left >= _FRAME or octets.reach(_FRAME):
        if section.walks is not None and (run := section.run(octets)) is not None:
            yield run
            continue
        kind, length = section.layout.head.unpack_from(octets.window, octets.at)
        if kind == _SECTION:
            if not octets.reach(_SECTION_HEADER):
                break
            if fault := section.begin(bytes(octets.window[octets.at : octets.at + _SECTION_HEADER])):
                report(octets.offset, fault)
                return
            kind, length = section.layout.head.unpack_from(octets.window, octets.at)
        if length < (_SECTION_HEADER if kind == _SECTION else _FRAME) or length % 4:
            report(octets.offset, f"a block cannot be {length} octets long")
            return
        begin, held = octets.offset, octets.left
        is_read = kind in _READ and length <= GREATEST_BLOCK
        if not (octets.reach(length) if is_read else octets.skip(length - 4) and octets.reach(4)):
            report(begin, octets.ending("a block"))
            return
        if section.walks is not None and kind == _ENHANCED and is_read and held < length:
            continue  # now that it is whole in the window, a walk may have it
        window, at = octets.window, octets.at
        end = at + length - 4 if is_read else at
        (again,) = section.layout.tail.unpack_from(window, end)
        if again != length:
            report(begin, f"a block is {length} octets long by its beginning, {again} by its end")
            return
        if is_read:
            yield kind, window, at + 8, end
        elif kind in _READ:
            report(begin, f"a block of {length} octets, where {GREATEST_BLOCK} are the most")
            section.pass_over(kind)
        octets.at = end + 4
    if octets.left or octets.fault:
        report(octets.offset, octets.ending("a block"))


class _Section:
    """What the blocks of a section have in common: byte order and interfaces."""

    def __init__(self, capture: int, walks: Walks | None) -> None:
        self.layout = _layout("<")
        self.walks = walks
        self._table = None if walks is None else new_table()
        self._described: Described | None = None
        self._capture = capture
        self._packets = 0
        self._interfaces: list[_Interface | None] = []
        self._interfaces_before = 0

    def begin(self, header: bytes) -> str:
        """Begin another section of the file; what is wrong with its header, empty if nothing."""
        self._interfaces_before += len(self._interfaces)
        self._interfaces = []
        self._described = None
        layout = _LAYOUTS.get(header[8:12])
        if layout is None:
            return "a section header without a byte order"
        self.layout = layout
        major, minor = self.layout.version.unpack_from(header, 12)
        return "" if major == 1 else f"pcapng version {major}.{minor} is not supported"

    def pass_over(self, kind: int) -> None:
        """A block was too long to look at; an interface takes its number all the same."""
        if kind == _INTERFACE:
            self._interfaces.append(None)

    def add_interface(self, window: memoryview, at: int, end: int) -> None:
        """Read the body of an Interface Description Block. Raises _Fault; its number is taken anyway."""
        if len(self._interfaces) >= GREATEST_INTERFACES:
            raise _Fault(f"more than {GREATEST_INTERFACES} interfaces in one section")
        if end - at < self.layout.interface.size:
            self._interfaces.append(None)
            raise _Fault("an interface description without a link type")
        link_type, snap_length = self.layout.interface.unpack_from(window, at)
        resolution, offset_s, fault = 6, 0, ""
        try:
            for code, value in self._options(window, at + self.layout.interface.size, end):
                if code == _IF_TSRESOL and len(value) == 1:
                    resolution = value[0]
                elif code == _IF_TSOFFSET and len(value) == 8:
                    offset_s = self.layout.offset.unpack(value)[0]
        except _Fault as overrun:
            fault = str(overrun)
        self._interfaces.append(_Interface(link_type, snap_length, *_scale(resolution), offset_s * _NS))
        if fault:
            raise _Fault(fault)

    def run(self, octets: Octets) -> Run | None:
        """What a walk reads from here on; None if it stops at once."""
        if self.walks is None or self._table is None:
            return None
        if self._described is None:
            self._described = Described(self._interfaces_before)
        interfaces = self._described.table(self._interfaces)
        is_big = int(self.layout is _LAYOUTS[_BIG])
        count, octets.at = self.walks.pcapng(octets.window, octets.at, is_big, interfaces, self._table)
        if not count:
            return None
        first = self._packets + 1
        self._packets += count
        return Run(self._capture, first, octets.window, self._table[:count], octets.lies_at)

    def packet(self, kind: int, window: memoryview, at: int, end: int) -> Record:
        """Read the body of a packet block of any kind. Raises _Fault."""
        fixed = self.layout.packets[kind]
        data = at + fixed.size
        if data > end:
            raise _Fault("a packet block that ends before its packet")
        fields = fixed.unpack_from(window, at)
        index = 0 if kind == _SIMPLE else fields[0]
        if index >= len(self._interfaces) or (interface := self._interfaces[index]) is None:
            raise _Fault(f"a packet of interface {index}, which is not described")
        link_type, snap_length, multiplier, divisor, offset_ns = interface
        if kind == _SIMPLE:
            (length,) = fields
            captured = min(length, snap_length or length)
            time_ns = 0
        else:
            _, high, low, captured, length = fields
            time_ns = (high << 32 | low) * multiplier // divisor + offset_ns
        after = data + captured
        if after > end:
            raise _Fault(f"a packet of {captured} octets in a block that has room for {end - data}")
        if not 0 <= time_ns < LATEST_NS:
            raise _Fault("a packet whose time is in no calendar")
        self._packets += 1
        index += self._interfaces_before
        octets = bytes(window[data:after])
        return _new(Record, (self._capture, self._packets, time_ns, link_type, index, length, octets))

    def _options(self, window: memoryview, at: int, end: int) -> Iterator[tuple[int, memoryview]]:
        while end - at >= self.layout.option.size:
            code, length = self.layout.option.unpack_from(window, at)
            at += self.layout.option.size
            if code == _END_OF_OPTIONS:
                return
            if length > end - at:
                raise _Fault("an option of an interface runs beyond its block")
            yield code, window[at : at + length]
            at += length + -length % 4


def _scale(resolution: int) -> tuple[int, int]:
    """Multiplier and divisor from ticks to nanoseconds, of an if_tsresol octet."""
    if resolution & 0x80:
        return _NS, 1 << (resolution & 0x7F)
    return (10 ** (9 - resolution), 1) if resolution <= 9 else (1, 10 ** (resolution - 9))
