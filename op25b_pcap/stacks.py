"""Finished rows that are more than memory should hold: set down on disk, taken up again as needed.

A stack is a row of portions, each with many thousands of flows and what they carried, in order of
time: of one call, or the ranges of a batch. Judging reads the columns that it looks at, and
the tables are written, one slice of time after the other: of every portion the flows that began then lie
one after the other.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from op25b_pcap.facts import (
    CAPTURE,
    FLOW,
    SESSIONS,
    Facts,
    Found,
    Order,
    flows_of,
    in_order,
    in_time,
    ordered,
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
        *("icmp_type", "icmp_code", "icmp_from", "src_ttl", "dst_ttl", "rst_ttl"),
        *("anomalies", "first_packet", CAPTURE),
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
_TABLES = (FLOWS, *SESSIONS)
_KEY = ("start_time", CAPTURE, "first_packet")
"""What the order of flows hangs on; of what they carried it is that of the flow."""
_USUALLY_THE_SAME = {"subscriber_key": "src_ip"}
_OFTEN_SAID = {"banner_text", "helo"}
"""Texts of sessions that have no dictionary, though hosts greet in the same words every time."""
_SAMPLES = 64
"""Of as many rows as a slice is to have, those in each portion whose times are looked at."""
_WORTH_A_SHARD = 1 << 16
"""Flows that are worth another process to judge them."""
_OPEN = 16
"""Portions that are open at a time: of each that is mapped, pages around those that are read are there."""
_UNIFIED = pa.ipc.IpcWriteOptions(unify_dictionaries=True)
_DAY_NS = 86_400_000_000_000


class Share(NamedTuple):
    """Some rows of a table in a portion."""

    portion: str
    begin: int
    end: int


class Slice(NamedTuple):
    """The flows that began in a stretch of time, and what they carried."""

    began_ns: int
    """Not after the first of them."""
    shares: Mapping[str, Sequence[Share]]
    """By table."""

    @property
    def day(self) -> int:
        """The day since 1970 (UTC) on which it begins."""
        return self.began_ns // _DAY_NS

    @property
    def flows(self) -> int:
        """How many there are."""
        return sum(share.end - share.begin for share in self.shares[FLOWS.name])


TableOf = Callable[[str, str], "Lying"]
"""Opens a table of a portion, by the names of both."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Portions by their names."""

    portions: Sequence[str]
    opened: TableOf

    def shards(
        self, of_slice: int, of_shard: int, workers: int, *, by_day: bool = False
    ) -> list[list[Slice]]:
        """All slices, so that workers have shards of about as many flows to judge, and as many of them.

        `of_slice`, `of_shard`: how many flows of each are enough.
        """
        flows = sum(self.opened(portion, FLOWS.name).rows for portion in self.portions)
        count = max(-(-flows // of_shard), min(workers, flows // _WORTH_A_SHARD), 1)
        count += -count % workers if count > workers else 0
        of_shard = -(-flows // count)
        slices = self.slices(-(-of_shard // -(-of_shard // of_slice)) if flows else 1, by_day=by_day)
        shards: list[list[Slice]] = [[] for _ in range(count)]
        before = 0
        for one in slices:
            shards[(2 * before + one.flows) * count // max(2 * flows, 1)].append(one)  # by its midst
            before += one.flows
        return [shard for shard in shards if shard]

    def slices(self, most: int, *, by_day: bool = False) -> list[Slice]:
        """All rows in stretches of time of about so many flows each; at least one.

        `by_day`: of which none crosses midnight (UTC).
        """
        cuts = self._cuts(most, by_day=by_day)
        shares: list[dict[str, list[Share]]] = [{table.name: [] for table in _TABLES} for _ in cuts]
        for portion in self.portions:
            flows = self.opened(portion, FLOWS.name)
            bounds = {FLOWS.name: _places(flows, cuts)}
            for table in SESSIONS:
                of = self.opened(portion, table.name).column(FLOW).to_numpy()
                bounds[table.name] = np.searchsorted(of, bounds[FLOWS.name])
                bounds[table.name] = np.append(bounds[table.name], len(of))
            bounds[FLOWS.name] = np.append(bounds[FLOWS.name], flows.rows)
            for name, edges in bounds.items():
                for at in np.flatnonzero(np.diff(edges)).tolist():
                    shares[at][name].append(Share(portion, int(edges[at]), int(edges[at + 1])))
        found = [Slice(int(began), share) for (began, *_), share in zip(cuts, shares, strict=True)]
        return [one for one in found if one.flows] or found[:1]

    def judged(self, slices: Sequence[Slice]) -> Found:
        """What judging looks at of slices that follow each other: in order, as `by_place` has it."""
        found = self._found(slices, JUDGED)
        order = in_order(found)
        flow_of = flows_of(found, order)
        found[FLOWS.name] = found[FLOWS.name].drop_columns("first_packet")
        found[SMTP_SESSIONS.name] = _encoded(found[SMTP_SESSIONS.name], _OFTEN_SAID)
        return by_place(ordered(found, order), flow_of)

    def frame(self, one: Slice, table: str, told: pd.DataFrame | None = None) -> pd.DataFrame:
        """The rows of a slice with all columns, in order; `told`, of flows, has the columns `TOLD` so."""
        found = self._found([one], {FLOWS.name: _KEY, table: None})
        return complete(found[table], in_order(found)[table], told)

    def different(self, table: str, name: str) -> pa.Array:
        """The values of a column, each once, in no order."""
        found = pa.array([], pa.string())
        for portion in self.portions:
            column = self.opened(portion, table).column(name).cast(pa.string())
            found = pc.unique(pa.chunked_array([found, *column.chunks]))
        return found

    def _found(self, slices: Sequence[Slice], columns: Mapping[str, Sequence[str] | None]) -> Found:
        """Tables of slices that follow each other, in no order; all columns of one where none are named."""
        found, begins = {}, {}
        for table, names in columns.items():
            shares = _joined(one.shares[table] for one in slices)
            rows = self._rows(table, shares, names)
            ends = np.cumsum([0, *(share.end - share.begin for share in shares)])
            if table == FLOWS.name:
                begins = {share.portion: end - share.begin for share, end in zip(shares, ends, strict=False)}
            else:  # a flow's number is told anew
                moved = np.repeat([begins[share.portion] for share in shares], np.diff(ends))
                place = rows.schema.get_field_index(FLOW)
                rows = rows.set_column(place, FLOW, pa.array(rows[FLOW].to_numpy() + moved.astype(np.int64)))
            found[table] = rows
        return found

    def _rows(self, table: str, shares: Sequence[Share], names: Sequence[str] | None) -> pa.Table:
        """Rows of some portions, one after the other, in memory of their own."""
        shares = shares or [Share(self.portions[0], 0, 0)]
        parts, coded = [], set[str]()
        for begin in range(0, len(shares), _OPEN):
            some = [
                self.opened(share.portion, table).some(share.begin, share.end, names)
                for share in shares[begin : begin + _OPEN]
            ]
            whole = pa.concat_tables(some, promote_options="default")
            coded |= {field.name for field in whole.schema if pa.types.is_dictionary(field.type)}
            parts.append(_copied(whole))
        found = pa.concat_tables(parts, promote_options="default").combine_chunks()
        return _encoded(found, coded)

    def _cuts(self, most: int, *, by_day: bool) -> NDArray[np.int64]:
        """Where slices begin: of each the time, the capture and the packet of its first flow."""
        samples: list[NDArray[np.int64]] = []
        weights: list[NDArray[np.float64]] = []
        days: set[int] = set()
        step = max(most // _SAMPLES, 1)
        for portion in self.portions:
            flows = self.opened(portion, FLOWS.name)
            if flows.rows:
                keys = _keys(flows)
                at = np.arange(min(step, flows.rows) // 2, flows.rows, step)
                samples += [keys[:1], keys[at]]
                weights += [np.zeros(1), np.full(len(at), flows.rows / len(at))]
                if by_day:
                    days.update(np.unique(keys[:, 0] // _DAY_NS).tolist())
        if not samples:
            return np.zeros((1, 3), np.int64)
        keys, weight = np.concatenate(samples), np.concatenate(weights)
        order = np.lexsort(keys.T[::-1])
        keys, rank = keys[order], np.cumsum(weight[order])
        count = max(round(rank[-1] / most), 1)
        places = np.searchsorted(rank, np.arange(count) * (rank[-1] / count), "right")
        places[0] = 0  # what has no weight is there for the beginning
        cuts = keys[places]
        midnights = [(day * _DAY_NS, -1, -1) for day in sorted(days)[1:]]
        cuts = np.concatenate([cuts, np.array(midnights, np.int64).reshape(-1, 3)])
        return np.unique(cuts, axis=0)


def _joined(of_slices: Iterable[Sequence[Share]]) -> list[Share]:
    """The shares of slices that follow each other: of a portion they are one."""
    found: dict[str, Share] = {}
    for share in chain.from_iterable(of_slices):
        before = found.get(share.portion, share)
        found[share.portion] = Share(share.portion, before.begin, share.end)
    return [*found.values()]


def _keys(flows: Lying) -> NDArray[np.int64]:
    """Of each flow what the order hangs on."""
    columns = (flows.column(name).cast(pa.int64()).to_numpy() for name in _KEY)
    return np.stack([*columns], axis=1)


def _places(flows: Lying, cuts: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many flows of a portion come before each cut."""
    start = flows.column("start_time").cast(pa.int64()).to_numpy()
    places, beyond = (np.searchsorted(start, cuts[:, 0], side) for side in ("left", "right"))
    tied = np.flatnonzero(beyond > places)
    if len(tied):
        _, capture, first = _keys(flows).T
    for at in tied:
        rows, (_, *cut) = slice(places[at], beyond[at]), cuts[at]
        is_before = (capture[rows] < cut[0]) | ((capture[rows] == cut[0]) & (first[rows] < cut[1]))
        places[at] += np.count_nonzero(is_before)
    return places


def _copied(table: pa.Table) -> pa.Table:
    """In memory of its own, and without dictionaries: those of portions are larger than their share."""
    columns = []
    for column in table.columns:
        if pa.types.is_dictionary(column.type):
            columns.append(column.cast(column.type.value_type).combine_chunks())
        else:  # only of a single array `concat_arrays` makes no copy
            columns.append(pa.concat_arrays([*column.chunks, pa.nulls(0, column.type)]))
    return pa.table(columns, names=table.column_names)


def _encoded(table: pa.Table, names: Collection[str]) -> pa.Table:
    """With dictionaries for these columns; of two that say the same there is one."""
    columns: dict[str, Any] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        same = _USUALLY_THE_SAME.get(name)
        if name not in names:
            columns[name] = column
        elif same in columns and column.equals(table[same]):
            columns[name] = columns[same]
        else:
            columns[name] = column.combine_chunks().dictionary_encode()
    return pa.table(columns)


class Lying:
    """A table of a portion, mapped from the disk; its file may go meanwhile."""

    def __init__(
        self, path: Path, together: int | None = None, captures: Callable[[pa.Schema], pa.Array] | None = None
    ) -> None:
        """`together`: so many rows are compressed together, if any are; `captures`: what the captures'
        indices stand for among those of all portions.
        """
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        reader = self._opened()
        self._schema, self._captures, self._together = reader.schema, captures, together
        self._whole = None if together else reader.read_all()

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self._whole if self._whole is not None else self.column(self._schema.names[0]))

    def column(self, name: str) -> pa.ChunkedArray:
        """One of its columns."""
        found = self._opened([name]).read_all() if self._whole is None else self._whole
        return self._as_of_all(name, found[name])

    def some(self, begin: int, end: int, names: Sequence[str] | None = None) -> pa.Table:
        """The rows from one number to another, of all columns or of those of them that are there."""
        wanted = [name for name in names or self._schema.names if name in self._schema.names]
        found, before = self._whole, 0
        if self._together is not None:
            reader = self._opened(wanted)
            first, beyond = begin // self._together, -(-end // self._together)
            batches = [reader.get_batch(number) for number in range(first, beyond)]
            found, before = pa.Table.from_batches(batches, reader.schema), first * self._together
        assert found is not None
        rows = found.slice(begin - before, end - begin)
        return pa.table({name: self._as_of_all(name, rows[name]) for name in wanted})

    def _as_of_all(self, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Captures by their index among those of all portions."""
        if name != CAPTURE or self._captures is None:
            return column
        return pa.chunked_array([self._captures(self._schema).take(column.combine_chunks())])

    def _opened(self, names: Sequence[str] = ()) -> pa.ipc.RecordBatchFileReader:
        """`names`: the only columns that are to be read, if not all are."""
        fields = [self._schema.get_field_index(name) for name in names]
        return pa.ipc.open_file(
            pa.py_buffer(self._map), options=pa.ipc.IpcReadOptions(included_fields=fields or None)
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
    for name, table in in_time(found).items():
        rows = compact(table.drop_columns(TOLD) if name == FLOWS.name else table)
        _write(rows, _file(base, name))


def stack_of(bases: Sequence[Path]) -> Stack:
    """Portions that were set down, by how the names of their files begin."""
    by_name = {base.name: base for base in bases}
    return Stack([*by_name], lambda portion, table: Lying(Path(_file(by_name[portion], table))))


def tables_of(facts: Facts) -> Found:
    """Facts as Arrow's tables."""
    return {name: _columns(getattr(facts, name)) for name in Facts.__slots__}


def facts_of(tables: Found) -> Facts:
    """And back."""
    return Facts(*(to_frame(tables[name]) for name in Facts.__slots__))


def set_down_facts(facts: Facts, base: Path) -> None:
    """The facts of a shard."""
    for name, table in tables_of(facts).items():
        _write(table, _file(base, name))


def is_set_down(base: Path) -> bool:
    """Whether they were."""
    return Path(_file(base, Facts.__slots__[-1])).exists()


def facts_set_down(base: Path) -> Facts:
    """The same, mapped from the disk."""
    return facts_of(taken_up(base))


def set_down_told(flows: pd.DataFrame, path: Path) -> None:
    """What judging has told of flows."""
    _write(_columns(flows[[*TOLD]]), str(path))


def told_set_down(path: Path) -> pd.DataFrame:
    """The same, from the disk."""
    return to_frame(_read(str(path)))


def taken_up(base: Path) -> Found:
    """A portion with all that it has, as it lies on disk."""
    return {table.name: _read(_file(base, table.name)) for table in _TABLES}


def _columns(frame: pd.DataFrame) -> pa.Table:
    return pa.table({name: frame[name].array.__arrow_array__() for name in frame})


def _write(table: pa.Table, path: str) -> None:
    with pa.ipc.new_file(path, table.schema, options=_UNIFIED) as writer:
        writer.write_table(table)


def _read(path: str) -> pa.Table:
    """What lies there stays there: it is mapped."""
    with pa.memory_map(path) as file:
        return pa.ipc.open_file(file).read_all()


def by_place(found: Found, flow_of: Order) -> Found:
    """Tables in order with the flow's place as `flow_id`: numbers in order join them at once."""
    places = {FLOWS.name: np.arange(len(found[FLOWS.name])), **flow_of}
    return {name: rows.append_column("flow_id", pa.array(places[name])) for name, rows in found.items()}


def complete(rows: pa.Table, order: Any, told: pd.DataFrame | None) -> pd.DataFrame:
    """All columns of a table in that order, as a finished one has them; `told` is for flows, in the same."""
    table = rows.combine_chunks().take(pa.array(order))
    there = [name for name in (CAPTURE, FLOW, *TOLD) if name in table.column_names]
    if told is None:
        return to_frame(table.drop_columns([name for name in there if name == FLOW]))
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
