"""Parts of the lake's large tables: each is written by a worker.

A part holds the rows of some time, of one day. The flows that began then, and what they carried, lie
one after the other in the results of each range, which are in order of time. A worker takes them
from there, puts them in the order of the whole, and beside flows what judging has said; what they
carried can be written before. So no process ever holds a large table with all its columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from op25b_pcap.batch import bench, work
from op25b_pcap.batch.assembling import place
from op25b_pcap.batch.files import Files, files
from op25b_pcap.facts import Order
from op25b_pcap.reports.envelope import Envelope, masked
from op25b_pcap.reports.writing import ROW_GROUP, write_parquet
from op25b_pcap.stacks import TOLD, Bounds, compact, complete
from op25b_pcap.tables import FLOWS, TABLES
from op25b_pcap.tables.columns import nanoseconds
from op25b_pcap.tables.table import to_frame

_TOGETHER = 2 * ROW_GROUP
"""Flows of a part at the most: some 10 MB, and several workers have something to do."""
_DAY_NS = 86_400_000_000_000
_ROW = "row"
"""Beside what is told: which of the rows that the part takes stands there."""


class Part(NamedTuple):
    """What one task writes."""

    table: str
    name: str
    """Where it belongs in the lake."""
    shares: tuple[tuple[str, int, int], ...]
    """Names of ranges, and from which row to which."""
    told: str
    """Where in the workshop it is said how they are sorted, and what of them."""


class Whole(NamedTuple):
    """All rows of the lake's large tables, as far as it tells what goes where."""

    began: pd.Series
    """Of each flow, in order, the time."""
    order: Order
    flow_of: Order
    """Of each row of the other tables, in order, the place of its flow."""
    bounds: Bounds


def parts_of_flows(whole: Whole, judged: pd.DataFrame, workshop: Files) -> list[Part]:
    """The parts of the flows' table; what judging has said is set down for each."""
    told = pa.table({name: judged[name].array.__arrow_array__() for name in TOLD})
    return [
        _part(FLOWS.name, time, time.rows, whole, workshop, told.slice(time.rows.start, len(time.rows)))
        for time in _times(whole.began)
    ]


def parts_of_sessions(whole: Whole, workshop: Files) -> list[Part]:
    """Those of the tables of what flows carried: of this judging says nothing.

    A table without rows has a part, too, on the first day: whoever asks for it finds its columns.
    """
    found: list[Part] = []
    for time in _times(whole.began):
        for table, flow_of in whole.flow_of.items():
            rows = range(*np.searchsorted(flow_of, (time.rows.start, time.rows.stop)).tolist())
            if rows or (not len(flow_of) and not time.rows.start):
                found.append(_part(table, time, rows, whole, workshop))
    return found


class _Time(NamedTuple):
    """A day, or a part of one where it is long."""

    day: np.datetime64
    number: int
    """Of the part."""
    rows: range
    """Places of the flows that began then."""


def _part(
    table: str, time: _Time, places: range, whole: Whole, workshop: Files, told: pa.Table | None = None
) -> Part:
    """The rows at some places of a table's order, as a task; `told` goes beside them."""
    rows = whole.order[table][places.start : places.stop]
    sorting = np.argsort(rows)
    mine, taken = rows[sorting], np.empty_like(rows)
    taken[sorting] = np.arange(len(rows))
    beside = pa.table({_ROW: taken}) if told is None else told.append_column(_ROW, pa.array(taken))
    part = Part(
        table,
        f"{table}/date={time.day}/part-{time.number:03}.parquet",
        tuple(whole.bounds.shares(table, mine)),
        work.told(f"{table}-{time.day}-{time.number:03}"),
    )
    with workshop.scratch() as folder:
        work.write_table(beside, folder / "told", work.compression(workshop))
        workshop.put(folder / "told", part.told)
    return part


def _times(began: pd.Series) -> Iterator[_Time]:
    """All days; of a long one parts of about the same size."""
    days = nanoseconds(began) // _DAY_NS
    edges = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), len(days)]
    for begin, end in pairwise(edges):
        count = -(-(end - begin) // _TOGETHER)
        cuts: Sequence[int] = np.linspace(begin, end, count + 1).astype(np.int64).tolist()
        for number, ends in enumerate(pairwise(cuts)):
            yield _Time(np.datetime64(int(days[begin]), "D"), number, range(*ends))


def tell(part: Part, lake: str, where: str, envelope: Envelope) -> str:
    """Write a part; gives its name. A task of workers.

    `where` is what its name is relative to.
    """
    bench.clear()
    workshop, shown = work.work_of(files(lake)), files(where)
    with workshop.opened(part.told) as path:
        told = work.read_table(path)
    rows = []
    for range_, begin, end in part.shares:
        with workshop.opened(place(range_, part.table)) as path:
            rows.append(compact(work.read_table(path, (begin, end)).replace_schema_metadata(None)))
    beside = to_frame(told.drop_columns(_ROW)) if part.table == FLOWS.name else None
    frame = masked(part.table, envelope, complete(rows, told[_ROW], beside))
    with shown.scratch() as folder:
        write_parquet(TABLES[part.table], frame, folder / "part")
        shown.put(folder / "part", part.name)
    return part.name
