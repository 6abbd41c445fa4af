"""Whether octets in the midst of a message are read or passed over makes no difference to a session."""

from __future__ import annotations

import re

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from op25b_pcap.assembly import midst, skim
from op25b_pcap.assembly.packet import PACKET, SEGMENT
from op25b_pcap.assembly.skim import NO_TAIL, TAIL
from op25b_pcap.compiled import kernels
from op25b_pcap.mail.sessions import READ, read, skimmed
from op25b_pcap.tables.streams import CLIENT, SERVER, Chunk, Passage

FLOW = dict.fromkeys(READ) | {
    "service": "smtp",
    "conn_state": "SF",
    "initiator_evidence": "syn",
    "src_packets": 9,
    "dst_packets": 9,
}
OPENING = b"Received: from a\r\n by b\r\nSubject: c\r\n\r\n"
TEXTS = st.text(st.sampled_from("\r\n.ab"), min_size=TAIL, max_size=12).map(str.encode)
LINES = st.sampled_from([b"line\r\n", b"line\n", b"\r\n.\r", b"\n", b"..\r\n", b"and so on", b"end\r\n"])
PACKETS = st.lists(st.one_of(TEXTS, LINES.filter(lambda line: len(line) >= TAIL)), min_size=1, max_size=12)


def said(body, *, chunk=False, ending=b"\r\n"):
    """A session with a message, and what a client says behind it."""
    octets = len(OPENING + b"".join(body))
    begin = b"BDAT %d LAST" % octets if chunk else b"DATA"
    return [
        (SERVER, b"220 a\r\n"),
        (CLIENT, b"EHLO b\r\n"),
        (SERVER, b"250 a\r\n"),
        (CLIENT, b"MAIL FROM:<a@example.com>\r\n"),
        (SERVER, b"250 a\r\n"),
        (CLIENT, b"RCPT TO:<b@example.com>\r\n"),
        (SERVER, b"250 a\r\n"),
        (CLIENT, begin + ending),
        *([] if chunk else [(SERVER, b"354 a\r\n")]),
        (CLIENT, OPENING),
        *((CLIENT, packet) for packet in body),
        *([] if chunk else [(CLIENT, b"\r\n.\r\n")]),
        (SERVER, b"250 a\r\n"),
        (CLIENT, b"QUIT\r\n"),
        (SERVER, b"221 a\r\n"),
    ]


def passed(told, mayed, lost=frozenset()):
    """The same, of what may be passed over no more than the tail, and of what was lost nothing."""
    skipped, tail = dict.fromkeys((CLIENT, SERVER), 0), NO_TAIL
    for number, (side, octets) in enumerate(told):
        before, tail = tail, skim.tail_of(octets, 0, len(octets)) if number not in lost else NO_TAIL
        if number in lost:
            skipped[side] += len(octets)
            continue
        if skipped[side]:
            yield Chunk(side, 0, skipped[side], b"")
            skipped[side] = 0
        if octets in mayed and tail != NO_TAIL and not skim.goes_on(before, octets[0]):
            if len(octets) > TAIL:
                yield Passage(side, len(octets) - TAIL)
            yield Chunk(side, 0, 0, octets[-TAIL:])
        else:
            yield Chunk(side, 0, 0, octets)


@settings(max_examples=300)
@given(PACKETS, st.booleans(), st.sampled_from([b"\r\n", b"\n"]), st.sets(st.integers(0, 24), max_size=3))
@example([b"a\r\n.", b"\r\nab"], False, b"\r\n", set())
@example([b"ab\r\n", b".\r\na"], False, b"\r\n", set())
@example([b"abc\r\n", b".\r\na", b"abcdef"], False, b"\r\n", set())
def test_a_message(body, chunk, ending, lost):
    told = said(body, chunk=chunk, ending=ending)
    sessions = skimmed(FLOW, list(passed(told, set(body), lost)))
    assert sessions in (None, read(FLOW, list(passed(told, set(), lost))))


def test_most_is_passed_over():
    body = [b"abcdefgh\r\n"] * 9
    for chunk in (False, True):
        assert skimmed(FLOW, list(passed(said(body, chunk=chunk), set(body)))) is not None


def test_behind_missing_octets_it_is_read_what_is_said_and_then_passed_over_again():
    body = [*[b"abcdefgh\r\n"] * 3, b"Subject: x\r\n", b"z" * 2_000 + b"\r\n", *[b"abcdefgh\r\n"] * 3]
    told = said(body)
    mayed = {b"abcdefgh\r\n"}
    assert skimmed(FLOW, list(passed(told, mayed, {told.index((CLIENT, b"Subject: x\r\n"))}))) is not None


def test_an_opening_is_not():
    told = said([b"body\r\n"])
    assert skimmed(FLOW, list(passed(told, {OPENING}))) is None
    assert skimmed(FLOW, list(passed(told, {b"EHLO b\r\n"}))) is None
    assert skimmed(FLOW | {"service": "pop3"}, list(passed(told, set()))) is None


@given(TEXTS | st.binary(min_size=TAIL, max_size=20))
def test_a_tail(payload):
    tail = skim.tail_of(b"-" + payload, 1, 1 + len(payload))
    if tail == NO_TAIL:
        assert b"\n." in payload or payload.endswith(bytes(TAIL))
    else:
        assert tail.to_bytes(TAIL) == payload[-TAIL:]
        assert b"\n." not in payload


@given(TEXTS, TEXTS)
def test_an_end_goes_on_in_the_next_packet(one, other):
    """What no end can be in, no end is in when both are put together."""
    tail = skim.tail_of(one, 0, len(one))
    if tail != NO_TAIL and skim.tail_of(other, 0, len(other)) != NO_TAIL and not skim.goes_on(tail, other[0]):
        assert not re.search(rb"\n\.\r?\n", one + other)


TURNS = st.lists(
    st.tuples(
        st.sampled_from([CLIENT, CLIENT, CLIENT, SERVER]),
        st.integers(0, 40),  # where it begins, in tens of octets
        st.sampled_from([0, 10, 10, 20, 30]),
        st.booleans(),  # whether it has a tail
    ),
    max_size=40,
)


def laid(packets, origin):
    """Segments of one conversation whose payload was left in a file."""
    rows = np.zeros(len(packets), PACKET)
    for row, (side, begin, length, has_tail) in zip(rows, packets, strict=True):
        row["src_low"], row["dst_low"] = (1, 2) if side == CLIENT else (2, 1)
        row["src_port"], row["dst_port"] = (4_000, 25) if side == CLIENT else (25, 4_000)
        row["kind"], row["at"], row["seq"] = SEGMENT, -1, (origin + 10 * begin) % 2**32
        row["length"] = row["captured"] = length
        row["icmp_type"] = ord("x")
        # As `settle` has it: of what goes to a port that takes messages.
        row["tail"] = 7 if has_tail and skim.takes_messages(row["dst_port"]) else NO_TAIL
    return rows


def turns(packets):
    """What each side says before the other does, as numbers of packets."""
    told, last = [], None
    for number, (side, _, length, _) in enumerate(packets):
        if length:
            if side != last:
                told.append([])
            told[-1].append(number)
            last = side
    return told


@given(TURNS, st.sampled_from([0, 2**32 - 100]), st.sampled_from([0, 30]), st.sampled_from([1, 100]))
@example([(CLIENT, begin, 10, True) for begin in (0, 1, 2, 3, 4, 2, 5)], 0, 0, 1)
def test_what_is_passed_over_came_once_and_in_order(packets, origin, head, large):
    rows, order = laid(packets, origin), np.arange(len(packets))
    edges = np.array([0, len(packets)]), np.array([0, int(rows["length"].sum())])
    passed = []
    for kernel in (midst.pass_over, kernels().pass_over):
        passed.append(np.zeros(len(packets), bool))
        count = kernel(rows, order, *edges, large, head, passed[-1])
        assert count == passed[-1].sum()
    assert (passed[0] == passed[1]).all()
    for turn in turns(packets):
        seen, newest = 0, 10 * packets[turn[0]][1]
        spans = [(10 * packets[number][1], packets[number][2]) for number in turn]
        is_large = sum(length for _, length in spans) >= large
        for number, (begin, length) in zip(turn, spans, strict=True):
            is_in_order = begin == newest
            once = sum(begin < at + size and at < begin + length for at, size in spans) == 1
            may = packets[number][0] == CLIENT and packets[number][3] and seen >= head and is_large
            assert passed[0][number] == (may and is_in_order and once)
            seen, newest = seen + length, max(newest, begin + length)


def test_who_sends_very_much_again_is_not_waited_for():
    count = 5_000
    packets = [(CLIENT, begin, 10, True) for begin in range(count)] + [(CLIENT, 0, 10, True)]
    rows, passed = laid(packets, 0), np.zeros(count + 1, bool)
    edges = np.array([0, count + 1]), np.array([0, 10 * (count + 1)])
    assert kernels().pass_over(rows, np.arange(count + 1), *edges, 1, 0, passed) == 0
    assert not passed.any()
