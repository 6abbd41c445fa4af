"""Lakes of batches beside what `analyze` says of the same captures."""

from __future__ import annotations

import gzip
import random
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
