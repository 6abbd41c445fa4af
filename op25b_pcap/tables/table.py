"""A table of the contract as code: names, types and meanings, said once.

Everything that needs to know a column reads it here: the writers, the CLI's `tables`
command, the documentation page and the tests. pyarrow and pandas are imported only when a
table is built, so that looking up a name costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, its type in the words of `ARROW_TYPES`, and what it means."""

    name: str
    type: str
    meaning: str
    nullable: bool = False
    words: tuple[str, ...] = ()
    """The only values that may stand here, where the contract lists them."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A named list of columns in their published order; none is equal to another."""

    name: str
    meaning: str
    columns: tuple[Column, ...]

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"table {self.name} has no column {name}")

    @property
    def names(self) -> tuple[str, ...]:
        """The column names in order."""
        return tuple(column.name for column in self.columns)

    def schema(self) -> pa.Schema:
        """The Arrow schema; every field carries its meaning under the key `description`."""
        import pyarrow as pa

        return pa.schema(
            [
                pa.field(
                    column.name,
                    arrow_type(column.type),
                    nullable=column.nullable,
                    metadata={"description": column.meaning},
                )
                for column in self.columns
            ],
            metadata={"table": self.name, "description": self.meaning},
        )

    def frame(self, rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
        """Rows (one mapping each) as an Arrow-backed DataFrame with all columns of the table.

        A key that a row lacks is null; a key that the table lacks is an error, because it
        would be lost without a word.
        """
        from op25b_pcap.tables.gathering import Gathering

        gathering = Gathering(self)
        for row in rows:
            gathering.add(row)
        return to_frame(gathering.table())

    def arrow(self, frame: pd.DataFrame) -> pa.Table:
        """The finished frame as an Arrow table: the published columns in their order.

        Raises ValueError (from Arrow) where a column has the wrong type, and KeyError where
        one is missing or a column that may not be null is.
        """
        import pyarrow as pa

        schema = self.schema()
        columns = []
        for field in schema:
            column = pa.array(frame[field.name], type=field.type, from_pandas=True)
            if column.null_count and not field.nullable:
                raise KeyError(f"table {self.name}: {field.name} is null in {column.null_count} rows")
            columns.append(column)
        return pa.Table.from_arrays(columns, schema=schema)


def to_frame(table: pa.Table) -> pd.DataFrame:
    """An Arrow table as a DataFrame whose columns stay Arrow: no null turns into a float."""
    import pandas as pd

    frame: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
    return frame


def arrow_type(word: str) -> pa.DataType:
    """The Arrow type behind a type word of a `Column`."""
    import pyarrow as pa

    if word.startswith("list<"):
        return pa.list_(arrow_type(word[5:-1]))
    if word == "timestamp":
        return pa.timestamp("ns", tz="UTC")
    return getattr(pa, word)() if word != "bool" else pa.bool_()
