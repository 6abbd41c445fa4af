"""Packets of a range out of all layers that hold some."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from op25b_pcap.assembly.left import CAN_READ_AGAIN
from op25b_pcap.assembly.packet import carried, chosen, lying
from op25b_pcap.assembly.shelf import Layer, Rows
from op25b_pcap.assembly.store import Where
from op25b_pcap.batch.ranges import Laid, Range
from op25b_pcap.compiled import kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

Wanted = Callable[["NDArray[Any]"], "NDArray[np.bool_]"]
"""Tells of packets which are wanted."""


class Taken(NamedTuple):
    """Some packets of a layer, as `Store.extend` takes them."""

    packets: NDArray[Any]
    octets: NDArray[np.uint8]
    wheres: Sequence[Where]
    captures: NDArray[np.int64]
    """By their numbers in the layer those in the range."""
    lying_at: int
    """Where the octets begin (`packet.lying`); the files are numbered as the sources come."""


class Source(NamedTuple):
    """A layer, and where it can be read."""

    laid: Laid
    path: Path


def taken(
    sources: Iterable[Source], range_: Range, wanted: Wanted | None = None
) -> Iterator[tuple[str, list[Taken]]]:
    """Of each layer its name and all packets of a range, or those that are wanted."""
    rank = {content: number for number, content in enumerate(range_.order)}
    for number, (laid, path) in enumerate(sources):
        # Of a layer that has gone nobody asks for the captures.
        ranks = np.array([rank.get(content, -1) for content in laid.contents] or [-1])
        layer, found = Layer(path), []
        for packets, octets, lies_at in _batches(layer, laid, range_):
            if wanted is not None and not (which := wanted(packets)).all():
                packets, octets = _chosen(packets, octets, which)
                lies_at = -1
            lying_at = lying(number, lies_at) if CAN_READ_AGAIN else -1
            found.append(Taken(packets, octets, layer.wheres, ranks, lying_at))
        yield laid.name, found


def _batches(layer: Layer, laid: Laid, range_: Range) -> Iterator[Rows]:
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
    few = chosen(packets, np.flatnonzero(which))
    own = np.empty(int(carried(few).sum()), np.uint8)
    if len(few):
        kernels().gather(few, octets, own)
    return few, own
