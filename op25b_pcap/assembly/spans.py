"""Which octets of a stream there are: spans put together, of which the gaps are kept.

Spans come nearly in the order in which they lie in the stream: a late one is looked for among the
last gaps, and there are as many gaps as spans at most.
"""

from __future__ import annotations

from typing import Any

TOP, GAPS, NEXT_GAP = range(3)
"""Of spans: the end of the last; how many gaps are before it; and the first that is not behind yet."""
STATE = NEXT_GAP + 1
_MOST_LOOKED_AT = 1_024


def cover(spans: Any, gaps: Any, begin: int, end: int) -> bool:
    """Put one more span among the others; False if it lies too far back."""
    top = spans[TOP]
    if begin > top:
        gap = gaps[spans[GAPS]]
        gap[0], gap[1] = top, begin
        spans[GAPS] += 1
    elif begin < top and not _fill(spans, gaps, begin, min(end, top)):
        return False
    spans[TOP] = max(top, end)
    return True


def _fill(spans: Any, gaps: Any, begin: int, end: int) -> bool:
    """Take what lies between `begin` and `end` out of the gaps."""
    number, looked_at = spans[GAPS] - 1, 0
    while number >= 0 and gaps[number, 1] > begin:
        if looked_at == _MOST_LOOKED_AT:
            return False
        looked_at += 1
        first, last = gaps[number]
        if first < end:
            if begin <= first and last <= end:
                for index in range(number, spans[GAPS] - 1):
                    gaps[index, 0], gaps[index, 1] = gaps[index + 1]
                spans[GAPS] -= 1
            elif begin <= first:
                gaps[number, 0] = end
            elif last <= end:
                gaps[number, 1] = begin
            else:
                for index in range(spans[GAPS] - 1, number, -1):
                    gaps[index + 1, 0], gaps[index + 1, 1] = gaps[index]
                gaps[number, 1] = begin
                gaps[number + 1, 0], gaps[number + 1, 1] = end, last
                spans[GAPS] += 1
        number -= 1
    return True


def gap_at(spans: Any, gaps: Any, place: int, sent_to: int) -> int:
    """Octets from a place on, up to `sent_to`, that are in no span; places may only go forward."""
    while spans[NEXT_GAP] < spans[GAPS] and gaps[spans[NEXT_GAP], 1] <= place:
        spans[NEXT_GAP] += 1
    number, end = spans[NEXT_GAP], place
    if number < spans[GAPS] and gaps[number, 0] <= place:
        end = min(sent_to, gaps[number, 1])
    elif place >= spans[TOP]:
        end = sent_to
    return max(end - place, 0)


def begin_of(spans: Any, gaps: Any) -> int:
    """Where the first span begins; 0 if there is none."""
    begin: int = gaps[0, 1] if spans[GAPS] != 0 and gaps[0, 0] == 0 else 0
    return begin


def octets_in(spans: Any, gaps: Any) -> int:
    """How many octets are in the spans."""
    octets: int = spans[TOP]
    for index in range(spans[GAPS]):
        octets -= gaps[index, 1] - gaps[index, 0]
    return octets
