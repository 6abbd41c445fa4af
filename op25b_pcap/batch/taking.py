"""Packets of a range out of all layers that hold some."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from op25b_pcap.assembly.packet import carried, chosen
from op25b_pcap.assembly.shelf import Layer, Taken
from op25b_pcap.batch.ranges import Laid, Range
from op25b_pcap.compiled import kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

Wanted = Callable[["NDArray[Any]"], "NDArray[np.bool_]"]
"""Tells of packets which are wanted."""


class Source(NamedTuple):
    """A layer, and where it can be read."""

    laid: Laid
    path: Path


def taken(
    sources: Iterable[Source], range_: Range, wanted: Wanted | None = None
) -> Iterator[tuple[str, list[Taken]]]:
    """Of each layer its name and all packets of a range, or those that are wanted.

    Captures are told by their place in the range's order.
    """
    place = {content: number for number, content in enumerate(range_.order)}
    for laid, path in sources:
        # Of a layer that has gone nobody asks for the captures.
        ranks = np.array([place.get(content, -1) for content in laid.contents] or [-1], np.int32)
        layer, found = Layer(path), []
        for packets, octets in _batches(layer, laid, range_):
            mine = packets.copy()
            mine["capture"] = ranks[np.minimum(packets["capture"], len(ranks) - 1)]
            if wanted is not None:
                mine, octets = _chosen(mine, octets, wanted(mine))
            found.append(Taken(mine, octets, layer.wheres))
        yield laid.name, found


def _batches(layer: Layer, laid: Laid, range_: Range) -> Iterator[tuple[NDArray[Any], NDArray[np.uint8]]]:
    parts = range(range_.begin, range_.end)
    own, of_all = laid.sizes
    if own:
        yield from layer.parts(parts)
    if of_all:
        yield layer.everywhere(parts)


def _chosen(
    packets: NDArray[Any], octets: NDArray[np.uint8], which: NDArray[np.bool_]
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Some of the packets, with no more octets than they carry."""
    if which.all():
        return packets, octets
    few = chosen(packets, np.flatnonzero(which))
    own = np.empty(int(carried(few).sum()), np.uint8)
    if len(few):
        kernels().gather(few, octets, own)
    return few, own
