"""The octets of an attempt in readable order: pieces of packets as runs of one side's octets.

In: pieces as `course` has put them in order. Out: runs and their text; where octets were passed over
(`skim`), and where some are missing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from op25b_pcap.assembly.copies import Bytes
from op25b_pcap.assembly.settle import copy
from op25b_pcap.assembly.skim import IN_HAND, TAIL

NO_PACKET = -1
"""The packet of a piece that is missing."""
DIFFERENT, NEEDED = -1, -2
"""Instead of octets of text: some were sent again with other content; some that were passed over are
needed."""
_NOBODY = -1

RUN = np.dtype([("side", "i8"), ("begin", "i8"), ("end", "i8"), ("skipped", "i8")])
"""Octets of one side that could be read before any of the other followed, or any were missing; and
octets before them that no packet holds."""
MOST_RUNS_A_PACKET, MOST_RUNS_BESIDE = 3, 2
"""Of a packet its own, one that waited for it, and one for what is missing; and what is missing at the
ends of both sides."""


class Told(NamedTuple):
    """What is told of conversations; there is room for all."""

    attempts: Any
    runs: Any
    text: Any
    """The octets of the runs."""
    holes: Any
    """Rows of (run, octets): that side's octets that were passed over before the run."""


def read(
    packets: Any,
    of: Bytes,
    pieces: Any,
    count: int,
    told: Told,
    used_runs: int,
    used: int,
    used_holes: int,
) -> tuple[int, int, int]:
    """Pieces of an attempt's octets as runs, and holes between them.

    Instead of octets of text there may be DIFFERENT or NEEDED.
    """
    runs, text, holes = told.runs, told.text, told.holes
    first_run, first_hole, last_side, is_passing = used_runs, used_holes, _NOBODY, False
    for index in range(count):
        packet, skip, length, place, side = pieces[index]
        if packet == NO_PACKET:
            begin_run(runs[used_runs], side, used, length)
            used_runs += 1
            last_side, is_passing = side, False
            continue
        tail = of.tails[packet]
        if tail != IN_HAND:
            if skip != 0 or length < TAIL:
                return used_runs, NEEDED, used_holes
            if is_passing and side == last_side:
                holes[used_holes - 1, 1] += length
                used -= TAIL
            else:
                holes[used_holes, 0], holes[used_holes, 1] = used_runs, length - TAIL
                used_holes += 1
                begin_run(runs[used_runs], side, used, 0)
                used_runs += 1
                last_side, is_passing = side, True
            for octet in range(TAIL):
                text[used + octet] = tail >> 8 * (TAIL - 1 - octet) & 0xFF
            used += TAIL
            runs[used_runs - 1]["end"] = used
            continue
        at, source = packets[packet]["at"], of.octets
        if at < 0:
            at, source = ~at, of.fetched
        at += packets[packet]["options"] + skip
        if length < 0:
            found = compared(
                source[at : at - length],
                place,
                side,
                runs[first_run:used_runs],
                text,
                holes[first_hole:used_holes],
                first_run,
            )
            if found < 0:
                return used_runs, found, used_holes
            continue
        is_passing = False
        if side != last_side:
            begin_run(runs[used_runs], side, used, 0)
            used_runs += 1
            last_side = side
        copy(source, at, length, text, used)
        used += length
        runs[used_runs - 1]["end"] = used
    return used_runs, used, used_holes


def begin_run(run: Any, side: int, at: int, skipped: int) -> None:
    """A run of a side's octets, which is empty yet."""
    run["side"] = side
    run["begin"] = at
    run["end"] = at
    run["skipped"] = skipped


def compared(octets: Any, place: int, side: int, runs: Any, text: Any, holes: Any, first_run: int) -> int:
    """Whether octets are those that stand at a place of the side's stream: 0; if not, what `read` gives."""
    stream, hole, end = 0, 0, place + len(octets)
    for index in range(len(runs)):
        run = runs[index]
        is_its = run["side"] == side
        if hole < len(holes) and holes[hole, 0] == first_run + index:
            if is_its:
                if place < stream + holes[hole, 1] and stream < end:
                    return NEEDED
                stream += holes[hole, 1]
            hole += 1
        if not is_its:
            continue
        stream += run["skipped"]
        size = run["end"] - run["begin"]
        for offset in range(max(place, stream), min(end, stream + size)):
            if text[run["begin"] + offset - stream] != octets[offset - place]:
                return DIFFERENT
        stream += size
    return 0
