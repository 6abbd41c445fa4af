"""The kernel that brings packets of a conversation together: by digest, without sorting.

Packets come nearly in order of time, so that it is enough to count them, conversation by
conversation, and to put each behind those before it. Whether that is their order is seen on the way.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from op25b_pcap.assembly.settle import is_cut_quote, mixed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from op25b_pcap.scan.kernels import Kernels

UNORDERED, HAS_CUT_QUOTES = 1, 2
"""Bits of what is said of all packets: some are not in order of time, capture and number; there are
ICMP errors whose quote ends before the ports."""
_BITS = 62
"""Of a secret: so it is no less than zero as a number of 64 bits."""


class Groups(NamedTuple):
    """Arrays to be filled."""

    slots: Any
    """Zeros, a power of two of them and at least twice as many as there are packets: then the numbers
    of conversations, counted from 1, by their digest."""
    of: Any
    """Of each packet the number of its conversation, counted from 0 as they came."""
    digests: Any
    """Of each conversation, as are all that follow; room for as many as there are packets."""
    counts: Any
    """Packets."""
    octets: Any
    """Octets of payload that were captured, no less."""
    lasts: Any
    """Its last packet so far."""
    times: Any
    """When that was: to look it up in the packet, far behind by now, would be waited for."""


def group(packets: Any, groups: Groups, secret: int) -> tuple[int, int]:
    """Count packets by conversation; gives how many of these there are, and what is to be said of all.

    Who does not know the secret cannot choose sockets of which all fall on one slot.
    """
    slots, of, digests, counts, octets, lasts, times = groups
    mask, known, said = len(slots) - 1, 0, 0
    for index in range(len(packets)):
        packet = packets[index]
        digest, time_ns = packet["conversation"], packet["time_ns"]
        slot = mixed(digest, secret) & mask
        while slots[slot] != 0 and digests[slots[slot] - 1] != digest:
            slot = (slot + 1) & mask
        if slots[slot] == 0:
            digests[known] = digest
            counts[known], octets[known] = 0, 0
            times[known] = time_ns - 1
            known += 1
            slots[slot] = known
        number = slots[slot] - 1
        if time_ns <= times[number] and (
            time_ns < times[number] or _is_before(packet, packets[lasts[number]])
        ):
            said |= UNORDERED
        if is_cut_quote(packet):
            said |= HAS_CUT_QUOTES
        of[index] = number
        counts[number] += 1
        octets[number] += packet["captured"]
        lasts[number], times[number] = index, time_ns
    return known, said


def _is_before(packet: Any, other: Any) -> bool:
    """Of two packets of one time: whether a packet stands before another."""
    if packet["capture"] != other["capture"]:
        return bool(packet["capture"] < other["capture"])
    return bool(packet["number"] < other["number"])


def place(of: Any, begins: Any, order: Any) -> None:
    """Put packets where their conversation begins, one behind the other; `begins` moves on with them."""
    for index in range(len(of)):
        number = of[index]
        order[begins[number]] = index
        begins[number] += 1


class Grouped(NamedTuple):
    """Packets of a store by conversation and time; conversations in the order in which they came."""

    order: NDArray[np.int64]
    """Their numbers."""
    begins: NDArray[np.int64]
    """Where in `order` each conversation begins; the last is the end of all."""
    octets: NDArray[np.int64]
    """Octets of payload before each conversation, and of all."""
    has_cut_quotes: bool


def grouped(packets: NDArray[Any], kernels: Kernels) -> Grouped:
    """The packets of a store, grouped."""
    most = len(packets)
    slots = np.zeros(1 << (2 * most).bit_length(), np.int32)
    groups = Groups(slots, np.empty(most, np.int32), *(np.empty(most, np.int64) for _ in range(5)))
    count, said = kernels.group(packets, groups, secrets.randbits(_BITS))
    begins, octets = (
        np.concatenate([[0], np.cumsum(of_each[:count])]) for of_each in (groups.counts, groups.octets)
    )
    if said & UNORDERED:
        keys = [packets[name] for name in ("number", "capture", "time_ns")]
        order = np.lexsort([*keys, groups.of])
    else:
        order = np.empty(most, np.int64)
        kernels.place(groups.of, begins.copy(), order)
    return Grouped(order, begins, octets, bool(said & HAS_CUT_QUOTES))
