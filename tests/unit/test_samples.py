"""The sample captures: the same each time, the same as committed, harmless, and sound packets."""

import gzip
import ipaddress
import shutil
import subprocess
import tomllib
from pathlib import Path
from random import Random

import pytest

from op25b_pcap.samples import STORIES, frames, write
from op25b_pcap.samples.network import Host, Network
from op25b_pcap.tables import TABLES

COMMITTED = Path(__file__).parents[2] / "sample_pcaps"
DOCUMENTATION = [
    ipaddress.ip_network(net)
    for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
]
INSIDE_DS_LITE = ipaddress.ip_network("192.168.1.0/24")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    return folder, write(folder)


def content(path: Path) -> bytes:
    # Another zlib may compress the same octets into others.
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def test_the_same_each_time(written, tmp_path):
    folder, paths = written
    assert [p.relative_to(tmp_path) for p in write(tmp_path)] == [p.relative_to(folder) for p in paths]
    for path in paths:
        assert (tmp_path / path.relative_to(folder)).read_bytes() == path.read_bytes()


def test_what_is_committed_is_what_is_written_now(written):
    folder, paths = written
    committed = {p.relative_to(COMMITTED) for p in COMMITTED.rglob("*") if p.is_file()}
    assert committed == {p.relative_to(folder) for p in paths}
    for path in paths:
        assert content(path) == content(COMMITTED / path.relative_to(folder)), "run `make samples`"


def test_small_enough_to_commit(written):
    sizes = [path.stat().st_size for path in written[1]]
    assert max(sizes) < 100_000
    assert sum(sizes) < 1_000_000


def test_every_story_has_its_own_name_and_a_page():
    names = [story.name for story in STORIES]
    assert names == sorted(set(names))
    for number, story in enumerate(STORIES, start=1):
        assert story.name.startswith(f"{number:02}-")
        assert "    " in story.text, "no sketch of the path"


def addresses(packet: bytes) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Both ends of an IP packet."""
    start, length = (12, 4) if packet[0] >> 4 == 4 else (8, 16)
    return [ipaddress.ip_address(packet[at : at + length]) for at in (start, start + length)]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_only_documentation_addresses(story):
    seen = []

    def line(packet: bytes, upstream: bool) -> bytes:
        seen.extend(addresses(packet))
        return story.line(packet, upstream)

    list(story.play(Network(0, Random(story.name), line)))
    assert seen
    for address in seen:
        documented = any(address in net for net in DOCUMENTATION)
        assert documented or (story.name.endswith("ds-lite") and address in INSIDE_DS_LITE), address


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_expectations_speak_the_words_of_the_tables(story, written):
    places = {
        "smtp_session": "smtp_sessions",
        "smtp_transactions": "smtp_transactions",
        "retrieval_session": "retrieval_sessions",
    }
    expected = tomllib.loads((written[0] / story.name / "expected.toml").read_text())
    for attempt in expected["attempt"]:
        for place, table in places.items():
            rows = attempt.pop(place, [])
            for row in rows if isinstance(rows, list) else [rows]:
                assert_words(row, table)
        assert_words(attempt, "flows")
    for row in expected.get("subscriber", []):
        assert_words(row, "subscribers")


def assert_words(row, table):
    for name, value in row.items():
        if name == "null":
            assert all(TABLES[table][column].nullable for column in value)
            continue
        column = TABLES[table][name]
        assert not column.words or value in column.words


needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="needs tshark")


def tshark(capture: Path, *arguments: str) -> list[str]:
    called = subprocess.run(
        ["tshark", "-r", str(capture), *arguments], capture_output=True, text=True, check=True
    )
    return called.stdout.splitlines()


@pytest.fixture(scope="module")
def merged(written, tmp_path_factory):
    """All captures in one, in order of time."""
    merged = tmp_path_factory.mktemp("merged") / "all.pcapng"
    captures = [str(path) for path in written[1] if path.name.startswith("capture")]
    subprocess.run(["mergecap", "-w", str(merged), *captures], check=True)
    return merged


@pytest.mark.oracle
@needs_tshark
def test_tshark_finds_no_fault(merged):
    sums = [f"{name}.checksum.status == 0" for name in ("ip", "tcp", "udp", "icmp", "icmpv6")]
    faults = " || ".join([*sums, "_ws.malformed", "tcp.analysis.out_of_order"])
    checks = [o for name in ("ip", "tcp", "udp") for o in ("-o", f"{name}.check_checksum:TRUE")]
    assert tshark(merged, *checks, "-Y", faults) == []


@pytest.mark.oracle
@needs_tshark
def test_tshark_reads_what_is_expected(merged, written):
    expected = [tomllib.loads(path.read_text()) for path in written[1] if path.name == "expected.toml"]
    attempts = [attempt for story in expected for attempt in story["attempt"]]
    sessions = [a.get("smtp_session", a.get("retrieval_session", {})) for a in attempts]

    def shown(field: str, where: str) -> list[str]:
        return tshark(merged, "-Y", where, "-T", "fields", "-e", field)

    syns = shown("frame.number", "tcp.flags.syn == 1 && tcp.flags.ack == 0 && !icmp && !icmpv6")
    assert len(syns) == sum(attempt["syn_packets"] for attempt in attempts)
    names = shown("tls.handshake.extensions_server_name", "tls.handshake.type == 1")
    assert names == [s["tls_sni"] for s in sessions if "tls_sni" in s]
    greeted = shown("smtp.req.parameter", 'smtp.req.command == "EHLO"')
    assert set(greeted) >= {s["helo"] for s in sessions if "helo" in s}


def test_checksum_of_rfc_1071():
    assert frames.checksum(bytes.fromhex("0001 f203 f4f5 f6f7")) == 0xFFFF - 0xDDF2


def test_a_repeated_syn_is_one_attempt_of_many_packets():
    network = Network(0, Random(1))
    attempt = network.connect(Host("203.0.113.1", is_inside=True), Host("198.51.100.1"), 25)
    attempt.unanswered()
    (frames_kept,) = network.pieces()
    assert attempt.syn_packets == 7
    assert [round(time_ns / 1e9) for time_ns, _ in frames_kept] == [0, 1, 3, 7, 15, 31, 63]
    sequence_numbers = {frame[14 + 20 + 4 : 14 + 20 + 8] for _, frame in frames_kept}
    assert len(sequence_numbers) == 1


def test_a_cut_loses_nothing():
    network = Network(0, Random(1))
    talk = network.connect(Host("203.0.113.1", is_inside=True), Host("198.51.100.1"), 25).opened()
    network.cut(talk.now_ns)
    talk.say("S: 220 ready").closed()
    first, second = network.pieces()
    assert [*first, *second] == sorted(network.captured)
    assert len(first) == 2
