"""The Scapy engine: records to packets.

In: records of an observation. Out: TCP segments on watched ports, ICMP errors that quote such, and
DNS answers, each innermost. It takes one header after the other, as `wire.layers` says what
follows; it never raises, whatever the octets are, and the work for one record is bounded. Slow and
complete, it is the reference for faster engines.

Records that lead to a fragment wait until all have been read, and are then joined in the order of
their times: the other fragments may lie in another capture, and so it makes no difference how
captures were cut, which of them was read first, or what time some other record claims to have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

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


Joined = Callable[[Fragment], Ahead | None]
"""Takes a fragment; gives the way ahead of the whole packet if it was the last that was missing."""


class Dissector:
    """One run of the engine."""

    def __init__(self, tally: Tally, aside: Callable[[Record], None]) -> None:
        """`aside` takes records that lead to fragments, for `join`, which counts them."""
        self._tally = tally
        self._aside = aside
        self._has_fragment = False

    def packets(self, records: Iterable[Record]) -> Iterator[Packet]:
        """All packets but those in fragments; the tally is up to date after every one."""
        for record in records:
            yield from self.of(record)

    def of(self, record: Record) -> Sequence[Packet]:
        """The packets of one record, if it leads to no fragment."""
        self._has_fragment = False
        packets, reason = _walk(record, self._touch)
        if self._has_fragment:
            self._aside(record)
            return ()
        _count(self._tally, packets, reason)
        return packets

    def _touch(self, fragment: Fragment) -> None:
        self._has_fragment = True


def join(records: Iterable[Record], tally: Tally) -> Iterator[Packet]:
    """The packets of records that lead to fragments, which come in order of time.

    A first part whose others have not come within `fragments.PATIENCE_NS` goes its way alone.
    """
    fragments = Fragments()
    for record in records:
        for first in fragments.overdue(record.time_ns):
            yield from _alone(first, fragments, tally)
        packets, reason = _walk(record, fragments.add)
        _count(tally, packets, reason)
        yield from packets
    for first in fragments.rest():
        yield from _alone(first, fragments, tally)


def _alone(first: Ahead, fragments: Fragments, tally: Tally) -> list[Packet]:
    """What a lone first fragment holds; its record had been counted as a fragment."""
    packets, _ = walk(first, fragments.add)
    if packets and tally.skipped["fragment"]:
        tally.decoded += 1
        tally.skipped["fragment"] -= 1
        if not tally.skipped["fragment"]:
            del tally.skipped["fragment"]
    return packets


def _count(tally: Tally, packets: Sequence[Packet], reason: str) -> None:
    tally.read += 1
    if packets:
        tally.decoded += 1
    else:
        tally.skipped[reason] += 1


def _walk(record: Record, joined: Joined) -> tuple[list[Packet], str]:
    link_type = LINK_TYPES.get(record.link_type)
    if link_type is None:
        return [], "unsupported_link_type"
    view = View(record.data, max(record.length, len(record.data))).after(link_type.skip)
    return walk(Ahead(link_type.layer, view, Around(record)), joined)


def walk(first: Ahead, joined: Joined) -> tuple[list[Packet], str]:
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
                whole = joined(found)
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
