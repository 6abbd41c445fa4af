"""What the wire shows became of an attempt: the contract's `outcome`, from TCP and from ICMP."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from op25b_pcap.tables.packets import ACK, FIN, RST, SYN, IcmpError, TcpSegment
from op25b_pcap.tables.streams import Side
from op25b_pcap.wire.icmp import PROHIBITED

_ICMP_OUTCOMES = ("prohibited", "unreachable")
"""The stronger first."""


def icmp_verdict(error: IcmpError) -> str | None:
    """`prohibited`, `unreachable`, or None where the error does not stop an attempt."""
    version = 4 if len(error.dst) == 4 else 6
    what = (version, error.type, error.code)
    if what in PROHIBITED:
        return "prohibited"
    stops = (3, 11) if version == 4 else (1, 3)  # destination unreachable, time exceeded
    return "unreachable" if error.type in stops else None


def is_about_size(error: IcmpError) -> bool:
    """Whether a router asks for smaller packets (RFC 1191): it stops nobody who has been answered."""
    return len(error.dst) == 4 and (error.type, error.code) == (3, 4)


def decides(errors: Sequence[IcmpError]) -> IcmpError | None:
    """The first of those by which `outcome` would go, else the first of all."""
    verdicts = [icmp_verdict(error) for error in errors]
    for verdict in (*_ICMP_OUTCOMES, None):
        if verdict in verdicts:
            return errors[verdicts.index(verdict)]
    return None


class Handshake(NamedTuple):
    """What was seen of an attempt's opening."""

    syn: bool
    syn_ack: bool
    opener_went_on: bool
    """The opener acknowledged, sent data or a FIN: it has been answered, seen or not."""
    called_went_on: bool
    """The called host sent data or a FIN, which it does only after the handshake."""
    refused: bool
    """The called side's RST came before anything else of it."""


def handshake(segments: Iterable[tuple[Side, TcpSegment]]) -> Handshake:
    """Read the opening of an attempt from its segments in order of time."""
    syn = syn_ack = opener_went_on = called_went_on = refused = both_open = False
    for side, segment in segments:
        flags = segment.flags
        if side is Side.CLIENT:
            syn |= flags & (SYN | ACK | RST) == SYN
            opener_went_on |= not flags & (SYN | RST) and bool(flags & (ACK | FIN) or segment.payload_length)
            opener_went_on |= both_open and flags & (SYN | ACK | RST) == SYN | ACK
        else:
            syn_ack |= flags & (SYN | ACK | RST) == SYN | ACK
            both_open |= flags & (SYN | ACK | RST) == SYN
            called_went_on |= not flags & (SYN | RST) and bool(flags & FIN or segment.payload_length)
            refused |= bool(flags & RST) and not (syn_ack or called_went_on)
    return Handshake(syn, syn_ack, opener_went_on, called_went_on, refused)


def outcome(seen: Handshake, icmp_errors: Iterable[IcmpError]) -> str:
    """The strongest thing that was seen, from `connected` down to silence."""
    if not (seen.syn or seen.syn_ack):
        return "midstream"
    if seen.opener_went_on or seen.called_went_on:
        return "connected"
    if not seen.syn:
        return "midstream"  # only the answer was captured: what the opener did is not to be known
    if seen.refused:
        return "refused"  # whatever came then: a RST that a box sends may outrun the host's own answer
    if seen.syn_ack:
        return "half_open"
    verdicts = {icmp_verdict(error) for error in icmp_errors}
    for verdict in _ICMP_OUTCOMES:
        if verdict in verdicts:
            return verdict
    return "no_answer"
