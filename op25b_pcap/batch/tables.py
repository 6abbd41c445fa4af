"""The tables of a lake: written beside the old ones, and put in their place.

    LAKE/flows/date=2026-11-24/part-000.parquet    and so the session tables, by the day their flow began
    LAKE/subscribers.parquet summary.parquet timeline.parquet manifest.parquet run.json

On this machine a lake's tables are links into `.tables/now`, which is itself a link: one rename
shows all new tables at once. An object store has no such thing: there each file takes the place of
the one of its name, and run.json comes last.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from op25b_pcap.batch.account import Account
from op25b_pcap.batch.files import Files, files
from op25b_pcap.reports.writing import RUN, write_parquet, write_run
from op25b_pcap.tables import (
    FLOWS,
    MANIFEST,
    RETRIEVAL_SESSIONS,
    SMTP_SESSIONS,
    SMTP_TRANSACTIONS,
    TABLES,
)

BY_DATE = (FLOWS.name, SMTP_SESSIONS.name, SMTP_TRANSACTIONS.name, RETRIEVAL_SESSIONS.name)
_NOW = ".tables/now"


def manifest_of(accounts: Sequence[Account], names: Mapping[str, str]) -> pd.DataFrame:
    """A row for each piece; `names` are those of the pieces that count, by their accounts'."""
    return MANIFEST.frame(
        {
            "capture": names.get(account.name),
            "path": _text(account.path),
            "size": account.size,
            "sha256": account.sha256 or None,
            "first_time": account.first_time_ns,
            "last_time": account.last_time_ns,
            "packets": account.records,
            "state": account.state,
            "reason": _text(account.reason) or None,
        }
        for account in accounts
    )


def _text(path: str) -> str:
    """What a table can hold of what a file system does."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


@contextmanager
def stage(lake: Files) -> Iterator[Files]:
    """Where new tables are written; at the end they are shown in the place of those that are there."""
    if not lake.is_local:
        lake.remove(RUN)  # until there is a new one, tables may be of two runs
        yield lake
        return
    with lake.below(".tables").scratch() as folder:
        place = files(str(folder))
        yield place
        place.sweep()
        _swap(folder, lake)


def publish(
    tables: Mapping[str, pd.DataFrame], parts: Collection[str], run: Mapping[str, Any], place: Files
) -> None:
    """Add the small tables to the large ones, whose parts are there, and run.json."""
    for name, frame in tables.items():
        with place.scratch() as folder:
            write_parquet(TABLES.get(name, MANIFEST), frame, folder / name)
            place.put(folder / name, f"{name}.parquet")
    for name in BY_DATE if place.is_local else ():
        (Path(place.root) / name).mkdir(exist_ok=True)  # there may be no part
    written = frozenset(parts)
    for name in place.names(".parquet"):
        if name.partition("/")[0] in BY_DATE and name not in written:
            place.remove(name)
    with place.scratch() as folder:
        write_run(run, folder)
        place.put(folder / RUN, RUN)


def _swap(folder: Path, lake: Files) -> None:
    """Let the links lead to new tables."""
    root = Path(lake.root)
    own = root / ".tables" / uuid.uuid4().hex
    folder.rename(own)
    folder.mkdir()  # whose end its maker sees to
    _link(own.name, root / _NOW)
    for name in sorted((path.name for path in own.iterdir()), key=lambda name: (name == RUN, name)):
        _link(f"{_NOW}/{name}", root / name)
    _clear(root, {own.name, folder.name})


def sweep(lake: Files) -> None:
    """Take away what killed runs have left: links that lead nowhere yet, tables that nobody sees."""
    root = Path(lake.root)
    if not lake.is_local or not (root / ".tables").is_dir():
        return
    for link in (*root.glob(".link-*"), *(root / ".tables").glob(".link-*")):
        link.unlink(missing_ok=True)
    if (root / _NOW).is_symlink():
        _clear(root, {(root / _NOW).resolve().name})


def _clear(root: Path, own: Collection[str]) -> None:
    """Remove all tables but those."""
    for old in (root / ".tables").iterdir():
        if old.name not in own and not old.is_symlink():
            shutil.rmtree(old, ignore_errors=True)


def _link(target: str, path: Path) -> None:
    """A link in the place of what is there."""
    if path.is_symlink() and os.readlink(path) == target:  # noqa: PTH115 - the text, not where it leads
        return
    new = path.with_name(f".link-{uuid.uuid4().hex}")
    new.symlink_to(target)
    new.replace(path)
