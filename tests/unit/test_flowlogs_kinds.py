"""What a log is, by its content: plain or compressed, under whatever name."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
from pathlib import Path

import pytest

from op25b_pcap.capture.compression import unpacked
from op25b_pcap.flowlogs import HEAD, kind_of, kind_within
from op25b_pcap.flowlogs.lines import MAX_LINE
from tests.flow_logs import (
    CONN,
    SMTP,
    conn,
    json_lines,
    mail,
    nfdump_16,
    nfdump_17,
    packet,
    read,
    request,
    syslog,
    talk,
    tsv,
)

LOGS = [
    ("zeek", tsv([conn()], CONN)),
    ("zeek", tsv([conn()], CONN[::-1], ";").replace(b"#path;conn", b"#path;mail_conn")),
    ("zeek", tsv([mail()], SMTP)),
    ("zeek", b"\xef\xbb\xbf" + tsv([conn()], CONN)),
    ("zeek", tsv([conn()], CONN).replace(b"id.", b"id_")),
    ("zeek-json", json_lines([conn()]).replace(b"id.", b"id_")),
    ("nfdump-csv", b"\xef\xbb\xbf" + nfdump_16(request("S"))),
    ("netfilter", b'{"__REALTIME_TIMESTAMP":"1","MESSAGE":"' + packet().encode() + b'"}'),
    ("zeek-json", json_lines([conn()])),
    ("zeek-json", json_lines([talk()], nested=True)),
    ("zeek-json", json_lines([mail()])),
    ("nfdump-csv", nfdump_16(request("S"))),
    ("nfdump-csv", nfdump_17(request("S"), flags=False)),
    ("nfdump-csv", b"\n" + nfdump_17(request("S"))),
    ("nfcapd", b"\x0c\xa5\x02\x00\x00\x01"),
    ("netfilter", syslog(("Nov 24 07:13:31", packet()))),
    ("netfilter", syslog(("Nov 24 07:13:30", "usb 1-1: new device"), ("Nov 24 07:13:31", packet()))),
]


@pytest.mark.parametrize(("kind", "log"), LOGS)
def test_a_log_is_known_by_its_content(kind, log):
    assert kind_of(log) == kind


def test_every_one_is_read():
    for _, log in LOGS:
        found = read(log)
        assert len(found.flows) == 1 or found.damages == [(0, found.damages[0][1])], log


@pytest.mark.parametrize("packed", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_logs(packed):
    for kind, log in LOGS:
        _, pieces = unpacked(iter([packed(log)]))
        assert kind_of(b"".join(pieces)[:HEAD]) == kind


OTHERS = [
    b"",
    b"\n",
    b"# a comment\n1,2\n",
    b"#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tquery\n",
    b'{"ts":1.0,"uid":"C","id.orig_h":"203.0.113.3","query":"example.com"}\n',
    b"{}",
    b'{"message":"' + packet().encode() + b'"}',
    b"ts,sa,da\n",
    b"date,from,to\n2025-11-24,a,b\n",
    b"Nov 24 07:13:31 gw kernel: usb 1-1: new device\n",
    b"\x0c\xa5\x07\x00",
    b"\xd4\xc3\xb2\xa1" + bytes(20),
]


@pytest.mark.parametrize("octets", OTHERS)
def test_what_is_no_log(octets):
    assert kind_of(octets) == ""


LINE = syslog(("Nov 24 07:13:31", packet()))
LATE = [
    b"Nov 24 07:13:00 gw systemd[1]: Started something.\n" * 30_000,
    b"Nov 24 07:13:00 gw systemd[1]: Started something.\n" + bytes(4096) + b"\n",
    bytes(HEAD * 3),
    b"x" * (2 * MAX_LINE) + b"\n",
    "Nov 24 07:13:00 gw café: 始めました\n".encode() * 3000,
]


@pytest.mark.parametrize("before", LATE, ids=["late", "zeros", "zeros alone", "a long line", "letters"])
@pytest.mark.parametrize("step", [250, 1 << 16])
def test_a_firewall_is_found_late_and_behind_zeros(before, step):
    log = before + LINE
    pieces = (log[at : at + step] for at in range(0, len(log), step))
    assert kind_within(next(pieces), pieces) == "netfilter"
    found = read(log, kind="netfilter")
    assert [row["first_packet"] for row in found.rows] == [log.count(b"\n")]
    assert len(found.damages) == (before[:1] == b"x")


def test_what_looks_like_no_text_is_not_looked_through():
    noise = random.Random(25).randbytes(1 << 16)
    rest = iter([LINE])
    assert kind_within(noise, rest) == ""
    assert next(rest) == LINE
    assert kind_within(b"a text\n", iter([b"of words"] * 9)) == ""


def test_zeros_change_no_offset():
    log = b"\0\n".join([LINE.replace(b"SRC=2", b"SRC=\0x2"), LINE[:9] + bytes(3) + LINE[9:]])
    found = read(log)
    assert len(found.rows) == 1
    assert [offset for offset, _ in found.damages] == [0]
    found = read(LINE + b"\0" + LINE.replace(b"DPT=25", b"DPT=\x0025x"))
    assert [offset for offset, _ in found.damages] == [len(LINE)]


def test_captures_are_no_logs():
    captures = sorted((Path(__file__).parents[2] / "sample_pcaps").glob("*/capture*"))
    assert captures
    assert {kind_of(capture.read_bytes()[:HEAD]) for capture in captures} == {""}


def test_a_line_that_never_ends_is_not_held():
    endless = b"x" * (2 * MAX_LINE)
    log = tsv([conn(1)], CONN) + endless + b"\n" + tsv([conn(2)], CONN) + endless
    found = read(log)
    assert [row["src_port"] for row in found.rows] == [1, 2]
    assert [reason for _, reason in found.damages] == ["a line that is too long"] * 2
    assert [log[offset - 1 : offset + 1] for offset, _ in found.damages] == [b"\nx"] * 2
