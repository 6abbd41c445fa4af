"""What the captures show, as tables in order of time: where the rows of all flows come together."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from threading import local
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from op25b_pcap.assembly.flows import Usual
from op25b_pcap.compiled import is_at_hand, kernels
from op25b_pcap.flows import Flow
from op25b_pcap.forms.reading import Forms
from op25b_pcap.mail.sessions import READ, read, skimmed
from op25b_pcap.roles.dns import Answers
from op25b_pcap.tables import FLOWS, RETRIEVAL_SESSIONS, SMTP_SESSIONS, SMTP_TRANSACTIONS
from op25b_pcap.tables.gathering import Gathering, Nothing
from op25b_pcap.tables.sessions import SHARED, Sessions
from op25b_pcap.tables.table import Table, to_frame
from op25b_pcap.wire.services import DOMAIN

if TYPE_CHECKING:
    import pandas as pd

    from op25b_pcap.flowlogs import Flow as LoggedFlow

_NS = 1_000_000_000
SESSIONS = (SMTP_SESSIONS, SMTP_TRANSACTIONS, RETRIEVAL_SESSIONS)
CAPTURE, FLOW = "capture_index", "flow_number"
"""Columns beside those of the tables: of a flow, which capture; of a session, which flow."""
FLOWS_OF_A_PORTION = 1 << 16
_SINGLE = ("flow_id", "community_id", "capture")
"""Texts of a flow that no other has; the last is a number for a while."""
_REPEATED = (*SHARED, "tls_version", "auth_mechanism")
"""Texts of sessions that many share, beside those of which the contract lists the words."""
Found = dict[str, pa.Table]
"""The tables of facts by name, in no order, with these columns."""
Order = dict[str, NDArray[np.signedinteger[Any]]]
"""Of each table the numbers of its rows, one after the other."""


@dataclass(slots=True)
class Facts:
    """What the captures show, before anybody's opinion."""

    flows: pd.DataFrame
    smtp_sessions: pd.DataFrame
    smtp_transactions: pd.DataFrame
    retrieval_sessions: pd.DataFrame


def gathered(
    flows: Iterable[Flow | Usual], answers: Answers, full: Callable[[Found], None] | None = None
) -> Found:
    """Flows with the sessions that they carried; connections to name servers teach `answers`.

    Memory holds the flow in hand and finished rows; of these no more than a portion, with those of a
    batch beyond, if there is a `full` that takes it when more is to come.
    """
    rows = _Rows()
    for flow in flows:
        if full is not None and len(rows) >= FLOWS_OF_A_PORTION:
            full(rows.found())
            rows = _Rows()
        if isinstance(flow, Usual):
            rows.add_usual(flow)
        elif flow.row["dst_port"] == DOMAIN:
            answers.add_stream(flow.chunks, flow.row["src_ip"])
        else:
            rows.add(flow.row, read(flow.row, flow.chunks))
    return rows.found()


def logged(flows: Iterable[LoggedFlow]) -> Found:
    """Flows that flow logs tell of, with the sessions that they know."""
    rows = _Rows()
    for flow in flows:
        rows.add(flow.row, flow.sessions)
    return rows.found()


def kept(found: Found, stays: pa.Array) -> Found:
    """What was found of some flows: of each is told whether it stays."""
    number = np.cumsum(stays.to_numpy(zero_copy_only=False)) - 1
    tables = {FLOWS.name: found[FLOWS.name].filter(stays)}
    for table in SESSIONS:
        rows = found[table.name]
        rows = rows.filter(stays.take(rows[FLOW].combine_chunks()))
        place = rows.schema.get_field_index(FLOW)
        tables[table.name] = rows.set_column(place, FLOW, pa.array(number).take(rows[FLOW].combine_chunks()))
    return tables


def merged(found: Sequence[Found]) -> Found:
    """Several that were found apart. Columns that not all of them have are null there."""
    tables = {FLOWS.name: pa.concat_tables([part[FLOWS.name] for part in found], promote_options="default")}
    before = np.cumsum([0, *(len(part[FLOWS.name]) for part in found)])
    for table in SESSIONS:
        parts = []
        for part, offset in zip(found, before, strict=False):
            rows = part[table.name]
            place = rows.schema.get_field_index(FLOW)
            numbers = pa.array(rows[FLOW].to_numpy() + offset)
            parts.append(rows.set_column(place, FLOW, numbers))
        tables[table.name] = pa.concat_tables(parts)
    return tables


def in_order(whole: Found) -> Order:
    """Which rows come one after the other: flows by their begin, what they carried by its flow."""
    flows = whole[FLOWS.name]
    start, capture, first = (
        flows[name].cast(pa.int64()).to_numpy() for name in ("start_time", CAPTURE, "first_packet")
    )
    order = {FLOWS.name: _order(start, capture, first)}
    rank = _ranks(order[FLOWS.name])
    for name in whole.keys() - order.keys():
        # Stable: transactions keep their order.
        order[name] = np.argsort(rank[whole[name][FLOW].to_numpy()], kind="stable")
    return order


def flows_of(whole: Found, order: Order) -> Order:
    """Of each row of what flows carried, in order, the place of its flow there."""
    rank = _ranks(order[FLOWS.name])
    return {table.name: rank[whole[table.name][FLOW].to_numpy()[order[table.name]]] for table in SESSIONS}


def in_time(found: Found) -> Found:
    """The same in order."""
    order = in_order(found)
    rank = pa.array(_ranks(order[FLOWS.name]))
    rest = dict(found)
    tables = {FLOWS.name: _taken(rest, FLOWS.name, order[FLOWS.name])}
    for table in SESSIONS:
        rows = _taken(rest, table.name, order[table.name])
        tables[table.name] = _with(rows, FLOW, rank.take(rows[FLOW].combine_chunks()))
    return tables


def ordered(whole: Found, order: Order) -> Found:
    """All that was found in its order.

    `whole` is empty afterwards: what was in it is as large as the result, and goes column by column.
    """
    return {name: _taken(whole, name, order[name]) for name in [*whole]}


def facts(found: Found, captures: Sequence[str], latest_ns: int) -> Facts:
    """What was found, in order, and how long each flow was watched.

    `captures` are the names by their index; `latest_ns` is when the observation ended.
    """
    flows = found[FLOWS.name]
    end, capture = (flows[name].cast(pa.int64()).to_numpy() for name in ("end_time", CAPTURE))
    flows = _with(flows.drop_columns(CAPTURE), "watched_s", pa.array(np.maximum(latest_ns - end, 0) / _NS))
    flows = _with(
        flows,
        "capture",
        pa.DictionaryArray.from_arrays(capture.astype(np.int32), pa.array(captures, pa.string())),
    )
    if flows["subscriber_key"].equals(flows["src_ip"]):
        flows = _with(flows, "subscriber_key", flows["src_ip"])
    sessions = (found[table.name] for table in SESSIONS)
    return Facts(to_frame(flows), *(to_frame(rows.select(_but_flow(rows))) for rows in sessions))


def _but_flow(rows: pa.Table) -> list[str]:
    return [name for name in rows.column_names if name != FLOW]


def _order(*keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows by the first key, and where that is the same by the others."""
    first = keys[0]
    order = np.argsort(first, kind="stable")
    in_order = first[order]
    is_same = in_order[1:] == in_order[:-1]
    if is_same.any():
        tied = np.flatnonzero(np.append(is_same, False) | np.append(False, is_same))
        rows = order[tied]
        order[tied] = rows[np.lexsort([key[rows] for key in reversed(keys)])]
    return order


def _taken(tables: Found, name: str, order: NDArray[np.int64]) -> pa.Table:
    """The rows of a table in that order; it is taken out of the others."""
    table = tables.pop(name)
    schema, columns = table.schema, table.columns[::-1]
    del table
    taken = in_rows((columns.pop() for _ in schema), order)
    return pa.Table.from_arrays([*taken], schema=schema)


def in_rows(columns: Iterable[pa.ChunkedArray], order: NDArray[np.signedinteger[Any]]) -> Iterator[pa.Array]:
    """Columns in an order of their rows, which is often theirs; of each no more is held than is given."""
    is_theirs, rows = bool((order == np.arange(len(order))).all()), pa.array(order)
    nothing = Nothing(len(order))
    for column in columns:
        if column.null_count == len(order):
            yield nothing[column.type]
            continue
        whole = column.unify_dictionaries().combine_chunks()
        del column
        yield whole if is_theirs else whole.take(rows)


def _ranks(order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each row its place in that order."""
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(order))
    return ranks


def _with(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.append_column(name, values) if place < 0 else table.set_column(place, name, values)


_learnt = local()


def _forms() -> Forms:
    """What this thread has learnt of dialogues: a worker of a cluster may have several.

    It has kernels, for they have told the flows.
    """
    if not hasattr(_learnt, "forms"):
        _learnt.forms = Forms(kernels(), are_at_hand=is_at_hand("plain_of"))
    forms: Forms = _learnt.forms
    return forms


def _coded(table: Table) -> set[str]:
    """Texts that many rows share: later stages look at every different one once."""
    return {
        column.name
        for column in table.columns
        if column.type == "string"
        and column.name not in _SINGLE
        and (table is FLOWS or column.words or column.name in _REPEATED)
    }


class _Rows:
    """Finished rows."""

    def __init__(self) -> None:
        self._flows = Gathering(FLOWS, _coded(FLOWS))
        self._captures: array[int] = array("q")
        """Of each flow the index of its capture."""
        self._sessions = {table: Gathering(table, _coded(table)) for table in SESSIONS}
        self._of = {table: array("q") for table in SESSIONS}
        """Of each row the number of its flow."""

    def __len__(self) -> int:
        """How many flows they are of."""
        return len(self._captures)

    def add(self, row: dict[str, Any], sessions: Sessions) -> None:
        """Take a flow with its sessions."""
        number = len(self._captures)
        self._captures.append(row.pop("capture"))
        self._flows.add(row)
        self._add_sessions(number, sessions)

    def _add_sessions(self, number: int, sessions: Sessions) -> None:
        for table, rows in sessions.rows().items():
            for session in rows:
                self._sessions[table].add(session)
                self._of[table].append(number)

    def add_usual(self, usual: Usual) -> None:
        """Take many flows at once, with the sessions that their octets hold."""
        columns, begin = dict(usual.columns), len(self._captures)
        self._captures.frombytes(columns.pop("capture").astype(np.int64).tobytes())
        self._flows.add_columns(columns, len(usual.begins))
        is_silent = usual.begins == usual.ends
        rows = pa.table({name: columns[name] for name in READ})
        self._add_silent(begin, np.flatnonzero(is_silent), usual.kinds, rows)
        self._add_speaking(begin, np.flatnonzero(~is_silent), usual, rows)

    def _add_speaking(self, begin: int, speaking: NDArray[np.int64], usual: Usual, rows: pa.Table) -> None:
        """The sessions of flows that carried something: by their form, or read one by one."""
        told = rows.take(pa.array(speaking))
        forms = _forms()
        if forms.are_worth_a_look(len(speaking)):
            filled, left = forms.rows(usual, speaking, told)
            for table, (whose, columns) in filled:
                own = {name: told[name].take(pa.array(whose)).combine_chunks() for name in SHARED}
                own = {name: column for name, column in own.items() if name in table.names}
                self._sessions[table].add_columns(columns | own, len(whose))
                self._of[table].frombytes((begin + speaking[whose]).tobytes())
            speaking, told = speaking[left], told.take(pa.array(left))
        for at, row in zip(speaking.tolist(), told.to_pylist(), strict=True):
            sessions = skimmed(row, usual.passing(at)) if usual.has_holes(at) else None
            self._add_sessions(begin + at, sessions or read(row, usual.chunks(at)))

    def _add_silent(
        self, begin: int, silent: NDArray[np.int64], kinds: NDArray[np.int64], rows: pa.Table
    ) -> None:
        """The sessions of flows that carried nothing: of each kind one is read, the others are alike."""
        if not len(silent):
            return
        _, firsts, kind = np.unique(kinds[silent], return_index=True, return_inverse=True)
        of_kind = [read(row, ()) for row in rows.take(pa.array(silent[firsts])).to_pylist()]
        for table, found in (
            (SMTP_SESSIONS, [sessions.smtp for sessions in of_kind]),
            (RETRIEVAL_SESSIONS, [sessions.retrieval for sessions in of_kind]),
        ):
            is_there = np.array([session is not None for session in found])[kind]
            whose = silent[is_there]
            own = rows.select(SHARED).take(pa.array(whose)).combine_chunks().to_batches()
            if own:
                alike = self._sessions[table].alike([session or {} for session in found], kind[is_there])
                columns = dict(zip(alike.schema.names, alike.columns, strict=True))
                columns |= dict(zip(SHARED, own[0].columns, strict=True))
                self._sessions[table].add_columns(columns, len(whose))
                self._of[table].frombytes((begin + whose).tobytes())

    def found(self) -> Found:
        """All of them."""
        captures = pa.array(np.array(self._captures, np.int64))
        return {FLOWS.name: self._flows.table().append_column(CAPTURE, captures)} | {
            table.name: rows.table().append_column(FLOW, pa.array(np.array(self._of[table], np.int64)))
            for table, rows in self._sessions.items()
        }
