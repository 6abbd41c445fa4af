"""What could be read of both sides' octets, and what was named odd."""

from __future__ import annotations

import pytest

from op25b_pcap.flows import flows
from op25b_pcap.tables.streams import Side
from tests.segments import Talk


def read(talk: Talk) -> tuple[dict, list]:
    (flow,) = flows(talk.packets)
    return flow.row, [(c.side, c.skipped, c.data) for c in flow.chunks]


C, S = Side.CLIENT, Side.SERVER


def test_in_order():
    row, chunks = read(Talk().handshake().server("PA", 0, 0, b"220 a\r\n").client("PA", 0, 7, b"QUIT\r\n"))
    assert chunks == [(S, 0, b"220 a\r\n"), (C, 0, b"QUIT\r\n")]
    assert (row["src_bytes"], row["dst_bytes"], row["anomalies"]) == (6, 7, [])


def test_reordered_segments_are_read_when_the_missing_one_comes():
    talk = Talk().handshake().client("PA", 3, 0, b"def").server("A", 0, 0).client("PA", 0, 0, b"abc")
    row, chunks = read(talk)
    assert chunks == [(C, 0, b"abc"), (C, 0, b"def")]
    assert row["anomalies"] == []


def test_retransmission_counts_once():
    talk = Talk().handshake().client("PA", 0, 0, b"abc").wait(1).client("PA", 0, 0, b"abcdef")
    row, chunks = read(talk)
    assert chunks == [(C, 0, b"abc"), (C, 0, b"def")]
    assert row["src_bytes"] == 6


def test_a_lost_segment_is_a_gap_as_soon_as_what_follows_arrives():
    talk = (
        Talk()
        .handshake()
        .client("PA", 0, 0, b"abc")
        .client("PA", 10, 0, b"xyz")
        .server("PA", 0, 13, b"250\r\n")
    )
    row, chunks = read(talk)
    assert chunks == [(C, 0, b"abc"), (C, 7, b"xyz"), (S, 0, b"250\r\n")]
    assert row["anomalies"] == ["gap"]
    assert "G" in row["history"]
    assert row["src_bytes"] == 6


def test_a_hole_that_a_retransmission_fills_later_is_none():
    talk = Talk().handshake().client("PA", 3, 0, b"def").wait(70).client("PA", 0, 0, b"abc")
    assert read(talk)[1] == [(C, 0, b"abc"), (C, 0, b"def")]


def test_a_fin_shows_that_something_was_sent_before_it():
    talk = Talk().handshake().server("PA", 0, 0, b"220 a\r\n").server("FA", 16, 0).client("FA", 0, 17)
    row, chunks = read(talk)
    assert chunks == [(S, 0, b"220 a\r\n"), (S, 9, b"")]
    assert row["anomalies"] == ["gap"]
    assert (row["src_bytes"], row["dst_bytes"]) == (0, 7)


def test_an_acknowledgement_shows_what_the_capture_has_missed_at_the_end():
    talk = Talk().handshake().server("PA", 0, 0, b"220 a\r\n").client("A", 0, 7).client("FA", 0, 17)
    row, chunks = read(talk)
    assert chunks == [(S, 0, b"220 a\r\n"), (S, 9, b"")]
    assert row["anomalies"] == ["gap"]


def test_the_acknowledgement_of_a_lost_fin_is_no_gap():
    talk = Talk().handshake().server("PA", 0, 0, b"220 a\r\n").client("FA", 0, 8)
    assert read(talk)[0]["anomalies"] == []


def test_what_one_side_acknowledges_to_a_side_never_heard_is_no_gap():
    talk = Talk().client("S").client("A", 0, 0).client("PA", 0, 200, b"QUIT\r\n")
    assert read(talk)[0]["anomalies"] == ["one_sided"]


def test_a_packet_cut_by_the_snap_length_leaves_a_gap_at_once():
    talk = Talk().handshake().client("PA", 0, 0, b"MAIL FROM:<a@example.com>\r\n", captured=4)
    talk.server("PA", 0, 27, b"250 OK\r\n")
    row, chunks = read(talk)
    assert chunks == [(C, 0, b"MAIL"), (C, 23, b""), (S, 0, b"250 OK\r\n")]
    assert row["anomalies"] == ["gap", "truncated"]
    assert row["src_bytes"] == 27


def test_header_only_captures_tell_lengths():
    talk = Talk().handshake().client("PA", 0, 0, b"abc", captured=0).client("PA", 3, 0, b"def", captured=0)
    row, chunks = read(talk)
    assert chunks == [(C, 3, b""), (C, 3, b"")]
    assert row["src_bytes"] == 6


def test_the_first_copy_of_an_octet_wins_and_the_conflict_is_named():
    talk = Talk().handshake().client("PA", 0, 0, b"abcd").client("PA", 2, 0, b"XXef")
    row, chunks = read(talk)
    assert chunks == [(C, 0, b"abcd"), (C, 0, b"ef")]
    assert row["anomalies"] == ["overlap_conflict"]


def test_a_keep_alive_probe_is_no_conflict():
    talk = Talk().handshake().client("PA", 0, 0, b"abcd").wait(60).client("A", 3, 0, b"\0")
    row, chunks = read(talk)
    assert chunks == [(C, 0, b"abcd")]
    assert row["anomalies"] == []


def test_sequence_numbers_wrap_around():
    talk = Talk(client_isn=2**32 - 3).handshake().client("PA", 0, 0, b"abc").client("PA", 3, 0, b"def")
    row, chunks = read(talk)
    assert chunks == [(C, 0, b"abc"), (C, 0, b"def")]
    assert row["src_bytes"] == 6


def test_octets_of_a_fast_open_syn_are_the_first():
    talk = Talk().client("S", data=b"EHLO ").server("SA").client("PA", 5, 0, b"a\r\n")
    row, chunks = read(talk)
    assert chunks == [(C, 0, b"EHLO "), (C, 0, b"a\r\n")]
    assert row["anomalies"] == ["data_in_syn"]


@pytest.mark.parametrize(("acknowledged", "odd"), [(0, False), (3, False), (5, False), (6, True), (-1, True)])
def test_a_fast_open_syn_is_acknowledged_with_what_it_carries(acknowledged, odd):
    talk = Talk().client("S", data=b"EHLO ").server("SA", -1, acknowledged).client("PA", 5, 0, b"a\r\n")
    assert ("bad_syn_ack" in read(talk)[0]["anomalies"]) == odd


def test_the_payload_of_a_reset_is_a_diagnosis_and_no_data():
    row, chunks = read(Talk().handshake().server("R", 0, data=b"go away"))
    assert chunks == []
    assert row["dst_bytes"] == 0


def test_octets_before_the_capture_began_are_no_gap():
    row, chunks = read(Talk().client("PA", 5000, 100, b"QUIT\r\n").server("PA", 100, 5006, b"221 Bye\r\n"))
    assert chunks == [(C, 0, b"QUIT\r\n"), (S, 0, b"221 Bye\r\n")]
    assert row["anomalies"] == []


def test_the_first_acknowledgement_shows_what_one_side_has_missed():
    talk = Talk().client("S").client("A", 0, 0).server("PA", 10, 0, b"rest\r\n")
    assert read(talk)[1] == [(S, 10, b"rest\r\n")]


def test_what_lies_far_outside_every_window_is_left_out():
    talk = Talk().handshake().client("PA", 0, 0, b"abc").client("PA", 1_900_000_000, 0, b"zzz")
    row, chunks = read(talk)
    assert chunks == [(C, 0, b"abc")]
    assert row["anomalies"] == ["out_of_window"]
