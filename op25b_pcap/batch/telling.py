"""Parts of the lake's large tables: each is written by a worker.

A part holds the rows of some time, of one day. The flows that began then, and what they carried, lie
one after the other in the results of each range, which are in order of time. A worker takes them
from there, puts them in the order of the whole, and beside them what judging has said. So no
process ever holds a large table with all its columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from op25b_pcap.batch import work
from op25b_pcap.batch.assembling import place
from op25b_pcap.batch.files import Files, files
from op25b_pcap.facts import Order
from op25b_pcap.reports.envelope import Envelope, masked
from op25b_pcap.reports.writing import ROW_GROUP, write_parquet
from op25b_pcap.stacks import TOLD, Bounds, complete
from op25b_pcap.tables import FLOWS, TABLES
from op25b_pcap.tables.columns import nanoseconds
from op25b_pcap.tables.table import to_frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TOGETHER = 8 * ROW_GROUP
"""Flows of a part at the most: some 50 MB."""
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


def parts(judged: pd.DataFrame, flow_of: Order, order: Order, bounds: Bounds, workshop: Files) -> list[Part]:
    """Set down what judging has said, part by part.

    `judged` are all flows in order; `flow_of` tells of each row of the other tables, in order, the
    place of its flow there.
    """
    told = pa.table({name: judged[name].array.__arrow_array__() for name in TOLD})
    found: list[Part] = []
    for day, number, begin, end in _times(nanoseconds(judged["start_time"]) // _DAY_NS):
        for table, rows in order.items():
            first, beyond = begin, end
            if table != FLOWS.name:
                first, beyond = np.searchsorted(flow_of[table], (begin, end)).tolist()
            if first == beyond:
                continue
            mine = np.sort(rows[first:beyond])
            beside = pa.table({_ROW: np.searchsorted(mine, rows[first:beyond])})
            if table == FLOWS.name:
                for name in TOLD:
                    beside = beside.append_column(name, told[name].slice(first, beyond - first))
            part = Part(
                table,
                f"{table}/date={day}/part-{number:03}.parquet",
                tuple(bounds.shares(table, mine)),
                work.told(len(found)),
            )
            with workshop.scratch() as folder:
                work.write_table(beside, folder / "told")
                workshop.put(folder / "told", part.told)
            found.append(part)
    return found


def _times(days: NDArray[np.int64]) -> Iterator[tuple[np.datetime64, int, int, int]]:
    """Days, for each the numbers of its parts, and from which flow to which they go."""
    edges = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), len(days)]
    for begin, end in pairwise(edges):
        for number, first in enumerate(range(begin, end, _TOGETHER)):
            yield np.datetime64(int(days[begin]), "D"), number, first, min(first + _TOGETHER, end)


def tell(part: Part, lake: str, where: str, envelope: Envelope) -> str:
    """Write a part; gives its name. A task of workers.

    `where` is what its name is relative to.
    """
    workshop, shown = work.work_of(files(lake)), files(where)
    with workshop.opened(part.told) as path:
        told = work.read_table(path)
    rows = []
    for range_, begin, end in part.shares:
        with workshop.opened(place(range_, part.table)) as path:
            rows.append(work.read_table(path, rows=(begin, end)).replace_schema_metadata(None))
    beside = to_frame(told.drop_columns(_ROW)) if part.table == FLOWS.name else None
    frame = masked(part.table, envelope, complete(rows, told[_ROW], beside))
    with shown.scratch() as folder:
        write_parquet(TABLES[part.table], frame, folder / "part")
        shown.put(folder / "part", part.name)
    return part.name
