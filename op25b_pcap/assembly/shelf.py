"""Packets that memory has no room for: set down on disk, taken up again part by part.

All packets of a conversation belong to one part, by its digest, so that parts can be assembled one
after the other, or at once by several. A layer is one store set down: an Arrow file with a row for
each part, of which two cells hold all records and all octets. Small parts share a batch, since to
write, find and unpack one costs as much as tens of kilobytes in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from op25b_pcap.assembly.packet import PACKET, carried, chosen
from op25b_pcap.assembly.settle import is_cut_quote
from op25b_pcap.assembly.skim import NO_TAIL
from op25b_pcap.assembly.store import Store, Where

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from op25b_pcap.scan.kernels import Kernels

PARTS = 256
_BITS_BELOW = 56
EVERYWHERE = PARTS
"""The row of what belongs to all parts, in a batch of its own: ICMP errors that name no ports."""
_OCTETS_OF_A_BATCH = 64 << 10
"""Parts share a batch until it is about this."""
_OCTETS_IN_HAND = 4 << 20
"""Parts are put in order together until they are about this: what a processor's cache holds."""
_OCTETS_TOGETHER = 64 << 20
"""Parts are taken up together as long as they are no more than this."""

_CELLS = pa.schema({"packets": pa.large_binary(), "octets": pa.large_binary()})


class Rows(NamedTuple):
    """Packets of some parts of a layer, and octets in which they, and others, carry something."""

    packets: NDArray[Any]
    octets: NDArray[np.uint8]
    lies_at: int
    """Where these begin in the layer's file; -1 if they are packed there."""


class Shelf:
    """Layers in a folder, which is there and is nobody else's."""

    def __init__(self, kernels: Kernels, folder: Path, compression: str | None = None) -> None:
        self.paths: list[Path] = []
        self.sizes: list[list[int]] = []
        """Of each layer the octets of its parts, and last of what belongs to all."""
        self._kernels = kernels
        self._folder = folder
        self._compression = compression

    @property
    def is_empty(self) -> bool:
        """Whether nothing was set down."""
        return not self.paths

    def put(self, store: Store) -> None:
        """Set down all that is in a store, if there is anything."""
        if len(store.packets):
            path = self._folder / f"{len(self.paths)}.arrow"
            self.sizes.append(set_down(self._kernels, store, path, self._compression))
            self.paths.append(path)

    def stores(self, turn: int, turns: int) -> Iterator[Store]:
        """What was set down, each conversation in one store: every so many of the stores.

        A store is good until the next one is asked for.
        """
        store = Store(self._kernels, packets=0, octets=0)
        sizes = np.sum(self.sizes, axis=0)
        begin, count = 0, 0
        while begin < PARTS:
            end = begin + 1
            while end < PARTS and sizes[begin : end + 1].sum() <= _OCTETS_TOGETHER:
                end += 1
            if count % turns == turn:
                self._fill(store, range(begin, end), int(sizes[begin:end].sum() + sizes[EVERYWHERE]))
                yield store
            begin, count = end, count + 1

    def _fill(self, store: Store, parts: range, octets: int) -> None:
        """Have some parts of all layers, in the order in which these were set down, in a store."""
        store.make_room(octets // PACKET.itemsize, octets)
        for path in self.paths:
            layer = Layer(path)
            for rows in (*layer.parts(parts), layer.everywhere(parts)):
                store.extend(rows.packets, rows.octets, layer.wheres)


class Layer:
    """A file with a store. What was read of it counts as memory as long as this is there."""

    def __init__(self, path: Path) -> None:
        file = pa.memory_map(str(path))
        # What is read out of a mapping lies in it, unless it was packed.
        self._begin, self._size = file.read_buffer(1).address, file.size()
        self._reader = pa.ipc.open_file(file)
        self._together = PARTS // (self._reader.num_record_batches - 1)
        told = self._reader.schema.metadata
        self.wheres = [Where(*where) for where in json.loads(told[b"wheres"])]
        self._has_tails = b"tails" in told
        """Not in lakes of earlier versions."""

    def parts(self, parts: range) -> Iterator[Rows]:
        """Some parts, as many together as share a batch."""
        first, beyond = parts.start // self._together, -(-parts.stop // self._together)
        for number in range(first, beyond):
            begin = number * self._together
            rows = self._rows(number, max(parts.start - begin, 0), min(parts.stop - begin, self._together))
            if len(rows.packets):
                yield rows

    def everywhere(self, parts: range) -> Rows:
        """The same of what belongs to all parts, but for what stands in those of its own already."""
        rows = self._rows(self._reader.num_record_batches - 1, 0, 1)
        own = _part_of(rows.packets)
        return rows._replace(packets=rows.packets[(own < parts.start) | (own >= parts.stop)])

    def _rows(self, batch: int, begin: int, end: int) -> Rows:
        """Some rows of a batch."""
        (packets, ends), (octets, _) = map(_cells, self._reader.get_batch(batch).columns)
        lies_at = octets.ctypes.data - self._begin
        records = packets[ends[begin] : ends[end]].view(PACKET)
        if not self._has_tails:
            records = records.copy()
            records["tail"] = NO_TAIL
        return Rows(
            records,
            octets,
            lies_at if 0 <= lies_at < self._size else -1,
        )


def set_down(kernels: Kernels, store: Store, path: Path, compression: str | None = None) -> list[int]:
    """Write a store's packets, part by part; gives the octets of each part, and of what belongs to all."""
    packets = store.packets
    part = _part_of(packets)
    order = np.argsort(part.astype(np.int16), kind="stable")  # for so few bits it sorts by radix
    begins = np.searchsorted(part[order], np.arange(PARTS + 1))
    schema = _CELLS.with_metadata({"wheres": json.dumps(store.wheres), "tails": "known"})
    octets = len(packets) * PACKET.itemsize + len(store.octets)
    together = _parts_together(octets)
    in_hand = max(together, PARTS >> (octets // _OCTETS_IN_HAND).bit_length())
    sizes: list[int] = []
    with pa.ipc.new_file(
        str(path), schema, options=pa.ipc.IpcWriteOptions(compression=compression)
    ) as writer:
        for first in range(0, PARTS, in_hand):
            edges = begins[first : first + in_hand + 1]
            which = order[edges[0] : edges[-1]]
            sizes += _write(kernels, store, which, edges - edges[0], together, writer)
        of_all = np.flatnonzero(is_cut_quote(packets))
        sizes += _write(kernels, store, of_all, np.array([0, len(of_all)]), 1, writer)
    return sizes


def _write(
    kernels: Kernels,
    store: Store,
    which: NDArray[np.int64],
    edges: NDArray[np.int64],
    together: int,
    writer: pa.ipc.RecordBatchFileWriter,
) -> list[int]:
    """Write packets of which each so many parts share a batch; gives the octets of each part.

    `edges` say where among them the parts begin.
    """
    records = chosen(store.packets, which)
    ends = np.concatenate([[0], np.cumsum(carried(records))])
    octets = np.empty(int(ends[-1]), np.uint8)
    kernels.gather(records, store.octets, octets)
    for first in range(0, len(edges) - 1, together):
        own = edges[first : first + together + 1]
        rows, to = records[own[0] : own[-1]], ends[own]
        rows["at"] -= np.where(rows["at"] < 0, 0, to[0])
        cells = [
            _column(rows, (own - own[0]) * PACKET.itemsize),
            _column(octets[to[0] : to[-1]], to - to[0]),
        ]
        writer.write_batch(pa.record_batch(cells, schema=_CELLS))
    told: list[int] = np.diff(edges * PACKET.itemsize + ends[edges]).tolist()
    return told


def _parts_together(octets: int) -> int:
    """How many parts share a batch of a layer of so many octets: a power of 2."""
    batches = min(max(octets // _OCTETS_OF_A_BATCH, 1), PARTS)
    return PARTS >> (batches.bit_length() - 1)


def _part_of(packets: NDArray[Any]) -> NDArray[np.int64]:
    parts: NDArray[np.int64] = (packets["conversation"] >> _BITS_BELOW) + PARTS // 2
    return parts


def _column(held: NDArray[Any], ends: NDArray[np.int64]) -> pa.Array:
    """Octets of an array, which is not copied, as values that end there."""
    octets = pa.py_buffer(held.view(np.uint8))
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(ends) - 1, [None, pa.py_buffer(ends.astype(np.int64)), octets]
    )


def _cells(column: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Octets of all values together, and where among them each ends, behind a 0."""
    _, ends, octets = column.buffers()
    held = np.frombuffer(octets, np.uint8) if octets is not None else np.empty(0, np.uint8)
    return held, np.frombuffer(ends, np.int64)
