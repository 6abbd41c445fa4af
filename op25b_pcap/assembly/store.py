"""Where packets wait until all of their conversation have come: as records, not as objects.

In: rows that the kernels have swept, and packets that Scapy has dissected. Held: 112 octets a
packet, and what it carries, in two arrays of fixed size whose pages cost nothing before they are
used. When one is full, all goes to a `Shelf`.
"""

from __future__ import annotations

import hashlib
from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from op25b_pcap.assembly.ahead import Ahead
from op25b_pcap.assembly.packet import ERROR, PACKET, SEGMENT, in_words, lying
from op25b_pcap.assembly.room import Room
from op25b_pcap.assembly.settle import Into, is_cut_quote
from op25b_pcap.assembly.skim import NO_TAIL
from op25b_pcap.flows.conversations import MAX_CUT_QUOTES, CutQuotes
from op25b_pcap.scan import row as cell
from op25b_pcap.scan.packets import seen
from op25b_pcap.tables.packets import IcmpError, Seen, TcpSegment
from op25b_pcap.wire.tcp import PORTS_END, SEQUENCE_END

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from op25b_pcap.capture.runs import Run
    from op25b_pcap.scan.kernels import Kernels

MOST_PACKETS = 3 << 20
MOST_OCTETS = 128 << 20
_AS_THEY_ARE = np.empty(0, np.int64)
_OK = {False: cell.WRONG, True: cell.RIGHT, None: cell.UNKNOWABLE}
_CHECKED = {number: word for word, number in _OK.items()}


class Where(NamedTuple):
    """All that a `Seen` says but time, capture and number."""

    place: str
    encapsulation: str
    outer_src: str
    outer_dst: str


class Full(Protocol):
    """What is done with a store that is full."""

    def put(self, store: Store, /) -> None:
        """Take all that is in it."""


class Store:
    """Segments and ICMP errors of an observation, or of a part of it."""

    def __init__(
        self,
        kernels: Kernels,
        shelf: Full | None = None,
        packets: int = MOST_PACKETS,
        octets: int = MOST_OCTETS,
        *,
        leaves: bool = False,
        beside: bool = False,
        rooms: tuple[Room, Room] | None = None,
    ) -> None:
        """Without a shelf there must be room for all; `leaves`: captures will be there as long as this;
        `beside`: memory is brought up in a thread until it is `complete`; `rooms`: where it may be,
        for packets and octets, if somebody has some.
        """
        self._kernels = kernels
        self._shelf = shelf
        self._leaves = leaves
        self.fetched = np.empty(0, np.uint8)
        """What was left in files, of those packets that are looked at now."""
        self._rooms = rooms or (Room(), Room())
        self._used = np.zeros(2, np.int64)
        self.make_room(packets, octets)
        self._ahead = Ahead((self._packets, self._octets)) if beside else None
        self.wheres: list[Where] = []
        self._numbers: dict[Where, int] = {}
        self._tunnels = np.zeros(64, np.int64)
        self._places = np.full((256, 2), -1, np.int64)
        self._known_places = 0

    @property
    def packets(self) -> NDArray[Any]:
        """All packets, in the order in which they came."""
        return self._packets[: self._used[0]]

    @property
    def octets(self) -> NDArray[np.uint8]:
        """What the packets carry."""
        return self._octets[: self._used[1]]

    def settle(self, run: Run, kept: NDArray[np.int64]) -> NDArray[np.int64]:
        """Take what is ours among swept rows; gives the numbers of the others."""
        others = np.zeros(len(kept) + 1, np.int64)
        window = self._kernels.window(run.window)
        lying_at = lying(run.capture, run.lies_at) if self._leaves else -1
        begin, end = 0, len(kept)
        while True:
            into = Into(self._packets, self._octets, self._used, self._places, self._tunnels, others)
            begin = self._kernels.settle(window, kept, begin, end, into, run.capture, run.number, lying_at)
            if begin == end:
                if self._ahead is not None:
                    packets, octets = self._used.tolist()
                    self._ahead.filled((packets * PACKET.itemsize, octets))
                return others[: others[-1]]
            row: list[int] = kept[begin].tolist()
            if self._knows_place(window, row):
                self._put_away()
            else:
                self._learn_place(window, run.window, row)

    def complete(self) -> None:
        """All packets have come."""
        if self._ahead is not None:
            self._ahead.stop()
            self._ahead = None

    def add(self, packet: TcpSegment | IcmpError) -> None:
        """Take a packet as `tables.packets` has it."""
        is_error = isinstance(packet, IcmpError)
        content = packet.reporter if isinstance(packet, IcmpError) else packet.options + packet.payload
        if self._used[0] == len(self._packets) or self._used[1] + len(content) > len(self._octets):
            self._put_away()
        at, to = self._used.tolist()
        record = self._packets[at]
        record["kind"] = ERROR if is_error else SEGMENT
        self._address(record, packet)
        tunnel = self._tunnels[record["where"]]
        record["conversation"] = self._kernels.conversation_of(self._packets, at, tunnel)
        if isinstance(packet, IcmpError):
            record["icmp_type"], record["icmp_code"], record["options"] = (
                packet.type,
                packet.code,
                len(content),
            )
            record["seq"] = packet.seq or 0
            told = 0 if packet.src_port is None else PORTS_END if packet.seq is None else SEQUENCE_END
            record["captured"] = told
        else:
            record["ip_id"] = -1 if packet.ip_id is None else packet.ip_id
            record["window"] = -1 if packet.window is None else packet.window
            record["checksum"] = _OK[packet.checksum_ok]
            for name in ("seq", "ack", "flags", "ttl"):
                record[name] = getattr(packet, name)
            record["options"], record["captured"] = len(packet.options), len(packet.payload)
            record["length"] = packet.payload_length
        record["at"], record["tail"] = to, NO_TAIL
        self._octets[to : to + len(content)] = np.frombuffer(content, np.uint8)
        self._used += (1, len(content))

    def _address(self, record: Any, packet: TcpSegment | IcmpError) -> None:
        """Where and when, from whom to whom."""
        told = packet.seen
        record["time_ns"], record["number"], record["capture"] = told.time_ns, told.number, told.capture
        record["where"] = self.number_of(
            Where(told.place, told.encapsulation, told.outer_src, told.outer_dst)
        )
        record["version"] = 4 if len(packet.src) == 4 else 6
        record["src_high"], record["src_low"] = _words(packet.src)
        record["dst_high"], record["dst_low"] = _words(packet.dst)
        record["src_port"], record["dst_port"] = packet.src_port or 0, packet.dst_port or 0

    def make_room(self, packets: int, octets: int) -> None:
        """Forget all packets, but not where they were, and have room for so much instead."""
        of_packets, of_octets = self._rooms
        self._packets = of_packets.of(packets * PACKET.itemsize).view(PACKET)
        self._octets = of_octets.of(octets)
        self.clear()

    def extend(
        self,
        packets: NDArray[Any],
        octets: NDArray[np.uint8],
        wheres: Sequence[Where],
        captures: NDArray[np.int64] = _AS_THEY_ARE,
        lying_at: int = -1,
    ) -> None:
        """Take packets out of another store, with other numbers for their captures; there must be room.

        Larger payloads stay in the file in which the octets begin at `lying_at` (`packet.lying`), if any.
        """
        self._kernels.resettle(
            packets,
            in_words(packets),
            octets,
            lying_at,
            np.array([self.number_of(where) for where in wheres], np.int64),
            captures,
            self._packets,
            in_words(self._packets),
            self._octets,
            self._used,
        )

    def holding(self, packets: NDArray[Any]) -> Store:
        """These packets, whose octets are the same as here."""
        other = copy(self)
        other._packets, other._used = packets, np.array([len(packets), self._used[1]])
        return other

    def clear(self) -> None:
        """Forget all packets, but not where they were."""
        self._used[:] = 0

    def packet(self, index: int) -> TcpSegment | IcmpError:
        """A packet as `tables.packets` has it."""
        told = dict(zip(PACKET.names or (), self._packets[index].item(), strict=True))
        where = self.wheres[told["where"]]
        version, at, options = told["version"], told["at"], told["options"]
        octets, at = (self._octets, at) if at >= 0 else (self.fetched, ~at)
        content = octets[at : at + options + told["captured"] * (told["kind"] == SEGMENT)].tobytes()
        src = address(version, told["src_high"], told["src_low"])
        dst = address(version, told["dst_high"], told["dst_low"])
        place = Seen(told["time_ns"], told["capture"], told["number"], *where)
        if told["kind"] == ERROR:
            has_ports, has_seq = told["captured"] >= PORTS_END, told["captured"] >= SEQUENCE_END
            return IcmpError(
                place,
                content,
                told["icmp_type"],
                told["icmp_code"],
                src,
                dst,
                told["src_port"] if has_ports else None,
                told["dst_port"] if has_ports else None,
                told["seq"] if has_seq else None,
            )
        return TcpSegment(
            place,
            src,
            dst,
            told["src_port"],
            told["dst_port"],
            told["seq"],
            told["ack"],
            told["flags"],
            None if told["window"] < 0 else told["window"],
            told["ttl"],
            None if told["ip_id"] < 0 else told["ip_id"],
            content[:options],
            content[options:],
            told["length"],
            _CHECKED[told["checksum"]],
        )

    def cut_quotes(self) -> tuple[CutQuotes, set[frozenset[bytes]]]:
        """ICMP errors whose quote ends before the ports, and between which addresses there are any."""
        found, both = CutQuotes(), set()
        for index in np.flatnonzero(is_cut_quote(self.packets))[:MAX_CUT_QUOTES].tolist():
            packet = self.packet(index)
            if isinstance(packet, IcmpError):
                found.add(packet)
                both.add(frozenset((packet.src, packet.dst)))
        return found, both

    def _put_away(self) -> None:
        if self._shelf is None or not self._used[0]:
            raise MemoryError("a store is full")
        self._shelf.put(self)
        self.clear()

    def _knows_place(self, window: Any, row: list[int]) -> bool:
        slot = self._kernels.found(self._places, self._kernels.where_of(window, np.array(row, np.int64)))
        return bool(self._places[slot, 1] >= 0)

    def _learn_place(self, window: Any, octets: memoryview, row: list[int]) -> None:
        """Let the kernel know the place of a row."""
        told = seen(octets, row, 0, 0)
        number = self.number_of(Where(told.place, told.encapsulation, told.outer_src, told.outer_dst))
        if 2 * self._known_places >= len(self._places):
            known = self._places[self._places[:, 1] >= 0]
            self._places = np.full((4 * len(self._places), 2), -1, np.int64)
            for digest, of in known.tolist():
                self._places[self._kernels.found(self._places, digest)] = digest, of
        digest = self._kernels.where_of(window, np.array(row, np.int64))
        self._places[self._kernels.found(self._places, digest)] = digest, number
        self._known_places += 1

    def number_of(self, where: Where) -> int:
        """The store's number for a place."""
        number = self._numbers.get(where)
        if number is None:
            number = self._numbers[where] = len(self.wheres)
            self.wheres.append(where)
            if number == len(self._tunnels):
                self._tunnels = np.concatenate([self._tunnels, np.zeros_like(self._tunnels)])
            self._tunnels[number] = _tunnel(where)
        return number


def ends(record: Any) -> frozenset[bytes]:
    """Both addresses of a packet."""
    version = record["version"]
    return frozenset(
        address(version, int(record[f"{end}_high"]), int(record[f"{end}_low"])) for end in ("src", "dst")
    )


def address(version: int, high: int, low: int) -> bytes:
    """The octets of an address in two words."""
    if version == 4:
        return low.to_bytes(4)
    return high.to_bytes(8, signed=True) + low.to_bytes(8, signed=True)


def _words(octets: bytes) -> tuple[int, int]:
    if len(octets) == 4:
        return 0, int.from_bytes(octets)
    return int.from_bytes(octets[:8], signed=True), int.from_bytes(octets[8:], signed=True)


def _tunnel(where: Where) -> int:
    """The digest of a tunnel's two ends, in whatever direction; 0 if there is none."""
    if not where.outer_src:
        return 0
    both = "\0".join(sorted((where.outer_src, where.outer_dst)))
    return int.from_bytes(hashlib.blake2b(both.encode(), digest_size=8).digest(), signed=True) or 1
