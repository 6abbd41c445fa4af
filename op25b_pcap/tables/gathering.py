"""Rows that come one by one and become a table: as Arrow, some thousands at a time.

A dictionary for each of a million flows would be gigabytes; here only the latest are held so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from op25b_pcap.tables.table import Table

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_CODES = pa.dictionary(pa.int32(), pa.string())
_ROWS = 8192
"""Rows held as they came."""


class Nothing(dict[pa.DataType, pa.Array]):
    """Columns of nulls by their type, each made once: of many tables half of the columns are such."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self._rows = rows

    def __missing__(self, type_: pa.DataType) -> pa.Array:
        return self.setdefault(type_, pa.nulls(self._rows, type_))


class Gathering:
    """Takes the rows of one table."""

    def __init__(self, table: Table, coded: Collection[str] = ()) -> None:
        """Text columns that `coded` names are held as codes of a dictionary."""
        self._table = table
        self._names = frozenset(table.names)
        # Nullability belongs to the finished table: columns of later stages are still null.
        self._schema = pa.schema(
            [
                field.with_nullable(True).with_type(_CODES if field.name in coded else field.type)
                for field in table.schema()
            ]
        )
        self._told: set[str] = set()
        """Columns that some row had."""
        self._rows: list[Mapping[str, Any]] = []
        self._batches: list[pa.RecordBatch] = []

    def add(self, row: Mapping[str, Any]) -> None:
        """Take a row. A key that it lacks is null; one that the table lacks raises KeyError."""
        if not row.keys() <= self._names:
            raise KeyError(f"table {self._table.name} has no column {min(row.keys() - self._names)}")
        self._told |= row.keys()
        self._rows.append(row)
        if len(self._rows) == _ROWS:
            self._set_down()

    def add_columns(self, columns: Mapping[str, Any], rows: int) -> None:
        """Take many rows at once, as Arrow or NumPy columns; what applies to `add` applies here."""
        self._set_down()
        self._batches.append(self._batch(columns, rows))

    def alike(self, rows: Sequence[Mapping[str, Any]], kinds: npt.NDArray[np.int64]) -> pa.RecordBatch:
        """Many rows of which each is like one of a few: which, say the `kinds`. They are not taken."""
        told = {name for row in rows for name in row}
        columns = {name: [row.get(name) for row in rows] for name in told}
        few, which, nothing = self._batch(columns, len(rows)), pa.array(kinds), Nothing(len(kinds))
        many = [
            nothing[column.type] if column.null_count == len(rows) else column.take(which)
            for column in few.columns
        ]
        return pa.RecordBatch.from_arrays(many, schema=self._schema)

    def table(self) -> pa.Table:
        """All rows in the order in which they came."""
        self._set_down()
        return pa.Table.from_batches(self._batches, self._schema)

    def _set_down(self) -> None:
        rows, self._rows = self._rows, []
        if not rows:
            return
        names = [name for name in self._schema.names if name in self._told]
        values: Mapping[str, Sequence[Any]]
        if len(names) > 1 and all(len(row) == len(names) for row in rows):  # nearly always
            values = dict(zip(names, zip(*map(itemgetter(*names), rows), strict=True), strict=True))
        else:
            values = {name: [row.get(name) for row in rows] for name in names}
        self._batches.append(self._batch(values, len(rows)))

    def _batch(self, columns: Mapping[str, Any], rows: int) -> pa.RecordBatch:
        if not columns.keys() <= self._names:
            raise KeyError(f"table {self._table.name} has no column {min(columns.keys() - self._names)}")
        nothing = Nothing(rows)
        arrays = [
            _of_type(columns[field.name], field.type) if field.name in columns else nothing[field.type]
            for field in self._schema
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)


def _of_type(values: Any, type_: pa.DataType) -> pa.Array:
    """Values of a column as Arrow; times may be integers."""
    if isinstance(values, pa.Array):
        if type_ == _CODES and not pa.types.is_dictionary(values.type):
            values = values.dictionary_encode()
        return values if values.type == type_ else values.cast(type_)
    if isinstance(values, Sequence):
        return pa.array(values, type_)
    return pa.array(values).cast(type_)
