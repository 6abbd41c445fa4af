"""Which packets are one attempt, who opened it, and what became of it."""

from __future__ import annotations

import pytest

from op25b_pcap.flows import flows
from tests.segments import Talk, mail_session


def rows(talk: Talk) -> list[dict]:
    return [flow.row for flow in flows(talk.packets)]


def both_open() -> Talk:
    """A simultaneous open (RFC 9293 section 3.5)."""
    return Talk().client("S").server("S").client("SA", -1).server("SA")


def only(talk: Talk) -> dict:
    (row,) = rows(talk)
    return row


LINUX_BACK_OFF = (0, 1, 3, 7, 15, 31, 63)
LINUX_6_5_BACK_OFF = (0, 1, 2, 3, 4, 5, 7, 11, 19, 35)


@pytest.mark.parametrize("back_off", [LINUX_BACK_OFF, LINUX_6_5_BACK_OFF])
def test_a_repeated_syn_is_one_attempt_over_the_whole_back_off(back_off):
    talk = Talk()
    for at in back_off:
        talk.now = at
        talk.client("S", delay=0)
    row = only(talk)
    assert row["syn_packets"] == len(back_off)
    assert (row["outcome"], row["conn_state"], row["history"]) == ("no_answer", "S0", "S")


def test_another_sequence_number_on_the_same_sockets_is_another_attempt():
    talk = Talk().client("S").wait(3).client("S")
    talk.wait(5).client("S", isn=77_000)
    assert [r["syn_packets"] for r in rows(talk)] == [2, 1]


def test_reused_port_after_a_closed_session_is_another_attempt():
    talk = mail_session()
    second = mail_session(Talk(client_isn=5_000_000, server_isn=6_000_000, now=talk.now + 1))
    found = [flow.row for flow in flows([*talk.packets, *second.packets])]
    assert [r["conn_state"] for r in found] == ["SF", "SF"]
    assert len({r["flow_id"] for r in found}) == 2


def test_last_words_of_the_old_connection_after_the_new_syn_belong_to_the_old():
    talk = mail_session()
    talk.client("S", isn=70_000_000)
    talk.server("FA", 49, 29)  # the old FIN once more
    old, new = rows(talk)
    assert old["dst_packets"] == 7
    assert (new["outcome"], new["dst_packets"]) == ("no_answer", 0)


def test_a_retried_refusal_is_one_attempt():
    talk = Talk()
    for _ in range(3):
        talk.client("S").server("RA", -1).wait(0.5)
    row = only(talk)
    assert (row["outcome"], row["conn_state"], row["syn_packets"]) == ("refused", "REJ", 3)


@pytest.mark.parametrize(
    ("story", "outcome", "conn_state", "history"),
    [
        (mail_session, "connected", "SF", "ShAdDfFa"),
        (lambda: Talk().client("S"), "no_answer", "S0", "S"),
        (lambda: Talk().client("S").server("RA"), "refused", "REJ", "Sr"),
        (lambda: Talk().client("S").server("SA"), "half_open", "S1", "Sh"),
        (lambda: Talk().client("S").server("RA", 0).client("R", 0).server("SA"), "refused", "REJ", "SrRh"),
        (lambda: Talk().client("S").server("SA").client("R", 0), "half_open", "RSTO", "ShR"),
        (lambda: Talk().handshake(), "connected", "S1", "ShA"),
        (lambda: Talk().handshake().server("RA", 0), "connected", "RSTR", "ShAr"),
        (lambda: Talk().handshake().client("FA", 0), "connected", "S2", "ShAF"),
        (lambda: Talk().handshake().server("FA", 0), "connected", "S3", "ShAf"),
        (lambda: Talk().client("S").client("R", 0), "no_answer", "RSTOS0", "SR"),
        (lambda: Talk().client("S").client("FA", 0), "connected", "SH", "SF"),
        (lambda: Talk().client("S").server("S").client("SA", -1).server("SA"), "connected", "S1", "SsHh"),
        (lambda: Talk().client("S").server("S"), "no_answer", "S1", "Ss"),
        (lambda: both_open().client("A", 0).server("PA", 0, 0, b"220 mx"), "connected", "S1", "SsHhAd"),
        (lambda: Talk().server("SA"), "midstream", "OTH", "^h"),
        (lambda: Talk().server("SA").server("R", 0), "midstream", "RSTRH", "^hr"),
        (lambda: Talk().server("SA").server("FA", 0), "connected", "SHR", "^hf"),
        (lambda: Talk().client("PA", 10, 10, b"MAIL"), "midstream", "OTH", "D"),
    ],
)
def test_what_became_of_it(story, outcome, conn_state, history):
    row = only(story())
    assert row["outcome"] == outcome
    assert row["conn_state"] == conn_state
    assert row["history"] == history


def test_octets_and_packets_of_a_whole_session():
    row = only(mail_session())
    assert (row["src_bytes"], row["dst_bytes"]) == (29, 49)
    assert (row["src_packets"], row["dst_packets"]) == (6, 6)


@pytest.mark.parametrize(
    ("type_", "code", "outcome"),
    [
        (3, 13, "prohibited"),
        (3, 9, "prohibited"),
        (3, 10, "prohibited"),
        (3, 1, "unreachable"),
        (11, 0, "unreachable"),
        (3, 4, "unreachable"),
    ],
)
def test_icmp_answers_the_attempt_that_it_quotes(type_, code, outcome):
    row = only(Talk().client("S").icmp(type_, code))
    assert row["outcome"] == outcome
    assert (row["icmp_type"], row["icmp_code"], row["icmp_from"]) == (type_, code, "192.0.2.1")


@pytest.mark.parametrize(
    ("code", "outcome"), [(1, "prohibited"), (5, "prohibited"), (6, "prohibited"), (0, "unreachable")]
)
def test_icmpv6_answers_too(code, outcome):
    talk = Talk("2001:db8:100::5", "2001:db8:2::25").client("S").icmp(1, code, "2001:db8::1")
    row = only(talk)
    assert (row["outcome"], row["ip_version"], row["icmp_from"]) == (outcome, 6, "2001:db8::1")


def test_icmp_finds_its_attempt_by_the_quoted_sequence_number():
    talk = Talk().client("S").wait(2).client("S", isn=500_000_000).icmp(3, 13)
    first, second = rows(talk)
    assert (first["outcome"], second["outcome"]) == ("prohibited", "no_answer")


def test_a_quote_cut_before_the_ports_answers_by_addresses_and_says_so():
    talk = Talk().client("S").icmp(3, 13, seq=None)
    talk.packets[-1] = talk.packets[-1]._replace(src_port=None, dst_port=None)
    row = only(talk)
    assert row["outcome"] == "prohibited"
    assert "icmp_quote_cut" in row["anomalies"]


def test_icmp_before_a_completed_handshake_changes_no_outcome():
    talk = Talk().client("S").icmp(3, 1).server("SA").client("A", 0, 0)
    row = only(talk)
    assert row["outcome"] == "connected"
    assert "icmp_after_answer" in row["anomalies"]


def test_a_router_that_asks_for_smaller_packets_stops_nobody():
    talk = Talk().client("S").server("SA").client("A", 0, 0).icmp(3, 4)
    row = only(talk)
    assert (row["outcome"], row["icmp_code"]) == ("connected", 4)
    assert "icmp_after_answer" not in row["anomalies"]


def test_a_client_that_goes_on_sending_has_been_answered():
    talk = Talk().client("S").client("A", 0, 0).client("PA", 0, 20, b"EHLO a\r\n")
    row = only(talk)
    assert row["outcome"] == "connected"
    assert "one_sided" in row["anomalies"]


def test_a_server_that_sends_data_has_been_acknowledged():
    row = only(Talk().server("SA").server("PA", 0, 0, b"220 mx.example.com\r\n"))
    assert (row["outcome"], row["initiator_evidence"]) == ("connected", "syn_ack")


def test_syn_captured_after_its_answer_is_the_same_attempt():
    talk = Talk().server("SA").client("S").client("A", 0, 0)
    row = only(talk)
    assert (row["initiator_evidence"], row["syn_packets"], row["outcome"]) == ("syn", 1, "connected")


def test_without_a_syn_the_mail_port_tells_who_was_called():
    row = only(Talk().server("PA", 100, 10, b"250 OK\r\n").client("A", 10, 108))
    assert (row["dst_port"], row["initiator_evidence"], row["outcome"]) == (25, "port", "midstream")


def test_a_connection_from_a_mail_port_is_no_mail_flow():
    assert rows(Talk(client_port=25, server_port=40_000).client("S")) == []


def test_hairpin_at_the_router_is_one_packet():
    talk = Talk()
    talk.client("S", ip_id=7, place="in").client("S", ip_id=7, place="out", ttl=63, delay=0.0001)
    talk.wait(1)
    talk.client("S", ip_id=8, place="in").client("S", ip_id=8, place="out", ttl=63, delay=0.0001)
    row = only(talk)
    assert (row["syn_packets"], row["src_packets"], row["src_ttl"]) == (2, 2, 64)
    assert "captured_twice" in row["anomalies"]


def test_a_mirror_that_doubles_every_frame_is_seen_through():
    talk = mail_session()
    doubled = [
        p
        for packet in talk.packets
        for p in (
            packet,
            packet._replace(
                seen=packet.seen._replace(
                    number=packet.seen.number + 1000, time_ns=packet.seen.time_ns + 2000
                )
            ),
        )
    ]
    (once,), (twice,) = rows(talk), [f.row for f in flows(doubled)]
    assert twice.pop("anomalies") == ["captured_twice"]
    assert once.pop("anomalies") == []
    assert once == twice


def test_identical_acknowledgements_without_identification_are_not_copies():
    talk = Talk("2001:db8:100::5", "2001:db8:2::25").handshake()
    for _ in range(3):
        talk.client("A", 0, 0, delay=0.00001)
    talk.packets = [p._replace(ip_id=None) for p in talk.packets]
    assert only(talk)["src_packets"] == 5


def test_silence_of_hours_ends_a_connection_and_minutes_do_not():
    talk = Talk().handshake().wait(29 * 60).client("A", 0, 0)
    assert len(rows(talk)) == 1
    talk.wait(3 * 3600).client("A", 0, 0)
    assert [r["outcome"] for r in rows(talk)] == ["connected", "midstream"]


def test_shared_inner_addresses_in_two_tunnels_are_two_subscribers():
    def tunnelled(home: str) -> list:
        talk = Talk("192.168.1.2").client("S")
        return [
            p._replace(seen=p.seen._replace(encapsulation="ipip6", outer_src=home, outer_dst="2001:db8::aa"))
            for p in talk.packets
        ]

    found = [f.row for f in flows(tunnelled("2001:db8:100:1::1") + tunnelled("2001:db8:100:2::1"))]
    assert {r["subscriber_key"] for r in found} == {"2001:db8:100:1::1", "2001:db8:100:2::1"}


def test_the_pppoe_session_pays():
    talk = Talk().client("S")
    talk.packets[0] = talk.packets[0]._replace(
        seen=talk.packets[0].seen._replace(encapsulation="vlan:100/pppoe:17")
    )
    assert only(talk)["subscriber_key"] == "vlan:100/pppoe:17"


def test_handshake_time_is_measured_from_the_latest_syn():
    talk = Talk().client("S").wait(1).client("S").server("SA", delay=0.025)
    assert only(talk)["handshake_rtt_ms"] == pytest.approx(25)


def test_two_resets_without_identification_are_two():
    talk = Talk().handshake().client("R", 0, ip_id=0, delay=0.001).client("R", 0, ip_id=0, delay=0.0002)
    row = only(talk)
    assert (row["src_packets"], row["anomalies"]) == (4, [])
