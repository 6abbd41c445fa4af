"""No order, cut or repetition of the packets may change what is said of the attempts."""

from __future__ import annotations

import random
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from op25b_pcap.flows import flows
from op25b_pcap.tables.packets import IcmpError, TcpSegment
from tests.segments import SECOND, Talk, mail_session


def story() -> list[TcpSegment]:
    """Sessions, retries, a refusal and reused ports of three subscribers, interleaved."""
    talks = [
        mail_session(Talk("203.0.113.5", now=0.0)),
        mail_session(Talk("203.0.113.6", client_isn=2**32 - 20, now=0.0005)),
        Talk("203.0.113.7", now=0.2).client("S").wait(1).client("S").wait(2).client("S"),
        Talk("203.0.113.8").client("S").server("RA").wait(0.5).client("S").server("RA"),
        Talk("203.0.113.9").handshake().client("PA", 3, 0, b"def").client("PA", 0, 0, b"abc"),
    ]
    talks[0] = mail_session(Talk("203.0.113.5", client_isn=10**6, now=5.0, packets=talks[0].packets))
    packets = sorted((p for talk in talks for p in talk.packets), key=lambda p: p.seen.time_ns)
    return [p._replace(seen=p.seen._replace(number=n)) for n, p in enumerate(packets, 1)]


STORY = story()


def told(packets) -> list:
    found = sorted(flows(packets), key=lambda flow: flow.row["flow_id"])
    return [(flow.row, flow.chunks) for flow in found]


@settings(max_examples=60)
@given(st.randoms(use_true_random=False))
def test_any_order_of_arrival_gives_the_same_flows(rng: random.Random):
    shuffled = STORY[:]
    rng.shuffle(shuffled)
    assert told(shuffled) == told(STORY)


@settings(max_examples=60)
@given(st.sets(st.integers(0, len(STORY) - 1)))
def test_any_packets_captured_twice_count_once(which: set[int]):
    doubled = []
    for index, packet in enumerate(STORY):
        doubled.append(packet)
        if index in which:
            later = packet.seen._replace(
                time_ns=packet.seen.time_ns + 1000, number=packet.seen.number + 1000, place="other"
            )
            doubled.append(packet._replace(seen=later, ttl=packet.ttl - 1))
    once, twice = told(STORY), told(doubled)
    for (row, chunks), (again, chunks_again) in zip(once, twice, strict=True):
        assert chunks_again == chunks
        assert again | {"anomalies": []} == row | {"anomalies": []}


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_where_on_the_circle_the_numbers_start_does_not_matter(client_isn: int, server_isn: int):
    (plain,) = flows(mail_session().packets)
    (moved,) = flows(mail_session(Talk(client_isn=client_isn, server_isn=server_isn)).packets)
    assert moved.chunks == plain.chunks
    assert moved.row | {"flow_id": ""} == plain.row | {"flow_id": ""}


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), min_size=1, max_size=25),
    st.randoms(use_true_random=False),
)
def test_octets_come_out_in_order_whatever_pieces_were_sent(pieces, rng: random.Random):
    text = bytes(range(65, 65 + 72))
    talk = Talk().handshake()
    cut = [(0, 30), (30, 42), *pieces]
    rng.shuffle(cut)
    for start, length in cut:
        talk.client("PA", start, 0, text[start : start + length])
    (flow,) = flows(talk.packets)
    at = 0
    for chunk in flow.chunks:
        at += chunk.skipped
        assert chunk.data == text[at : at + len(chunk.data)]
        at += len(chunk.data)
    sent = {octet for start, length in cut for octet in range(start, start + length) if octet < 72}
    assert flow.row["src_bytes"] == len(sent)
    assert sum(len(chunk.data) for chunk in flow.chunks) == len(sent)


def test_an_attempt_that_has_long_been_silent_is_given_out_before_the_end():
    early = Talk("203.0.113.5").client("S").packets
    late = [
        Talk("203.0.113.99", client_port=1024 + n, now=1000 + n * 0.001).client("S").packets[0]
        for n in range(40_000)
    ]
    first = next(flows([*early, *late]))
    assert first.row["src_ip"] == "203.0.113.5"
    assert first.row["end_time"] < late[0].seen.time_ns - 900 * SECOND


def flood(rng: random.Random) -> list[TcpSegment | IcmpError]:
    """Two hundred attempts on the same sockets: refused, prohibited, sent again, captured twice."""
    talk = Talk()
    for _ in range(200):
        talk.wait(rng.choice((0.001, 0.3, 2.0)))
        talk.client_isn = rng.choice((talk.client_isn, rng.randrange(2**32)))
        talk.client("S")
        if rng.random() < 0.3:
            talk.wait(rng.choice((0.0001, 0.01, 1.0))).client("S")
        if rng.random() < 0.3:
            talk.server(rng.choice(("SA", "RA")))
        if rng.random() < 0.4:
            talk.icmp(3, rng.choice((1, 13)), seq=rng.choice((-1, 5, None)))
    packets = talk.packets
    for packet in rng.sample(packets, 20):  # copies
        place = rng.choice(("eth0", "eth1"))
        copied = packet.seen._replace(
            time_ns=packet.seen.time_ns + 50_000, number=len(packets) + 1, place=place
        )
        packets.append(packet._replace(seen=copied))
    return packets


@settings(max_examples=60)
@given(st.integers(0, 1 << 30), st.sampled_from([20, 24, 64]))
def test_a_flood_is_told_piece_by_piece(seed, at_once):
    packets = flood(random.Random(seed))
    whole = told(packets)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["op25b_pcap.flows.attempts"], "_AT_ONCE", at_once)
        assert told(packets) == whole
