"""Packets of one pair of sockets, brought together in the order of their times.

In: packets of the whole observation, roughly in order. Out: `Conversation`s, each once, when
nothing more can belong to it or when the observation ends. Everything that is decided about
attempts is decided in one conversation's packets alone, so the result cannot depend on how
the captures were cut, in what order they were named, or what else was in them.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from op25b_pcap.tables.packets import ACK, FIN, RST, SYN, DnsMessage, IcmpError, Packet, TcpSegment
from op25b_pcap.wire.addresses import is_unique
from op25b_pcap.wire.silences import CLOSED_NS, OPEN_NS, SECOND_NS, UNANSWERED_NS

MAX_CUT_QUOTES = 65_536
"""ICMP errors that quote no ports and are remembered."""

_SWEEP_EVERY = 1 << 18
"""Packets between two searches for finished conversations; more where more are open, so that the
search stays linear. What ends too early because times in a capture go wild, ends only where it holds
more than these: who brings all packets together before anything is told never ends anything too early."""
_DISORDER_NS = 60 * SECOND_NS
"""How far packets of one observation may be out of order before a conversation is closed."""
_NEVER_NS = (1 << 63) - 1

Socket = tuple[bytes, int]
Key = tuple[Socket, Socket, tuple[str, ...]]


@dataclass(slots=True)
class Conversation:
    """All packets between two sockets, with no silence that would end every attempt."""

    segments: list[TcpSegment] = field(default_factory=list)
    icmp_errors: list[IcmpError] = field(default_factory=list)
    cut_quotes: Sequence[IcmpError] = ()
    """Errors between its addresses that quote no ports, in order of time; others may be meant."""
    last_ns: int = 0
    answered: bool = False
    closing: bool = False
    _reset: bool = False
    _closers: set[Socket] = field(default_factory=set)

    def add(self, packet: TcpSegment | IcmpError) -> None:
        """Take a packet in; order does not matter."""
        if packet.seen.time_ns > self.last_ns:
            self.last_ns = packet.seen.time_ns
        if isinstance(packet, IcmpError):
            self.icmp_errors.append(packet)
            return
        self.segments.append(packet)
        if packet.flags & SYN:
            self.closing = False
        elif packet.flags & (RST | FIN):
            self.closing = True
            if packet.flags & RST:
                self._reset = True
            if packet.flags & FIN:
                self._closers.add((packet.src, packet.src_port))
        if packet.flags & (SYN | ACK) != SYN:
            self.answered = True

    def in_order(self) -> list[TcpSegment | IcmpError]:
        """All its packets by time."""
        return sorted([*self.segments, *self.icmp_errors], key=in_time)

    @property
    def silence_ns(self) -> int:
        """After how much silence no later packet belongs to it."""
        if self.closing:
            # One FIN closes one side only; the other may go on for as long as it likes.
            return CLOSED_NS if self._reset or len(self._closers) == 2 else OPEN_NS
        return OPEN_NS if self.answered else UNANSWERED_NS


class CutQuotes:
    """ICMP errors whose quote was cut before the ports, by the addresses it names."""

    def __init__(self) -> None:
        self._between: dict[Key, list[IcmpError]] = {}
        self._count = 0

    def add(self, error: IcmpError) -> None:
        """Take one in; order does not matter."""
        if self._count < MAX_CUT_QUOTES:
            self._count += 1
            insort(self._between.setdefault(conversation_key(error), []), error, key=in_time)

    def between(self, key: Key) -> Sequence[IcmpError]:
        """Those that name the addresses of a conversation, in order of time."""
        (one, _), (other, _), tunnel = key
        one, other = sorted((one, other))
        return self._between.get(((one, 0), (other, 0), tunnel), ())


def in_time(packet: TcpSegment | IcmpError) -> tuple[int, int, int]:
    """What packets are sorted by."""
    return packet.seen.time_ns, packet.seen.capture, packet.seen.number


def conversations(
    packets: Iterable[Packet], is_behind: Callable[[], bool] = lambda: False
) -> Iterator[Conversation]:
    """Group TCP segments and the ICMP errors that quote them; DNS messages are not for us.

    Memory holds the packets of conversations that are open at one time, with their payload.
    `is_behind`: packets of any time may still come, and nothing is over before the last has.
    """
    open_: dict[Key, Conversation] = {}
    cut_quotes = CutQuotes()
    now, next_sweep = _NEVER_NS, _SWEEP_EVERY
    for count, packet in enumerate(packets, 1):
        if isinstance(packet, DnsMessage):
            continue
        # Of all packets since it was asked last the earliest: one damaged time must not end what goes on.
        now = min(now, packet.seen.time_ns)
        key = conversation_key(packet)
        if isinstance(packet, IcmpError) and packet.src_port is None:
            cut_quotes.add(packet)
            continue
        conversation = open_.get(key)
        if conversation is None:
            open_[key] = conversation = Conversation()
        conversation.add(packet)
        if count >= next_sweep:
            for key in [] if is_behind() else _finished(open_, now):
                yield _ended(key, open_.pop(key), cut_quotes)
            now, next_sweep = _NEVER_NS, count + max(_SWEEP_EVERY, len(open_))
    for key in list(open_):
        yield _ended(key, open_.pop(key), cut_quotes)


def _finished(open_: dict[Key, Conversation], now: int) -> list[Key]:
    """Those that have been silent for so long that nothing can follow."""
    return [
        key
        for key, conversation in open_.items()
        if now - conversation.last_ns > UNANSWERED_NS + _DISORDER_NS
        and now - conversation.last_ns > conversation.silence_ns + _DISORDER_NS
    ]


def _ended(key: Key, conversation: Conversation, cut_quotes: CutQuotes) -> Conversation:
    conversation.cut_quotes = cut_quotes.between(key)
    return conversation


def conversation_key(packet: TcpSegment | IcmpError) -> Key:
    """The two sockets, smaller first, and the tunnel where addresses alone are not unique.

    VLAN tags, MPLS labels and PPPoE sessions are left out: the same packet before and after
    a router is one packet. Inner addresses of DS-Lite are every subscriber's, so there the
    outer addresses count (RFC 6333 section 6.6). An ICMP quote that ends before the ports is
    grouped by addresses, with port 0.
    """
    one: Socket = (packet.src, packet.src_port or 0)
    other: Socket = (packet.dst, packet.dst_port or 0)
    if other < one:
        one, other = other, one
    tunnel: tuple[str, ...] = ()
    if packet.seen.outer_src and not (is_unique(packet.src) and is_unique(packet.dst)):
        tunnel = tuple(sorted((packet.seen.outer_src, packet.seen.outer_dst)))
    return one, other, tunnel
