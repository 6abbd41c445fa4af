"""A long conversation in few packets: megabytes in order are told like a few octets.

In: the packets of one conversation in order of time. Out: those of them of which its course may
depend; the sequence numbers close up where others are left out. That it is still the same course
is for `course` to say.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from op25b_pcap.assembly.packet import ERROR
from op25b_pcap.scan.row import WRONG
from op25b_pcap.tables.packets import FIN, RST, SYN
from op25b_pcap.wire.sequence import MODULO

AT_BOTH_ENDS = 100
"""Packets that stay whatever they are."""


def thinned(packets: NDArray[Any]) -> NDArray[Any]:
    """The packets of which the course may depend, as new records.

    These open, end or quote, or are the first of their kind; they are counted one by one (wrong
    checksums, closed windows, cut payloads); or they came late, left a gap, or hold octets that came
    more than once.
    """
    first = packets[0]
    is_src = (packets["src_port"] == first["src_port"]) & (packets["src_low"] == first["src_low"])
    carries = packets["length"] > 0
    stays = (packets["flags"] & (SYN | FIN | RST) != 0) | (packets["kind"] == ERROR)
    stays |= (packets["checksum"] == WRONG) | (packets["window"] == 0)
    stays |= packets["captured"] < packets["length"]
    kind = packets["flags"].astype(np.int64) << 2 | carries << 1 | is_src
    stays[np.unique(kind, return_index=True)[1]] = True
    stays[:AT_BOTH_ENDS], stays[-AT_BOTH_ENDS:] = True, True
    for side in (is_src, ~is_src):
        carried = np.flatnonzero(side & carries)
        if len(carried):
            seq, lengths = (packets[name][carried].astype(np.int64) for name in ("seq", "length"))
            turn = np.zeros(len(carried), np.int64)
            stays[carried[out_of_line(seq, lengths, turn[:1], turn)]] = True
    thin: NDArray[Any] = packets[stays]
    for side in (is_src, ~is_src):
        gone, mine = packets[side & carries & ~stays], side[stays]
        if len(gone):
            for name, theirs in (("seq", mine), ("ack", ~mine)):
                told = thin[name][theirs].astype(np.int64)
                thin[name][theirs] = (told - _before(gone, told)) % MODULO
    return thin


def out_of_line(
    seq: NDArray[np.int64], lengths: NDArray[np.int64], firsts: NDArray[np.int64], turn: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which segments of some turns do not go on where those before ended, or hold octets that come twice.

    These are compared, and behind missing ones it is read anew what is said.
    """
    begins = _ahead(seq, seq[firsts][turn]) + turn * (2 * MODULO)
    ends = begins + lengths
    newest = np.maximum.accumulate(ends)
    is_late = np.zeros(len(seq), bool)
    is_late[1:] = begins[1:] < newest[:-1]
    news = np.flatnonzero(~is_late)
    # Of those that are not late the begins climb.
    lows = np.maximum(np.searchsorted(begins[news], begins[is_late], "right") - 1, 0)
    highs = np.searchsorted(begins[news], ends[is_late], "left")
    marks = np.zeros(len(news) + 1, np.int64)
    np.add.at(marks, lows, 1)
    np.add.at(marks, np.maximum(highs, lows), -1)
    is_late[news] = np.cumsum(marks[:-1]) > 0
    leaves_gap = np.zeros(len(seq), bool)
    leaves_gap[1:] = begins[1:] > newest[:-1]
    leaves_gap[firsts] = False
    told: NDArray[np.bool_] = is_late | leaves_gap
    return told


def _before(gone: NDArray[Any], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Octets of those segments, none of which holds what another does, that stand before these numbers."""
    seq, lengths = gone["seq"].astype(np.int64), gone["length"].astype(np.int64)
    begins, places = _ahead(seq, seq[0]), _ahead(numbers, seq[0])
    ends = np.cumsum(lengths)
    last = np.searchsorted(begins, places, "right") - 1
    told: NDArray[np.int64] = (ends - lengths)[last] + np.minimum(places - begins[last], lengths[last])
    return np.where(last < 0, 0, told)


def _ahead(numbers: NDArray[np.int64], of: Any) -> NDArray[np.int64]:
    """How far sequence numbers are ahead of others, as `wire.sequence.difference` has it."""
    half = MODULO // 2
    ahead: NDArray[np.int64] = (numbers - of + half) % MODULO - half
    return ahead
