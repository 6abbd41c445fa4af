"""A lake of any pieces says what `analyze` says of the capture that they were cut from."""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path
from unittest.mock import patch

import dns.message
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from op25b_pcap.assembly import shelf
from op25b_pcap.batch import judging, work
from op25b_pcap.capture.record import Record
from op25b_pcap.pipeline import analyse
from op25b_pcap.samples.frames import ACK, SYN, TCP, ethernet, ip, tcp
from tests.lakes import (
    SAMPLES,
    analysed,
    assert_like,
    manifest,
    mistimed,
    octets,
    records_of,
    run,
    scatter,
    torn_apart,
)

CAPTURES = sorted(path for path in SAMPLES.rglob("*.pcap*") if path.is_file())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Records of all samples, and what is in them."""
    records = records_of(*CAPTURES)
    path = tmp_path_factory.mktemp("whole") / "whole.pcap"
    path.write_bytes(octets(records))
    return records, analysed(path)


def test_the_samples_as_they_are(tmp_path):
    outcome = run(SAMPLES, tmp_path / "lake")
    assert {account.state for account in outcome.pieces} == {"done", "foreign"}
    assert_like(tmp_path / "lake", analysed(*CAPTURES), same_pieces=True)


@settings(max_examples=12)
@given(data=st.data())
def test_any_cuts_in_any_order(whole, data):
    records, expected = whole
    cuts = data.draw(st.lists(st.integers(1, len(records) - 1), min_size=1, max_size=12, unique=True))
    rng = random.Random(data.draw(st.integers(0, 1 << 30)))
    rows = data.draw(st.sampled_from([1, 8, 1 << 14]))
    of_part, of_shard = data.draw(st.sampled_from([(1, 7), (30, 1), (30, 70), (1000, 1000)]))
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(judging, "FLOWS_OF_A_PART", of_part),
        patch.object(judging, "FLOWS_OF_A_SHARD", of_shard),
        patch.object(work, "_ROWS", rows),
        patch.object(shelf, "_OCTETS_OF_A_BATCH", data.draw(st.sampled_from([1, 4_000, 64 << 10]))),
    ):
        inbox, lake = Path(folder, "inbox"), Path(folder, "lake")
        paths = scatter(records, cuts, inbox, rng)
        copied = rng.choice(paths)
        shutil.copy(copied, inbox / ("copy-" + copied.name))
        run(inbox, lake)
        assert_like(lake, expected)
        assert list(manifest(lake).values()).count("duplicate") == 1


def name_service(start_ns: int) -> list[Record]:
    """An answer over TCP, in two segments of which the second comes much later."""
    answer = dns.message.make_response(dns.message.make_query("example.org", "MX"))
    for text in ("example.org. 60 IN MX 10 mx.example.org.", "mx.example.org. 60 IN A 198.51.100.25"):
        name, rest = text.split(" ", 1)
        ttl, _, kind, value = rest.split(" ", 3)
        answer.answer.append(dns.rrset.from_text(name, int(ttl), "IN", kind, value))
    octets_ = answer.to_wire()
    octets_ = len(octets_).to_bytes(2) + octets_
    client, server = "203.0.113.3", "192.0.2.53"
    sent = [
        ((client, server), (40053, 53), (1, 0), SYN, b""),
        ((server, client), (53, 40053), (1, 2), SYN | ACK, b""),
        ((client, server), (40053, 53), (2, 2), ACK, b""),
        ((server, client), (53, 40053), (2, 2), ACK, octets_[:20]),
        ((server, client), (53, 40053), (22, 2), ACK, octets_[20:]),
    ]
    found = []
    for number, (ends, ports, numbers, flags, payload) in enumerate(sent):
        packet = ip(*ends, TCP, tcp(ends, ports, numbers, flags, 65535, payload=payload), 64, number + 1)
        data = ethernet(packet, ends[0] == client)
        found.append(Record(0, 1, start_ns + number * 50_000_000, 1, 0, len(data), data))
    return found


@settings(max_examples=6)
@given(seed=st.integers(0, 1 << 30))
def test_growth_mends_what_errors_and_name_servers_tell(whole, seed):
    """ICMP errors whose quote ends before the ports, and DNS over TCP, cut between pieces."""
    rng = random.Random(seed)
    records = list(whole[0])
    for at, record in enumerate(records):
        if record.data[12:14] == b"\x08\x00" and record.data[23] == 1 and rng.random() < 0.7:
            records[at] = record._replace(data=record.data[: 14 + 20 + 8 + 20 + rng.choice([0, 4])])
    for _ in range(3):
        records += name_service(rng.choice(records).time_ns)
    records.sort(key=lambda record: record.time_ns)
    with tempfile.TemporaryDirectory() as folder:
        inbox, lake, later = Path(folder, "inbox"), Path(folder, "lake"), Path(folder, "later")
        inbox.mkdir()
        merged = Path(folder, "merged.pcap")
        merged.write_bytes(octets(records))
        expected = analysed(merged)
        paths = scatter(records, rng.sample(range(1, len(records)), 5), later, rng)
        rng.shuffle(paths)
        for path in paths:
            path.rename(inbox / path.name)
            if rng.random() < 0.7 or path is paths[-1]:
                run(inbox, lake)
        assert_like(lake, expected)


@settings(max_examples=6)
@given(data=st.data())
def test_an_inbox_that_grows_piece_by_piece(whole, data):
    records, expected = whole
    cuts = data.draw(st.lists(st.integers(1, len(records) - 1), min_size=3, max_size=8, unique=True))
    rng = random.Random(data.draw(st.integers(0, 1 << 30)))
    with tempfile.TemporaryDirectory() as folder:
        inbox, lake, later = Path(folder, "inbox"), Path(folder, "lake"), Path(folder, "later")
        inbox.mkdir()
        paths = scatter(records, cuts, later, rng)
        rng.shuffle(paths)
        while paths:
            for _ in range(rng.randint(1, 3)):
                if paths:
                    path = paths.pop()
                    path.rename(inbox / path.name)
            run(inbox, lake)
            for noted in lake.glob(".work/found/*.sockets.arrow"):
                if rng.random() < 0.3:  # as in a lake of an earlier version
                    noted.unlink()
        assert_like(lake, expected)
        assert not run(inbox, lake).is_new


@settings(max_examples=6)
@given(seed=st.integers(0, 1 << 30))
def test_fragments_of_one_packet_in_several_pieces(whole, seed):
    """Fragments in fragments, too, late ones and lost ones; and records whose time cannot be true."""
    rng = random.Random(seed)
    torn = mistimed(torn_apart(whole[0], rng), rng)
    with tempfile.TemporaryDirectory() as folder:
        inbox, lake, merged = Path(folder, "inbox"), Path(folder, "lake"), Path(folder, "merged.pcap")
        merged.write_bytes(octets(torn))
        paths = scatter(torn, rng.sample(range(1, len(torn)), 6), Path(folder, "later"), rng)
        expected = analysed(merged)
        inbox.mkdir()
        rng.shuffle(paths)
        for path in paths:
            path.rename(inbox / path.name)
            if rng.random() < 0.3:
                run(inbox, lake)
        assert any(account.aside for account in run(inbox, lake).pieces)
        assert_like(lake, expected)


def test_the_tally_of_records_is_that_of_the_merged_capture(whole, tmp_path):
    records, _ = whole
    merged = tmp_path / "merged.pcap"
    merged.write_bytes(octets(records))
    scatter(records, range(9, len(records), 9), tmp_path / "inbox", random.Random(1))
    told = run(tmp_path / "inbox", tmp_path / "lake").run["packets"]
    whole = analyse([merged])
    tally = whole.tally
    assert (told["read"], told["decoded"], told["skipped"]) == (tally.read, tally.decoded, tally.skipped)
    assert told["by_scapy"] == whole.by_scapy
