"""Captures through nfpcapd into nfcapd files, and back: against what the packets themselves say."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from op25b_pcap.capture.observation import Observation
from op25b_pcap.decode import Tally
from op25b_pcap.flowlogs import HEAD, kind_of
from op25b_pcap.flows import flows as flows_of_packets
from op25b_pcap.wire.services import SERVICES
from tests.flow_logs import Read, read
from tests.reference import decode

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(shutil.which("nfpcapd") is None, reason="nfdump is not installed"),
]
SAMPLES = Path(__file__).parents[2] / "sample_pcaps"
CAPTURES = [
    path
    for path in sorted(SAMPLES.glob("*/capture.pcap"))
    if path.parent.name[:2] not in ("16", "17", "18")  # nfpcapd reads no tunnels
]


@pytest.fixture(scope="module", params=CAPTURES, ids=lambda path: path.parent.name)
def both(request, tmp_path_factory) -> tuple[list[dict], list[bytes], list[bytes]]:
    """Rows of the packets, and nfcapd files and CSV of the same capture."""
    capture: Path = request.param
    folder = tmp_path_factory.mktemp("nf")
    # One file for all, and no flow is cut.
    call = ["nfpcapd", "-r", capture, "-l", folder, "-e", "3600,3600", "-t", "86400"]
    subprocess.run(call, check=True, capture_output=True, timeout=60)
    files = sorted(folder.glob("nfcapd*"))
    csv = [
        subprocess.run(
            ["nfdump", "-r", file, "-o", "csv"],
            check=True,
            capture_output=True,
            env={"TZ": "UTC"},
            timeout=60,
        ).stdout
        for file in files
    ]
    found = flows_of_packets(decode(Observation([capture]), Tally()))
    rows = [flow.row for flow in found if flow.row["dst_port"] in SERVICES]
    return rows, [file.read_bytes() for file in files], csv


def sockets(row: dict) -> tuple:
    return row["src_ip"], row["src_port"], row["dst_ip"], row["dst_port"]


def same_as_packets(rows: list[dict], found: Read, *, slack_ns: int) -> None:
    assert not found.damages
    ours = {sockets(row): row for row in rows}
    assert len(ours) == len(rows)
    assert sorted(map(sockets, found.rows)) == sorted(ours)
    for row in found.rows:
        packets = ours[sockets(row)]
        assert abs(row["start_time"] - packets["start_time"]) <= slack_ns
        assert (row["src_packets"], row["dst_packets"] or 0) == (
            packets["src_packets"],
            packets["dst_packets"],
        )
        assert row["community_id"] == packets["community_id"]
        icmp = packets["outcome"] in ("prohibited", "unreachable")
        assert row["outcome"] == ("no_answer" if icmp else packets["outcome"])
        assert row["conn_state"] in (None, packets["conn_state"])
        assert row["syn_packets"] in (None, packets["syn_packets"])
        assert set(row["history"] or "") <= set(packets["history"])


def test_nfcapd_files(both):
    rows, files, _ = both
    assert {kind_of(octets[:HEAD]) for octets in files} == {"nfcapd"}
    same_as_packets(rows, read(*files), slack_ns=1_000_000)


def test_csv_of_the_same(both):
    rows, _, csv = both
    assert {kind_of(octets[:HEAD]) for octets in csv} == {"nfdump-csv"}
    same_as_packets(rows, read(*csv), slack_ns=1_000_000_000)


def test_a_damaged_file_costs_itself():
    for octets in (b"\x0c\xa5\x02\x00" + bytes(400), b"\x0c\xa5\x02\x00" + b"\xff" * 400):
        found = read(octets)
        assert found.flows == []
