"""The output folder: Parquet tables, CSV twins and run.json, all at once or not at all.

Everything is written into a hidden folder inside the output folder and renamed at the end,
run.json last: a folder with a run.json is complete.
"""

from __future__ import annotations

import base64
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from op25b_pcap.faults import UsageFault
from op25b_pcap.tables import TABLES
from op25b_pcap.tables.table import Table, to_frame

RUN, MANIFEST = "run.json", "manifest.parquet"
"""What is written last; and what only a lake has."""
ROW_GROUP = 64 * 1024
"""Rows per row group: enough for zstd, small enough for readers to skip."""
_FORMULA = r"(?s)^([=+\-@\t\r].*[(|!])"
"""CWE-1236: what a spreadsheet would run, begun by one of these. A quote in front stops it. Without a
function's bracket, or the mark of another program or sheet, nothing is run: `@example.com` stays as it is."""
_PROBED = 4096
"""Rows that show whether a column's values repeat."""


class Unwritable(UsageFault):
    """The output folder cannot be written; the message says which and why."""


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A hidden folder whose files replace those of `folder` when the block ends well.

    Made before the work starts, so that a folder that cannot be written is known at once.
    Raises Unwritable. Whatever ends the block otherwise, nothing of it stays behind.
    """
    if (folder / MANIFEST).exists():
        raise Unwritable(f"{folder} is a lake that `batch` keeps: reports need a folder of their own")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        hidden = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder))
    except OSError as fault:
        raise Unwritable(f"cannot write to {folder}: {fault.strerror or fault}") from fault
    try:
        yield hidden
        _replace(hidden, folder)
    except OSError as fault:
        raise Unwritable(f"cannot write to {folder}: {fault.strerror or fault}") from fault
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _replace(hidden: Path, folder: Path) -> None:
    """Put the new files in the place of the old, and take away what an older run left."""
    (folder / RUN).unlink(missing_ok=True)
    written = sorted(hidden.iterdir(), key=lambda path: path.name == RUN)
    fresh = {path.name for path in written}
    for table in TABLES:
        for stale in (f"{table}.parquet", f"{table}.csv"):
            if stale not in fresh:
                (folder / stale).unlink(missing_ok=True)
    for path in written:
        path.replace(folder / path.name)


def write_tables(
    tables: Mapping[str, pd.DataFrame | Iterable[pd.DataFrame]], folder: Path, *, csv: bool, at_once: int = 1
) -> None:
    """Each table by its name as Parquet (zstd), and as CSV beside it if asked; several at once in threads.

    A table that is too large to be had at once comes in parts of `ROW_GROUP` rows, at least one.
    """
    with ThreadPoolExecutor(at_once) as threads:
        for written in [threads.submit(_write_table, *item, folder, csv=csv) for item in tables.items()]:
            written.result()


def _write_table(name: str, whole: pd.DataFrame | Iterable[pd.DataFrame], folder: Path, *, csv: bool) -> None:
    parts = _parts(whole) if isinstance(whole, pd.DataFrame) else whole
    with ExitStack() as stack:
        if csv:
            file = stack.enter_context((folder / f"{name}.csv").open("wb"))
            parts = _copied_as_csv(TABLES[name], parts, file)
        _write_parquet(TABLES[name], parts, folder / f"{name}.parquet")


def write_parquet(table: Table, frame: pd.DataFrame, path: Path) -> None:
    """Raises ValueError (from Arrow) where a column has the wrong type, or is null and may not be,
    and KeyError where one is missing.
    """
    _write_parquet(table, _parts(frame), path)


def _parts(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Row group by row group: all at once, plain text, would be gigabytes."""
    for begin in range(0, max(len(frame), 1), ROW_GROUP):
        yield frame.iloc[begin : begin + ROW_GROUP]


def _write_parquet(table: Table, parts: Iterable[pd.DataFrame], path: Path) -> None:
    """A row group a part.

    Columns in Arrow's dictionary encoding are written as they are, and readers are told the
    documented types, as if they had been plain.
    """
    documented = table.schema()
    with ExitStack() as stack:
        writer: pq.ParquetWriter | None = None
        for part in parts:
            columns = [_as_written(part[field.name], field) for field in documented]
            if writer is None:
                schema = pa.schema(
                    [field.with_type(column.type) for field, column in zip(documented, columns, strict=True)]
                )
                repeating = [
                    _leaf(field) for field, column in zip(schema, columns, strict=True) if _repeats(column)
                ]
                writer = stack.enter_context(
                    pq.ParquetWriter(
                        path, schema, compression="zstd", use_dictionary=repeating, store_schema=False
                    )
                )
                writer.add_key_value_metadata({"ARROW:schema": base64.b64encode(documented.serialize())})
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _as_written(column: pd.Series, field: pa.Field) -> pa.Array | pa.ChunkedArray:
    """The column in its documented type, but for the dictionary encoding that it may have."""
    array = pa.array(column, from_pandas=True)
    return array if _decoded(array.type) == field.type else array.cast(field.type)


def _decoded(kind: pa.DataType) -> pa.DataType:
    """The type without dictionary encoding."""
    if pa.types.is_list(kind):
        return pa.list_(_decoded(kind.value_type))
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _repeats(column: pa.Array | pa.ChunkedArray) -> bool:
    """Whether its first values are often the same: where not, a dictionary costs time and room."""
    first = column.slice(0, _PROBED)
    if pa.types.is_list(first.type):
        first = pc.list_flatten(first)
    return len(pc.unique(first)) <= len(first) // 4


def _leaf(field: pa.Field) -> str:
    """The name of a column's values inside Parquet."""
    return f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name


def _copied_as_csv(table: Table, parts: Iterable[pd.DataFrame], file: BinaryIO) -> Iterator[pd.DataFrame]:
    """The same parts, each after it was written."""
    for number, part in enumerate(parts):
        options = pa_csv.WriteOptions(include_header=number == 0)
        pa_csv.write_csv(_for_csv(table.arrow(part)), file, options)
        yield part


def write_run(run: Mapping[str, Any], folder: Path) -> None:
    """run.json: what was read, how, and what could not be."""
    told = json.dumps(run, indent=2, ensure_ascii=False) + "\n"
    # Of a name that is no UTF-8 the odd octets stand as JSON writes them, and can be read back.
    (folder / RUN).write_bytes(told.encode("utf-8", "backslashreplace"))


def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """The Parquet tables of a finished output folder, or of a lake, Arrow-backed. Raises UsageFault."""
    read_run(folder)
    return {name: read_table(folder, name) for name in TABLES}


def read_table(folder: Path, name: str) -> pd.DataFrame:
    """One of them. Raises UsageFault."""
    path, is_lake = folder / f"{name}.parquet", (folder / MANIFEST).exists()
    parts = sorted((folder / name).glob("*/*.parquet")) if is_lake and not path.exists() else [path]
    try:
        read = [pq.ParquetFile(part).read() for part in parts]  # not as of a folder with a `date` in its name
    except (OSError, pa.ArrowException) as fault:
        raise UsageFault(f"{folder} holds no finished reports: {_reason(fault)}") from None
    table = pa.concat_tables(read or [TABLES[name].schema().empty_table()])
    for field in TABLES[name].schema():
        if field.name not in table.column_names or table.schema.field(field.name).type != field.type:
            raise UsageFault(
                f"{path}: no table of this version: column {field.name} is missing or of another type"
            )
    return to_frame(table)


def read_run(folder: Path) -> dict[str, Any]:
    """The run.json of a finished output folder: it is written last. Raises UsageFault."""
    try:
        run = json.loads((folder / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise UsageFault(f"{folder} holds no finished reports: {RUN}: {_reason(fault)}") from None
    inputs = run.get("inputs") if isinstance(run, dict) else None
    if not isinstance(inputs, list) or not all(
        isinstance(one, dict) and {"path", "size"} <= one.keys() for one in inputs
    ):
        raise UsageFault(f"{folder / RUN}: names no inputs")
    found: dict[str, Any] = run
    return found


def _reason(fault: Exception) -> str:
    return str(getattr(fault, "strerror", None) or fault).partition("\n")[0]


def _for_csv(table: pa.Table) -> pa.Table:
    """Lists as JSON text, and no cell that a spreadsheet would run as a formula."""
    columns = []
    for field in table.schema:
        column = table[field.name]
        if pa.types.is_list(field.type):
            texts = [
                None if value is None else json.dumps(value, ensure_ascii=False)
                for value in column.to_pylist()
            ]
            column = pa.chunked_array([pa.array(texts, pa.string())])
        elif pa.types.is_string(field.type):
            column = pc.replace_substring_regex(column, _FORMULA, r"'\1")
        columns.append(column)
    return pa.Table.from_arrays(columns, names=table.column_names)
