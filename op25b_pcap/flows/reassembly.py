"""The octets of one side of a connection, in the order in which they could be read.

Two passes over an attempt's segments in order of time: `survey` notes where each lies, then
`receive` gives out what has become readable. All segments are known before the first octet
is given out, so a hole is a hole at once: what no segment of the whole attempt brings is
skipped when the octets behind it arrive, or as soon as a cut segment shows that it was
there; what a retransmission brings later is waited for. The first copy of an octet wins.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterable, Iterator

from op25b_pcap.wire.sequence import MODULO, difference

MAX_WINDOW = 1 << 30
"""The largest window there can be (RFC 7323 section 2.3): what lies farther off is not ours."""

Span = tuple[int, int]


class Stream:
    """One side's octets, counted from its first.

    `origin` is the sequence number of offset 0 where the handshake tells it (ISN + 1), else
    None: then the stream begins with the first octet that the capture holds.
    """

    def __init__(self, origin: int | None) -> None:
        self.anomalies: set[str] = set()
        self._known_start = origin is not None
        self._origin = origin
        self._newest = 0
        self._acknowledged = 0
        self._early: set[int] = set()
        self._captured: list[Span] = []
        self._sent: list[Span] = []
        self._next = 0
        self._sent_to = 0
        self._arrived = 0
        self._waiting: list[tuple[int, int, bytes]] = []
        self._given: list[tuple[int, bytes]] = []

    def survey(self, seq: int, captured: int, length: int) -> int | None:
        """First pass: the segment's offset, or None where it cannot belong to the stream."""
        if self._origin is None:
            self._origin = seq
            for ack in self._early:
                self.acknowledge(ack)
        offset = self._offset_of(seq, self._origin)
        if abs(offset - self._newest) > MAX_WINDOW:
            self.anomalies.add("out_of_window")
            return None
        if self._known_start and offset + length <= 0:
            return None  # a keep-alive probe repeats the octet before the first
        self._newest = max(self._newest, offset + length)
        self._captured.append((offset, offset + captured))
        self._sent.append((offset, offset + length))
        return offset

    def end_survey(self) -> int:
        """Between the passes; the number of different octets sent, by the IP headers."""
        self._captured = list(_merged(self._captured))
        self._sent = list(_merged(self._sent))
        if not self._known_start and self._sent:
            self._next = self._sent_to = self._sent[0][0]
        return sum(end - max(start, self._next) for start, end in self._sent)

    def receive(self, offset: int, length: int, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Second pass: (octets skipped, octets) that the segment has made readable."""
        end = offset + length
        if (
            offset == self._next
            and data
            and len(data) == length
            and not self._waiting
            and self._sent_to <= end
        ):
            # In order, whole, and nothing else under way, as nearly all segments are.
            self._next = self._sent_to = end
            self._given.append((offset, data))
            yield 0, data
            return
        self._arrived += 1
        heapq.heappush(self._waiting, (offset, self._arrived, data))
        self._sent_to = max(self._sent_to, end)
        skipped = 0
        while True:
            if hole := self._hole():
                self.anomalies.add("gap")
                self._next += hole
                skipped += hole
            elif self._waiting and self._waiting[0][0] <= self._next:
                start, _, data = heapq.heappop(self._waiting)
                repeated = self._next - start
                if repeated:
                    self._compare(start, data[:repeated])
                    data = data[repeated:]
                if data:
                    self._given.append((self._next, data))
                    self._next += len(data)
                    yield skipped, data
                    skipped = 0
            else:
                break
        if skipped:
            yield skipped, b""

    def acknowledge(self, ack: int) -> None:
        """First pass: the other side has got all octets before this number."""
        if self._origin is None:
            self._early.add(ack)
            return
        offset = self._offset_of(ack, self._origin)
        if offset - self._newest <= MAX_WINDOW:
            self._acknowledged = max(self._acknowledged, offset)

    def unseen(self) -> int:
        """Octets behind the last that could be read, all of which the other side has got.

        One more may be the FIN that was not seen either.
        """
        unseen = self._acknowledged - self._next - 1
        if unseen <= 0:
            return 0
        self.anomalies.add("gap")
        return unseen

    def _offset_of(self, number: int, origin: int) -> int:
        """Where a sequence number is in the stream, by the farthest octet that was sent so far."""
        return self._newest + difference(number, (origin + self._newest) % MODULO)

    def _hole(self) -> int:
        """Octets from here on that have been sent by now, but that no segment holds."""
        at = bisect_right(self._captured, (self._next, MAX_WINDOW * MODULO))
        if at and self._captured[at - 1][1] > self._next:
            return 0
        end = self._sent_to
        if at < len(self._captured):
            end = min(end, self._captured[at][0])
        return max(end - self._next, 0)

    def _compare(self, start: int, repeated: bytes) -> None:
        """Note octets that were sent a second time with other content."""
        if len(repeated) <= 1:
            return  # a keep-alive probe may carry an octet of garbage (RFC 1122 section 4.2.3.6)
        at = max(bisect_right(self._given, start, key=lambda given: given[0]) - 1, 0)
        for index in range(at, len(self._given)):
            given_start, given = self._given[index]
            low = max(start, given_start)
            high = min(start + len(repeated), given_start + len(given))
            if given_start >= start + len(repeated):
                return
            if low < high and (
                given[low - given_start : high - given_start] != repeated[low - start : high - start]
            ):
                self.anomalies.add("overlap_conflict")
                return


def _merged(spans: Iterable[Span]) -> Iterator[Span]:
    """The spans in order, with those that touch or overlap made one, and empty ones dropped."""
    current: Span | None = None
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if current is None:
            current = (start, end)
        elif start <= current[1]:
            current = (current[0], max(current[1], end))
        else:
            yield current
            current = (start, end)
    if current is not None:
        yield current
