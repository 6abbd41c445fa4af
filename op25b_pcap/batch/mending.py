"""An inbox that has grown: which conversations of a range must be assembled anew.

A conversation is what it was if no layer with one of its packets has come or gone, and no ICMP error
that may be about it. All others are looked up by their sockets, whatever tunnel they are in, and
connections to name servers always, since what these taught is not kept by conversation. Beside its
results a range has noted which layers hold packets of which sockets: the others are not opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from op25b_pcap.assembly.flows import Sorted
from op25b_pcap.assembly.packet import chosen
from op25b_pcap.assembly.settle import is_cut_quote
from op25b_pcap.assembly.store import address
from op25b_pcap.batch.ranges import Laid, Range
from op25b_pcap.batch.taking import Source, Taken, taken
from op25b_pcap.facts import Found
from op25b_pcap.wire.community_id import community_id
from op25b_pcap.wire.services import DOMAIN

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SOCKETS = ("version", "src_high", "src_low", "src_port", "dst_high", "dst_low", "dst_port")
_ODD = np.uint64(0x9E3779B97F4A7C15)
"""2^64 by the golden ratio: multiplied by it, near numbers come far apart (Knuth, 6.4)."""
_HALF = np.uint64(29)
_ALWAYS = np.zeros(1, np.uint64)
"""Stands for the sockets of what is assembled anew with every growth."""
Held = dict[str, "NDArray[np.uint64]"]
"""By the names of layers, digests of all sockets that have packets there."""


class Earlier(NamedTuple):
    """What an earlier run has found in a range."""

    found: Found
    captures: list[str]
    """Digests of the pieces by the captures' indices."""
    layers: list[str]
    held: Held | None
    """None in lakes of versions that did not note it."""


class Mending:
    """What has changed."""

    def __init__(self, held: Held | None) -> None:
        """`held`: what is known of layers that have been there before."""
        self.held = held
        self._pairs: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._ends: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._met: list[list[NDArray[Any]]] = []

    def add(self, packets: NDArray[Any]) -> None:
        """Packets that have come or gone."""
        is_cut = is_cut_quote(packets)
        self._pairs = np.union1d(self._pairs, _pairs(packets[~is_cut]))
        self._ends = np.union1d(self._ends, _ends(packets[is_cut]))
        self._meet(packets)

    def is_touched(self, packets: NDArray[Any]) -> NDArray[np.bool_]:
        """Of each packet, whether its conversation must be assembled anew."""
        found: NDArray[np.bool_] = np.isin(_pairs(packets), self._pairs) | _is_always_touched(packets)
        if len(self._ends):
            found |= np.isin(_ends(packets), self._ends)
        self._meet(packets[found])
        return found

    def is_to_be_opened(self, layer: str) -> bool:
        """Whether a layer may have packets that are touched."""
        if self.held is None or layer not in self.held or len(self._ends):
            return True
        return bool(np.isin(self.held[layer], np.append(self._pairs, _ALWAYS)).any())

    def ids(self) -> list[str]:
        """Community IDs of all conversations that were assembled anew, or are gone."""
        import pandas as pd

        columns = zip(_SOCKETS, zip(*self._met, strict=True), strict=False)
        sockets = pd.DataFrame({name: np.concatenate(parts) for name, parts in columns}).drop_duplicates()
        return list({_community_id(*row) for row in sockets.itertuples(index=False, name=None)})

    def _meet(self, packets: NDArray[Any]) -> None:
        if len(packets):
            self._met.append([packets[name].copy() for name in _SOCKETS])


def mending(earlier: Earlier, range_: Range, source: Callable[[Laid], Source]) -> Mending | None:
    """What has changed in a range since the earlier results; None if the pieces' order has.

    `source` opens a layer. Raises FileNotFoundError if one that has gone can no more be read.
    """
    in_order = [content for content in earlier.captures if content in range_.order]
    if in_order != [content for content in range_.order if content in earlier.captures]:
        return None
    now, before = {laid.name for laid in range_.layers}, set(earlier.layers)
    changed = [source(laid) for laid in range_.layers if laid.name not in before]
    changed += [source(Laid(name, (), (1, 1))) for name in earlier.layers if name not in now]
    held = earlier.held and {name: sockets for name, sockets in earlier.held.items() if name in now}
    found = Mending(held)
    for name, parts in taken(changed, range_):
        for one in parts:
            found.add(one.packets)
        if held is not None and name in now:
            held[name] = _sockets_of(parts)
    return found


def held_by(of: Sorted, counts: Mapping[str, int]) -> Held:
    """The same of all layers whose packets are in a store: `counts`, in the order in which they came.

    All packets of a conversation have its sockets, or name no ports, so that one of them is asked.
    """
    packets = of.store.packets
    layer_of = np.repeat(np.arange(len(counts)), list(counts.values()))
    whose = np.repeat(np.arange(len(of.begins) - 1), np.diff(of.begins))
    layer = layer_of[of.order]
    is_new = np.append(True, (whose[1:] != whose[:-1]) | (layer[1:] != layer[:-1]))[: len(layer)]
    digests = _sockets(chosen(packets, of.order[of.begins[:-1]]))[whose[is_new]]
    layers = layer[is_new]
    order = np.argsort(layers, kind="stable")
    edges = np.searchsorted(layers[order], np.arange(1, len(counts)))
    return dict(zip(counts, np.split(digests[order], edges), strict=True))


def _sockets_of(parts: Iterable[Taken]) -> NDArray[np.uint64]:
    """Digests of the sockets of all packets of a layer."""
    return np.unique(np.concatenate([_ALWAYS[:0], *(_sockets(packets) for packets, *_ in parts)]))


def _sockets(packets: NDArray[Any]) -> NDArray[np.uint64]:
    return np.where(_is_always_touched(packets), _ALWAYS, _pairs(packets))


def _is_always_touched(packets: NDArray[Any]) -> NDArray[np.bool_]:
    """Of each packet, whether it is assembled anew with every growth."""
    is_of_name_server = (packets["src_port"] == DOMAIN) | (packets["dst_port"] == DOMAIN)
    found: NDArray[np.bool_] = is_of_name_server | is_cut_quote(packets)
    return found


def _pairs(packets: NDArray[Any]) -> NDArray[np.uint64]:
    """A digest of both sockets, the same in either direction."""
    src, dst = (_mixed(packets, end, with_port=True) for end in ("src", "dst"))
    return src + dst


def _ends(packets: NDArray[Any]) -> NDArray[np.uint64]:
    """A digest of both addresses."""
    src, dst = (_mixed(packets, end, with_port=False) for end in ("src", "dst"))
    return src + dst


def _mixed(packets: NDArray[Any], end: str, *, with_port: bool) -> NDArray[np.uint64]:
    found = np.zeros(len(packets), np.uint64)
    for word in (f"{end}_high", f"{end}_low", *([f"{end}_port"] if with_port else [])):
        found = (found ^ packets[word].astype(np.int64).view(np.uint64)) * _ODD
        found ^= found >> _HALF
    return found


def _community_id(
    version: int, src_high: int, src_low: int, src_port: int, dst_high: int, dst_low: int, dst_port: int
) -> str:
    src, dst = address(version, src_high, src_low), address(version, dst_high, dst_low)
    return community_id(src, dst, src_port, dst_port)
