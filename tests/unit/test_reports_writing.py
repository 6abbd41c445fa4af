"""The output folder: complete or not there; readable by everybody; harmless in a spreadsheet."""

from __future__ import annotations

import json

import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from op25b_pcap.reports import writing
from op25b_pcap.reports.writing import RUN, Unwritable, staging, write_run, write_tables
from op25b_pcap.tables import SMTP_TRANSACTIONS, TABLES, TIMELINE

ROWS = [
    {
        "flow_id": "00000000000000aa",
        "transaction_index": 1,
        "mail_from": "",
        "rcpt_to": ["=cmd|' /C calc'!A0@example.com", "b@example.net"],
        "rcpt_reply_codes": [250, None],
        "smtputf8": False,
    },
    {
        "flow_id": "=HYPERLINK(1)",
        "transaction_index": 2,
        "mail_from": "+49@example.com",
        "rcpt_to": None,
        "rcpt_reply_codes": [],
        "smtputf8": True,
        "accepted": True,
    },
]


@pytest.fixture
def written(tmp_path):
    with staging(tmp_path / "out") as hidden:
        write_tables({"smtp_transactions": SMTP_TRANSACTIONS.frame(ROWS)}, hidden, csv=True)
        write_run({"tool": "op25b-pcap"}, hidden)
    return tmp_path / "out"


def test_nothing_but_the_tables_lies_there(written):
    assert sorted(path.name for path in written.iterdir()) == [
        RUN,
        "smtp_transactions.csv",
        "smtp_transactions.parquet",
    ]


def test_duckdb_pandas_and_polars_read_it_without_a_cast(written):
    path = str(written / "smtp_transactions.parquet")
    query = f"select mail_from, rcpt_to, rcpt_reply_codes, accepted from '{path}' order by transaction_index"
    expected = [
        ("", ROWS[0]["rcpt_to"], [250, None], None),
        ("+49@example.com", None, [], True),
    ]
    assert duckdb.sql(query).fetchall() == expected
    polars = pl.read_parquet(path).select("mail_from", "rcpt_to", "rcpt_reply_codes", "accepted")
    assert polars.rows() == expected
    assert pd.read_parquet(path)["mail_from"].tolist() == ["", "+49@example.com"]


def test_every_field_carries_its_meaning(written):
    schema = pq.read_schema(written / "smtp_transactions.parquet")
    for column in SMTP_TRANSACTIONS.columns:
        assert schema.field(column.name).metadata[b"description"].decode() == column.meaning


def test_dictionaries_and_row_groups_are_no_readers_matter(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "ROW_GROUP", 2)
    plain = TIMELINE.frame(
        [{"minute": n, "finding": "leak", "traffic_class": "x", "flows": n} for n in range(5)]
    )
    for name, frame in (("plain", plain), ("encoded", plain.assign(finding=_encoded(plain["finding"])))):
        (tmp_path / name).mkdir()
        write_tables({"timeline": frame}, tmp_path / name, csv=True)
    read, other = (pq.ParquetFile(tmp_path / name / "timeline.parquet") for name in ("plain", "encoded"))
    assert read.num_row_groups == 3
    assert read.schema_arrow.equals(TIMELINE.schema(), check_metadata=True)
    assert other.schema_arrow.equals(TIMELINE.schema(), check_metadata=True)
    assert read.read().equals(other.read())
    assert read.read().equals(TIMELINE.arrow(plain))
    lines = [(tmp_path / name / "timeline.csv").read_text() for name in ("plain", "encoded")]
    assert lines[0] == lines[1]
    assert len(lines[0].splitlines()) == 6


def _encoded(column: pd.Series) -> pd.Series:
    array = column.array.__arrow_array__().combine_chunks().dictionary_encode()
    return pd.Series(array, dtype=pd.ArrowDtype(array.type))


def test_null_is_not_written_where_it_may_not_be(tmp_path):
    frame = TIMELINE.frame([{"minute": 0, "finding": None, "traffic_class": "x", "flows": 1}])
    with pytest.raises(ValueError, match="finding"):
        write_tables({"timeline": frame}, tmp_path, csv=False)


def test_no_cell_of_the_csv_is_a_formula(written):
    table = f"read_csv('{written}/smtp_transactions.csv', all_varchar=true)"
    rows = duckdb.sql(f"select flow_id, mail_from, rcpt_to from {table}").fetchall()
    assert rows[1][0] == "'=HYPERLINK(1)"
    assert rows[1][1] == "+49@example.com"  # which none is: the twin of the Parquet table
    assert json.loads(rows[0][2]) == ROWS[0]["rcpt_to"]


def test_the_csv_tells_the_null_sender_from_an_unseen_one(tmp_path):
    rows = [ROWS[0] | {"mail_from": ""}, ROWS[0] | {"mail_from": None}]
    write_tables({"smtp_transactions": SMTP_TRANSACTIONS.frame(rows)}, tmp_path, csv=True)
    read = duckdb.sql(
        f"select mail_from from read_csv('{tmp_path}/smtp_transactions.csv', allow_quoted_nulls=false)"
    ).fetchall()
    assert read == [("",), (None,)]


def test_a_run_that_fails_leaves_the_old_results_and_nothing_else(written):
    before = {path.name: path.read_bytes() for path in written.iterdir()}

    def interrupted() -> None:
        with staging(written) as hidden:
            write_tables({"smtp_transactions": SMTP_TRANSACTIONS.frame([])}, hidden, csv=False)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert {path.name: path.read_bytes() for path in written.iterdir()} == before


def test_a_csv_of_an_older_run_does_not_outlive_its_table(written):
    with staging(written) as hidden:
        write_tables({"smtp_transactions": SMTP_TRANSACTIONS.frame(ROWS)}, hidden, csv=False)
        write_run({}, hidden)
    assert not (written / "smtp_transactions.csv").exists()


def test_a_folder_that_cannot_be_written_is_named_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unwritable, match=r"cannot write to .*file"), staging(tmp_path / "file" / "out"):
        pytest.fail("the work had begun")


@pytest.mark.parametrize("name", TABLES)
def test_every_table_can_be_empty(name, tmp_path):
    write_tables({name: TABLES[name].frame([])}, tmp_path, csv=True)
    assert len(pd.read_parquet(tmp_path / f"{name}.parquet")) == 0
