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
_ORDERS = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_END_OF_OPTIONS, _IF_TSRESOL, _IF_TSOFFSET = 0, 9, 14
_NS = 1_000_000_000

Report = Callable[[int, str], None]


class _Layout(NamedTuple):
    """The fixed parts of blocks in one byte order."""

    head: struct.Struct
    tail: struct.Struct
    interface: struct.Struct
    packet: struct.Struct
    simple: struct.Struct
    enhanced: struct.Struct
    version: struct.Struct
    option: struct.Struct
    offset: struct.Struct


_FIELDS = ("II", "I", "H2xI", "H2xIIII", "I", "IIIII", "HH", "HH", "q")
_LAYOUTS = {order: _Layout(*(struct.Struct(order + fields) for fields in _FIELDS)) for order in "<>"}


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


def records(octets: Octets, capture: int, report: Report) -> Iterator[Record]:
    """Records of a file whose first four octets are MAGIC; `report` gets offset and reason."""
    section = _Section()
    new = tuple.__new__
    number = 0
    for kind, window, at, end in _blocks(octets, section, report):
        try:
            if kind == _INTERFACE:
                section.add_interface(window, at, end)
                continue
            index, time_ns, link_type, length, data = section.packet(kind, window, at, end)
        except _Fault as fault:
            report(octets.offset, str(fault))
            continue
        number += 1
        if not 0 <= time_ns < LATEST_NS:
            report(octets.offset, f"the time of packet {number} is beyond all calendars, and not used")
            time_ns = 0
        yield new(Record, (capture, number, time_ns, link_type, index, length, data))


def _blocks(octets: Octets, section: _Section, report: Report) -> Iterator[tuple[int, bytes, int, int]]:
    """Type and body, window[at:end], of each interface and packet block whose frame is sound.

    While a block is looked at, the offset stands at its beginning.
    """
    while octets.reach(_FRAME):
        window, at = octets.window, octets.at
        if window[at : at + 4] == MAGIC:
            if not octets.reach(_SECTION_HEADER):
                break
            section.begin(octets.window[octets.at : octets.at + _SECTION_HEADER])
            window, at = octets.window, octets.at
        if section.fault:
            report(octets.offset, section.fault)
            return
        kind, length = section.layout.head.unpack_from(window, at)
        if length < _FRAME or length % 4:
            report(octets.offset, f"a block cannot be {length} octets long")
            return
        is_read = kind in _READ and length <= GREATEST_BLOCK
        begin = octets.offset
        if not (octets.reach(length) if is_read else octets.skip(length - 4) and octets.reach(4)):
            break
        window, at = octets.window, octets.at
        end = at + length - 4 if is_read else at
        again = section.layout.tail.unpack_from(window, end)[0]
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

    def __init__(self) -> None:
        self.layout = _LAYOUTS["<"]
        self.fault = ""
        """Why nothing in this section can be read."""
        self._interfaces: list[_Interface | None] = []
        self._interfaces_before = 0

    def begin(self, header: bytes) -> None:
        """A Section Header Block begins with these octets."""
        self._interfaces_before += len(self._interfaces)
        self._interfaces = []
        order = _ORDERS.get(header[8:12])
        if order is None:
            self.fault = "a section header without a byte order"
            return
        self.layout = _LAYOUTS[order]
        major, minor = self.layout.version.unpack_from(header, 12)
        if major != 1:
            self.fault = f"pcapng version {major}.{minor} is not supported"

    def pass_over(self, kind: int) -> None:
        """A block was too long to look at; an interface keeps its number all the same."""
        if kind == _INTERFACE:
            self._remember(None)

    def add_interface(self, window: bytes, at: int, end: int) -> None:
        """Read the body of an Interface Description Block. Raises _Fault; its number is taken anyway."""
        if end - at < self.layout.interface.size:
            self._remember(None)
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
        self._remember(_Interface(link_type, snap_length, *_scale(resolution), offset_s * _NS))
        if fault:
            raise _Fault(fault)

    def packet(self, kind: int, window: bytes, at: int, end: int) -> tuple[int, int, int, int, bytes]:
        """Interface (in the file), time, link type, length on the wire and octets. Raises _Fault."""
        layout = self.layout
        fixed = layout.enhanced if kind == _ENHANCED else layout.packet if kind == _PACKET else layout.simple
        data = at + fixed.size
        if data > end:
            raise _Fault("a packet block that ends before its packet")
        fields = fixed.unpack_from(window, at)
        index = 0 if kind == _SIMPLE else fields[0]
        if index >= len(self._interfaces) or (interface := self._interfaces[index]) is None:
            raise _Fault(f"a packet of interface {index}, which is not described")
        if kind == _SIMPLE:
            (length,) = fields
            captured = min(length, interface.snap_length or length)
            time_ns = 0
        else:
            _, high, low, captured, length = fields
            time_ns = (high << 32 | low) * interface.multiplier // interface.divisor + interface.offset_ns
        if captured > end - data:
            raise _Fault(f"a packet of {captured} octets in a block that has room for {end - data}")
        return (
            self._interfaces_before + index,
            time_ns,
            interface.link_type,
            length,
            window[data : data + captured],
        )

    def _remember(self, interface: _Interface | None) -> None:
        if len(self._interfaces) == GREATEST_INTERFACES:
            raise _Fault(f"more than {GREATEST_INTERFACES} interfaces in one section")
        self._interfaces.append(interface)

    def _options(self, window: bytes, at: int, end: int) -> Iterator[tuple[int, bytes]]:
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
