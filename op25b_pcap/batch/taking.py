"""Packets of a range out of all layers that hold some, into one store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from op25b_pcap.assembly.packet import SEGMENT
from op25b_pcap.assembly.shelf import EVERYWHERE, Layer
from op25b_pcap.assembly.store import Store, Where
from op25b_pcap.batch.ranges import Laid, Range
from op25b_pcap.compiled import kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Wanted = Callable[[NDArray[Any]], NDArray[np.bool_]]


class Source(NamedTuple):
    """A layer, and where it can be read."""

    laid: Laid
    path: Path


class Taken(NamedTuple):
    """Some packets of a layer."""

    packets: NDArray[Any]
    octets: NDArray[np.uint8]
    wheres: Sequence[Where]


def taken(sources: Iterable[Source], range_: Range, wanted: Wanted | None = None) -> Iterator[Taken]:
    """All packets of a range, or those that are wanted, with captures by their place in its order."""
    place = {content: number for number, content in enumerate(range_.order)}
    for laid, path in sources:
        # Of a layer that has gone nobody asks for the captures.
        ranks = np.array([place.get(content, -1) for content in laid.contents] or [-1], np.int32)
        layer = Layer(path)
        for packets, octets in _batches(layer, laid, range_):
            mine = packets.copy()
            mine["capture"] = ranks[np.minimum(packets["capture"], len(ranks) - 1)]
            if wanted is not None:
                mine, octets = _chosen(mine, octets, wanted(mine))
            yield Taken(mine, octets, layer.wheres)


def store_of(found: Iterable[Taken]) -> Store:
    """A store of these packets."""
    held = list(found)
    store = Store(
        kernels(), packets=sum(len(one.packets) for one in held), octets=sum(len(one.octets) for one in held)
    )
    for one in held:
        store.extend(*one)
    return store


def _batches(layer: Layer, laid: Laid, range_: Range) -> Iterator[tuple[NDArray[Any], NDArray[np.uint8]]]:
    parts = range(range_.begin, range_.end)
    for part, size in zip((*parts, EVERYWHERE), laid.sizes, strict=True):
        if size:
            yield layer.everywhere(parts) if part == EVERYWHERE else layer.part(part)


def _chosen(
    packets: NDArray[Any], octets: NDArray[np.uint8], which: NDArray[np.bool_]
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Some of the packets, with no more octets than they carry."""
    if which.all():
        return packets, octets
    few = packets[which]
    carried = few["options"].astype(np.int64) + np.where(few["kind"] == SEGMENT, few["captured"], 0)
    own = np.empty(int(carried.sum()), np.uint8)
    if len(few):
        kernels().gather(few, octets, own)
    return few, own
