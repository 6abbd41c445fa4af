"""The Scapy engine: records to packets.

In: records of an observation, in order of time. Out: TCP segments on watched ports, ICMP errors
that quote such, and DNS answers, each innermost. It takes one header after the other, as
`wire.layers` says what follows; it never raises, whatever the octets are, and the work for one
record is bounded. Slow and complete, it is the reference for faster engines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from op25b_pcap.capture.record import Record
from op25b_pcap.decode import Tally, ip, link, serial, tags, transport, tunnels, udp_tunnels, wireless
from op25b_pcap.decode.fragments import Fragments
from op25b_pcap.decode.steps import MOST_HEADERS, Ahead, Around, Fragment, Skip, Step, View
from op25b_pcap.tables.packets import Packet
from op25b_pcap.wire.layers import LINK_TYPES, Layer

STEPS: dict[Layer, Step] = (
    link.STEPS
    | serial.STEPS
    | wireless.STEPS
    | tags.STEPS
    | ip.STEPS
    | transport.STEPS
    | tunnels.STEPS
    | udp_tunnels.STEPS
)


def decode(records: Iterable[Record], tally: Tally) -> Iterator[Packet]:
    """Dissect; the tally is up to date after every packet.

    Packets come in the order of their records, but for those whose other fragments never came:
    these are late by `fragments.PATIENCE_NS` at most.
    """
    dissector = Dissector(tally)
    for record in records:
        yield from dissector.packets(record)
    yield from dissector.rest()


class Dissector:
    """The engine as one takes it record by record."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._fragments: Fragments = Fragments()

    @property
    def due_ns(self) -> int:
        """A record later than this may bring more than its own packets: fragments are given up."""
        return self._fragments.due_ns

    def packets(self, record: Record) -> Iterator[Packet]:
        """What has become due, then the packets of the record."""
        self._tally.read += 1
        for first in self._fragments.overdue(record.time_ns):
            yield from self._late(first)
        packets, reason = _walk(record, self._fragments)
        if packets:
            self._tally.decoded += 1
            yield from packets
        else:
            self._tally.skipped[reason] += 1

    def rest(self) -> Iterator[Packet]:
        """What is left when no more records come."""
        for first in self._fragments.rest():
            yield from self._late(first)

    def _late(self, first: Ahead) -> list[Packet]:
        """What a lone first fragment holds; its record had been counted as a fragment."""
        packets, _ = walk(first, self._fragments)
        skipped = self._tally.skipped
        if packets and skipped["fragment"]:
            self._tally.decoded += 1
            skipped["fragment"] -= 1
            if not skipped["fragment"]:
                del skipped["fragment"]
        return packets


class Apart(Dissector):
    """The engine for one of several captures that are read apart from each other.

    Records that lead to a fragment are set aside, and not counted: the other fragments may lie in
    another capture. A dissector that takes all that was set aside, in order of time, makes of them
    what it would make if it took all records.
    """

    def __init__(self, tally: Tally, aside: Callable[[Record], None]) -> None:
        super().__init__(tally)
        self._fragments = self._touched = _Touched()
        self._aside = aside

    def packets(self, record: Record) -> Iterator[Packet]:
        """The packets of the record, if it has no fragment."""
        self._touched.is_touched = False
        packets, reason = _walk(record, self._touched)
        if self._touched.is_touched:
            self._aside(record)
            return
        self._tally.read += 1
        if packets:
            self._tally.decoded += 1
            yield from packets
        else:
            self._tally.skipped[reason] += 1


class _Touched(Fragments):
    """Holds no fragments, but says whether there was one."""

    def __init__(self) -> None:
        super().__init__()
        self.is_touched = False

    def add(self, fragment: Fragment) -> Ahead | None:
        """Note that there is a fragment."""
        self.is_touched = True
        return None


def _walk(record: Record, fragments: Fragments) -> tuple[list[Packet], str]:
    link_type = LINK_TYPES.get(record.link_type)
    if link_type is None:
        return [], "unsupported_link_type"
    view = View(record.data, max(record.length, len(record.data))).after(link_type.skip)
    return walk(Ahead(link_type.layer, view, Around(record)), fragments)


def walk(first: Ahead, fragments: Fragments) -> tuple[list[Packet], str]:
    """All packets on the ways ahead; if there are none, why."""
    packets: list[Packet] = []
    ways = [first]
    reason = "too_deep"
    for _ in range(MOST_HEADERS):
        if not ways:
            break
        layer, view, around = ways.pop()
        try:
            found = STEPS[layer](view, around)
            if isinstance(found, Fragment):
                whole = fragments.add(found)
                if whole is None:
                    raise Skip("fragment")
                found = whole
        except Skip as skip:
            reason = str(skip)
            continue
        if isinstance(found, Ahead):
            ways.append(found)
        elif isinstance(found, list):
            ways += reversed(found)
        else:
            packets.append(found)
    return packets, "too_deep" if ways else reason
