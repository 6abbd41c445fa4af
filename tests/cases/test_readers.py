"""Every table of a real run as others read it: no cast, no nanosecond lost, nothing left to guess."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from op25b_pcap.cli import app
from op25b_pcap.tables import TABLES

SAMPLES = Path(__file__).parents[2] / "sample_pcaps"


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("readers") / "out"
    arguments = [
        "analyze",
        str(SAMPLES),
        "--policy",
        str(SAMPLES / "policy.toml"),
        "--out",
        str(out),
        "--csv",
    ]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    return out


@pytest.mark.parametrize("name", TABLES)
def test_duckdb_pandas_and_polars_read_the_same(reports, name):
    path = reports / f"{name}.parquet"
    arrow = pq.read_table(path)
    assert arrow.schema.equals(TABLES[name].schema())
    rows = len(arrow)
    assert rows > 0
    assert duckdb.sql(f"select count(*) from '{path}'").fetchall() == [(rows,)]
    assert pl.read_parquet(path).columns == pd.read_parquet(path).columns.tolist() == arrow.column_names
    for column in arrow.column_names:
        values = arrow[column].to_pylist()
        if pa.types.is_timestamp(arrow.schema.field(column).type):
            values = arrow[column].cast("int64").to_pylist()
            read = duckdb.sql(f"select epoch_ns({column}) from '{path}'").fetchall()
            assert pl.read_parquet(path)[column].dt.epoch("ns").to_list() == values
        else:
            read = duckdb.sql(f"select {column} from '{path}'").fetchall()
            assert pl.read_parquet(path)[column].to_list() == values
        assert [row[0] for row in read] == values


@pytest.mark.parametrize("name", TABLES)
def test_the_csv_twin_has_the_same_rows(reports, name):
    with (reports / f"{name}.csv").open(encoding="utf-8") as csv:
        head = next(csv)
    assert [word.strip('"\n') for word in head.split(",")] == list(TABLES[name].names)
    rows = duckdb.sql(f"select count(*) from read_csv('{reports / name}.csv')").fetchall()
    assert rows == [(len(pq.read_table(reports / f"{name}.parquet")),)]


@pytest.mark.parametrize("name", TABLES)
def test_only_the_contracts_words_stand_in_columns_that_list_them(reports, name):
    table = pq.read_table(reports / f"{name}.parquet")
    for column in TABLES[name].columns:
        if column.words:
            assert set(table[column.name].to_pylist()) - {None} <= set(column.words), column.name


@pytest.mark.oracle
def test_times_are_exact_to_the_nanosecond(reports):
    path = reports / "flows.parquet"
    told = duckdb.sql(f"select capture, first_packet, epoch_ns(start_time) from '{path}'").fetchall()
    shown: dict[str, list[int]] = {}
    for capture, number, start_ns in told:
        if capture not in shown:
            (file,) = [p for p in SAMPLES.rglob("capture*") if str(p).endswith(capture)]
            command = ["tshark", "-n", "-r", file, "-T", "fields", "-e", "frame.time_epoch"]
            lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            shown[capture] = [int(line.replace(".", "")) for line in lines]
        assert shown[capture][number - 1] == start_ns


def test_run_json_accounts_for_every_packet(reports):
    run = json.loads((reports / "run.json").read_text(encoding="utf-8"))
    packets = run["packets"]
    assert packets["read"] == packets["decoded"] + sum(packets["skipped"].values())
    assert packets["read"] == sum(entry["packets"] for entry in run["inputs"])
    assert all(len(entry["sha256"]) == 64 and entry["size"] for entry in run["inputs"])
    assert run["envelope"] == "domain"
    assert (run["policy"]["name"], run["policy"]["assumed"]) == ("example-isp", False)
    assert run["tables"]["flows"] == 43
