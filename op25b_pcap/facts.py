"""What the captures show, as tables in order of time: where the rows of all flows come together."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from op25b_pcap.capture.observation import Observation
from op25b_pcap.mail.sessions import Sessions
from op25b_pcap.tables import FLOWS, RETRIEVAL_SESSIONS, SMTP_SESSIONS, SMTP_TRANSACTIONS
from op25b_pcap.tables.gathering import Gathering

_NS = 1_000_000_000


@dataclass(slots=True)
class Facts:
    """What the captures show, before anybody's opinion."""

    flows: pd.DataFrame
    smtp_sessions: pd.DataFrame
    smtp_transactions: pd.DataFrame
    retrieval_sessions: pd.DataFrame


class Gathered:
    """Finished rows, and what brings them into the order of time."""

    def __init__(self, observation: Observation) -> None:
        self._observation = observation
        self._flows = Gathering(FLOWS)
        self._places = {name: array("q") for name in ("start_time", "end_time", "capture", "first_packet")}
        self._smtp, self._transactions = Gathering(SMTP_SESSIONS), Gathering(SMTP_TRANSACTIONS)
        self._retrieval = Gathering(RETRIEVAL_SESSIONS)
        self._of: dict[Gathering, array[int]] = {
            table: array("q") for table in (self._smtp, self._transactions, self._retrieval)
        }
        """Of each row the number of its flow."""

    def add(self, row: dict[str, Any], sessions: Sessions) -> None:
        """Take a flow, which is the latest to be finished, with its sessions."""
        number = len(self._places["capture"])
        for name, column in self._places.items():
            column.append(row[name])
        row["capture"] = self._observation.captures[row["capture"]].name
        self._flows.add(row)
        for table, found in (
            (self._smtp, [sessions.smtp] if sessions.smtp else []),
            (self._transactions, sessions.transactions),
            (self._retrieval, [sessions.retrieval] if sessions.retrieval else []),
        ):
            for session in found:
                table.add(session)
                self._of[table].append(number)

    def facts(self) -> Facts:
        """All tables in order of time, and how long each flow was watched."""
        start, end, capture, first = (np.array(column, np.int64) for column in self._places.values())
        latest_ns = max((capture.last_time_ns or 0 for capture in self._observation.captures), default=0)
        watched = np.maximum(latest_ns - end, 0) / _NS
        order = np.lexsort((first, capture, start))
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        sessions = (
            # Stable: transactions keep their order.
            table.frame(np.argsort(rank[np.array(of, np.int64)], kind="stable"))
            for table, of in self._of.items()
        )
        smtp, transactions, retrieval = sessions
        return Facts(self._flows.frame(order, {"watched_s": watched}), smtp, transactions, retrieval)
