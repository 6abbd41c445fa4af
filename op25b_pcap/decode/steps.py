"""How one header is passed: what a step is given, and what it may say.

A step is a function from the octets that begin with its header to what comes next: the layer
behind it (`Ahead`), several of them, a finished packet, or a `Fragment`. Where there is
nothing to be had it raises `Skip` with a reason of `SKIPPED`. Steps keep no state and never go
on by themselves; `dissect` walks from one to the next.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from sys import intern
from typing import Any, NamedTuple

from op25b_pcap.capture.record import Record
from op25b_pcap.tables.packets import Packet, Seen
from op25b_pcap.wire.addresses import text
from op25b_pcap.wire.layers import Layer

MOST_HEADERS = 64
"""Headers that are read of one record. Suricata stops at 16; a mobile's packet in a mirrored
backhaul with tags, labels and extension headers may have 20."""


class Skip(Exception):
    """No packet on this way; the argument is a reason of `SKIPPED`."""


class View(NamedTuple):
    """The octets of a header and all that follows it."""

    data: bytes
    """As far as they were captured."""
    length: int
    """As many as there were on the wire, or as an outer header claims."""

    def after(self, octets: int) -> View:
        """What follows that many octets."""
        return View(self.data[octets:], max(self.length - octets, 0))

    def within(self, length: int) -> View:
        """Nothing beyond `length` octets: padding and trailers are no payload."""
        return View(self.data[:length], min(self.length, length))

    def claimed(self, length: int) -> View:
        """The same with a length that the IP header vouches for, captured or not."""
        return View(self.data[:length], length)

    def least(self, octets: int) -> bytes:
        """The captured octets, if there are so many."""
        if len(self.data) < octets:
            raise Skip("truncated" if len(self.data) < self.length else "malformed")
        return self.data


class Ip(NamedTuple):
    """The innermost IP header so far."""

    src: bytes
    dst: bytes
    ttl: int
    identification: int | None
    has_length: bool
    """False where the length is left open: jumbograms, and packets that a card is to split."""


class Failure(NamedTuple):
    """The ICMP error whose quote is being read."""

    reporter: bytes
    type: int
    code: int


class Around(NamedTuple):
    """What the headers passed so far have told."""

    record: Record
    place: str = ""
    encapsulation: str = ""
    outer: tuple[bytes, bytes] | None = None
    """The ends of an IP tunnel, outermost; whoever pays may hide behind them."""
    ip: Ip | None = None
    failure: Failure | None = None
    is_whole: bool = True
    """False for the first part of a packet whose other parts did not come."""

    def at(self, place: str) -> Around:
        """With one more mark of the place of capture."""
        return self._replace(place=f"{self.place} {place}" if self.place else place)

    def tagged(self, word: str) -> Around:
        """Inside one more encapsulation."""
        return self._replace(encapsulation=f"{self.encapsulation}/{word}" if self.encapsulation else word)

    def tunnelled(self, word: str) -> Around:
        """Inside a tunnel from IP end to IP end; of several within each other, the outermost counts."""
        inside = self.tagged(word)
        if self.outer is None and self.ip is not None:
            inside = inside._replace(outer=(self.ip.src, self.ip.dst))
        return inside

    def carried(self, word: str) -> Around:
        """Inside a network's own carriage (mirror, overlay, backhaul), whose ends are nobody's subscriber."""
        return self.tagged(word)._replace(outer=None)

    def seen(self) -> Seen:
        """The packet's where and when."""
        record = self.record
        src, dst = (text(end) for end in self.outer) if self.outer else ("", "")
        return Seen(
            record.time_ns,
            record.capture,
            record.number,
            intern(f"{record.interface} {self.place}".rstrip()),
            intern(self.encapsulation),
            src,
            dst,
        )


class Ahead(NamedTuple):
    """The next layer, its octets, and what is around it."""

    layer: Layer
    view: View
    around: Around


class Fragment(NamedTuple):
    """A part of an IP packet."""

    key: tuple[object, ...]
    """What all parts of one packet share."""
    offset: int
    more: bool
    ahead: Ahead
    """Where the walk would go on if this were all."""


Found = Ahead | list[Ahead] | Fragment | Packet
Step = Callable[[View, Around], Found]


def fields(layout: struct.Struct, view: View) -> tuple[Any, ...]:
    """The fields of a header that Scapy does not know."""
    return layout.unpack_from(view.least(layout.size))


def between(src: bytes, dst: bytes) -> str:
    """The stations that a frame went between, as a mark of the place."""
    return f"{src.hex()}>{dst.hex()}"


def announced(registry: dict[int, Layer], number: int, view: View, around: Around) -> Ahead:
    """The layer that a number announces."""
    layer = registry.get(number)
    if layer is None:
        raise Skip("no_ip")
    return Ahead(layer, view, around)
