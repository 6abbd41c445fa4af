"""What the terminal shows after a run: the summary as a table, and a few plain sentences."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_NARROW = ["finding", "traffic_class", "service", "ip_version", "outcome"]
_NARROWEST = ["finding", "traffic_class", "outcome"]
"""What fits into 80 columns beside the counts, and into 60; a wider terminal shows all of `summary`."""
_WIDE_COLUMNS, _NARROW_COLUMNS = 130, 80
_WORST_FIRST = ("leak", "intercepted", "disrupted", "inconclusive", "blocked", "allowed", "out_of_scope")
_COUNTS = ("flows", "subscribers", "messages")
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
    """The `summary` table, worst findings first, as wide as the terminal."""
    if summary.empty:
        console.print("no attempt on a mail port was seen")
        return
    if console.width < _WIDE_COLUMNS:
        # Subscribers of several rows must not be added up: one may stand in many.
        shown = _NARROW if console.width >= _NARROW_COLUMNS else _NARROWEST
        summary = summary.groupby(shown, sort=True, dropna=False)[["flows", "messages"]].sum().reset_index()
    if "ip_version" in summary and summary["ip_version"].nunique() == 1:
        summary = summary.drop(columns="ip_version")
    rank = summary["finding"].map({word: at for at, word in enumerate(_WORST_FIRST)})
    names = ["finding", *(name for name in summary if name != "finding")]
    table = _table(1 if console.width >= _NARROW_COLUMNS else 0)
    for name in names:
        table.add_column(
            "IP" if name == "ip_version" else str(name),
            justify="right" if name in _COUNTS else "left",
            overflow="fold",
        )
    for row in summary.loc[rank.sort_values(kind="stable").index, names].itertuples(index=False):
        cells = [Text(_cell(value)) for value in row]
        cells[0].stylize(_COLOURS[cells[0].plain])
        table.add_row(*cells)
    console.print(table)


def _table(beside: int, title: str | None = None) -> Table:
    """An empty table, with so much room beside each column."""
    return Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, beside, 0, 0), pad_edge=False
    )


def _cell(value: Any) -> str:
    """A value as text; what is not known is a dash, as in Zeek's logs."""
    return "-" if pd.isna(value) else str(value)


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
        is_narrow = name == "moved" and console.width < _WIDE_COLUMNS
        print_frame(_narrowed(frame) if is_narrow else frame, console, _HEADINGS[name])
    if not shown:
        console.print("nothing has changed")


def _narrowed(moved: pd.DataFrame) -> pd.DataFrame:
    """What fares otherwise, in as few columns as tell it."""
    before, after = moved["policy_action_before"], moved["policy_action_after"]
    return pd.DataFrame(
        {
            "traffic_class": moved["traffic_class"],
            "outcome": moved["outcome"],
            "policy": before.where(before == after, before.astype(str) + " -> " + after.astype(str)),
            "before": moved["finding_before"],
            "after": moved["finding_after"],
            "flows": moved["flows"],
            "messages": moved["messages"],
        }
    )


def print_frame(frame: pd.DataFrame, console: Console, title: str | None = None) -> None:
    """Any table; where there is little room, names of columns are folded between words."""
    table = _table(1, title)
    for column in frame:
        is_number = pd.api.types.is_numeric_dtype(frame[column])
        name = str(column) if console.width >= _WIDE_COLUMNS else str(column).replace("_", " ")
        table.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for row in frame.itertuples(index=False):
        table.add_row(*(Text(_cell(value)) for value in row))
    console.print(table)


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
