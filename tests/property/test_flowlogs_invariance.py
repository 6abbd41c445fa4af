"""However logs are cut, split and ordered, the same attempts come out under the same names."""

from __future__ import annotations

import random
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from op25b_pcap.capture.observation import Observation
from op25b_pcap.decode import Tally
from op25b_pcap.flowlogs import Entry, Log, entries, flows, kind_of
from op25b_pcap.flowlogs.attempts import Attempt, attempts, split
from op25b_pcap.flows import flows as flows_of_packets
from op25b_pcap.wire.services import SERVICES
from tests.flow_logs import (
    CONN,
    FRIEND,
    SMTP,
    START,
    STRANGER,
    WRITTEN_NS,
    conn,
    mail,
    nfdump_17,
    packet,
    read,
    reply,
    request,
    syslog,
    talk,
    tsv,
)
from tests.reference import decode

SAMPLES = Path(__file__).parents[2] / "sample_pcaps"


def zeek_records(seed: int) -> list[dict]:
    """A few sockets, each with attempts that go differently."""
    chance = random.Random(seed)
    records = []
    for number in range(12):
        at = START + chance.randrange(600) + chance.random()
        make = chance.choice([conn, conn, talk])
        records.append(
            make(40001 + number % 4, ts=f"{at:.6f}", uid=f"C{number}", dst=chance.choice([STRANGER, FRIEND]))
        )
    return sorted(records, key=lambda record: float(record["ts"]) + float(record.get("duration", 0)))


def flow_records(seed: int) -> list:
    chance = random.Random(seed)
    records = []
    for number in range(8):
        at = chance.randrange(900) + chance.randrange(1000) / 1000
        course = chance.choice([("S", None), ("S", "RA"), ("SAPF", "SAPF"), ("SAP", "SAPR"), ("AP", "AP")])
        there, back = course
        port = 40001 + number % 3
        records.append(request(there, at, packets=7, lasted=1.0)._replace(src_port=port))
        if back:
            records.append(reply(back, at + 0.01, packets=5, lasted=1.0)._replace(dst_port=port))
    return sorted(records, key=lambda record: record.at + record.lasted)


def firewall_lines(seed: int) -> list[tuple[str, str]]:
    chance = random.Random(seed)
    at = sorted(chance.randrange(900) for _ in range(20))
    return [
        (f"Nov 24 07:{second // 60:02}:{second % 60:02}", packet(SPT=40001 + chance.randrange(3)))
        for second in at
    ]


LOGS = {
    "zeek": lambda seed, part: tsv(part(zeek_records(seed)), CONN),
    "nfdump": lambda seed, part: nfdump_17(*part(flow_records(seed))),
    "firewall": lambda seed, part: syslog(*part(firewall_lines(seed))),
}


def whole(records: list) -> list:
    return records


def told(found) -> list[dict]:
    """Rows without their places, which a cut changes."""
    return [{k: v for k, v in row.items() if k not in ("capture", "first_packet")} for row in found.rows]


@pytest.mark.parametrize("kind", LOGS)
@given(seed=st.integers(0, 9999), cuts=st.lists(st.integers(0, 3000), max_size=6))
@settings(max_examples=30)
def test_pieces_of_any_size(kind, seed, cuts):
    log = LOGS[kind](seed, whole)
    places = sorted({0, len(log), *(cut for cut in cuts if cut < len(log))})
    pieces = [log[start:end] for start, end in pairwise(places)]
    found = flows(entries(iter(pieces), kind_of(log), Log(0, print, WRITTEN_NS)))
    assert list(found) == read(log).flows


@pytest.mark.parametrize("kind", LOGS)
@given(seed=st.integers(0, 9999), at=st.integers(1, 20))
@settings(max_examples=40)
def test_a_log_that_is_split_between_two_files(kind, seed, at):
    log = LOGS[kind](seed, whole)
    parts = [LOGS[kind](seed, lambda r: r[:at]), LOGS[kind](seed, lambda r: r[at:])]
    if kind == "firewall":
        parts = [part for part in parts if part]
    assert told(read(*parts)) == told(read(log))


@pytest.mark.parametrize("kind", LOGS)
@given(seed=st.integers(0, 9999), order=st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_the_order_of_a_conversations_entries_does_not_matter(kind, seed, order):
    log = LOGS[kind](seed, whole)
    found = list(entries(iter([log]), kind_of(log), Log(0, print, WRITTEN_NS)))
    conversations: dict = {}
    for entry in found:
        conversations.setdefault(entry.key, []).append(entry)
    for conversation in conversations.values():
        expected = split(conversation)
        order.shuffle(conversation)
        assert split(conversation) == expected


@given(seed=st.integers(0, 9999), at=st.integers(0, 12))
@settings(max_examples=30)
def test_the_dialogue_finds_its_connection_in_another_file(seed, at):
    records = zeek_records(seed)
    mails = [
        mail(
            uid=each["uid"],
            ts=each["ts"],
            **{key.replace(".", "__"): each[key] for key in each if key[:3] == "id."},
        )
        for each in records
        if each["conn_state"] == "SF"
    ]
    found = read(tsv(records[:at], CONN), tsv(mails, SMTP), tsv(records[at:], CONN))
    assert [row["conn_state"] for row in found.rows if row["outcome"] == "connected"].count(None) == 0
    spoken = [flow for flow in found.flows if flow.sessions.transactions]
    assert len(spoken) == len(mails)


def packet_rows(capture: Path) -> list[dict]:
    """What the flows stage says of a capture."""
    found = flows_of_packets(decode(Observation([capture]), Tally()))
    return [flow.row for flow in found if flow.row["dst_port"] in SERVICES]


CAPTURES = sorted(SAMPLES.glob("*/capture*"))


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_conn_log_of_our_own_flows_reads_back(capture):
    """Our state and history have Zeek's meaning, so the outcome must follow from them, ICMP apart."""
    rows = packet_rows(capture)
    records = []
    for number, row in enumerate(rows):
        lasted = row["end_time"] - row["start_time"]
        records.append(
            {
                "ts": f"{row['start_time'] // 10**9}.{row['start_time'] % 10**9:09}",
                "uid": f"C{number}",
                "duration": f"{lasted // 10**9}.{lasted % 10**9:09}",
                "id.orig_h": row["src_ip"],
                "id.orig_p": str(row["src_port"]),
                "id.resp_h": row["dst_ip"],
                "id.resp_p": str(row["dst_port"]),
                "proto": "tcp",
                "conn_state": row["conn_state"],
                "history": row["history"],
                "orig_bytes": str(row["src_bytes"]),
                "resp_bytes": str(row["dst_bytes"]),
                "orig_pkts": str(row["src_packets"]),
                "resp_pkts": str(row["dst_packets"]),
            }
        )
    again = {(row["start_time"], row["src_port"]): row for row in read(tsv(records, CONN)).rows}
    same = ("end_time", "src_ip", "dst_ip", "dst_port", "conn_state", "history", "src_packets", "dst_packets")
    same += ("src_bytes", "dst_bytes", "initiator_evidence", "community_id", "service")
    for row in rows:
        back = again.pop((row["start_time"], row["src_port"]))
        assert {name: back[name] for name in same} == {name: row[name] for name in same}
        icmp = row["outcome"] in ("prohibited", "unreachable")
        assert back["outcome"] == ("no_answer" if icmp else row["outcome"])
        assert back["syn_packets"] in (None, row["syn_packets"])
    assert not again


def many(seed: int) -> list[Entry]:
    """Hours of entries in rough order of their ends, enough for several searches for what is over."""
    chance = random.Random(seed)
    found = []
    for number in range(60_000):
        at = (START + number // 6) * 10**9 + chance.randrange(10**9)
        src, dst = (bytes([203, 0, 113, chance.randrange(200)]), 40001), (b"\xc6\x33\x64\x19", 25)
        sent, got = chance.choice([("S", ""), ("S", ""), ("SADF", "HDF"), ("SAD", "HD"), ("", "R")])
        found.append(Entry("zeek", 0, number, at, at + chance.randrange(5 * 10**9), src, dst, sent, got))
    return found


def ends(attempt: Attempt) -> tuple:
    return attempt.entries[0].src, attempt.start_ns, attempt.last_ns, len(attempt.entries)


def test_what_is_closed_on_the_way_is_what_is_closed_at_the_end():
    found = many(1)
    conversations: dict = {}
    for entry in found:
        conversations.setdefault(entry.key, []).append(entry)
    expected = [attempt for each in conversations.values() for attempt in split(each)]
    assert sorted(map(ends, attempts(found))) == sorted(map(ends, expected))


def test_memory_is_bounded_and_what_that_costs_is_named(monkeypatch):
    monkeypatch.setattr(import_module("op25b_pcap.flowlogs.attempts"), "MAX_HELD", 100)
    found = list(attempts(many(2)))
    assert sum(len(attempt.entries) for attempt in found) <= 60_000
    assert any(attempt.closed_early for attempt in found)
