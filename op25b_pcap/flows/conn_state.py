"""Zeek's `conn_state` and `history`, with Zeek's meaning.

`Endpoints` follows both ends of one connection packet by packet, as Zeek's TCP analyser does
(an end is established by the SYN-ACK already); `conn_state` reads the final states as Zeek's
base script `conn/main` does. Unlike Zeek, a packet with a bad checksum is noted (`C`) and
counted all the same: hosts that offload checksums capture their own packets so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum

from op25b_pcap.tables.packets import ACK, FIN, RST, SYN
from op25b_pcap.tables.streams import Side


class State(Enum):
    """What one end has shown so far."""

    INACTIVE = "nothing"
    SYN_SENT = "a SYN"
    SYN_ACK_SENT = "a SYN-ACK as the opener"
    PARTIAL = "packets without a SYN"
    ESTABLISHED = "its part of the handshake"
    CLOSED = "a FIN"
    RESET = "a RST"


@dataclass(slots=True)
class Endpoints:
    """Both ends of a connection and the letters written so far."""

    state: dict[Side, State] = field(
        default_factory=lambda: {Side.CLIENT: State.INACTIVE, Side.SERVER: State.INACTIVE}
    )
    letters: list[str] = field(default_factory=list)
    payload_seen: bool = False
    _before_reset: dict[Side, State] = field(default_factory=dict)
    _written: dict[tuple[Side, str], int] = field(default_factory=dict)

    def note(self, side: Side, letter: str) -> None:
        """Write a letter for an event that may recur: at its 1st, 10th, 100th … time."""
        count = self._written[side, letter] = self._written.get((side, letter), 0) + 1
        if count == 1 or re.fullmatch("10*", str(count)):
            self._write(side, letter)

    def _write(self, side: Side, letter: str) -> None:
        self.letters.append(letter.upper() if side is Side.CLIENT else letter)

    def _write_once(self, side: Side, letter: str, sequence: int = -1) -> None:
        """Write a letter the first time, and again where its sequence number has changed."""
        if self._written.get((side, letter)) != sequence:
            self._written[side, letter] = sequence
            self._write(side, letter)

    def packet(self, side: Side, flags: int, seq: int, payload_length: int) -> None:
        """Follow one packet: its letter, then the state of its sender."""
        if not flags & (SYN | FIN | RST) and self.state[side] is State.ESTABLISHED:
            # Nearly all packets are such, and only the first of each kind says something new.
            if payload_length:
                self._write_once(side, "d")
                self.payload_seen = True
            elif flags & ACK:
                self._write_once(side, "a")
            return
        self._history(side, flags, seq, payload_length)
        self.payload_seen |= payload_length > 0
        self._move(side, flags, payload_length)

    def _history(self, side: Side, flags: int, seq: int, payload_length: int) -> None:
        control = flags & (SYN | FIN | RST)
        if control == FIN | RST:
            self._write_once(side, "i")
        elif control not in (0, SYN, FIN, RST):
            self._write_once(side, "q")
        elif control == SYN:
            self._write_once(side, "h" if flags & ACK else "s", seq)
        elif control == FIN:
            self._write_once(side, "f", seq + payload_length)
        elif control == RST:
            self._write_once(side, "r", seq)
        elif payload_length:
            self._write_once(side, "d")
        elif flags & ACK:
            self._write_once(side, "a")

    def _move(self, side: Side, flags: int, payload_length: int) -> None:
        state = self.state
        peer = Side.SERVER if side is Side.CLIENT else Side.CLIENT
        before = state[side]
        if before is State.INACTIVE:
            state[side] = self._awakened(side, peer, flags, payload_length)
        elif before is State.PARTIAL and flags & (SYN | ACK) == SYN and state[peer] is State.INACTIVE:
            state[side] = State.SYN_SENT
        if flags & FIN and before is not State.RESET:
            state[side] = State.CLOSED
            if state[peer] is State.RESET and self._before_reset.get(peer) is State.CLOSED:
                state[peer] = State.CLOSED  # FIN, then RST: closed in good order after all
        in_good_order = before is State.CLOSED and state[peer] is State.CLOSED
        if flags & RST and before is not State.RESET and not in_good_order:
            self._before_reset[side] = before
            state[side] = State.RESET

    def _awakened(self, side: Side, peer: Side, flags: int, payload_length: int) -> State:
        """The state of an end after its first packet."""
        state = self.state
        if flags & SYN:
            if side is Side.CLIENT:
                return State.SYN_ACK_SENT if flags & ACK else State.SYN_SENT
            if state[peer] is State.SYN_SENT:
                state[peer] = State.ESTABLISHED
            return State.ESTABLISHED
        if side is Side.SERVER and not payload_length and state[peer] is State.SYN_SENT:
            return State.INACTIVE  # some hosts acknowledge a SYN before they answer it
        if flags & ACK and state[peer] is State.ESTABLISHED:
            return State.ESTABLISHED  # its SYN went by unseen
        return State.PARTIAL


def conn_state(endpoints: Endpoints, history: str) -> str:
    """The word for the final states of both ends (the table in Zeek's `Conn::Info`)."""
    client, server = endpoints.state[Side.CLIENT], endpoints.state[Side.SERVER]
    silent = (State.INACTIVE, State.PARTIAL)
    if server is State.RESET:
        both_without_data = client is State.RESET and not endpoints.payload_seen
        if client in (State.SYN_SENT, State.SYN_ACK_SENT) or both_without_data:
            return "REJ"
        return "RSTRH" if client in silent else "RSTR"
    if client is State.RESET:
        if server not in silent:
            return "RSTO"
        return "RSTOS0" if re.fullmatch(r"\^?S[^HAFGIQ]*R.*", history) else "OTH"
    if client is State.CLOSED:
        if server is State.CLOSED:
            return "SF"
        return "SH" if server in silent else "S2"
    if server is State.CLOSED:
        return "SHR" if client in silent else "S3"
    if client is State.SYN_SENT and server is State.INACTIVE:
        return "S0"
    if client is State.ESTABLISHED and server is State.ESTABLISHED:
        return "S1"
    return "OTH"
