"""Inbox and lake in an object store: an S3 server in its own process."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs

from op25b_pcap.batch.run import Outcome
from op25b_pcap.capture.observation import Observation
from tests.lakes import SAMPLES, analysed, assert_like, octets, records_of, run, scatter

CAPTURES = sorted(path for path in SAMPLES.rglob("*.pcap*") if path.is_file())
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def store():
    """A bucket called `tap` in a store of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
        ):
            patch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        fs = s3fs.S3FileSystem()
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        fs.mkdir("tap")
        yield fs
    s3fs.S3FileSystem.clear_instance_cache()
    server.kill()
    server.wait()


def brought_here(store: s3fs.S3FileSystem, lake: Path) -> Path:
    store.invalidate_cache()
    store.get("tap/lake/", str(lake), recursive=True)
    return lake


def test_pieces_and_lake_in_a_store(store, tmp_path):
    records = records_of(*CAPTURES)
    merged = tmp_path / "merged.pcap"
    merged.write_bytes(octets(records))
    expected = analysed(merged)
    paths = scatter(records, [100, 250, 400], tmp_path / "pieces", random.Random(4))
    for path in paths[:2]:
        store.put_file(str(path), f"tap/inbox/{path.name}")
    first = run("s3://tap/inbox", "s3://tap/lake")
    assert [piece.state for piece in first.pieces] == ["done"] * 2
    for path in paths[2:]:
        store.put_file(str(path), f"tap/inbox/{path.name}")
    outcome = run("s3://tap/inbox/*.pcap*", "s3://tap/lake")
    assert isinstance(outcome, Outcome)
    assert outcome.is_new
    assert_like(brought_here(store, tmp_path / "lake"), expected)
    assert not run("s3://tap/inbox", "s3://tap/lake").is_new
    assert {piece.path.partition("://")[0] for piece in outcome.pieces} == {"s3"}


def test_pieces_here_and_the_lake_there(store, tmp_path):
    run(SAMPLES, "s3://tap/other")
    with store.open("tap/other/manifest.parquet") as file:
        states = pq.read_table(pa.BufferReader(file.read()))["state"].to_pylist()
    assert states.count("done") == len(CAPTURES) == len(Observation(CAPTURES).captures)
