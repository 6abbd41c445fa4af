"""A story: a folder's name, what happens on the wire, and what the tables must say to it.

One function is the single source of all of it: its docstring is the page, its body plays the
packets and yields the rows that an analysis must find. `pages` prints the same rows for
people and for the test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import cleandoc
from typing import Any

from op25b_pcap.samples import frames
from op25b_pcap.samples.network import Connection, Line, Network
from op25b_pcap.wire.services import SERVICES

Row = Mapping[str, Any]
"""Names of columns, and the values that must stand there; None is null."""


@dataclass(frozen=True)
class Expected:
    """What the tables must say of one connection attempt, or of one subscriber."""

    flow: Row = field(default_factory=dict)
    smtp_session: Row = field(default_factory=dict)
    smtp_transactions: Sequence[Row] = ()
    retrieval_session: Row = field(default_factory=dict)
    subscriber: Row = field(default_factory=dict)


def expect(
    attempt: Connection,
    *facts: Row,
    session: Row | None = None,
    transactions: Sequence[Row] = (),
    retrieval: Row | None = None,
) -> Expected:
    """Expect an attempt's rows: what the network knows itself, and the facts given."""
    flow: dict[str, Any] = {
        "src_ip": attempt.client.host.address,
        "dst_ip": attempt.server.host.address,
        "dst_port": attempt.server.port,
        "service": SERVICES[attempt.server.port],
        "syn_packets": attempt.syn_packets,
    }
    for row in facts:
        flow |= row
    return Expected(flow, session or {}, transactions, retrieval or {})


Play = Callable[[Network], Iterator[Expected]]


@dataclass(frozen=True)
class Story:
    """One sample and how it is captured."""

    name: str
    play: Play
    container: str
    line: Line
    hears_downstream: bool

    @property
    def text(self) -> str:
        """The page in plain words; its first line is the title."""
        return cleandoc(self.play.__doc__ or "")


def story(
    name: str, container: str = "pcap", line: Line = frames.ethernet, hears_downstream: bool = True
) -> Callable[[Play], Story]:
    """Make a story of a function whose docstring is the page."""
    return lambda play: Story(name, play, container, line, hears_downstream)
