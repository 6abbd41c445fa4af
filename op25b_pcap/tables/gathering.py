"""Rows that come one by one and become a table: as Arrow, some thousands at a time.

A dictionary for each of a million flows would be gigabytes; here only the latest are held so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from op25b_pcap.tables.table import Table, to_frame

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

_ROWS = 8192
"""Rows held as they came."""


class Gathering:
    """Takes the rows of one table."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._names = frozenset(table.names)
        # Nullability belongs to the finished table: columns of later stages are still null.
        self._schema = pa.schema([field.with_nullable(True) for field in table.schema()])
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

    def frame(
        self,
        order: npt.NDArray[np.int64] | None = None,
        columns: Mapping[str, npt.NDArray[np.generic]] | None = None,
    ) -> pd.DataFrame:
        """All rows, brought into an order if one is given, and some columns that no row had."""
        self._set_down()
        table = pa.Table.from_batches(self._batches, self._schema)
        for name, values in (columns or {}).items():
            at = self._schema.get_field_index(name)
            table = table.set_column(
                at, self._schema.field(at), pa.array(values, self._schema.field(at).type)
            )
        return to_frame(table if order is None else table.take(pa.array(order)))

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
        columns = [
            pa.array(values[field.name], field.type)
            if field.name in values
            else pa.nulls(len(rows), field.type)
            for field in self._schema
        ]
        self._batches.append(pa.RecordBatch.from_arrays(columns, schema=self._schema))
