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


_HEADINGS = {
    "counts": "Attempts counted",
    "moved": "Attempts that fare otherwise",
    "collateral": "Working mail that is blocked now",
}


def print_comparison(frames: Mapping[str, pd.DataFrame], console: Console) -> None:
    """The tables of a comparison that are not empty, each under its heading."""
    shown = {name: frame for name, frame in frames.items() if len(frame)}
    for name, frame in shown.items():
        table = Table(title=_HEADINGS[name], title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        for column in frame:
            is_number = pd.api.types.is_numeric_dtype(frame[column])
            table.add_column(str(column), justify="right" if is_number else "left", overflow="fold")
        for row in frame.itertuples(index=False):
            table.add_row(*(Text(str(value)) for value in row))
        console.print(table)
    if not shown:
        console.print("nothing has changed")


def print_objects(frames: Mapping[str, pd.DataFrame], console: Console) -> None:
    """Several tables as one JSON object, a key each."""
    texts = {name: frame.to_dict("records") for name, frame in frames.items()}
    console.file.write(json.dumps(texts, ensure_ascii=False, default=_plain, indent=1) + "\n")


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
