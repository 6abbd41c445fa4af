"""Flow logs to flows, for providers that keep no packets: Zeek, nfdump, Linux firewalls.

`kind_within` says what a log is, `entries` reads one, `flows` makes rows of the entries of one
observation. Entries of several logs (a rotation, or Zeek's conn.log and smtp.log) go through
`flows` together, in rough order of their ends, as `together` brings them: what belongs together
then meets, wherever the logs were cut.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from op25b_pcap.flowlogs.attempts import attempts
from op25b_pcap.flowlogs.entry import Entry, Hints, Log
from op25b_pcap.flowlogs.kinds import HEAD, READERS, kind_of, kind_within
from op25b_pcap.flowlogs.rows import row
from op25b_pcap.flowlogs.sessions import sessions
from op25b_pcap.tables.sessions import Sessions

__all__ = [
    "HEAD",
    "Entry",
    "Flow",
    "Hints",
    "Log",
    "Sessions",
    "entries",
    "flows",
    "kind_of",
    "kind_within",
    "read",
    "together",
]


class Flow(NamedTuple):
    """One attempt as the logs tell it."""

    row: dict[str, Any]
    """The columns of `flows` that the log knows; `capture` is still the log's index."""
    sessions: Sessions


def read(pieces: Iterator[bytes], kind: str, log: Log) -> Iterator[Flow]:
    """All attempts of one log of that kind."""
    return flows(entries(pieces, kind, log))


def entries(pieces: Iterator[bytes], kind: str, log: Log) -> Iterator[Entry]:
    """What each record of a log tells; `pieces` are uncompressed. Never raises for what they hold."""
    return READERS[kind](pieces, log)


def together(*logs: Iterator[Entry]) -> Iterator[Entry]:
    """The entries of several logs in rough order of their ends; each log is read as it is needed."""
    return heapq.merge(*logs, key=lambda entry: entry.end_ns)


def flows(found: Iterable[Entry]) -> Iterator[Flow]:
    """All attempts of one observation, each when it is over."""
    for attempt in attempts(found):
        told = row(attempt)
        yield Flow(told, sessions(told, attempt.mails))
