"""Addresses to the lists of the policy they stand in: the longest prefix wins, in columns.

The lists are asked length by length, the longest first: all addresses at a time, cut to that
length, are sought among the prefixes that long. The two families never meet. Addresses and
prefixes are rows of octets, so that there may be millions of either.
"""

from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from op25b_pcap.policy import Prefix
from op25b_pcap.tables.columns import Coded, Flags, Indices, coded

Octets = npt.NDArray[np.uint8]
"""Addresses of one family, a row each: 4 or 16 columns."""
_NEIGHBOURS = {4: 24, 16: 48}
"""Length of the prefix within which hosts are about as far away, by the width of the family."""


class Hosts(Sequence[Prefix]):
    """Prefixes of one address each, held as text; a prefix is made only when it is asked for."""

    def __init__(self, addresses: pa.Array) -> None:
        self.addresses = addresses

    def __len__(self) -> int:
        return len(self.addresses)

    def __iter__(self) -> Iterator[Prefix]:
        return map(ip_network, self.addresses.to_pylist())

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return Hosts(self.addresses[at])
        return ip_network(self.addresses[at].as_py())


class Addresses:
    """A column of addresses (text), its values as octets besides."""

    def __init__(self, column: Coded) -> None:
        self.column = column
        self.octets = dict(_octets(pa.array(column.known, pa.string())))
        """By the width of the family: which values are of it, and their octets."""

    def neighbours(self) -> Coded:
        """The column of numbers that only neighbours have in common: the octets of a /24, or of a /48."""
        numbers = np.full(len(self.column.known), -1, dtype=np.int64)
        for width, (rows, octets) in self.octets.items():
            numbers[rows] = width
            for octet in octets[:, : _NEIGHBOURS[width] // 8].T:
                numbers[rows] = numbers[rows] << 8 | octet
        codes, known = pd.factorize(numbers)
        return Coded(known.tolist(), codes[self.column.codes])


class Ends(NamedTuple):
    """The addresses of flows, looked through once."""

    src: Addresses
    dst: Addresses
    outer: Addresses
    """The outer ones on the opener's side, of a tunnel."""


def ends(flows: pd.DataFrame) -> Ends:
    """Whom the flows are between."""
    return Ends(*(Addresses(coded(flows[name])) for name in ("src_ip", "dst_ip", "outer_src_ip")))


@dataclass(frozen=True, slots=True)
class Membership(Coded):
    """Which lists each of many addresses stands in: a bit for each list. Null stands in none."""

    lists: Sequence[str]
    """The list of bit 1, of bit 2, of bit 4, …"""

    def within(self, *kinds: str) -> Flags:
        """Whether each address stands in any of the lists named."""
        wanted = sum(1 << at for at, kind in enumerate(self.lists) if kind in kinds)
        return (np.asarray(self.known, dtype=np.int64) & wanted > 0)[self.codes]


class Networks:
    """Which of several named lists an address belongs to, by its longest prefix."""

    def __init__(self, lists: Mapping[str, Iterable[Prefix]]) -> None:
        """The same prefix may stand in several lists; then its addresses are in all of them."""
        self._lists = tuple(lists)
        members: dict[tuple[int, int], list[tuple[Octets, int]]] = defaultdict(list)
        for at, prefixes in enumerate(lists.values()):
            for length, octets in _by_length(prefixes):
                members[octets.shape[1], length].append((octets, 1 << at))
        self._prefixes = [
            (width, length, *_merged(listed, length)) for (width, length), listed in sorted(members.items())
        ][::-1]
        """Longest first: width of the family, length, the prefixes in order, and their lists' bits."""

    def of(self, addresses: Addresses) -> Membership:
        """Look up a column."""
        bits = np.zeros(len(addresses.column.known), dtype=np.int64)
        for width, length, prefixes, listed in self._prefixes:
            rows, octets = addresses.octets[width]
            sought = _cut(octets, length)
            at = np.minimum(np.searchsorted(prefixes, sought), len(prefixes) - 1)
            found = (prefixes[at] == sought) & (bits[rows] == 0)
            bits[rows[found]] = listed[at[found]]
        combined, known = pd.factorize(bits)
        return Membership(known.tolist(), combined.astype(np.int16)[addresses.column.codes], self._lists)


def _octets(texts: pa.Array) -> Iterator[tuple[int, tuple[Indices, Octets]]]:
    """The width of each family, the rows that are of it, and their octets."""
    is_v6 = pc.match_substring(texts, ":")
    for width, chosen in ((4, pc.invert(is_v6)), (16, is_v6)):
        rows = np.flatnonzero(chosen.fill_null(False))
        own = texts.filter(chosen)
        if width == 4:
            octets = pc.list_flatten(pc.split_pattern(own, ".")).cast(pa.uint8()).to_numpy()
        else:
            packed = b"".join(socket.inet_pton(socket.AF_INET6, text) for text in own.to_pylist())
            octets = np.frombuffer(packed, np.uint8)
        yield width, (rows, octets.reshape(-1, width))


def _by_length(prefixes: Iterable[Prefix]) -> Iterator[tuple[int, Octets]]:
    """The octets of all prefixes, those of one family and length together."""
    if isinstance(prefixes, Hosts):
        yield from ((8 * width, octets) for width, (_, octets) in _octets(prefixes.addresses) if len(octets))
        return
    packed: dict[tuple[int, int], list[bytes]] = defaultdict(list)
    for one in prefixes:
        octets = one.network_address.packed
        packed[len(octets), one.prefixlen].append(octets)
    for (width, length), members in packed.items():
        yield length, np.frombuffer(b"".join(members), np.uint8).reshape(-1, width)


def _merged(members: Iterable[tuple[Octets, int]], length: int) -> tuple[npt.NDArray[Any], Indices]:
    """All prefixes of one length in order, each once, and the lists it stands in."""
    found = np.concatenate([_cut(octets, length) for octets, _ in members])
    bits = np.concatenate([np.full(len(octets), bit) for octets, bit in members])
    order = np.argsort(found)
    prefixes, first = np.unique(found[order], return_index=True)
    return prefixes, np.bitwise_or.reduceat(bits[order], first)


def _cut(octets: Octets, length: int) -> npt.NDArray[Any]:
    """The first bits of each address as something that can be compared."""
    width = octets.shape[1]
    cut = np.ascontiguousarray(octets & np.packbits(np.arange(8 * width) < length))
    if width == 4:
        return cut.view(">u4")[:, 0].astype(np.uint32)
    return cut.view("S16")[:, 0]
