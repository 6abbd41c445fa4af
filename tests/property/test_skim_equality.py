"""Whether octets in the midst of a message are read or passed over makes no difference to a session."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from op25b_pcap.assembly import skim
from op25b_pcap.assembly.skim import IN_HAND, TAIL, UNREAD
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
    skipped = dict.fromkeys((CLIENT, SERVER), 0)
    for number, (side, octets) in enumerate(told):
        if number in lost:
            skipped[side] += len(octets)
            continue
        if skipped[side]:
            yield Chunk(side, 0, skipped[side], b"")
            skipped[side] = 0
        if octets in mayed and skim.is_even(octets, 0, len(octets)):
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


@settings(deadline=None)  # the first compiles
@given(st.lists(st.one_of(TEXTS, st.binary(max_size=20)), max_size=9), st.integers(0, 60))
def test_compiled_or_not(packets, room):
    data = np.frombuffer(b"".join(packets) or b"-", np.uint8)
    sizes = np.array([len(packet) for packet in packets], np.int64)
    told = []
    for kernel in (skim.skim, kernels().skim):
        kept, ats, tails = (
            np.zeros(size, kind) for size, kind in ((room, "u1"), (len(sizes), "i8"), (len(sizes), "i8"))
        )
        used = kernel(data, np.cumsum(sizes) - sizes, sizes, np.zeros_like(sizes), kept, 0, ats, tails)
        told.append((used, kept.tolist(), ats.tolist(), tails.tolist()))
    assert told[0] == told[1]
    used, kept, ats, tails = told[0]
    for packet, at, tail in zip(packets, ats, tails, strict=True):
        if tail == IN_HAND:
            assert bytes(kept[at : at + len(packet)]) == packet
        elif tail != UNREAD:
            assert tail.to_bytes(TAIL) == packet[-TAIL:]
            assert b"\n." not in packet
            assert packet[0] not in b"\r\n."
