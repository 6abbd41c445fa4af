"""Finished rows that are more than memory should hold: set down on disk, taken up again as needed.

A stack is a row of portions, each with many thousands of flows and what they carried, in order of
time: of one call, or the ranges of a batch. Judging reads of all portions the columns that it looks
at. The others are read when the tables are written, some rows at a time: of every portion those that
began then lie one after the other.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from op25b_pcap.facts import (
    CAPTURE,
    FLOW,
    SESSIONS,
    Found,
    Order,
    flows_of,
    in_order,
    in_rows,
    in_time,
    merged,
)
from op25b_pcap.leavings import give_back
from op25b_pcap.tables import FLOWS, RETRIEVAL_SESSIONS, SMTP_SESSIONS, SMTP_TRANSACTIONS
from op25b_pcap.tables.table import to_frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

JUDGED = {
    FLOWS.name: (
        *("start_time", "end_time", "src_ip", "dst_ip", "dst_port", "ip_version", "outer_src_ip"),
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
SHOWN = {
    FLOWS.name: (*TOLD, "src_ip", "dst_ip", "subscriber_key", "service", "outcome", "anomalies"),
    SMTP_SESSIONS.name: ("anomalies",),
    SMTP_TRANSACTIONS.name: (),
    RETRIEVAL_SESSIONS.name: ("anomalies",),
}
"""The columns that are looked at when all is judged: for run.json, for advice, to draft a policy."""
_KEYS = {FLOWS.name: ("start_time", CAPTURE, "first_packet"), **{table.name: (FLOW,) for table in SESSIONS}}
"""What the order of the rows hangs on."""
_BESIDE = ("first_packet", FLOW)
"""Of what judging looks at, what is there for the order only."""
_OFTEN_SAID = {"banner_text", "helo"}
"""Texts of sessions that have no dictionary, though hosts greet in the same words every time."""


class Bounds(NamedTuple):
    """Where the rows of each portion begin among those of all; and where they end."""

    names: Sequence[str]
    begins: Mapping[str, NDArray[np.int64]]
    """By table; one more than there are names."""

    def shares(self, table: str, rows: NDArray[np.signedinteger[Any]]) -> Iterator[tuple[str, int, int]]:
        """The portions that these rows, which are sorted, are from; in each from which row to which.

        At least one, of no row if there is none: it tells the columns.
        """
        if not len(rows):
            yield self.names[0], 0, 0
        begins = self.begins[table]
        cuts = np.searchsorted(rows, begins)
        for number in np.flatnonzero(np.diff(cuts)).tolist():
            first, last = rows[cuts[number]], rows[cuts[number + 1] - 1]
            yield self.names[number], int(first - begins[number]), int(last - begins[number]) + 1


TableOf = Callable[[str], "Lying"]
"""Opens a table of a portion by its name."""


class Stack:
    """Portions by their names."""

    def __init__(self, portions: Mapping[str, TableOf]) -> None:
        self._portions = portions
        self.bounds = Bounds([], {})
        """Where portions begin: known as soon as the order is."""

    def order(self) -> tuple[Order, Order]:
        """Which rows come one after the other; and of those that flows carried, in order, whose they are."""
        found: list[Found] = [{} for _ in self._portions]
        for table, keys in _KEYS.items():
            # Copied, since a mapping keeps a descriptor, and of these there may be no more than a thousand.
            for tables, lying in zip(found, self._lying(table).values(), strict=True):
                tables[table] = pa.table({key: _copied(lying.column(key)) for key in keys})
        self.bounds = _bounds([*self._portions], found)
        whole = merged(found)
        order = in_order(whole)
        return _narrow(order), _narrow(flows_of(whole, order))

    def judged(self, order: Order, flow_of: Order) -> Found:
        """What judging looks at, in that order, as `by_place` has it.

        Column by column, so that nothing is there twice.
        """
        found = {
            table: self._read(table, [name for name in names if name not in _BESIDE], order[table])
            for table, names in JUDGED.items()
        }
        return by_place(found, flow_of)

    def _read(self, table: str, names: Sequence[str], rows: NDArray[np.signedinteger[Any]]) -> pa.Table:
        """Some columns of a table, in that order of its rows."""
        lying = [*self._lying(table).values()]
        columns = in_rows((_whole(lying, name) for name in names), rows)
        return pa.table(dict(zip(names, columns, strict=True)))

    def frames(
        self, table: str, rows: NDArray[np.signedinteger[Any]], told: pd.DataFrame | None, most: int
    ) -> Iterator[pd.DataFrame]:
        """A table with all its columns, so many rows at a time.

        `rows` are their numbers in all portions, in order; `told`, of flows, has the columns `TOLD` in
        that order.
        """
        lying = self._lying(table)
        for begin in range(0, max(len(rows), 1), most):
            some = rows[begin : begin + most]
            mine = np.sort(some)
            parts = [lying[name].some(first, end) for name, first, end in self.bounds.shares(table, mine)]
            beside = None if told is None else told.iloc[begin : begin + most]
            yield complete(parts, np.searchsorted(mine, some), beside)
            del parts
            _let_go(lying.values())

    def _lying(self, table: str) -> dict[str, Lying]:
        return {name: portion(table) for name, portion in self._portions.items()}


class Lying:
    """A table of a portion, mapped from the disk; its file may go meanwhile."""

    def __init__(
        self, path: Path, *, is_packed: bool = False, captures: Callable[[pa.Schema], pa.Array] | None = None
    ) -> None:
        """`is_packed`: it is compressed, and unpacked a column at a time; `captures`: what the captures'
        indices stand for among those of all portions.
        """
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        reader = self._opened()
        self._schema, self._captures = reader.schema, captures
        self._rows = None if is_packed else reader.read_all()

    def column(self, name: str) -> pa.ChunkedArray:
        """One of its columns."""
        if self._rows is not None:
            found = self._rows[name]
        else:
            place = self._schema.get_field_index(name)
            found = self._opened(included_fields=[place]).read_all()[name]
        if name == CAPTURE and self._captures is not None:
            return pa.chunked_array([self._captures(self._schema).take(found.combine_chunks())])
        return found

    def some(self, begin: int, end: int) -> pa.Table:
        """The rows from one number to another."""
        rows = pa.table({name: self.column(name) for name in self._schema.names})
        return compact(rows.slice(begin, end - begin))

    def _opened(self, **options: Any) -> pa.ipc.RecordBatchFileReader:
        return pa.ipc.open_file(pa.py_buffer(self._map), options=pa.ipc.IpcReadOptions(**options))

    def let_go(self) -> None:
        """What was read of it no longer counts as memory of the process."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


def _let_go(lying: Iterable[Lying]) -> None:
    for one in lying:
        one.let_go()


def _copied(column: pa.ChunkedArray) -> pa.Array:
    """In memory of its own: only of a single array `concat_arrays` makes no copy."""
    return pa.concat_arrays([*column.chunks, pa.nulls(0, column.type)])


def _whole(lying: Sequence[Lying], name: str) -> pa.ChunkedArray:
    """A column of all portions; what was read before is let go."""
    _let_go(lying)
    # Chunks that have one dictionary are one, before dictionaries are put together: it would be asked
    # as often as there are chunks.
    found = pa.chunked_array([one.column(name).combine_chunks() for one in lying])
    return pa.chunked_array([found.combine_chunks().dictionary_encode()]) if name in _OFTEN_SAID else found


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
        rows = compact(table.drop_columns(TOLD) if name == FLOWS.name else table)
        with pa.ipc.new_file(_file(base, name), rows.schema, options=unified) as writer:
            writer.write_table(rows)


def stack_of(bases: Sequence[Path]) -> Stack:
    """Portions that were set down, by how the names of their files begin."""
    return Stack({base.name: partial(_lying_at, base) for base in bases})


def _lying_at(base: Path, table: str) -> Lying:
    return Lying(Path(_file(base, table)))


def taken_up(base: Path) -> Found:
    """A portion with all that it has, as it lies on disk."""
    tables = (FLOWS, *SESSIONS)
    return {
        table.name: pa.ipc.open_file(pa.memory_map(_file(base, table.name))).read_all() for table in tables
    }


def _bounds(names: Sequence[str], found: Sequence[Found]) -> Bounds:
    tables = (FLOWS, *SESSIONS)
    return Bounds(
        names,
        {table.name: np.cumsum([0, *(len(portion[table.name]) for portion in found)]) for table in tables},
    )


def by_place(found: Found, flow_of: Order) -> Found:
    """Tables in order with the flow's place as `flow_id`: numbers in order join them at once."""
    places = {**_narrow({FLOWS.name: np.arange(len(found[FLOWS.name]))}), **flow_of}
    return {name: rows.append_column("flow_id", pa.array(places[name])) for name, rows in found.items()}


def _narrow(order: Order) -> Order:
    """The same in half the room while all is judged, as long as there are no more rows than that."""
    most = np.iinfo(np.int32).max
    return {
        name: rows.astype(np.int32) if rows.max(initial=0) <= most else rows for name, rows in order.items()
    }


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


def compact(rows: pa.Table) -> pa.Table:
    """Without dictionaries that are larger than their columns: those of several portions are put together."""
    return pa.Table.from_arrays([_compact(column) for column in rows.columns], schema=rows.schema)


def _compact(column: pa.ChunkedArray) -> pa.ChunkedArray:
    is_coded = pa.types.is_dictionary(column.type) and column.num_chunks > 0
    if not is_coded or len(column.chunk(0).dictionary) <= len(column):
        return column
    return column.cast(column.type.value_type).dictionary_encode()
