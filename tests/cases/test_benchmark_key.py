"""The captures that are measured with: what their keys say is what both engines find."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from itertools import pairwise

import pytest

from benchmarks.generate import generate
from op25b_pcap.capture.observation import Observation
from op25b_pcap.pipeline import analyse

SMALL = {"mix": 2, "mail": 1, "flood": 0.3, "bulk": 1}
SEED = 7
"""Of those tried the one whose bulk is least: 23 MB."""
CHECKSUMS = ("ip", "tcp", "udp", "icmp", "icmpv6")


@pytest.fixture(scope="module")
def captures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    return {kind: (folder / kind, generate(kind, size, folder / kind, SEED)) for kind, size in SMALL.items()}


@pytest.mark.parametrize("engine", ["auto", "scapy"])
@pytest.mark.parametrize("kind", SMALL)
def test_the_tables_say_what_the_key_says(kind, engine, captures):
    path, key = captures[kind]
    analysis = analyse([path], engine=engine)
    flows, sessions = analysis.tables["flows"], analysis.tables["smtp_sessions"]
    found = {
        "packets": analysis.tally.read,
        "attempts": counted(zip(flows["dst_port"], flows["outcome"], strict=True)),
        "versions": counted(zip(flows["ip_version"], strict=True)),
        "results": counted(zip(sessions["result"], strict=True)),
        "messages": sessions["messages_accepted"].sum(),
        "message_octets": sessions["message_bytes"].sum(),
        "recipients": sessions["recipients_accepted"].sum(),
        "rejected": sessions["recipients_rejected"].sum(),
    }
    assert found == {name: key[name] for name in found}
    retrieved = analysis.tables["retrieval_sessions"]
    for table in (flows, sessions, retrieved):
        assert not Counter(name for names in table["anomalies"] for name in names)
    assert not analysis.is_damaged


def counted(rows) -> dict[str, int]:
    return dict(Counter(" ".join(map(str, row)) for row in rows))


@pytest.mark.parametrize("kind", SMALL)
def test_packets_are_in_order_of_time_and_flows_interleaved(kind, captures):
    records = list(Observation([captures[kind][0]]))
    assert all(a.time_ns <= b.time_ns for a, b in pairwise(records))
    if kind != "bulk":  # whose few flows need not overlap
        hosts = [{each.data[26:30], each.data[30:34]} for each in records]
        assert sum(a != b for a, b in pairwise(hosts)) > len(records) / 4


def test_no_two_flows_are_alike(captures):
    analysis = analyse([captures["mail"][0]], envelope="full")
    flows, sessions = analysis.tables["flows"], analysis.tables["smtp_sessions"]
    letters = analysis.tables["smtp_transactions"].dropna(subset="mail_from")
    assert letters.drop_duplicates("flow_id")["mail_from"].is_unique
    assert letters["message_bytes"].dropna().nunique() > 0.9 * letters["message_bytes"].count()
    assert sessions["banner_text"].dropna().nunique() > 0.9 * sessions["banner_text"].count()
    assert flows[["src_ip", "src_port"]].drop_duplicates().shape[0] == len(flows)


def test_the_same_seed_gives_the_same_octets(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate("mail", 1, tmp_path / name, seed)
    first, same, other = ((tmp_path / name).read_bytes() for name in "abc")
    assert first == same != other


@pytest.mark.oracle
@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
@pytest.mark.parametrize("kind", ["mix", "mail"])
def test_tshark_finds_every_checksum_right(kind, captures):
    path, key = captures[kind]
    on = [part for name in ("ip", "tcp", "udp") for part in ("-o", f"{name}.check_checksum:TRUE")]
    fields = [part for name in CHECKSUMS for part in ("-e", f"{name}.checksum.status")]
    assert len(lines := told(path, *on, *fields)) == key["packets"]
    # A layer that is not there has nothing to say; a header in an ICMP error speaks as well.
    assert {value for line in lines for value in line.replace("\t", ",").split(",")} == {"", "1"}


@pytest.mark.oracle
@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_finds_no_packet_of_mail_malformed(captures):
    assert set(told(captures["mail"][0], "-e", "_ws.malformed")) == {""}


def told(path, *options) -> list[str]:
    command = ["tshark", "-n", "-r", path, "-T", "fields", *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
