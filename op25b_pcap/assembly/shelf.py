"""Packets that memory has no room for: set down on disk, taken up again part by part.

All packets of a conversation belong to one part, by its digest, so that parts can be assembled one
after the other, or at once by several. A layer is one store set down: an Arrow file with a batch
for each part, of which two cells hold all records and all octets.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from op25b_pcap.assembly.packet import PACKET, carried, chosen
from op25b_pcap.assembly.store import Store, Where, is_cut_quote

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from op25b_pcap.scan.kernels import Kernels

PARTS = 256
_BITS_BELOW = 56
EVERYWHERE = PARTS
"""The batch of what belongs to all parts: ICMP errors that name no ports."""
_OCTETS_TOGETHER = 64 << 20
"""Parts are taken up together as long as they are no more than this."""


class Taken(NamedTuple):
    """Some packets of a layer."""

    packets: NDArray[Any]
    octets: NDArray[np.uint8]
    wheres: Sequence[Where]


class Shelf:
    """Layers in a folder, which is there and is nobody else's."""

    def __init__(self, kernels: Kernels, folder: Path, compression: str | None = None) -> None:
        self.paths: list[Path] = []
        self.sizes: list[list[int]] = []
        """Of each layer the octets of its batches."""
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
        """What was set down, each conversation in one store: every so many of the stores."""
        layers = [Layer(path) for path in self.paths]
        sizes = np.sum(self.sizes, axis=0)
        begin, count = 0, 0
        while begin < PARTS:
            end = begin + 1
            while end < PARTS and sizes[begin : end + 1].sum() <= _OCTETS_TOGETHER:
                end += 1
            if count % turns == turn:
                yield taken_up(self._kernels, layers, range(begin, end))
            begin, count = end, count + 1


class Layer:
    """A file with a store."""

    def __init__(self, path: Path) -> None:
        # Not mapped: what was read of a mapping stays in memory as long as it does.
        self._reader = pa.ipc.open_file(pa.OSFile(str(path)))
        self.wheres = [Where(*where) for where in json.loads(self._reader.schema.metadata[b"wheres"])]

    def part(self, number: int) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Packets and octets of a part."""
        records, octets = (column[0].as_buffer() for column in self._reader.get_batch(number).columns)
        return np.frombuffer(records, PACKET), np.frombuffer(octets, np.uint8)

    def everywhere(self, parts: range) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """The same of what belongs to all parts, but for what stands in those of its own already."""
        packets, octets = self.part(EVERYWHERE)
        own = _part_of(packets)
        return packets[(own < parts.start) | (own >= parts.stop)], octets


def set_down(kernels: Kernels, store: Store, path: Path, compression: str | None = None) -> list[int]:
    """Write a store's packets, part by part; gives the octets of each batch."""
    packets = store.packets
    part = _part_of(packets)
    order = np.argsort(part.astype(np.int16), kind="stable")  # for so few bits it sorts by radix
    begins = np.searchsorted(part[order], np.arange(PARTS + 1))
    batches = [order[begins[n] : begins[n + 1]] for n in range(PARTS)]
    batches.append(np.flatnonzero(is_cut_quote(packets)))
    lengths = carried(packets)
    sizes = [int(lengths[which].sum()) + len(which) * PACKET.itemsize for which in batches]
    schema = pa.schema(
        {"packets": pa.large_binary(), "octets": pa.large_binary()},
        metadata={"wheres": json.dumps(store.wheres)},
    )
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_file(str(path), schema, options=options) as writer:
        for which in batches:
            records, octets = chosen(packets, which), np.empty(int(lengths[which].sum()), np.uint8)
            kernels.gather(records, store.octets, octets)
            cells = [_cell(held) for held in (records, octets)]
            writer.write_batch(pa.record_batch(cells, schema=schema))
    return sizes


def taken_up(kernels: Kernels, layers: Sequence[Layer], parts: range) -> Store:
    """Some parts of all layers together, in the order in which the layers were set down."""
    return store_of(
        kernels,
        (
            Taken(*what, layer.wheres)
            for layer in layers
            for what in (*map(layer.part, parts), layer.everywhere(parts))
        ),
    )


def store_of(kernels: Kernels, found: Iterable[Taken]) -> Store:
    """A store with these packets, and no room for more."""
    held = list(found)
    store = Store(
        kernels, packets=sum(len(one.packets) for one in held), octets=sum(len(one.octets) for one in held)
    )
    for one in held:
        store.extend(*one)
    return store


def _part_of(packets: NDArray[Any]) -> NDArray[np.int64]:
    parts: NDArray[np.int64] = (packets["conversation"] >> _BITS_BELOW) + PARTS // 2
    return parts


def _cell(held: NDArray[Any]) -> pa.Array:
    """One value of all octets of an array, which is not copied."""
    ends = np.array([0, held.nbytes], np.int64)
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), 1, [None, pa.py_buffer(ends), pa.py_buffer(held.view(np.uint8))]
    )
