"""tshark as a second opinion on what is inside a packet."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest

from op25b_pcap.capture.observation import Observation
from op25b_pcap.capture.record import Record
from op25b_pcap.capture.writing import write
from op25b_pcap.decode import Tally
from op25b_pcap.samples.frames import ip
from op25b_pcap.tables.packets import IcmpError, TcpSegment
from op25b_pcap.wire.addresses import text
from op25b_pcap.wire.services import SERVICES
from tests.encapsulations import CLIENT, CLIENT6, SERVER, SERVER6, WRAPPED, record, segment
from tests.reference import decode

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed"),
]

SAMPLES = sorted(Path(__file__).parents[2].joinpath("sample_pcaps").rglob("capture*.pcap*"))
NOT_READ_BY_TSHARK = {
    "ppp-linux": "link type 166",
    "cisco-hdlc-direction": "link type 205",
    "juniper-bare": "frames without a link layer",
    "nflog-be": "it expects the byte order of the file",
    "netanalyzer": "its header is to have the frame's length",
    "mpacket": "it wants the checksum of the frame",
    "dsa": "link type 284",
    "edsa": "link type 285",
    "brcm-tag": "link type 281",
    "slip": "link type 8",
    "mpls": "link type 219",
    "l2tpv3": "it must be told what is inside",
    "l2tpv3-udp": "it must be told what is inside",
    "vxlan-linux": "port 8472",
}
"""Names of `WRAPPED`, and why. tcpdump reads most of them, and reads what we read."""
SUM_IS_GOOD, SUM_IS_BAD = "1", "0"


class Segment(NamedTuple):
    """What both must agree on."""

    number: int
    src: str
    dst: str
    src_port: int
    dst_port: int
    seq: int
    ack: int
    flags: int
    window: int
    payload_length: int
    ttl: int


FIELDS = (
    "frame.number",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.seq_raw",
    "tcp.seq",
    "tcp.ack_raw",
    "tcp.flags",
    "tcp.window_size_value",
    "tcp.len",
    "ip.src",
    "ip.dst",
    "ip.ttl",
    "ipv6.src",
    "ipv6.dst",
    "ipv6.hlim",
    "ipv6.routing.segleft",
    "tcp.checksum.status",
    "frame.protocols",
    "icmp.type",
    "icmp.code",
    "icmpv6.type",
    "icmpv6.code",
)


def by_tshark(path: Path) -> list[dict[str, str]]:
    """The last of each field, in every frame with TCP."""
    command = ["tshark", "-r", str(path), "-Y", "tcp", "-T", "fields", "-E", "occurrence=l"]
    command += ["-o", "tcp.check_checksum:TRUE", "-o", "tcp.relative_sequence_numbers:FALSE"]
    command += [word for name in FIELDS for word in ("-e", name)]
    lines = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=True
    ).stdout.splitlines()
    return [dict(zip(FIELDS, line.split("\t"), strict=True)) for line in lines]


def told(row: dict[str, str]) -> Segment:
    names = row["frame.protocols"].split(":")
    is_ipv6 = [name for name in names if name in ("ip", "ipv6")][-1] == "ipv6"
    ends = (row["ipv6.src"], row["ipv6.dst"]) if is_ipv6 else (row["ip.src"], row["ip.dst"])
    return Segment(
        int(row["frame.number"]),
        *ends,
        int(row["tcp.srcport"]),
        int(row["tcp.dstport"]),
        int(row["tcp.seq_raw"]),
        int(row["tcp.ack_raw"] or 0),
        int(row["tcp.flags"], 16) & 0xFF,
        int(row["tcp.window_size_value"]),
        int(row["tcp.len"] or 0),
        int(row["ipv6.hlim"] if is_ipv6 else row["ip.ttl"]),
    )


def ours(packet: TcpSegment) -> Segment:
    return Segment(
        packet.seen.number,
        text(packet.src),
        text(packet.dst),
        packet.src_port,
        packet.dst_port,
        packet.seq,
        packet.ack,
        packet.flags,
        packet.window,
        packet.payload_length,
        packet.ttl,
    )


def is_mail(row: dict[str, str]) -> bool:
    return bool({int(row["tcp.srcport"]), int(row["tcp.dstport"])} & set(SERVICES))


def compare(records: Iterable[Record], path: Path, sums: bool = True) -> int:
    """Hold our segments against tshark's; how many there were."""
    packets = list(decode(records, Tally()))
    mine = [p for p in packets if isinstance(p, TcpSegment) and {p.src_port, p.dst_port} & set(SERVICES)]
    rows = [row for row in by_tshark(path) if not (row["icmp.type"] or row["icmpv6.type"]) and is_mail(row)]
    assert sorted(map(ours, mine)) == sorted(map(told, rows))
    statuses = {int(row["frame.number"]): row["tcp.checksum.status"] for row in rows}
    for packet in mine if sums else ():
        if packet.checksum_ok is not None:
            assert statuses[packet.seen.number] == (SUM_IS_GOOD if packet.checksum_ok else SUM_IS_BAD)
    return len(mine)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.parent.name + "/" + path.name)
def test_the_samples(path):
    observation = Observation([path])
    assert compare(observation, path)


@pytest.mark.parametrize("snap", [54, 60, 68, 80, 96])
def test_samples_cut_short(tmp_path, snap):
    cut = tmp_path / "cut.pcapng"
    records = [r._replace(data=r.data[:snap], number=n) for n, r in enumerate(Observation(SAMPLES[:6]), 1)]
    write(records, cut)
    packets = {p.seen.number: p for p in decode(records, Tally()) if isinstance(p, TcpSegment)}
    rows = [row for row in by_tshark(cut) if row["tcp.flags"] and is_mail(row)]
    for row in rows:
        packet = packets[int(row["frame.number"])]
        assert (packet.src_port, packet.seq) == (int(row["tcp.srcport"]), int(row["tcp.seq_raw"]))
        assert packet.flags == int(row["tcp.flags"], 16) & 0xFF
        if row["tcp.window_size_value"]:
            assert packet.window == int(row["tcp.window_size_value"])
        if row["tcp.len"]:
            assert packet.payload_length == int(row["tcp.len"])
    assert len(packets) == len(rows)


def test_every_wrapping(tmp_path):
    path = tmp_path / "wrapped.pcapng"
    frames = {name: wrapped for name, wrapped in WRAPPED.items() if name not in NOT_READ_BY_TSHARK}
    records = [record(w.data, w.link_type, number=n) for n, w in enumerate(frames.values(), 1)]
    write(records, path)
    rows = by_tshark(path)
    assert [int(row["frame.number"]) for row in rows] == [r.number for r in records]
    packets = list(decode(records, Tally()))
    for name, row, packet in zip(frames, rows, packets, strict=True):
        # In routing headers it shows where the packet goes next, we show where it goes in the end.
        expected = told(row)._replace(dst=text(packet.dst) if row["ipv6.routing.segleft"] else told(row).dst)
        expected = expected._replace(src=CLIENT6) if name == "home-address" else expected
        assert ours(packet) == expected, name


def test_icmp_errors():
    found = 0
    for path in SAMPLES:
        errors = {p.seen.number: p for p in decode(Observation([path]), Tally()) if isinstance(p, IcmpError)}
        rows = [row for row in by_tshark(path) if row["icmp.type"] or row["icmpv6.type"]]
        assert sorted(errors) == [int(row["frame.number"]) for row in rows]
        for row in rows:
            error = errors[int(row["frame.number"])]
            is_ipv6 = bool(row["icmpv6.type"])
            type_, code = (
                (row["icmpv6.type"], row["icmpv6.code"]) if is_ipv6 else (row["icmp.type"], row["icmp.code"])
            )
            ends = (row["ipv6.src"], row["ipv6.dst"]) if is_ipv6 else (row["ip.src"], row["ip.dst"])
            assert (error.type, error.code) == (int(type_), int(code))
            assert (text(error.src), text(error.dst)) == ends
            assert (error.src_port, error.dst_port) == (int(row["tcp.srcport"]), int(row["tcp.dstport"]))
            assert error.seq == int(row["tcp.seq_raw"] or row["tcp.seq"])
            found += 1
    assert found


@pytest.mark.parametrize("seed", range(3))
def test_fragments(tmp_path, seed):
    rng = random.Random(seed)
    packets: list[bytes] = []
    for number in range(1, 40):
        is_ipv6 = rng.random() < 0.5
        ends = (CLIENT6, SERVER6) if is_ipv6 else (CLIENT, SERVER)
        whole = segment(*ends, 0x18, rng.randbytes(rng.randrange(1, 600)))
        cuts = sorted({8 * rng.randrange(1, (len(whole) - 1) // 8 + 1) for _ in range(rng.randrange(1, 5))})
        parts = []
        for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
            more = end < len(whole)
            if is_ipv6:
                header = struct.pack("!BBHI", 6, 0, start | more, number)
                parts.append(ip(*ends, 44, header + whole[start:end], 64))
            else:
                packet = bytearray(ip(*ends, 6, whole[start:end], 64, number))
                packet[6:8] = struct.pack("!H", more << 13 | start // 8)
                parts.append(bytes(packet))
        rng.shuffle(parts)
        packets += parts
    records = [record(data, 101, number=n, at_s=n / 1000) for n, data in enumerate(packets, 1)]
    path = tmp_path / "fragments.pcapng"
    write(records, path)
    assert compare(records, path) == 39
