"""Flows counted: the `summary` and `timeline` tables."""

from __future__ import annotations

import numpy as np
import pandas as pd

from op25b_pcap.tables.columns import Coded, alike, beside, coded, coded_times, numbers
from op25b_pcap.tables.reports import SUMMARY, TIMELINE
from op25b_pcap.tables.table import to_frame

MINUTE_NS = 60_000_000_000
_COUNTS = ("flows", "subscribers", "messages")


def summary(flows: pd.DataFrame, smtp_sessions: pd.DataFrame) -> pd.DataFrame:
    """Flows, subscribers and accepted messages by what they are and what became of them."""
    keys = {name: coded(flows[name]) for name in SUMMARY.names if name not in _COUNTS}
    kinds = alike(len(flows), keys.values())
    accepted = numbers(beside(flows, smtp_sessions, ("messages_accepted",))["messages_accepted"])
    payers, _ = Coded(range(len(kinds.examples)), kinds.codes).tally(coded(flows["subscriber_key"]))
    counted = kinds.counted(keys).assign(
        subscribers=np.bincount(payers), messages=np.bincount(kinds.codes, np.nan_to_num(accepted))
    )
    return to_frame(SUMMARY.arrow(counted.sort_values(list(keys))))


def timeline(flows: pd.DataFrame) -> pd.DataFrame:
    """Attempts per clock minute (UTC), by finding and traffic class."""
    keys = {
        "minute": coded_times(flows["start_time"], MINUTE_NS),
        **{name: coded(flows[name]) for name in ("finding", "traffic_class")},
    }
    counted = alike(len(flows), keys.values()).counted(keys)
    return to_frame(TIMELINE.arrow(counted.sort_values(list(keys))))
