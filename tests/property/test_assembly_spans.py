"""Spans of a stream, in whatever order they come, leave the gaps that are left between them."""

from __future__ import annotations

from itertools import groupby

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from op25b_pcap.assembly.spans import GAPS, STATE, TOP, begin_of, cover, gap_at, octets_in

SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12)), min_size=1, max_size=30)


def covered(spans):
    """What is known of all, and which octets they are."""
    known, gaps = np.zeros(STATE, np.int64), np.zeros((2 * len(spans), 2), np.int64)
    octets: set[int] = set()
    for begin, length in spans:
        assert cover(known, gaps, begin, begin + length)
        octets |= {*range(begin, begin + length)}
    return known, gaps, octets


@given(SPANS)
def test_gaps_are_what_no_span_holds(spans):
    known, gaps, octets = covered(spans)
    top = max(octets) + 1
    missing = [octet for octet in range(top) if octet not in octets]
    runs = [
        [octet for _, octet in run] for _, run in groupby(enumerate(missing), lambda each: each[1] - each[0])
    ]
    assert known[TOP] == top
    assert gaps[: known[GAPS]].tolist() == [[run[0], run[-1] + 1] for run in runs]
    assert octets_in(known, gaps) == len(octets)
    assert begin_of(known, gaps) == min(octets)


@given(SPANS, st.integers(0, 80))
def test_a_gap_goes_to_the_next_octet_or_as_far_as_was_sent(spans, sent_to):
    known, gaps, octets = covered(spans)
    for place in range(max(octets) + 3):
        end = place
        while end not in octets and end < max(sent_to, max(octets)):
            end += 1
        assert gap_at(known, gaps, place, sent_to) == max(min(end, sent_to) - place, 0)


def test_one_far_behind_is_not_looked_for():
    known, gaps = np.zeros(STATE, np.int64), np.zeros((3_000, 2), np.int64)
    assert all(cover(known, gaps, begin, begin + 1) for begin in range(0, 3_000, 2))
    assert cover(known, gaps, 2_001, 2_002)
    assert not cover(known, gaps, 3, 4)
