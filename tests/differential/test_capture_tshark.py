"""tshark as a second opinion on what a capture holds."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from pathlib import Path

import lz4.frame
import pytest
import zstandard

from op25b_pcap.capture.writing import write
from tests.capture_files import BE, ETHERNET, LE, RAW, START, Packet, packets, pcap, pcapng, read

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed"),
]

CUT = [Packet(START + i * 333, bytes(i), 1500) for i in range(60)]
MIXED = (
    LE.section()
    + LE.interface(ETHERNET)
    + LE.interface(RAW, resolution=9)
    + LE.interface(ETHERNET, resolution=0x80 | 20, offset_s=3600)
    + LE.enhanced(START // 1000 + 1, b"one")
    + LE.enhanced(START + 7, b"two", interface=1, length=99)
    + LE.enhanced((1_700_000_000 << 20) + 3, b"three", interface=2)
    + LE.obsolete(START // 1000 + 2, b"four")
    + LE.block(4, bytes(4))
    + BE.section()
    + BE.interface(RAW, resolution=3)
    + BE.enhanced(START // 1_000_000 + 5, b"five")
)
FILES = {
    "pcap-us-le": pcap(packets(200)),
    "pcap-us-be": pcap(packets(200), ">"),
    "pcap-ns-le": pcap(CUT, "<", 0xA1B23C4D),
    "pcap-ns-be": pcap(CUT, ">", 0xA1B23C4D),
    "pcap-modified": pcap(packets(200), "<", 0xA1B2CD34),
    "pcap-beyond-snap": pcap(packets(200), snap=2),
    "pcap-cut": pcap(packets(200))[:-3],
    "pcap-bits-above-link-type": pcap(packets(20), link=0x14000001),
    "pcapng-le": pcapng(CUT, "<"),
    "pcapng-be": pcapng(CUT, ">"),
    "pcapng-mixed": MIXED,
    "gzip": gzip.compress(pcap(packets(200))),
    "zstd": zstandard.ZstdCompressor().compress(pcapng(CUT)),
    "lz4": lz4.frame.compress(pcapng(CUT)),
}


def by_tshark(path: Path) -> list[tuple[str, int, int]]:
    fields = ("frame.time_epoch", "frame.len", "frame.cap_len")
    command = ["tshark", "-r", str(path), "-T", "fields", *(word for name in fields for word in ("-e", name))]
    lines = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.splitlines()
    rows = [line.split("\t") for line in lines]
    return [(time, int(length), int(captured)) for time, length, captured in rows]


def by_us(path: Path) -> list[tuple[str, int, int]]:
    records, _ = read(path)
    return [
        ("{}.{:09d}".format(*divmod(record.time_ns, 1_000_000_000)), record.length, len(record.data))
        for record in records
    ]


@pytest.mark.parametrize("name", FILES)
def test_tshark_reads_the_same_packets(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(FILES[name])
    ours = by_us(path)
    assert ours
    assert ours == by_tshark(path)


def test_tshark_reads_what_we_write(tmp_path):
    records, _ = read(tmp_path / "mixed", MIXED)
    write(records, tmp_path / "written.pcapng")
    assert by_tshark(tmp_path / "written.pcapng") == by_tshark(tmp_path / "mixed")
