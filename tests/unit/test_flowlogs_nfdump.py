"""nfdump's flow records: two directions become one attempt, and flags tell what they can."""

from __future__ import annotations

import itertools
from datetime import timedelta, timezone

import pytest

from op25b_pcap.flowlogs import nfcapd as nfcapd_module
from tests.flow_logs import (
    HOME,
    NFDUMP_16,
    START,
    STRANGER,
    Record,
    nfdump_16,
    nfdump_17,
    read,
    reply,
    request,
)

BIG = {"packets": 10, "octets": 9000}


def one(log: bytes, **known) -> dict:
    found = read(log, **known)
    assert not found.damages
    (row,) = found.rows
    return row


@pytest.mark.parametrize("write", [nfdump_16, nfdump_17])
def test_two_records_are_one_attempt_in_either_order(write):
    pair = (
        request("SAPF", lasted=2.5, packets=9, octets=821),
        reply("SAPF", lasted=2.5, packets=10, octets=702),
    )
    for records in itertools.permutations(pair):
        row = one(write(*records))
        assert (row["src_ip"], row["src_port"], row["dst_ip"], row["dst_port"]) == (HOME, 40001, STRANGER, 25)
        assert (row["outcome"], row["conn_state"], row["history"]) == ("connected", "SF", "ShDdFf")
        assert (row["src_packets"], row["dst_packets"], row["syn_packets"]) == (9, 10, None)
        assert (row["src_bytes"], row["dst_bytes"]) == (None, None)  # octets of IP are none of payload
        assert row["anomalies"] == ["order_unknown"]
        assert row["start_time"] == START * 10**9
        assert row["end_time"] - row["start_time"] >= 2_500_000_000


COURSES = [
    ("S", None, "no_answer", "S0", "S"),
    ("S", "RA", "refused", "REJ", "Sr"),
    ("S", "SA", "half_open", "S1", "Sh"),
    ("SR", "SA", "half_open", "RSTO", "ShR"),
    ("SA", "SA", "connected", "S1", "Sh"),
    ("SAP", "SAP", "connected", "S1", "ShDd"),
    ("SAF", "SAF", "connected", "SF", "ShFf"),
    ("SAPF", "SAP", "connected", "S2", "ShDdF"),
    ("SAP", "SAPF", "connected", "S3", "ShDdf"),
    ("SAPR", "SAP", "connected", "RSTO", "ShDdR"),
    ("SAP", "SAPR", "connected", "RSTR", "ShDdr"),
    ("SAPFR", "SAPF", "connected", None, "ShDdFfR"),
    ("SAR", "SA", None, None, None),  # its ACK may have been the RST's
    ("SAPF", None, "connected", "SH", "SDF"),
    (None, "SAP", "connected", "OTH", "hd"),
    (None, "SA", "midstream", "OTH", "h"),
    ("AP", "AP", "midstream", "OTH", "Dd"),
    ("APF", "APF", "midstream", "SF", "DdFf"),
]


@pytest.mark.parametrize(("opener", "called", "outcome", "state", "history"), COURSES)
def test_what_flags_tell(opener, called, outcome, state, history):
    records = [request(opener, packets=3)] if opener else []
    records += [reply(called, packets=3)] if called else []
    row = one(nfdump_16(*records))
    assert (row["outcome"], row["conn_state"], row["history"]) == (outcome, state, history)


def test_a_lone_syn_ack_is_an_answer():
    row = one(nfdump_16(reply("SA")))
    assert (row["src_ip"], row["initiator_evidence"], row["outcome"]) == (HOME, "syn_ack", "midstream")


def test_a_record_of_a_call_from_the_mail_port_is_no_mail():
    assert read(nfdump_16(reply("S"))).flows == []


def test_both_ends_on_port_25():
    there = Record(HOME, 25, STRANGER, 25, "SAPF", 0.0, packets=9)
    back = Record(STRANGER, 25, HOME, 25, "SAPF", 0.2, packets=9)
    for records in itertools.permutations((there, back)):
        row = one(nfdump_17(*records))
        assert (row["src_ip"], row["outcome"], row["dst_packets"]) == (HOME, "connected", 9)


def test_without_flags_only_octets_tell():
    assert one(nfdump_17(request("S"), reply(""), flags=False))["outcome"] is None
    row = one(nfdump_17(request("", **BIG), reply("", **BIG), flags=False))
    assert (row["outcome"], row["conn_state"], row["history"]) == ("connected", None, None)
    assert row["syn_packets"] is None


def test_without_flags_two_directions_are_no_copies():
    pair = [request("", packets=5), reply("", 0.05, packets=4)]
    for records in itertools.permutations(pair):
        row = one(nfdump_17(*records, flags=False))
        assert (row["src_packets"], row["dst_packets"], row["anomalies"]) == (5, 4, [])
    row = one(nfdump_17(*pair, *pair, flags=False))
    assert (row["src_packets"], row["dst_packets"]) == (5, 4)
    assert "captured_twice" in row["anomalies"]
    bare = b"ts,pr,sa,da,sp,dp\n" + b"".join(
        f"2025-11-24 07:13:31,TCP,{record.src},{record.dst},{record.src_port},{record.dst_port}\n".encode()
        for record in pair
    )
    assert "captured_twice" not in one(bare)["anomalies"]


def test_a_sampled_silence_proves_nothing():
    for records, outcome, syns in (
        ([request("S")], None, 1),
        ([request("S"), reply("SA")], None, 1),
        ([request("A"), reply("AP")], "connected", None),
        ([request("R")], "midstream", None),
    ):
        row = one(nfdump_17(*records), sampled=True)
        assert (row["outcome"], row["conn_state"], row["syn_packets"]) == (outcome, None, syns)
        assert "sampled" in row["anomalies"]


EITHER = [("SAPF", "connected"), ("AF", "connected"), ("S", None), ("SA", None), ("SAR", None), ("AR", None)]
EITHER += [("A", "midstream")]


@pytest.mark.parametrize(("flags", "outcome"), EITHER)
def test_both_directions_in_one_record(flags, outcome):
    line = nfdump_16(request(flags, packets=9)).decode().split("\n")
    values = dict(zip(NFDUMP_16.split(","), line[1].split(","), strict=True)) | {"opkt": "8", "obyt": "700"}
    row = one("\n".join([line[0], ",".join(values.values()), ""]).encode())
    assert (row["outcome"], row["src_packets"], row["dst_packets"]) == (outcome, 9, 8)
    assert (row["conn_state"], row["syn_packets"]) == (None, None)


def test_fast_csv_has_times_in_milliseconds():
    log = (
        "cnt,af,firstSeen,lastSeen,proto,srcAddr,srcPort,dstAddr,dstPort,srcAS,dstAS,input,output,flags,srcTos,"
        "packets,bytes\n"
        f"1,2,{START}250,{START}460,6,{HOME},40001,{STRANGER},25,0,0,0,0,...AP.SF,0,5,206\n"
        f"2,2,{START}300,{START}450,6,{STRANGER},25,{HOME},40001,0,0,0,0,...AP.SF,0,4,191\n"
    )
    row = one(log.encode())
    assert (row["outcome"], row["start_time"] - START * 10**9) == ("connected", 250_000_000)
    assert (row["end_time"] - START * 10**9, row["dst_packets"]) == (460_000_000, 4)


def test_a_long_flow_that_the_exporter_cuts():
    chunks = [request("SAP", lasted=299, packets=100), reply("SAP", lasted=299, packets=90)]
    chunks += [request("AP", 300, lasted=200, packets=50), reply("APF", 300, lasted=200, packets=40)]
    row = one(nfdump_17(*chunks))
    assert (row["src_packets"], row["dst_packets"], row["conn_state"]) == (150, 130, "S3")
    assert "several_records" in row["anomalies"]


def test_an_unanswered_back_off_that_the_exporter_cuts():
    row = one(nfdump_17(*(request("S", at) for at in (0, 15, 31, 63, 127))))
    assert (row["syn_packets"], row["outcome"]) == (5, "no_answer")


def test_the_same_sockets_again():
    course = {"lasted": 2, "packets": 9}
    first = [request("SAPF", **course), reply("SAPF", **course)]
    again = [request("SAPF", 60, **course), reply("SAPF", 60.01, **course)]
    assert [row["dst_packets"] for row in read(nfdump_17(*first, *again)).rows] == [9, 9]


def test_two_exporters_saw_the_same_packets():
    pair = [request("SAPF", lasted=2, packets=9), reply("SAPF", lasted=2, packets=8)]
    row = one(nfdump_17(*pair, *(record._replace(at=record.at + 0.05) for record in pair)))
    assert (row["src_packets"], row["dst_packets"]) == (9, 8)
    assert row["anomalies"] == ["captured_twice", "order_unknown"]


def test_a_clock_of_another_zone():
    east = one(nfdump_17(request("S")), zone=timezone(timedelta(hours=9)))
    assert east["start_time"] == (START - 9 * 3600) * 10**9


def test_damaged_lines_cost_themselves_and_the_summary_nothing():
    whole = nfdump_16(request("S"))
    lines = whole.decode().split("\n")
    bad = [
        lines[1].replace("203.0.113.3", "203.0.113.300"),
        lines[1].replace("203.0.113.3", "2001:db8:100::5"),
        lines[1].replace(",40001,", ",400010,"),
        lines[1].replace("......S.", "......Z."),
        lines[1].replace("2025-11-24", "2025-13-24"),
        lines[1][:60],
        "what is this",
    ]
    found = read("\n".join([lines[0], *bad, *lines[1:]]).encode())
    assert len(found.rows) == 1
    assert len(found.damages) == len(bad)
    assert found.damages[0][0] == len(lines[0]) + 1


def test_other_protocols_and_ports_are_passed_over():
    others = [
        request("S", proto="UDP"),
        Record(HOME, 4, STRANGER, 443, "S"),
        Record(HOME, 4, STRANGER, 53, "S"),
    ]
    assert read(nfdump_16(*others)).flows == read(nfdump_17(*others)).flows == []


def test_nfcapd_without_its_command(monkeypatch):
    monkeypatch.setattr(nfcapd_module.shutil, "which", lambda name: None)
    found = read(b"\x0c\xa5\x02\x00" + bytes(200))
    assert found.flows == []
    assert found.damages == [(0, "an nfcapd file is read by the command nfdump, which is not installed")]


SAYS = [
    (
        "echo 'Open file '$2': appendix offset error' >&2",
        "could not read all of the file: Open the file: app",
    ),
    (
        "printf 'one\\ntwo \\033[31m' >&2; exit 3",
        "could not read all of the file (status 3): one; two \ufffd[31m",
    ),
    ("yes no no no | head -c 300000 >&2", "could not read all of the file: no no no; no no no; "),
]


@pytest.mark.parametrize(("command", "told"), SAYS, ids=["status 0", "status 3", "much"])
def test_what_nfdump_says_is_a_damage_and_its_rows_count(command, told, monkeypatch, tmp_path):
    tool = tmp_path / "nfdump"
    row = "2025-11-24 07:13:31,2025-11-24 07:13:31,TCP,203.0.113.3,198.51.100.25,40001,25,......S.,1,40,0"
    tool.write_text(f"#!/bin/sh\necho '{row}'\n{command}\n")
    tool.chmod(0o755)
    monkeypatch.setattr(nfcapd_module.shutil, "which", lambda name: str(tool))
    found = read(b"\x0c\xa5\x02\x00" + bytes(range(200)), zone=timezone(timedelta(hours=9)))
    assert found.rows[0]["start_time"] == START * 10**9  # nfdump is asked for UTC
    assert [row["outcome"] for row in found.rows] == ["no_answer"]
    ((offset, reason),) = found.damages
    assert offset == 0
    assert reason.startswith("nfdump " + told)
    assert reason.isprintable()
    assert len(reason) < 400


def test_nfcapd_that_has_not_finished_its_file():
    found = read(b"\x0c\xa5\x02\x00" + bytes(36) + b"x")
    assert found.flows == []
    assert found.damages == [(0, "nfcapd has not finished its head: the file ends too early")]


def test_a_file_that_nfdump_cannot_read_is_no_empty_one():
    head = b"\x0c\xa5\x02\x00\x00\x01\x07\x01" + bytes(10) + b"\x01" + bytes(6) + b"\x02" + bytes(14)
    found = read(head + bytes(30))  # the appendix that it names lies behind its end
    assert len(found.damages) == 1
