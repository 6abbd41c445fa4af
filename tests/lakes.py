"""Lakes of batches beside what `analyze` says of the same captures."""

from __future__ import annotations

import gzip
import random
import struct
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from op25b_pcap.batch.crew import Crew, crew
from op25b_pcap.batch.run import Outcome, batch
from op25b_pcap.capture.observation import Observation
from op25b_pcap.capture.record import Record
from op25b_pcap.pipeline import analyse
from op25b_pcap.policy import Policy, load
from op25b_pcap.samples.frames import ip
from op25b_pcap.tables import TABLES
from tests.capture_files import Packet, pcap

SAMPLES = Path(__file__).parents[1] / "sample_pcaps"
POLICY = SAMPLES / "policy.toml"
NANOSECONDS = 0xA1B23C4D
_OF_THE_PIECE = ["capture", "first_packet"]


def policy() -> Policy:
    return load(POLICY)


def run(inbox: Path | str, lake: Path | str, workers: Crew | None = None, **more: object) -> Outcome:
    """A batch under the samples' policy, in this process if nobody else works."""
    if workers is not None:
        return batch(str(inbox), str(lake), workers, policy(), **more)
    with crew(1, None) as alone:
        return batch(str(inbox), str(lake), alone, policy(), **more)


def records_of(*paths: Path) -> list[Record]:
    """All Ethernet records of captures, in order of time."""
    found = [record for record in Observation(paths) if record.link_type == 1]
    return sorted(found, key=lambda record: record.time_ns)


def octets(records: Sequence[Record]) -> bytes:
    """A pcap of records, to the nanosecond."""
    content = [Packet(record.time_ns, record.data, record.length) for record in records]
    return pcap(content, magic=NANOSECONDS)


def scatter(records: Sequence[Record], cuts: Sequence[int], folder: Path, rng: random.Random) -> list[Path]:
    """The records as pieces, cut before these numbers, under names in any order, some compressed."""
    folder.mkdir(parents=True, exist_ok=True)
    bounds = [0]
    for cut in sorted(cuts):
        # Of pieces that begin in the same nanosecond only the names tell the order, and these are drawn.
        if records[cut].time_ns != records[bounds[-1]].time_ns:
            bounds.append(cut)
    bounds.append(len(records))
    names = rng.sample(range(1000), len(bounds))
    paths = []
    for name, begin, end in zip(names, bounds[:-1], bounds[1:], strict=False):
        piece, path = octets(records[begin:end]), folder / f"tap{name}.pcap"
        if rng.random() < 0.3:
            piece, path = gzip.compress(piece, mtime=0), path.with_suffix(".pcap.gz")
        path.write_bytes(piece)
        paths.append(path)
    return paths


def lake_tables(lake: Path) -> dict[str, pd.DataFrame]:
    """The tables of a lake, days one after the other."""
    found = {}
    for name, table in TABLES.items():
        single = lake / f"{name}.parquet"
        parts = [single] if single.exists() else sorted((lake / name).glob("date=*/*.parquet"))
        read = [pq.ParquetFile(path).read() for path in parts]
        found[name] = pa.concat_tables(read or [table.schema().empty_table()])
    return {name: table.to_pandas(types_mapper=pd.ArrowDtype) for name, table in found.items()}


def manifest(lake: Path) -> dict[str, str]:
    """The state of each piece by its file's name."""
    rows = pq.read_table(lake / "manifest.parquet").to_pylist()
    return {Path(row["path"]).name: row["state"] for row in rows}


def analysed(*paths: Path) -> dict[str, pd.DataFrame]:
    """What `analyze` says."""
    return {name: TABLES[name].arrow(frame) for name, frame in analyse(paths, policy()).tables.items()}


def assert_like(lake: Path, expected: dict[str, pa.Table], *, same_pieces: bool = False) -> None:
    """A lake says what `analyze` says, but for which piece a flow began in."""
    for name, frame in lake_tables(lake).items():
        one, other = TABLES[name].arrow(frame), expected[name]
        if name == "flows" and not same_pieces:
            one, other = one.drop_columns(_OF_THE_PIECE), other.drop_columns(_OF_THE_PIECE)
        assert one.to_pylist() == other.to_pylist(), name


def in_parts(packet: bytes, at: int, number: int) -> list[bytes]:
    """An IPv4 packet as two fragments; the second begins after `at` times 8 octets of payload."""
    size = (packet[0] & 15) * 4
    cut = size + 8 * at
    if packet[0] >> 4 != 4 or cut >= len(packet):
        return [packet]
    parts = []
    for start, end in ((size, cut), (cut, len(packet))):
        header = bytearray(packet[:size])
        header[2:4] = struct.pack("!H", size + end - start)
        header[4:6] = struct.pack("!H", number)
        header[6:8] = struct.pack("!H", (end < len(packet)) << 13 | (start - size) // 8)
        parts.append(bytes(header) + packet[start:end])
    return parts


def mistimed(records: Sequence[Record], rng: random.Random) -> list[Record]:
    """The same, some with a time that cannot be true."""
    wrong_ns = [31_000_000_000, -31_000_000_000, 3_600_000_000_000, 1 << 60]
    return [
        record._replace(time_ns=max(record.time_ns + rng.choice(wrong_ns), 0))
        if rng.random() < 0.02
        else record
        for record in records
    ]


def torn_apart(records: Sequence[Record], rng: random.Random) -> list[Record]:
    """Some packets as fragments, and fragments in fragments; some come late, some never."""
    torn = []
    for number, record in enumerate(records):
        packets = [record.data[14:]] if record.data[12:14] == b"\x08\x00" else []
        for _ in range(2 if packets and rng.random() < 0.5 else 0):
            packets = [part for packet in packets for part in in_parts(packet, rng.randint(1, 6), number)]
            if rng.random() < 0.5:
                packets = [ip("192.0.2.1", "192.0.2.2", 4, packet, 64, number) for packet in packets]
        rng.shuffle(packets)
        if len(packets) > 1 and rng.random() < 0.2:
            packets.pop()
        late_ns = rng.choice([0, 0, 0, 1_000_000, 20_000_000_000, 40_000_000_000])
        for at, packet in enumerate(packets):
            torn.append(
                record._replace(data=record.data[:14] + packet, time_ns=record.time_ns + at * late_ns)
            )
        if not packets:
            torn.append(record)
    torn = [record._replace(length=len(record.data)) for record in torn]
    return sorted(torn, key=lambda record: record.time_ns)
