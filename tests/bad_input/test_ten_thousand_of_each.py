"""Small captures in which much could be tried with much: the time must grow with their size, not its square.

Each took minutes, or more memory than there is, when all was tried with all. The limits are far beyond
what is needed: they keep such a fault from taking the machine along.
"""

from __future__ import annotations

import resource
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from op25b_pcap.capture.observation import Observation
from op25b_pcap.capture.runs import WALKS
from tests.capture_files import LE

CPU_S, MEMORY = 60, 6 << 30
MANY = 12_000
ME, ROUTER, RESOLVER, HOST = "10.0.0.5", "192.0.2.1", "192.0.2.53", "198.51.100.25"
SYN, ACK = 2, 16
NOOPS = (b"NOOP\r\n" * 30_000, b"250 \r\n" * 30_000)


def ip(src: str, dst: str, protocol: int, body: bytes) -> bytes:
    addresses = socket.inet_aton(src) + socket.inet_aton(dst)
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 60, protocol, 0) + addresses + body


def tcp(port: int, seq: int, flags: int = SYN, data: bytes = b"", *, back: bool = False) -> bytes:
    ports, ends = (port, 25), (ME, HOST)
    if back:
        ports, ends = ports[::-1], ends[::-1]
    header = struct.pack("!HHIIBBHHH", *ports, seq, 1, 0x50, flags, 1000, 0, 0)
    return ip(*ends, 6, header + data)


def error(quoted: bytes) -> bytes:
    return ip(ROUTER, ME, 1, struct.pack("!BBHI", 3, 13, 0, 0) + quoted)


def answer(name: str, kind: int, data: bytes) -> bytes:
    question = labels(name) + struct.pack("!HH", kind, 1)
    record = b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 300, len(data)) + data
    message = struct.pack("!HHHHHH", 1, 0x8180, 1, 1, 0, 0) + question + record
    return ip(RESOLVER, ME, 17, struct.pack("!HHHH", 53, 40000, 8 + len(message), 0) + message)


def labels(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def attempts_and_errors() -> Iterator[bytes]:
    """All on the same sockets."""
    yield from (tcp(4000, 40_000 * n) for n in range(MANY))
    yield from (error(tcp(4000, 40_000 * n)[:28]) for n in range(MANY))


def conversations_and_errors_without_ports() -> Iterator[bytes]:
    yield from (tcp(1024 + n, 1) for n in range(MANY))
    yield from (error(tcp(4000, 1)[:20]) for _ in range(MANY))


def commands_and_replies() -> Iterator[bytes]:
    """Of a dialogue whose beginning was not seen."""
    for back, said in enumerate(NOOPS):
        for at in range(0, len(said), 60_000):
            yield tcp(4000, 1 + at, ACK, said[at : at + 60_000], back=bool(back))


def domains_and_attempts_on_their_exchanger() -> Iterator[bytes]:
    yield answer("mx.example", 1, socket.inet_aton(HOST))
    exchanger = b"\0\n" + labels("mx.example")
    yield from (answer(f"d{n}.example", 15, exchanger) for n in range(MANY))
    yield from (tcp(1024 + n, 1) for n in range(MANY))


CASES = (
    attempts_and_errors,
    conversations_and_errors_without_ports,
    commands_and_replies,
    domains_and_attempts_on_their_exchanger,
)


def capture(packets: Iterable[bytes]) -> bytes:
    """Raw IP, half a millisecond between two packets."""
    records = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 101)]
    for n, packet in enumerate(packets):
        records += [
            struct.pack("<IIII", 1_700_000_000 + n // 2000, n % 2000 * 500, *[len(packet)] * 2),
            packet,
        ]
    return b"".join(records)


def limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


@pytest.mark.parametrize("packets", CASES, ids=lambda case: case.__name__)
def test_the_time_grows_with_the_capture(tmp_path, packets):
    (tmp_path / "hostile.pcap").write_bytes(capture(packets()))
    command = [
        sys.executable,
        "-m",
        "op25b_pcap",
        "analyze",
        tmp_path / "hostile.pcap",
        "--out",
        tmp_path / "out",
    ]
    subprocess.run(command, check=True, capture_output=True, preexec_fn=limit)
    outcomes = pq.read_table(tmp_path / "out" / "flows.parquet")["outcome"].to_pylist()
    if packets is commands_and_replies:
        assert outcomes == ["midstream"]
    elif packets is domains_and_attempts_on_their_exchanger:
        assert outcomes == ["no_answer"] * MANY
    else:
        assert outcomes == ["prohibited"] * MANY


def test_interfaces_between_packets(tmp_path: Path):
    pairs = [
        LE.interface() + LE.enhanced(1_700_000_000_000_000 + n, b"x", interface=n) for n in range(20_000)
    ]
    (tmp_path / "many.pcapng").write_bytes(LE.section() + b"".join(pairs))
    observation = Observation([tmp_path / "many.pcapng"])
    interfaces = [int(run.table[0, 5]) for run in observation.items(WALKS)]
    assert interfaces == list(range(20_000))
