"""The tables of a lake: written beside the old ones, and put in their place.

    LAKE/flows/date=2026-11-24/part-0.parquet    and so the session tables, by the day their flow began
    LAKE/subscribers.parquet summary.parquet timeline.parquet manifest.parquet run.json

On this machine a lake's tables are links into `.tables/now`, which is itself a link: one rename
shows all new tables at once. An object store has no such thing: there each file takes the place of
the one of its name, and run.json comes last.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from op25b_pcap.batch.account import Account
from op25b_pcap.batch.files import Files
from op25b_pcap.reports.writing import ROW_GROUP, RUN, write_run
from op25b_pcap.tables import FLOWS, RETRIEVAL_SESSIONS, SMTP_SESSIONS, SMTP_TRANSACTIONS, TABLES
from op25b_pcap.tables.table import Column, Table

BY_DATE = (FLOWS.name, SMTP_SESSIONS.name, SMTP_TRANSACTIONS.name, RETRIEVAL_SESSIONS.name)
MANIFEST = Table(
    "manifest",
    "one row per piece of the inbox",
    (
        Column("path", "string", "where it lies, or lay"),
        Column("size", "uint64", "octets as it lies there"),
        Column(
            "sha256", "string", "hex digest of these octets; null if they could not be read", nullable=True
        ),
        Column("first_time", "timestamp", "earliest packet; null if there is none", nullable=True),
        Column("last_time", "timestamp", "latest packet", nullable=True),
        Column("packets", "uint64", "packet records, or lines of a log"),
        Column(
            "state",
            "string",
            "done; damaged: what could be read counts; duplicate: it counts once, under another path; "
            "unfinished: left for the next run; unreadable; foreign: neither capture nor flow log",
            words=("done", "damaged", "duplicate", "unfinished", "unreadable", "foreign"),
        ),
        Column("reason", "string", "why it is not simply done; null if it is", nullable=True),
    ),
)
_NOW = ".tables/now"
_PART = "part-0.parquet"


def manifest(accounts: Sequence[Account]) -> pd.DataFrame:
    """A row for each piece."""
    return MANIFEST.frame(
        {
            "path": account.path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"),
            "size": account.size,
            "sha256": account.sha256 or None,
            "first_time": account.first_time_ns,
            "last_time": account.last_time_ns,
            "packets": account.records,
            "state": account.state,
            "reason": account.reason or None,
        }
        for account in accounts
    )


def publish(tables: Mapping[str, pd.DataFrame], run: Mapping[str, Any], lake: Files) -> None:
    """Show these tables in the place of those that are there."""
    with lake.below(".tables").scratch() as folder:
        for name, days in _dated(tables):
            for day, frame in days:
                place = folder / name / f"date={day}"
                place.mkdir(parents=True)
                _write(frame, TABLES[name], place / _PART)
            (folder / name).mkdir(exist_ok=True)
        for name, frame in tables.items():
            if name not in BY_DATE:
                _write(frame, TABLES.get(name, MANIFEST), folder / f"{name}.parquet")
        write_run(run, folder)
        (_swap if lake.is_local else _replace)(folder, lake)


def _dated(tables: Mapping[str, pd.DataFrame]) -> Iterator[tuple[str, list[tuple[str, pd.DataFrame]]]]:
    """The large tables by the day on which each flow began, in their order."""
    flows = tables[FLOWS.name]
    day_of = _days(flows)
    known = pd.Series(day_of, index=flows["flow_id"].to_numpy(object))
    known = known[~known.index.duplicated()]
    for name in BY_DATE:
        frame = tables[name]
        days = day_of
        if name != FLOWS.name:
            days = known.reindex(frame["flow_id"].to_numpy(object)).to_numpy().astype("datetime64[D]")
        yield name, [(str(day), frame[days == day]) for day in np.unique(days)]


def _days(flows: pd.DataFrame) -> Any:
    times = pa.chunked_array(flows["start_time"].array.__arrow_array__()).cast(pa.int64()).to_numpy()
    return times.astype("datetime64[ns]").astype("datetime64[D]")


def _write(frame: pd.DataFrame, table: Table, path: Path) -> None:
    """Sorted as it comes, by time, so that statistics of row groups let readers skip."""
    pq.write_table(table.arrow(frame), path, compression="zstd", row_group_size=ROW_GROUP)


def _swap(folder: Path, lake: Files) -> None:
    """Let the links lead to new tables."""
    root = Path(lake.root)
    own = root / ".tables" / uuid.uuid4().hex
    folder.rename(own)
    folder.mkdir()  # whose end its maker sees to
    _link(own.name, root / _NOW)
    for name in sorted((path.name for path in own.iterdir()), key=lambda name: (name == RUN, name)):
        _link(f"{_NOW}/{name}", root / name)
    for old in (root / ".tables").iterdir():
        if old.name not in (own.name, folder.name) and not old.is_symlink():
            shutil.rmtree(old, ignore_errors=True)


def _link(target: str, path: Path) -> None:
    """A link in the place of what is there."""
    if path.is_symlink() and os.readlink(path) == target:  # noqa: PTH115 - the text, not where it leads
        return
    new = path.with_name(f".link-{uuid.uuid4().hex}")
    new.symlink_to(target)
    new.replace(path)


def _replace(folder: Path, lake: Files) -> None:
    """Put each file in the place of the one of its name, run.json last, and take away what is left."""
    written = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    for name in sorted(written, key=lambda name: name == RUN):
        lake.put(folder / name, name)
    for name in lake.names():
        if name.partition("/")[0] in BY_DATE and name not in written:
            lake.remove(name)
