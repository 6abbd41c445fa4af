"""Finished rows that are more than memory should hold: set down on disk, taken up again as needed.

A stack is a row of portions, each with some thousands of flows and what they carried, in order of
time. Judging reads of all portions the columns that it looks at. The others are read when the
tables are written, some rows at a time: of every portion those that began then lie one after the
other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from op25b_pcap.facts import CAPTURE, FLOW, SESSIONS, Found, in_time, merged
from op25b_pcap.leavings import give_back
from op25b_pcap.tables import FLOWS, RETRIEVAL_SESSIONS, SMTP_SESSIONS, SMTP_TRANSACTIONS
from op25b_pcap.tables.table import to_frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

JUDGED = {
    FLOWS.name: (
        *("flow_id", "start_time", "end_time", "src_ip", "dst_ip", "dst_port", "ip_version", "outer_src_ip"),
        *("subscriber_key", "initiator_evidence", "service", "history", "outcome", "syn_packets"),
        *("src_packets", "dst_packets", "src_bytes", "dst_bytes", "handshake_rtt_ms", "answer_ms"),
        *("icmp_type", "icmp_from", "src_ttl", "dst_ttl", "rst_ttl", "anomalies", "first_packet", CAPTURE),
    ),
    SMTP_SESSIONS.name: (
        *("banner_text", "helo", "client_kind", "starttls_offered", "tls", "auth_offered", "auth_mechanism"),
        *("transactions", "messages_accepted", "recipients_accepted", "recipients_rejected", "result"),
        *("anomalies", FLOW),
    ),
    SMTP_TRANSACTIONS.name: ("accepted", "rcpt_to", "received_headers", FLOW),
    RETRIEVAL_SESSIONS.name: (
        *("start_time", "src_ip", "dst_ip", "service", "auth_succeeded", "anomalies", FLOW),
    ),
}
"""The columns that roles, rules and counts look at."""
TOLD = (
    *("dst_names", "dst_mx_of", "src_mx_lookups", "watched_s", "capture"),
    *("src_role", "dst_role", "dst_role_evidence", "direction", "traffic_class", "op25b_case"),
    *("policy_action", "rule_ids", "finding", "confidence", "evidence"),
)
"""Columns of flows that need the view of everything."""
_OFTEN_SAID = {"banner_text", "helo"}
"""Texts of sessions that have no dictionary, though hosts greet in the same words every time."""
_ROWS = 1 << 13
"""Rows of a file that are read together."""


class Bounds(NamedTuple):
    """Where the rows of each portion begin among those of all; and where they end."""

    names: Sequence[str]
    begins: Mapping[str, NDArray[np.int64]]
    """By table; one more than there are names."""

    def shares(self, table: str, rows: NDArray[np.int64]) -> Iterator[tuple[str, int, int]]:
        """The portions that these rows, which are sorted, are from; in each from which row to which."""
        begins = self.begins[table]
        cuts = np.searchsorted(rows, begins)
        for number in np.flatnonzero(np.diff(cuts)).tolist():
            first, last = rows[cuts[number]], rows[cuts[number + 1] - 1]
            yield self.names[number], int(first - begins[number]), int(last - begins[number]) + 1


class Stack:
    """Portions in files whose names begin so."""

    def __init__(self, bases: Sequence[Path]) -> None:
        self._bases = {base.name: base for base in bases}

    def judged(self) -> Found:
        """What judging looks at of all portions, one after the other, `flow_id` as a number."""
        found = [
            {table: _columns(base, table, columns) for table, columns in JUDGED.items()}
            for base in self._bases.values()
        ]
        give_back()
        self._bounds = bounds([*self._bases], found)
        return numbered(merged(found))

    def frames(
        self, table: str, rows: NDArray[np.int64], told: pd.DataFrame | None, most: int
    ) -> Iterator[pd.DataFrame]:
        """A table with all its columns, so many rows at a time.

        `rows` are their numbers in what is `judged`, in order; `told`, of flows, has the columns
        `TOLD` in that order.
        """
        for begin in range(0, max(len(rows), 1), most):
            some = rows[begin : begin + most]
            mine = np.sort(some)
            shares = [*self._bounds.shares(table, mine)] or [(next(iter(self._bases)), 0, 0)]
            parts = [_rows(self._bases[name], table, first, end) for name, first, end in shares]
            yield complete(
                parts, np.searchsorted(mine, some), None if told is None else told.iloc[begin : begin + most]
            )


class Pile:
    """Sets portions down, in files whose names begin so."""

    def __init__(self, name: Path) -> None:
        self.bases: list[Path] = []
        """Of each portion how the names of its files begin."""
        self._name = name

    def put(self, found: Found) -> None:
        """Set a portion down."""
        base = self._name.with_name(f"{self._name.name}-{len(self.bases)}")
        set_down(found, base)
        self.bases.append(base)
        give_back()


def set_down(found: Found, base: Path) -> None:
    """A file a table; what only the whole can tell of flows is not there yet.

    Not compressed: Arrow does that in threads, which a fork of a process that had them waits for.
    """
    unified = pa.ipc.IpcWriteOptions(unify_dictionaries=True)
    for name, table in in_time(found).items():
        rows = table.drop_columns(TOLD) if name == FLOWS.name else table
        with pa.ipc.new_file(_file(base, name), rows.schema, options=unified) as writer:
            writer.write_table(rows, max_chunksize=_ROWS)


def taken_up(base: Path) -> Found:
    """A portion with all that it has, as it lies on disk."""
    tables = (FLOWS, *SESSIONS)
    return {
        table.name: pa.ipc.open_file(pa.memory_map(_file(base, table.name))).read_all() for table in tables
    }


def bounds(names: Sequence[str], found: Sequence[Found]) -> Bounds:
    """Of portions by their names."""
    tables = (FLOWS, *SESSIONS)
    return Bounds(
        names,
        {table.name: np.cumsum([0, *(len(portion[table.name]) for portion in found)]) for table in tables},
    )


def numbered(whole: Found) -> Found:
    """The same with a number for each `flow_id`, which is 16 hex digits: what joins the tables."""
    flows = whole[FLOWS.name]
    digits = flows["flow_id"].cast(pa.binary()).cast(pa.binary(16)).combine_chunks()
    octets = bytes.fromhex(digits.buffers()[1].to_pybytes().decode())
    ids = pa.array(np.frombuffer(octets, ">u8").astype(np.uint64))
    tables = {FLOWS.name: flows.set_column(flows.schema.get_field_index("flow_id"), "flow_id", ids)}
    for table in SESSIONS:
        rows = whole[table.name]
        tables[table.name] = rows.append_column("flow_id", ids.take(rows[FLOW].combine_chunks()))
    return tables


def complete(parts: Sequence[pa.Table], order: Any, told: pd.DataFrame | None) -> pd.DataFrame:
    """Rows out of several portions in that order, as a finished table has them.

    `told` is for flows, in the same order.
    """
    table = pa.concat_tables(parts).unify_dictionaries().combine_chunks().take(order)
    if told is None:
        return to_frame(table.drop_columns(FLOW))
    there = [name for name in (CAPTURE, *TOLD) if name in table.column_names]
    return to_frame(table.drop_columns(there)).assign(
        **{name: told[name].set_axis(range(len(table))) for name in TOLD}
    )


def _file(base: Path, table: str) -> str:
    return f"{base}.{table}"


def _columns(base: Path, table: str, names: Collection[str]) -> pa.Table:
    """Some columns of a table of a portion, each in memory of its own."""
    reader = pa.ipc.open_file(pa.memory_map(_file(base, table)))
    wanted = [number for number, name in enumerate(reader.schema.names) if name in names]
    reader = pa.ipc.open_file(
        pa.memory_map(_file(base, table)), options=pa.ipc.IpcReadOptions(included_fields=wanted)
    )
    rows = reader.read_all()
    columns = {name: _copied(rows[name]) for name in rows.column_names}
    for name in _OFTEN_SAID & columns.keys():
        columns[name] = columns[name].dictionary_encode()
    return pa.table(columns)


def _copied(column: pa.ChunkedArray) -> pa.Array:
    """As one array, which holds nothing of the file that the column lies in."""
    if pa.types.is_dictionary(column.type) and column.num_chunks:
        codes = pa.concat_arrays([chunk.indices for chunk in column.chunks])
        texts = column.chunk(0).dictionary  # a file has one for each column
        return pa.DictionaryArray.from_arrays(codes, pa.concat_arrays([texts, texts[:0]]))
    return pa.concat_arrays([*column.chunks, pa.nulls(0, column.type)])


def _rows(base: Path, table: str, begin: int, end: int) -> pa.Table:
    """The rows of a table of a portion from one number to another."""
    reader = pa.ipc.open_file(pa.memory_map(_file(base, table)))
    first, beyond = begin // _ROWS, -(-end // _ROWS)
    batches = [reader.get_batch(number) for number in range(first, beyond)]
    rows = pa.Table.from_batches(batches, reader.schema).slice(begin - first * _ROWS, end - begin)
    return pa.Table.from_arrays([_compact(column) for column in rows.columns], schema=rows.schema)


def _compact(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Without a dictionary that is larger than the column: those of several portions are put together."""
    is_coded = pa.types.is_dictionary(column.type) and column.num_chunks > 0
    if not is_coded or len(column.chunk(0).dictionary) <= len(column):
        return column
    return column.cast(column.type.value_type).dictionary_encode()
