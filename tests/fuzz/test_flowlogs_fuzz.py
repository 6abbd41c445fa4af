"""Anything at all in a log: no exception, rows that fit the tables, linear time."""

from __future__ import annotations

import random
import time

import pytest

from op25b_pcap.flowlogs import HEAD, Log, entries, flows, kind_of
from op25b_pcap.flowlogs.kinds import READERS
from op25b_pcap.tables import FLOWS, SMTP_SESSIONS, SMTP_TRANSACTIONS
from tests.flow_logs import (
    CONN,
    SMTP,
    WRITTEN_NS,
    conn,
    json_lines,
    mail,
    nfdump_16,
    nfdump_17,
    packet,
    reply,
    request,
    syslog,
    talk,
    tsv,
)

pytestmark = pytest.mark.fuzz
RECORDS = [conn(1), talk(2), conn(3, history="Sr", conn_state="REJ", tunnel_parents="Ca,Cb")]
SEEDS = {
    "zeek": tsv(RECORDS, CONN) + tsv([mail(2), mail(2, last_reply="550 5.1.1 no")], SMTP),
    "zeek-json": json_lines([*RECORDS, mail(2)]) + json_lines(RECORDS, nested=True),
    "nfdump-csv": nfdump_16(request("S"), reply("RA")) + nfdump_17(request("SAPF"), reply("SAPF")),
    "netfilter": syslog(("Nov 24 07:13:31", packet()), ("Nov 24 07:13:32", packet(SPT=7, prefix="reject ")))
    + b"<4>1 2025-11-24T07:13:31.25Z gw kernel - - - "
    + packet().encode(),
}
WORDS = [
    b"\t",
    b",",
    b"=",
    b"\n",
    b"#fields\t",
    b"-",
    b"{",
    b"[",
    b'"',
    b"\\x",
    b"\xff",
    b"\0",
    b"SRC=",
    b"IN=",
    b"9" * 30,
    b"18446744073709551615",
    b"9999999999",
    b"17592186044416",
]


def consume(pieces: list[bytes], kind: str) -> int:
    log = Log(0, lambda offset, reason: None, WRITTEN_NS)
    found = list(flows(entries(iter(pieces), kind, log)))
    rows = [flow.row | {"capture": "log"} for flow in found]
    assert len(FLOWS.frame(rows)) == len(rows)
    for table, told in (
        (SMTP_SESSIONS, [flow.sessions.smtp for flow in found if flow.sessions.smtp]),
        (SMTP_TRANSACTIONS, [row for flow in found for row in flow.sessions.transactions]),
    ):
        assert table.arrow(table.frame(told)).num_rows == len(told)
    return len(rows)


@pytest.mark.parametrize("kind", SEEDS)
def test_mutated_logs(kind):
    chance = random.Random(25)
    for _ in range(400):
        octets = bytearray(SEEDS[kind])
        for _ in range(chance.randrange(1, 8)):
            at = chance.randrange(len(octets))
            end = at + chance.choice([0, 1, 5, 40])
            octets[at:end] = chance.choice([bytes([chance.randrange(256)]), chance.choice(WORDS), b""])
        kind_of(bytes(octets[:HEAD]))
        consume([bytes(octets)], kind)


@pytest.mark.parametrize("kind", SEEDS)
def test_noise(kind):
    chance = random.Random(587)
    for _ in range(50):
        consume([chance.randbytes(chance.randrange(2000))], kind)
    assert consume([SEEDS[kind]], kind) >= 1


DEEP = b'{"id.orig_p":25,"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
HARD_LINES = {
    "zeek": [b"#fields" + b"\tts" * 100_000, b"\\x" * 300_000],
    "zeek-json": [DEEP, b'{"id.orig_p":25,"ts":' + b"1" * 500_000 + b"}", b'{"orig_p":' * 50_000 + b"}"],
    "nfdump-csv": [b"1," * 300_000, b"ts," * 200_000],
    "netfilter": [
        b"PROTO=TCP " + b"IN=" * 200_000,
        b"IN= OUT= PROTO=TCP " + b"SRC=1 " * 100_000,
        b"kernel: " * 100_000 + b"IN= OUT= PROTO=TCP SPT=25 DPT=25 URGP=0",
        b"Nov 24 07:13:31 gw kernel: " + b"[ " * 100_000 + b"IN= OUT= SRC=1 PROTO=TCP SPT=1 DPT=25 URGP=0",
    ],
}


@pytest.mark.parametrize("kind", HARD_LINES)
def test_hard_lines_take_linear_time(kind):
    assert kind in READERS
    for line in HARD_LINES[kind]:
        began = time.process_time()
        kind_of(line[:HEAD])
        consume([SEEDS[kind].partition(b"\n")[0] + b"\n", line, b"\n"], kind)
        assert time.process_time() - began < 2, line[:40]
