"""IP packets put together from their fragments, which come in order of time.

Where fragments overlap, the octets that came first stay. A packet whose parts do not all come
within the time that a host would wait is given up: its first part goes its way alone, because
it has the ports. It may hold a part of another packet, which has then waited as long: so what is
given up goes strictly by age. What may be held is bounded in number, octets and time, so that
nobody can fill the memory with first halves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from heapq import heapify, heappop, heappush

from op25b_pcap.decode.steps import Ahead, Fragment, Skip, View
from op25b_pcap.wire.ip import FRAGMENT_UNIT, GREATEST_DATAGRAM

PATIENCE_NS = 30_000_000_000
"""As long as Linux waits (net.ipv4.ipfrag_time); RFC 8200 section 4.5 says 60 s."""
MOST_OCTETS = 4 << 20
"""As much as Linux holds (net.ipv4.ipfrag_high_thresh)."""
MOST_PACKETS = 4096
NEVER_NS = (1 << 63) - 1
_SLACK = 64
"""Of packets that are no longer held, so many are still known by age at the least."""
MOST_PARTS = 256
"""Parts of one packet: enough for the greatest one over links of 296 octets (RFC 1144 section 5)."""


class Fragments:
    """The packets of which parts are missing."""

    def __init__(self) -> None:
        self._open: dict[tuple[object, ...], _Packet] = {}
        self._by_age: list[tuple[int, int, tuple[object, ...]]] = []
        """A heap: when a packet began, its turn, its key; some of them are held no longer."""
        self._turns = 0
        self._given_up: deque[_Packet] = deque()
        self._octets = 0

    def add(self, fragment: Fragment) -> Ahead | None:
        """Take a part in; if no other is missing, the way ahead of the whole packet.

        Raises Skip for what cannot be a part of a packet.
        """
        start, end = _extent(fragment)
        key, around = fragment.key, fragment.ahead.around
        packet = self._open.get(key) or self._begin(key, around.record.time_ns)
        self._octets += packet.add(start, end, fragment)
        if packet.is_complete:
            self._close(key)
            whole = packet.ahead()
            return whole._replace(around=whole.around._replace(record=around.record, place=around.place))
        while self._octets > MOST_OCTETS or len(self._open) > MOST_PACKETS:
            self._give_up(NEVER_NS)
        return None

    def overdue(self, now_ns: int) -> Iterator[Ahead]:
        """The first parts of packets that are waited for no longer, oldest first.

        What each holds is to be added before the next is asked for.
        """
        while self._given_up or self._give_up(now_ns - PATIENCE_NS):
            packet = self._given_up.popleft()
            if packet.first:
                yield packet.ahead()

    def rest(self) -> Iterator[Ahead]:
        """The same, when nothing more will come."""
        return self.overdue(NEVER_NS + PATIENCE_NS)

    def _begin(self, key: tuple[object, ...], began_ns: int) -> _Packet:
        self._turns += 1
        packet = self._open[key] = _Packet(began_ns, self._turns)
        heappush(self._by_age, (began_ns, self._turns, key))
        if len(self._by_age) > 2 * len(self._open) + _SLACK:
            self._by_age = [(held.began_ns, held.turn, key) for key, held in self._open.items()]
            heapify(self._by_age)
        return packet

    def _forget(self) -> None:
        """Let the oldest known by age be one that is held."""
        while self._by_age:
            _, turn, key = self._by_age[0]
            if key in self._open and self._open[key].turn == turn:
                break
            heappop(self._by_age)

    def _give_up(self, before_ns: int) -> bool:
        """Give up the oldest packet if it began before that; False if there is none."""
        self._forget()
        if not self._by_age or self._by_age[0][0] >= before_ns:
            return False
        self._given_up.append(self._close(self._by_age[0][2]))
        return True

    def _close(self, key: tuple[object, ...]) -> _Packet:
        packet = self._open.pop(key)
        self._octets -= packet.held
        return packet


def _extent(fragment: Fragment) -> tuple[int, int]:
    """Where the part begins and ends in its packet."""
    length = fragment.ahead.view.length
    if fragment.more:
        length -= length % FRAGMENT_UNIT
    end = fragment.offset + length
    if not length or end > GREATEST_DATAGRAM:
        raise Skip("malformed")
    return fragment.offset, end


class _Packet:
    """One packet's parts, in order, none over another."""

    def __init__(self, began_ns: int, turn: int) -> None:
        self.began_ns, self.turn = began_ns, turn
        self.first: Ahead | None = None
        self.held = 0
        self._end: int | None = None
        self._parts: list[tuple[int, int, bytes]] = []

    def add(self, start: int, end: int, fragment: Fragment) -> int:
        """Take in what is new of a part; how many octets that is."""
        if not start and self.first is None:
            # Without the octets of its record, which may be many behind the packet.
            around = fragment.ahead.around
            bare = around._replace(record=around.record._replace(data=b""))
            self.first = fragment.ahead._replace(view=View(b"", 0), around=bare)
        if not fragment.more and self._end is None:
            self._end = end
        if len(self._parts) >= MOST_PARTS:
            return 0
        data = fragment.ahead.view.data
        new = [(low, high, data[low - start : high - start]) for low, high in self._holes(start, end)]
        self._parts = sorted(self._parts + new)
        octets = sum(len(part) for _, _, part in new)
        self.held += octets
        return octets

    def _holes(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """What no part covers between two offsets."""
        for low, high, _ in self._parts:
            if start < low and start < end:
                yield start, min(low, end)
            start = max(start, high)
        if start < end:
            yield start, end

    @property
    def is_complete(self) -> bool:
        """Whether all parts are there, captured in full or not."""
        return self.first is not None and self._end is not None and self._reach() >= self._end

    def _reach(self) -> int:
        """Where the first hole is."""
        reach = 0
        for low, high, _ in self._parts:
            if low > reach:
                break
            reach = high
        return reach

    def ahead(self) -> Ahead:
        """Where the first part's header led, now with all that can be read without a hole."""
        if self.first is None:
            raise ValueError("no first part")
        data = bytearray()
        for low, high, part in self._parts:
            if low != len(data):
                break
            data += part
            if len(part) < high - low:
                break
        total = self._reach() if self._end is None else self._end
        around = self.first.around._replace(is_whole=self.is_complete)
        return self.first._replace(view=View(bytes(data[:total]), total), around=around)
