"""Who is told how far a batch is."""

from __future__ import annotations

from collections.abc import Mapping

from op25b_pcap.batch.account import Account


class Watching:
    """Listens to a batch, if it is one that does: here nothing is made of it."""

    def begins(self, stage: str, tasks: int, octets: int = 0) -> None:
        """A stage of so many tasks begins."""

    def scanned(self, account: Account) -> None:
        """A piece was read."""

    def compared(self) -> None:
        """A piece was compared with those that are like it."""

    def assembled(self, flows: int) -> None:
        """A range was assembled."""

    def judged(self, findings: Mapping[str, int]) -> None:
        """A shard was judged, with so many attempts of each finding, and its parts of tables were written."""
