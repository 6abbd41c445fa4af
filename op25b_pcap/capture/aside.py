"""Records set aside until all captures have been read, and whatever else waits on disk in columns.

In: one after the other, as they are met. Out: the same; records in the order of their times, whatever
the turns were in which the captures were read.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from op25b_pcap.capture.record import Record

_HELD, _OCTETS_HELD = 1024, 16 << 20
"""Records that are held before they are written, and their octets, about."""
OF_SEVERAL = pa.schema(
    {
        "capture": pa.int32(),
        "number": pa.int64(),
        "time_ns": pa.int64(),
        "link_type": pa.int32(),
        "interface": pa.int32(),
        "length": pa.int64(),
        "data": pa.binary(),
    }
)
"""Records of several captures."""
OF_ONE = OF_SEVERAL.remove(0)
"""Records of one."""


class Kept:
    """Takes columns into a file of this machine."""

    def __init__(self, path: Path, schema: pa.Schema, compression: str | None = None) -> None:
        self.count = 0
        """How many rows have come."""
        self.path = path
        self._schema = schema
        self._options = pa.ipc.IpcWriteOptions(compression=compression)
        self._writer: Any = None

    def put(self, batch: pa.RecordBatch) -> None:
        """Take some rows."""
        if self._writer is None:
            self._writer = pa.ipc.new_file(str(self.path), self._schema, options=self._options)
        self.count += len(batch)
        self._writer.write_batch(batch)

    def close(self) -> None:
        """Finish the file; there is none if nothing came."""
        if self._writer is not None:
            self._writer.close()


class Aside:
    """Takes records into such a file."""

    def __init__(
        self, path: Path, schema: pa.Schema, compression: str | None = None, together: int = _HELD
    ) -> None:
        """`schema` names what is kept of each; so many are read `together`."""
        self.path = path
        self._schema = schema
        self._together = together
        self._kept = Kept(path, schema, compression)
        self._held: list[Record] = []
        self._octets = 0

    @property
    def count(self) -> int:
        """How many have come."""
        return self._kept.count + len(self._held)

    def add(self, record: Record) -> None:
        """Take one."""
        self._held.append(record)
        self._octets += len(record.data)
        if len(self._held) == self._together or self._octets > _OCTETS_HELD:
            self._write()

    def close(self) -> None:
        """Finish the file; there is none if nothing came."""
        if self._held:
            self._write()
        self._kept.close()

    def _write(self) -> None:
        held, self._held, self._octets = self._held, [], 0
        columns = [pa.array([getattr(one, field.name) for one in held], field.type) for field in self._schema]
        self._kept.put(pa.record_batch(columns, schema=self._schema))


def batches(path: Path) -> Iterator[pa.RecordBatch]:
    """What was kept, in its order. The file is open for moments only: there may be thousands of them."""
    for number in count():
        with pa.OSFile(str(path)) as file:
            reader = pa.ipc.open_file(file)
            if number == reader.num_record_batches:
                return
            batch = reader.get_batch(number)
        yield batch


def records(path: Path, capture: int) -> Iterator[Record]:
    """What was set aside of one capture, in its order."""
    for batch in batches(path):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield Record(capture, *row)


def by_time(aside: Aside) -> Iterator[Record]:
    """Records of several captures, as `record.in_time` sorts them; those of one came in its order."""
    if not aside.count:
        return
    with pa.memory_map(str(aside.path)) as file:
        whole = pa.ipc.open_file(file).read_all()
        capture, time_ns = whole["capture"].to_numpy(), whole["time_ns"].to_numpy()
        # Arrow would look through all of it for any few rows.
        batches = [batch.columns for batch in whole.to_batches()]
        begins = np.cumsum([0, *(len(columns[0]) for columns in batches)]).tolist()
        for at in np.lexsort([capture, time_ns]).tolist():
            number = bisect_right(begins, at) - 1
            yield Record(*(column[at - begins[number]].as_py() for column in batches[number]))
