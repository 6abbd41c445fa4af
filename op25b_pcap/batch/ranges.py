"""What is to be assembled: ranges of conversations, and all layers that hold their packets.

Always cut alike for as much data, so that results of an earlier run serve again. A range is named by
all that goes into it; a task is small, since it names files only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from op25b_pcap import __version__
from op25b_pcap.assembly.shelf import EVERYWHERE, PARTS
from op25b_pcap.batch import logs, work
from op25b_pcap.batch.account import Account

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OCTETS_TOGETHER = 128 << 20
"""A range is no more than this, as long as one part is not, where it must be in memory."""
_OCTETS_THAT_STAY = 512 << 20
"""The same where larger payloads stay in the layers until they are read: each range opens all layers, of
which there may be thousands."""
_PACKETS_TOGETHER = 1 << 20
"""But no more packets than this, if all were as large as they are on average: these are in memory."""
_WORTH_SHARING = 8 << 20
_SHARES = 8
"""Ranges at the least, of more octets than those: so that several workers have something to do."""


_FORM = 2
"""Counts up when results of earlier runs can no more be read."""


class Laid(NamedTuple):
    """A layer, or the entries of a log, in the workshop."""

    name: str
    contents: tuple[str, ...]
    """Digests of the pieces whose packets are in it, by the capture's index there."""
    sizes: Sequence[int]
    """Octets of each part, then those of what belongs to all; of a log the part of each batch.

    In a range the parts are one.
    """


class Range(NamedTuple):
    """What one task assembles."""

    begin: int
    end: int
    order: tuple[str, ...]
    """Digests of the pieces that have a share, in the order in which they began."""
    layers: tuple[Laid, ...]
    kind: str = "packets"
    """Or `entries`."""

    @property
    def name(self) -> str:
        """Where its results lie, but for a suffix."""
        layers = [layer.name for layer in self.layers]
        told = json.dumps([__version__, _FORM, self.kind, self.begin, self.end, self.order, layers])
        return f"{self.place}{hashlib.blake2b(told.encode(), digest_size=16).hexdigest()}"

    @property
    def place(self) -> str:
        """What the names of its results have in common, whatever went into them."""
        return f"found/{self.kind}-{self.begin}-{self.end}-"

    @property
    def octets(self) -> int:
        """How much it is to assemble."""
        return sum(layer.sizes[0] for layer in self.layers)

    def earlier(self, names: Iterable[str]) -> str:
        """The name of results of an earlier run; empty if there are none."""
        suffix = ".flows.arrow"
        found = (name for name in names if name.startswith(self.place) and name.endswith(suffix))
        return next((name.removesuffix(suffix) for name in found), "")


def ranges(accounts: Sequence[Account], joined: Account | None, *, are_packed: bool = False) -> list[Range]:
    """What is to be assembled; `accounts` are in order, `joined` has the packets out of fragments.

    `are_packed`: layers are, so that what they hold cannot be read there.
    """
    order = [account.content for account in accounts]
    layers = [
        Laid(work.layer(account.content, number), (account.content,), sizes)
        for account in accounts
        if account.kind == "capture"
        for number, sizes in enumerate(account.layers)
    ]
    if joined is not None:
        contents = tuple(account.content for account in accounts if account.aside)
        layers += [
            Laid(work.layer(joined.sha256, number), contents, sizes)
            for number, sizes in enumerate(joined.layers)
        ]
    found = []
    if layers:
        sizes = np.sum([layer.sizes for layer in layers], axis=0)[:PARTS]
        packets = sum(account.decoded for account in accounts) + (joined.decoded if joined else 0)
        most = _OCTETS_TOGETHER if are_packed else _most_that_stay(int(sizes.sum()), packets)
        width = _width(sizes, most)
        found += [_range(begin, begin + width, order, layers) for begin in range(0, PARTS, width)]
    told = [
        Laid(work.entries(account.content, account.hints), (account.content,), tuple(account.layers[0]))
        for account in accounts
        if account.kind != "capture" and account.layers
    ]
    for part in range(logs.PARTS if told else 0):
        share = tuple(log for log in told if part in log.sizes)
        logged_in = {content for log in share for content in log.contents}
        in_order = tuple(content for content in order if content in logged_in)
        found.append(Range(part, part + 1, in_order, share, "entries"))
    return [each for each in found if each.layers]


def _most_that_stay(octets: int, packets: int) -> int:
    """How large a range may be where most of it need not be in memory, with so many packets in all."""
    together = _PACKETS_TOGETHER * octets // max(packets, 1)
    return min(max(together, _OCTETS_TOGETHER), _OCTETS_THAT_STAY)


def _width(sizes: NDArray[np.int64], most: int) -> int:
    """How many parts make a range: always the same for as much data, so that results serve again."""
    width = PARTS if sizes.sum() < _WORTH_SHARING else PARTS // _SHARES
    while width > 1 and sizes.reshape(-1, width).sum(axis=1).max() > most:
        width //= 2
    return width


def _range(begin: int, end: int, order: Sequence[str], layers: Sequence[Laid]) -> Range:
    share = [
        layer._replace(sizes=(own, of_all))
        for layer in layers
        for own, of_all in [(sum(layer.sizes[begin:end]), layer.sizes[EVERYWHERE])]
        if own or of_all
    ]
    if not any(layer.sizes[0] for layer in share):
        share = []
    contents = {content for layer in share for content in layer.contents}
    return Range(begin, end, tuple(content for content in order if content in contents), tuple(share))
