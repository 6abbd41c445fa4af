"""What the terminal shows after a run: the summary as a table, and a few plain sentences."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_SHOWN: tuple[tuple[str, Literal["left", "right"]], ...] = (
    ("service", "left"),
    ("traffic_class", "left"),
    ("src_role", "left"),
    ("dst_role", "left"),
    ("policy_action", "left"),
    ("outcome", "left"),
    ("finding", "left"),
    ("flows", "right"),
    ("subscribers", "right"),
    ("messages", "right"),
)
_COLOURS = {
    "leak": "bold red",
    "intercepted": "bold magenta",
    "disrupted": "bold yellow",
    "blocked": "green",
    "allowed": "green",
    "inconclusive": "yellow",
    "out_of_scope": "dim",
}
"""Colour repeats the word and never stands for it: NO_COLOR loses nothing."""


def print_summary(summary: pd.DataFrame, console: Console) -> None:
    """The `summary` table with IPv4 and IPv6 told apart only where both occur."""
    columns = list(_SHOWN)
    if summary["ip_version"].nunique() > 1:
        columns.insert(1, ("ip_version", "right"))
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name, justify in columns:
        shown.add_column(name, justify=justify, overflow="fold")
    for row in summary.to_dict("records"):
        cells = [Text(str(row[name])) for name, _ in columns]
        colour = _COLOURS.get(row["finding"], "")
        shown.add_row(*(cell if cell.plain != row["finding"] else Text(cell.plain, colour) for cell in cells))
    console.print(shown if len(summary) else "no attempt on a mail port was seen")


def print_columns(rows: Iterable[Mapping[str, Any]], console: Console) -> None:
    """The documented columns, a table of the output folder each."""
    shown: Table | None = None
    title = None
    for row in rows:
        if row["table"] != title:
            if shown is not None:
                console.print(shown)
            title = row["table"]
            shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
            for name in ("column", "type", "meaning"):
                shown.add_column(name, overflow="fold")
        assert shown is not None
        kind = row["type"] + (", null" if row["null"] else "")
        words = f" ({', '.join(row['words'])})" if row["words"] else ""
        shown.add_row(Text(row["column"]), Text(kind), Text(row["meaning"] + words))
    if shown is not None:
        console.print(shown)


def print_json(rows: pd.DataFrame | Iterable[Mapping[str, Any]], console: Console) -> None:
    """Rows as a JSON array, one object a line, for jq and its like."""
    records = rows.to_dict("records") if isinstance(rows, pd.DataFrame) else list(rows)
    lines = (json.dumps(record, ensure_ascii=False, default=_plain) for record in records)
    console.file.write("[" + ",\n ".join(lines) + "]\n")


def _plain(value: Any) -> Any:
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)
