"""One conversation's packets split into connection attempts, each with its opener.

A retransmitted SYN belongs to its attempt as long as its sequence number is the same; another
sequence number opens another attempt on the same sockets. A packet that fits the numbers of
an earlier attempt better than those of the latest goes there: the last words of an old
connection often come after the SYN of the new one.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from op25b_pcap.flows.conversations import Socket, in_time
from op25b_pcap.flows.copies import Copies
from op25b_pcap.tables.packets import ACK, FIN, RST, SYN, IcmpError, TcpSegment
from op25b_pcap.wire.sequence import MODULO, difference
from op25b_pcap.wire.services import DOMAIN, SERVICES
from op25b_pcap.wire.silences import CLOSED_NS, OPEN_NS, SECOND_NS, UNANSWERED_NS

REORDERED_NS = 1 * SECOND_NS
"""A SYN captured this much after what follows it is late, not new."""
FITS_OCTETS = 1 << 24
"""Distance of sequence numbers within which a packet may belong to a connection: more than
any window in use, and 1/256 of the circle."""
_EARLIER_ATTEMPTS = 8
"""How many earlier attempts of a conversation a late packet, or an ICMP error, is tried against."""
_AT_ONCE = 1 << 14
"""Attempts of a conversation that are in hand at one time: of a flood, half of them are let go at once."""
_CUT_QUOTES = 16
"""How many ICMP errors that quote no ports an attempt is looked at with: as many as it may send SYNs."""


@dataclass(slots=True)
class Attempt:
    """The packets of one attempt in order of time, and who opened it."""

    segments: list[TcpSegment] = field(default_factory=list)
    icmp_errors: list[IcmpError] = field(default_factory=list)
    captured_again: bool = False
    """Some of its packets stand in the captures more than once; they are counted once."""
    isn: dict[Socket, int] = field(default_factory=dict)
    """Initial sequence number of each side whose SYN or SYN-ACK was seen."""
    opener: Socket = (b"", 0)
    called: Socket = (b"", 0)
    evidence: str = "port"
    _edge: dict[Socket, int] = field(default_factory=dict)
    _closers: set[Socket] = field(default_factory=set)
    _answered: bool = False
    _reset: bool = False
    last_ns: int = 0

    def add(self, segment: TcpSegment) -> None:
        """Take the next segment in."""
        src: Socket = (segment.src, segment.src_port)
        flags = segment.flags
        if flags & SYN and src not in self.isn:
            self.isn[src] = segment.seq
            dst: Socket = (segment.dst, segment.dst_port)
            opens = not flags & ACK
            if self.evidence == "port" or (opens and self.evidence == "syn_ack"):
                self.opener, self.called = (src, dst) if opens else (dst, src)
                self.evidence = "syn" if opens else "syn_ack"
        if flags & (SYN | ACK) != SYN:
            self._answered = True
        if flags & FIN:
            self._closers.add(src)
        if flags & RST:  # whose numbers need not be the connection's
            self._reset = True
        else:
            edge = self._edge.get(src)
            if edge is None or difference(segment.seq, edge) > 0:
                self._edge[src] = segment.seq
        self.segments.append(segment)
        self.last_ns = segment.seen.time_ns

    @property
    def over_ns(self) -> int:
        """When a packet comes too late to belong to it."""
        silence = OPEN_NS if self._answered else UNANSWERED_NS
        if self._reset or len(self._closers) == 2:
            silence = CLOSED_NS
        return self.last_ns + silence

    def is_over(self, time_ns: int) -> bool:
        """Whether a packet at that time comes too late to belong to it."""
        return time_ns > self.over_ns

    def fits(self, segment: TcpSegment) -> bool:
        """Whether the segment's numbers could be this connection's."""
        edge = self._edge.get((segment.src, segment.src_port))
        if edge is not None and not segment.flags & RST:
            return abs(difference(segment.seq, edge)) <= FITS_OCTETS
        edge = self._edge.get((segment.dst, segment.dst_port))
        if edge is not None and segment.flags & ACK:
            return abs(difference(segment.ack, edge)) <= FITS_OCTETS
        return True


def attempts(
    packets: Iterable[TcpSegment | IcmpError], cut_quotes: Sequence[IcmpError] = ()
) -> Iterator[Attempt]:
    """Split a conversation, in order of time; attempts whose called port is not watched are left out.

    Memory holds the packets of `_AT_ONCE` attempts: a flood from one port has millions.
    """
    found: list[Attempt] = []
    errors: list[IcmpError] = []
    copies = Copies()
    for packet in packets:
        if isinstance(packet, IcmpError):
            if packet.src_port is not None:
                errors.append(packet)
            continue
        if copies.has(packet):
            continue
        attempt = _attempt_of(found, packet)
        if attempt is None:
            if len(found) == _AT_ONCE:
                now = packet.seen.time_ns
                known = bisect_left(errors, (now - REORDERED_NS, 0, 0), key=in_time)
                yield from _finished(found, _AT_ONCE // 2, errors[:known], cut_quotes, copies)
                del found[: _AT_ONCE // 2], errors[:known]
                copies.forget(now)
            attempt = Attempt()
            found.append(attempt)
        attempt.add(packet)
    yield from _finished(found, len(found), errors, cut_quotes, copies)


def _finished(
    found: list[Attempt],
    count: int,
    errors: list[IcmpError],
    cut_quotes: Sequence[IcmpError],
    copies: Copies,
) -> Iterator[Attempt]:
    """The first attempts, as many as are `count`ed; errors are given to all.

    Of a flood that means: an error is not sought among attempts farther back than `_AT_ONCE`.
    """
    for attempt in found:
        if copies.again:
            attempt.captured_again |= any(segment.seen in copies.again for segment in attempt.segments)
        if attempt.evidence == "port":
            _orient_by_port(attempt)
    watched = list(filter(_is_watched, found))
    finished = list(filter(_is_watched, found[:count]))
    if errors:
        _attach(errors, watched)
    if cut_quotes:
        _attach_cut(cut_quotes, watched, len(finished))
    yield from finished


def _attempt_of(found: list[Attempt], segment: TcpSegment) -> Attempt | None:
    """The attempt that the segment belongs to, or None if it opens another."""
    recent = found[: -_EARLIER_ATTEMPTS - 1 : -1]
    if segment.flags & (SYN | RST) == SYN:
        return _attempt_of_syn(recent, segment)
    if not recent:
        return None
    latest = recent[0]
    if len(recent) > 1 and not latest.fits(segment):
        for earlier in recent[1:]:
            if earlier.fits(segment) and not earlier.is_over(segment.seen.time_ns):
                return earlier
    return None if latest.is_over(segment.seen.time_ns) else latest


def _attempt_of_syn(recent: list[Attempt], segment: TcpSegment) -> Attempt | None:
    src: Socket = (segment.src, segment.src_port)
    dst: Socket = (segment.dst, segment.dst_port)
    answers = bool(segment.flags & ACK)
    acknowledged = (segment.ack - 1) % MODULO if answers else None
    for attempt in recent:
        if attempt.is_over(segment.seen.time_ns):
            continue
        if attempt.isn.get(src) == segment.seq and (answers or attempt.opener == src):
            return attempt  # retransmitted
        if acknowledged is not None and attempt.isn.get(dst) == acknowledged:
            return attempt  # answered
        if acknowledged is None and _answers(attempt, dst, segment.seq):
            return attempt  # its answer was captured first
        if acknowledged is None and _opens_too(attempt, src, dst):
            return attempt
    if not recent or recent[0].is_over(segment.seen.time_ns):
        return None
    latest = recent[0]
    if not latest.isn:  # began without a SYN: is this the one, captured late?
        late = segment.seen.time_ns - latest.segments[0].seen.time_ns <= REORDERED_NS
        return latest if late and latest.fits(segment) else None
    # An answer with a foreign acknowledgement still answers the only attempt there is.
    return latest if answers and latest.opener == dst and src not in latest.isn else None


def _answers(attempt: Attempt, answerer: Socket, isn: int) -> bool:
    """Whether the attempt began with the answerer's SYN-ACK for that sequence number."""
    first = attempt.segments[0]
    return (
        attempt.evidence == "syn_ack"
        and attempt.called == answerer
        and (first.ack - 1) % MODULO == isn
        and (first.src, first.src_port) == answerer
    )


def _opens_too(attempt: Attempt, src: Socket, dst: Socket) -> bool:
    """Whether a SYN is of the called server, which has not answered: both open (RFC 9293 section 3.5)."""
    calls = attempt.evidence == "syn" and (attempt.opener, attempt.called) == (dst, src)
    return calls and src not in attempt.isn and src[1] in SERVICES and dst[1] not in SERVICES


def _orient_by_port(attempt: Attempt) -> None:
    """Without a SYN the called side is the one on a mail port; if both are, the first addressee."""
    first = attempt.segments[0]
    src: Socket = (first.src, first.src_port)
    dst: Socket = (first.dst, first.dst_port)
    mail = [side for side in (dst, src) if side[1] in SERVICES]
    attempt.called = mail[0] if mail else (dst if dst[1] == DOMAIN else src)
    attempt.opener = src if attempt.called == dst else dst


def _is_watched(attempt: Attempt) -> bool:
    return attempt.called[1] in SERVICES or attempt.called[1] == DOMAIN


def _attach(errors: list[IcmpError], found: list[Attempt]) -> None:
    """Give each ICMP error to the attempt whose packet it quotes: the sequence number decides."""
    begins = _begins(found)
    of_isn: dict[int | None, list[int]] = defaultdict(list)
    for place, attempt in enumerate(found):
        of_isn[attempt.isn.get(attempt.opener)].append(place)
    for error in errors:
        begun = bisect_right(begins, error.seen.time_ns + REORDERED_NS)
        before = [a for a in found[max(begun - _EARLIER_ATTEMPTS - 1, 0) : begun] if _may_quote(error, a)]
        if error.seq is not None:
            alike = of_isn.get(error.seq, [])
            last = bisect_left(alike, begun)
            exact = [found[place] for place in alike[max(last - _EARLIER_ATTEMPTS - 1, 0) : last]]
            before = [a for a in exact if _may_quote(error, a)] or [
                attempt
                for attempt in before
                if abs(difference(error.seq, attempt.isn.get(attempt.opener, attempt.segments[0].seq)))
                <= FITS_OCTETS
            ]
        if before:
            before[-1].icmp_errors.append(error)


def _attach_cut(quotes: Sequence[IcmpError], found: list[Attempt], count: int) -> None:
    """Give the errors that quote no ports to the latest attempt that had begun, if it is among the first.

    Such a quote can only be given to an attempt that nothing else has answered.
    """
    begins = _begins(found)
    near = {id(error): error for attempt in found[:count] for error in _cut_quotes(quotes, attempt)}
    for error in near.values():
        begun = bisect_right(begins, error.seen.time_ns + REORDERED_NS)
        first = max(begun - _EARLIER_ATTEMPTS - 1, 0)
        places = [at for at in range(first, begun) if _may_quote(error, found[at])]
        if places and places[-1] < count:
            insort(found[places[-1]].icmp_errors, error, key=in_time)


def _begins(found: list[Attempt]) -> list[int]:
    return [attempt.segments[0].seen.time_ns for attempt in found]


def _cut_quotes(quotes: Sequence[IcmpError], attempt: Attempt) -> Sequence[IcmpError]:
    """The first ones that may be about an attempt."""
    first = bisect_left(quotes, (attempt.segments[0].seen.time_ns - REORDERED_NS, 0, 0), key=in_time)
    beyond = bisect_left(quotes, (attempt.over_ns + 1, 0, 0), key=in_time)
    return quotes[first : min(beyond, first + _CUT_QUOTES)]


def _may_quote(error: IcmpError, attempt: Attempt) -> bool:
    """Whether an error may be about a packet of an attempt that had begun."""
    return (
        (error.src, error.src_port) in (attempt.opener, (attempt.opener[0], None))
        and error.dst == attempt.called[0]
        and not attempt.is_over(error.seen.time_ns)
    )
