"""Where things lie in the `.work` of a lake, and how they are written there.

It holds octets of mail until their conversations may be over, as captures do: nobody but its
owner may look into it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from op25b_pcap.batch.files import Files
from op25b_pcap.roles.dns import Answers

if TYPE_CHECKING:
    from numpy.typing import NDArray

ACCOUNTS, TOLD = "accounts", "told"
COMPRESSION = "lz4"
SQUEEZED = pa.ipc.IpcWriteOptions(compression=COMPRESSION, unify_dictionaries=True)
_ROWS = 1 << 14
"""Rows of a table that are read together."""


def compression(workshop: Files) -> str | None:
    """How layers and results are compressed: only where they must travel.

    On a disk it would save a sixth of the room, as most of mail is packed in some way already, and
    cost a fifth of a batch; and what lies there as it is need not be read to be used.
    """
    return COMPRESSION if is_packed(workshop) else None


def is_packed(workshop: Files) -> bool:
    """Whether layers and results are compressed there."""
    return not workshop.is_local


def layer(content: str, number: int) -> str:
    """Packets of a piece."""
    return f"content/{content}/{number}.arrow"


def aside(content: str) -> str:
    """Records of a piece that wait for fragments, in order of time."""
    return f"content/{content}/aside.arrow"


def heard(content: str) -> str:
    """Messages of DNS in a piece, of which it is not known yet whether their addresses matter."""
    return f"content/{content}/messages.arrow"


def answers(content: str) -> str:
    """What those that name exchangers taught."""
    return f"content/{content}/answers.arrow"


def told(run: str, name: str) -> str:
    """What is told while a run judges."""
    return f"{TOLD}/{run}-{name}"


def entries(content: str, hints: str) -> str:
    """Entries of a flow log that was read with these hints."""
    told = f"-{hashlib.blake2b(hints.encode(), digest_size=8).hexdigest()}" if hints else ""
    return f"content/{content}/entries{told}.arrow"


def write_answers(learnt: Answers, path: Path) -> bool:
    """Set down what DNS taught; False if that is nothing."""
    whole = pa.concat_tables(
        told.add_column(0, "kind", pa.array([kind] * len(told), pa.string()))
        for kind, told in learnt.told().items()
    )
    if len(whole):
        write_table(whole, path, COMPRESSION)
    return len(whole) > 0


def read_answers(path: Path, into: Answers) -> None:
    """Learn what was set down."""
    whole = read_table(path)
    kinds, told = whole["kind"], whole.drop_columns("kind")
    into.take({kind: told.filter(pc.equal(kinds, kind)) for kind in pc.unique(kinds).to_pylist()})


def write_sockets(held: Mapping[str, NDArray[np.uint64]], path: Path) -> None:
    """Set down which digests of sockets each layer holds."""
    ends = np.cumsum([0, *map(len, held.values())]).astype(np.int32)
    digests = pa.array(np.concatenate([np.empty(0, np.uint64), *held.values()]))
    lists = pa.ListArray.from_arrays(pa.array(ends), digests)
    write_table(pa.table({"layer": pa.array(list(held), pa.string()), "sockets": lists}), path, COMPRESSION)


def read_sockets(path: Path) -> dict[str, NDArray[np.uint64]]:
    """The same back."""
    table = read_table(path)
    return {
        name.as_py(): sockets.values.to_numpy()
        for name, sockets in zip(table["layer"], table["sockets"], strict=True)
    }


def write_tables(tables: Mapping[str, pa.Table], path: Path, compression: str | None) -> None:
    """Several tables, one after the other."""
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.OSFile(str(path), "wb") as file:
        for name, table in tables.items():
            schema = table.schema.with_metadata({**(table.schema.metadata or {}), "name": name})
            whole = table.unify_dictionaries().combine_chunks()
            with pa.ipc.new_stream(file, schema, options=options) as writer:
                writer.write_table(whole.replace_schema_metadata(schema.metadata))


def read_tables(path: Path) -> dict[str, pa.Table]:
    """The same back; what is not compressed stays in the file, which may go meanwhile."""
    tables = {}
    with pa.memory_map(str(path)) as file:
        while file.tell() < file.size():
            table = pa.ipc.open_stream(file).read_all()
            tables[table.schema.metadata[b"name"].decode()] = table
    return tables


def rows_together() -> int:
    """Rows of a table that can be read without the others."""
    return _ROWS


def write_table(table: pa.Table, path: Path, compression: str | None) -> None:
    """A table as an Arrow file, of whose rows some can be read without the others."""
    options = pa.ipc.IpcWriteOptions(compression=compression, unify_dictionaries=True)
    with pa.ipc.new_file(str(path), table.schema, options=options) as writer:
        writer.write_table(table.unify_dictionaries().combine_chunks(), max_chunksize=_ROWS)


def read_table(path: Path, rows: tuple[int, int] | None = None) -> pa.Table:
    """The table in an Arrow file, or the rows of a range.

    What is not compressed stays in the file, which may go meanwhile.
    """
    with pa.memory_map(str(path)) as file:
        reader = pa.ipc.open_file(file)
        if rows is None:
            return reader.read_all()
        begin, end = rows
        first, beyond = begin // _ROWS, -(-end // _ROWS)
        batches = [reader.get_batch(number) for number in range(first, beyond)]
        return pa.Table.from_batches(batches, reader.schema).slice(begin - first * _ROWS, end - begin)


def with_notes(table: pa.Table, notes: Mapping[str, Sequence[Any]]) -> pa.Table:
    """A table with lists in its metadata."""
    return table.replace_schema_metadata({name: json.dumps(list(value)) for name, value in notes.items()})


def note(schema: pa.Schema, name: str) -> list[Any]:
    """A list out of a table's metadata."""
    found: list[Any] = json.loads(schema.metadata[name.encode()])
    return found


def work_of(lake: Files) -> Files:
    """The lake's workshop."""
    return lake.below(".work")
