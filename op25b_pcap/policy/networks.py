"""Addresses to the lists of the policy they stand in: the longest prefix wins, in columns.

Both families are one space: an octet for the family, then 16 for the address, compared as
octets. The prefixes are flattened once into the ranges between their edges; a
look-up is a binary search over all addresses at a time.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from op25b_pcap.policy import Prefix
from op25b_pcap.tables.columns import Coded, Flags

_OCTETS = 17
_V4, _V6 = b"\x04" + bytes(12), b"\x06"
_NOWHERE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Membership:
    """Which lists each of many addresses stands in."""

    labels: Coded
    """Sets of lists."""

    def within(self, *kinds: str) -> Flags:
        """Whether each address stands in any of the lists named."""
        return self.labels.where([not label.isdisjoint(kinds) for label in self.labels.values])


class Networks:
    """Which of several named lists an address belongs to, by its longest prefix."""

    def __init__(self, lists: Mapping[str, Iterable[Prefix]]) -> None:
        """The same prefix may stand in several lists; then its addresses are in all of them."""
        kinds: dict[tuple[int, int], set[str]] = {}
        for kind, prefixes in lists.items():
            for prefix in prefixes:
                kinds.setdefault(_range(prefix), set()).add(kind)
        edges, self._labels = _flattened({span: frozenset(names) for span, names in kinds.items()})
        self._edges = np.array([edge.to_bytes(_OCTETS) for edge in edges], dtype=f"S{_OCTETS}")

    def of(self, addresses: Coded) -> Membership:
        """Look up addresses (text); null stands in no list."""
        octets = np.array([_octets(text) for text in addresses.values], dtype=f"S{_OCTETS}")
        ranges = np.searchsorted(self._edges, octets, side="right")
        return Membership(Coded(self._labels, ranges[addresses.codes]))


def _range(prefix: Prefix) -> tuple[int, int]:
    """First address and the one after the last, in the common space."""
    base = int.from_bytes(_V4) << 32 if prefix.version == 4 else int.from_bytes(_V6) << 128
    return base + int(prefix.network_address), base + int(prefix.broadcast_address) + 1


def _octets(text: str | None) -> bytes:
    if text is None:
        return b""
    if ":" in text:
        return _V6 + socket.inet_pton(socket.AF_INET6, text)
    return _V4 + socket.inet_pton(socket.AF_INET, text)


def _flattened(
    kinds: Mapping[tuple[int, int], frozenset[str]],
) -> tuple[list[int], list[frozenset[str]]]:
    """Edges in order, and the label of the range before each edge and after the last.

    Prefixes nest or are apart, so the innermost open one is on top of a stack.
    """
    edges: list[int] = []
    labels = [_NOWHERE]
    open_: list[tuple[int, frozenset[str]]] = []

    def close_until(limit: int) -> None:
        while open_ and open_[-1][0] <= limit:
            end, _ = open_.pop()
            turn(end, open_[-1][1] if open_ else _NOWHERE)

    def turn(edge: int, label: frozenset[str]) -> None:
        if edges and edges[-1] == edge:
            labels[-1] = label
        elif edge < 1 << 8 * _OCTETS:
            edges.append(edge)
            labels.append(label)

    for (start, end), label in sorted(kinds.items(), key=lambda item: (item[0][0], -item[0][1])):
        close_until(start)
        turn(start, label)
        open_.append((end, label))
    close_until(1 << 8 * _OCTETS)
    return edges, labels
