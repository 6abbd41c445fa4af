"""More attempts than memory should hold: judged shard by shard, and told slice by slice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pandas as pd

from op25b_pcap.facts import Facts, Found
from op25b_pcap.leavings import give_back
from op25b_pcap.opinion import FLOWS_OF_A_SHARD, Heard, Judged, heard, judging, with_dns
from op25b_pcap.policy import Policy
from op25b_pcap.reports.envelope import Envelope, masked
from op25b_pcap.reports.writing import ROW_GROUP
from op25b_pcap.roles.dns import Answers
from op25b_pcap.side_by_side import walking
from op25b_pcap.stacks import (
    Stack,
    facts_set_down,
    is_set_down,
    set_down_facts,
    set_down_told,
    told_set_down,
)
from op25b_pcap.tables import FLOWS
from op25b_pcap.tables.everywhere import Known
from op25b_pcap.tables.meeting import met


class Spread:
    """What was found in a call, by its portions on disk."""

    def __init__(self, found: Stack, shown: Callable[[Found], Facts], folder: Path, workers: int) -> None:
        self._found, self._shown, self._folder, self._workers = found, shown, folder, workers
        self._shards = found.shards(ROW_GROUP, FLOWS_OF_A_SHARD, workers)

    def heard(self, answers: Answers) -> Heard:
        """What DNS said of the addresses that were called."""
        return heard(answers, partial(self._found.different, FLOWS.name, "dst_ip"))

    def judged(self, heard: Heard, policy: Policy | None) -> tuple[Policy, Known]:
        """The policy behind findings, and what is to be counted."""

        def view(number: int) -> Facts:
            base = self._folder / f"shard-{number}"
            if not is_set_down(base):
                set_down_facts(with_dns(self._shown(self._found.judged(self._shards[number])), heard), base)
                give_back()
            return facts_set_down(base)

        def ends(number: int, judged: Judged) -> Policy | None:
            set_down_told(judged.facts.flows, self._told(number))
            give_back()
            return None if number else judged.policy

        begins = [partial(judging, partial(view, number), policy) for number in range(len(self._shards))]
        with walking(begins, ends, self._workers) as walks:
            (by, *_), known = met(walks, self._folder, self._workers)
        return by, known

    def frames(self, table: str, envelope: Envelope) -> Iterator[pd.DataFrame]:
        """A large table, complete, a slice at a time."""
        for number, shard in enumerate(self._shards):
            told = told_set_down(self._told(number)) if table == FLOWS.name else None
            at = 0
            for one in shard:
                own = None if told is None else told.iloc[at : at + one.flows]
                at += one.flows
                if one.shares[table] or one is self._shards[0][0]:
                    yield masked(table, envelope, self._found.frame(one, table, own))

    def _told(self, number: int) -> Path:
        return self._folder / f"told-{number}"
