"""Zeek's conn.log and smtp.log in both formats: what they tell, and what they do not."""

from __future__ import annotations

import pytest

from op25b_pcap.flowlogs import zeek_smtp
from tests.flow_logs import (
    CONN,
    HOME,
    SMTP,
    START,
    STRANGER,
    conn,
    json_lines,
    mail,
    read,
    talk,
    tsv,
)


def one(*logs: bytes) -> dict:
    found = read(*logs)
    assert not found.damages
    (row,) = found.rows
    return row


def test_a_connection_as_zeek_tells_it():
    row = one(tsv([talk()], CONN))
    assert (row["src_ip"], row["src_port"], row["dst_ip"], row["dst_port"]) == (HOME, 40001, STRANGER, 25)
    assert row["start_time"] == START * 10**9 + 50_001_000
    assert row["end_time"] == row["start_time"] + 2_500_000_000
    assert (row["conn_state"], row["history"], row["outcome"]) == ("SF", "ShAdDafF", "connected")
    counts = ("src_packets", "dst_packets", "src_bytes", "dst_bytes", "syn_packets")
    assert [row[name] for name in counts] == [12, 10, 900, 700, None]
    unknown = ("encapsulation", "handshake_rtt_ms", "answer_ms", "icmp_type", "src_ttl", "dst_ttl")
    assert [row[name] for name in unknown] == [None] * len(unknown)
    assert (row["initiator_evidence"], row["service"], row["anomalies"]) == ("syn", "smtp", [])
    assert row["first_packet"] == 7  # the line


@pytest.mark.parametrize("columns", [CONN, CONN[::-1], sorted(CONN), [*CONN, "extra"]], ids=lambda c: c[0])
def test_columns_stand_in_any_order(columns):
    assert one(tsv([talk()], columns)) == one(tsv([talk()], CONN))


@pytest.mark.parametrize("nested", [False, True])
def test_json_says_the_same_under_the_same_name(nested):
    records = [conn(1, ts=f"{START}.123456"), talk(2, orig_pkts=7), conn(3, history="Sr", conn_state="REJ")]
    rows = read(tsv(records, CONN)).rows
    assert [row | {"first_packet": 0} for row in read(json_lines(records, nested=nested)).rows] == [
        row | {"first_packet": 0} for row in rows
    ]


def test_another_separator_and_a_header_in_the_middle():
    both = tsv([talk(1)], CONN, "|") + tsv([talk(2)], CONN[::-1])
    assert [row["src_port"] for row in read(both).rows] == [1, 2]


@pytest.mark.parametrize("ts", [f"{START}050.001", "2025-11-24T07:13:31.050001Z"])
def test_times_in_milliseconds_and_as_iso(ts):
    assert one(tsv([talk(ts=ts)], CONN))["start_time"] == START * 10**9 + 50_001_000


@pytest.mark.parametrize(
    ("ts", "duration", "start_ns", "lasted_ns"),
    [
        (f"{START}.05", "9.5367431640625e-7", START * 10**9 + 50_000_000, 953),
        ("1.76396841105e9", "1E2", START * 10**9 + 50_000_000, 100 * 10**9),
        ("1.76396841105E+12", "0e0", START * 10**9 + 50_000_000, 0),
        (f"{START}", "5e-324", START * 10**9, 0),
    ],
)
def test_numbers_with_exponents(ts, duration, start_ns, lasted_ns):
    row = one(tsv([talk(ts=ts, duration=duration)], CONN))
    assert (row["start_time"], row["end_time"] - row["start_time"]) == (start_ns, lasted_ns)


def test_nothing_but_mail_becomes_a_row():
    records = [conn(id__resp_p=443), conn(proto="udp"), conn(proto="icmp", id__orig_p=3, id__resp_p=25)]
    for log in (tsv(records, CONN), json_lines(records)):
        found = read(log)
        assert (found.flows, found.damages, found.log.first_time_ns) == ([], [], None)


STATES = [
    ("S0", "S", "no_answer", "syn"),
    ("REJ", "Sr", "refused", "syn"),
    ("S1", "Sh", "half_open", "syn"),
    ("S1", "ShA", "connected", "syn"),
    ("RSTO", "ShR", "half_open", "syn"),
    ("SF", "ShADadfF", "connected", "syn"),
    ("RSTR", "ShADadr", "connected", "syn"),
    ("S0", "SC", "no_answer", "syn"),
    ("S0", "SW", "no_answer", "syn"),
    ("S1", "ShW", "half_open", "syn"),
    ("S1", "ShAW", "connected", "syn"),
    ("OTH", "Ww", "midstream", "port"),
    ("RSTOS0", "SR", "no_answer", "syn"),
    ("SH", "SF", "connected", "syn"),
    ("SHR", "^hf", "connected", "syn_ack"),
    ("OTH", "^h", "midstream", "syn_ack"),
    ("OTH", "DdA", "midstream", "port"),
    ("OTH", "", "midstream", "port"),
    ("S0", None, "no_answer", "syn"),
    ("REJ", None, "refused", "syn"),
    ("S1", None, None, "syn"),
    ("SF", None, "connected", "syn"),
    ("RSTO", None, None, "syn"),
    ("S3", None, "connected", "syn"),
    ("RSTRH", None, "midstream", "syn_ack"),
    (None, None, None, "port"),
]


@pytest.mark.parametrize(("state", "history", "outcome", "evidence"), STATES)
def test_what_state_and_history_say_of_the_outcome(state, history, outcome, evidence):
    row = one(tsv([conn(conn_state=state, history=history or None)], CONN))
    assert (row["outcome"], row["conn_state"]) == (outcome, state)
    assert row["initiator_evidence"] == evidence


def test_octets_prove_a_connection_where_the_history_is_missing():
    assert one(tsv([talk(conn_state="S1", history=None)], CONN))["outcome"] == "connected"


def test_whoever_answers_from_the_mail_port_was_called():
    turned = conn(id__orig_h=STRANGER, id__orig_p=25, id__resp_h=HOME, id__resp_p=40001)
    row = one(tsv([turned | {"history": "DdR", "conn_state": "RSTO", "orig_bytes": "5"}], CONN))
    assert (row["src_ip"], row["dst_port"]) == (HOME, 25)
    assert (row["history"], row["conn_state"], row["initiator_evidence"]) == ("^dDr", "RSTR", "port")


def test_a_long_back_off_that_zeek_cuts_is_one_attempt():
    syns = [(0, 3, 3), (7, None, 1), (15, None, 1), (31, None, 1), (63, None, 1)]
    records = [
        conn(ts=f"{START + at}.0", duration=lasted and f"{lasted}.0", orig_pkts=count, uid=f"C{at}")
        for at, lasted, count in syns
    ]
    row = one(tsv(records, CONN))
    assert (row["syn_packets"], row["src_packets"], row["outcome"]) == (7, 7, "no_answer")
    assert row["end_time"] - row["start_time"] == 63 * 10**9
    assert row["anomalies"] == ["icmp_unseen", "several_records"]


def test_a_syn_after_an_answer_is_a_new_attempt():
    again = talk(ts=f"{START + 30}.0", uid="Cagain")
    assert len(read(tsv([talk(), again], CONN)).rows) == 2
    rest = conn(ts=f"{START + 30}.0", uid="Crest", history="R", conn_state="OTH", orig_pkts=1)
    row = one(tsv([talk(), rest], CONN))
    assert (row["history"], row["src_packets"]) == ("ShAdDafF", 13)


def test_a_syn_long_after_the_last_is_a_new_attempt():
    assert len(read(tsv([conn(), conn(ts=f"{START + 200}.0", uid="Clater")], CONN)).rows) == 2


def test_who_pays_in_a_tunnel_and_tags():
    row = one(tsv([conn(tunnel_parents="CbTunnel,CaTunnel", history="Sc")], CONN))
    assert (row["subscriber_key"], row["encapsulation"]) == ("CaTunnel/CbTunnel", None)
    odd = one(json_lines([conn(tunnel_parents="C\x1b[31m")]))
    assert odd["subscriber_key"] == "C\ufffd[31m"
    tagged = one(tsv([conn(vlan=100, inner_vlan=7)], [*CONN, "vlan", "inner_vlan"]))
    assert (tagged["subscriber_key"], tagged["encapsulation"]) == (HOME, "vlan:100/vlan:7")


def test_oddities():
    odd = talk(history="^hAcDgadFfI", missed_bytes=1448)
    assert one(tsv([odd], CONN))["anomalies"] == ["bad_checksum", "flag_combination", "gap"]
    alone = talk(history="SAD", conn_state="OTH", resp_pkts=0, resp_bytes=0)
    assert one(tsv([alone], CONN))["anomalies"] == ["one_sided"]


def test_two_sensors_saw_the_same_packets():
    row = one(tsv([talk(), talk(uid="Cother", ts=f"{START}.050900")], CONN))
    assert (row["anomalies"], row["src_packets"]) == (["captured_twice"], 12)


DAMAGED = [
    conn(id__orig_h="203.0.113.999"),
    conn(id__orig_p="70000"),
    conn(ts="yesterday"),
    conn(ts=str(1 << 63)),
    conn(ts="1e999"),
    conn(ts="9223372036.8547"),
    conn(ts="9183110400", duration="1.0"),
    conn(id__orig_h="2001:db8:100::5"),
    conn(ts="1e9999"),
    conn(orig_pkts="-1"),
    conn(conn_state="S9"),
    conn(history="S\x01"),
    conn(duration="99999999999"),
]


@pytest.mark.parametrize("damaged", DAMAGED, ids=lambda record: str(DAMAGED.index(record)))
def test_a_damaged_line_costs_itself(damaged):
    found = read(tsv([talk(1), damaged, talk(3)], CONN))
    assert [row["src_port"] for row in found.rows] == [1, 3]
    ((offset, reason),) = found.damages
    assert offset == tsv([talk(1)], CONN).index(b"#close")
    assert reason.startswith("a line of Zeek's: ")


def test_lines_that_are_cut():
    whole, cut = tsv([talk(1)], CONN), b"1700000000.0\tC\t203.0.113.3\t2\t198.51.100.25\t25\n"
    assert [reason for _, reason in read(whole + cut).damages] == [
        "a line of Zeek's: another number of fields than the header names"
    ]
    lines = json_lines([talk(1), talk(2)])
    found = read(lines[:-20])
    assert ([row["src_port"] for row in found.rows], found.damages) == (
        [1],
        [(len(lines) // 2, "no JSON object")],
    )


@pytest.mark.parametrize("half", [b'"\\ud800"', b'"\xed\xa0\x80"'], ids=["named", "raw"])
def test_halves_of_characters(half):
    lines = json_lines([talk(tunnel_parents="HALF"), mail(helo="HALF")])
    found = read(lines.replace(b'"HALF"', half))
    assert not found.damages
    (flow,) = found.flows
    assert flow.sessions.smtp["helo"] == "\ufffd" * 3
    for text in (flow.sessions.smtp["helo"], *map(str, flow.row.values())):
        assert text.encode()


def test_very_many_recipients(monkeypatch):
    monkeypatch.setattr(zeek_smtp, "MAX_RECIPIENTS", 3)
    _, _, (transaction,) = dialogue(mail(rcptto=",".join(f"{n}@example.org" for n in range(9))))
    assert transaction["rcpt_to"] == [f"{n}@example.org" for n in range(3)]


def dialogue(*mails: dict, conns: tuple = ()) -> tuple:
    found = read(tsv(conns or [talk()], CONN), tsv(mails, SMTP))
    assert not found.damages
    (flow,) = found.flows
    return flow.row, flow.sessions.smtp, flow.sessions.transactions


def test_a_mail_that_was_taken():
    row, session, (transaction,) = dialogue(mail())
    assert (row["conn_state"], row["capture"]) == ("SF", 0)
    assert session["flow_id"] == transaction["flow_id"] == row["flow_id"]
    assert (session["helo"], session["tls"], session["result"]) == ("home.example.net", "none", "delivered")
    assert (session["messages_accepted"], session["recipients_accepted"]) == (1, 1)
    assert (session["last_reply_code"], session["last_enhanced_code"]) == (250, "2.0.0")
    assert session["last_reply_text"] == "Ok: queued as 4711"
    unknown = ("banner_code", "helo_verb", "extensions", "starttls_offered", "auth_mechanism", "quit")
    assert [session[name] for name in (*unknown, "recipients_rejected", "message_bytes")] == [None] * 8
    assert (transaction["mail_from"], transaction["rcpt_to"]) == ("alice@example.net", ["bob@example.org"])
    assert (transaction["accepted"], transaction["reply_code"]) == (True, 250)
    assert (transaction["received_headers"], session["client_kind"]) == (0, "unknown")


def test_nothing_of_the_message_is_kept():
    spoken = mail(first_received="from secret", user_agent="secret/1", date="secret", to="secret@example.org")
    assert "secret" not in repr(read(tsv([talk()], CONN), tsv([spoken], SMTP)).flows)


def test_whose_reply_the_last_one_is():
    """After a header it is that to the message; before it may be to any command."""
    headless = {"subject": None, "from": None}
    cases = [
        (mail(**headless), None, "aborted"),
        (mail(last_reply="550 5.1.1 <bob@example.org>: unknown", **headless), False, "rejected"),
        (mail(last_reply="554 5.7.1 spam"), False, "rejected"),
        (mail(last_reply="354 go on"), None, "aborted"),
        (mail(last_reply=None), None, "opaque"),
        (mail(last_reply="221 2.0.0 Bye", **headless), None, "aborted"),
    ]
    for line, accepted, result in cases:
        _, session, (transaction,) = dialogue(line)
        assert (transaction["accepted"], session["result"]) == (accepted, result), line
        assert session["recipients_accepted"] is None
    assert session["quit"] is True


def test_starttls_hides_the_rest():
    only = mail(
        tls="T", mailfrom=None, rcptto=None, subject=None, last_reply="220 2.0.0 Ready", **{"from": None}
    )
    _, session, transactions = dialogue(only)
    assert (session["tls"], session["starttls_accepted"], session["result"]) == ("starttls", True, "opaque")
    assert (session["transactions"], transactions) == (0, [])


def test_several_mails_in_order_and_their_traces():
    second = mail(
        ts=f"{START}.9", trans_depth=2, rcptto="b@example.org,c@example.org", first_received="from x"
    )
    third = mail(ts=f"{START + 1}.9", trans_depth=3, first_received="from y", second_received="from x")
    _, session, transactions = dialogue(third, mail(), second)
    assert [each["received_headers"] for each in transactions] == [0, 1, None]
    assert [len(each["rcpt_reply_codes"]) for each in transactions] == [1, 2, 1]
    assert (session["client_kind"], session["messages_accepted"]) == ("mta", 3)
    assert session["recipients_accepted"] is None  # two recipients, one reply


def test_the_null_reverse_path_is_not_the_unseen_one():
    assert dialogue(mail(mailfrom="<>"))[2][0]["mail_from"] == ""
    assert dialogue(mail(mailfrom="<a@example.net>"))[2][0]["mail_from"] == "a@example.net"
    assert dialogue(mail(mailfrom=None))[2][0]["mail_from"] is None


def test_the_dialogue_alone_is_a_connection():
    (flow,) = read(tsv([mail()], SMTP)).flows
    row = flow.row
    assert (row["outcome"], row["initiator_evidence"], row["anomalies"]) == ("connected", "port", [])
    unknown = ("conn_state", "history", "syn_packets", "src_packets", "src_bytes")
    assert [row[name] for name in unknown] == [None] * len(unknown)
    assert flow.sessions.smtp["result"] == "delivered"


def test_escaped_octets():
    _, session, _ = dialogue(mail(helo=r"b\xc3\xbccher.example\x09x"))
    assert session["helo"] == "bücher.example�x"


def test_numbers_that_no_column_holds():
    row = one(tsv([conn(orig_pkts=1 << 40)], CONN))
    assert (row["src_packets"], row["syn_packets"]) == (1 << 40, None)
    huge = read(tsv([conn(orig_pkts=1 << 45), conn(2, uid="C" * 300), conn(3, history="S" * 2000)], CONN))
    assert (huge.flows, len(huge.damages)) == ([], 3)
