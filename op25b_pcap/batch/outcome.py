"""What a batch has come to, and how it is said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from op25b_pcap.batch.account import Account

if TYPE_CHECKING:
    import pandas as pd


@dataclass(slots=True)
class Outcome:
    """What a batch has come to."""

    run: Mapping[str, Any]
    summary: pd.DataFrame
    is_new: bool
    """Whether tables were written."""
    judged_by: str
    """The policy by which it was judged before, if one was given then, and none now."""
    advice: list[str]
    """What was stopped, by the four cases; nothing if nothing has changed."""
    pieces: list[Account]
    """Those that are in the inbox; of others the lake's manifest tells."""

    def of(self, *states: str) -> list[Account]:
        """Pieces in one of these states."""
        return [piece for piece in self.pieces if piece.state in states]

    def sentences(self) -> Iterator[str]:
        """What a person should know beside the tables."""
        for state, most in (("damaged", None), ("unreadable", None), ("unfinished", None), ("duplicate", 3)):
            found = self.of(state)
            for piece in found[:most]:
                yield f"{piece.path}: {state}: {piece.reason}"
            if most and len(found) > most:
                yield f"… and {len(found) - most} more of state {state}"
        counted = ", ".join(f"{count} {state}" for state, count in self.run["pieces"].items())
        lines = sum(piece.records for piece in self.pieces if piece.kind != "capture" and piece.counts)
        told = f"{lines} lines of logs, " if lines else ""
        packets, flows = self.run["packets"]["read"], self.run["tables"]["flows"]
        yield f"pieces: {counted or 'none'}; {packets} packets, {told}{flows} attempts on mail ports"
        if not self.is_new:
            yield "nothing has changed since the last run"
        if self.run["policy"]["assumed"]:
            yield "no policy given: roles are assumed from what the captures show (--policy P.toml)"
        yield from self.advice
        if self.judged_by:
            yield f"before, all was judged by policy {self.judged_by!r}: with --policy it will be again"
