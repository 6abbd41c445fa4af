"""Flows counted: the `summary` and `timeline` tables."""

from __future__ import annotations

import pandas as pd

from op25b_pcap.tables.reports import SUMMARY, TIMELINE
from op25b_pcap.tables.table import to_frame

_COUNTS = ("flows", "subscribers", "messages")


def summary(flows: pd.DataFrame, smtp_sessions: pd.DataFrame) -> pd.DataFrame:
    """Flows, subscribers and accepted messages by what they are and what became of them."""
    messages = smtp_sessions[["flow_id", "messages_accepted"]]
    keys = [name for name in SUMMARY.names if name not in _COUNTS]
    joined = flows[["flow_id", "subscriber_key", *keys]].merge(messages, on="flow_id", how="left")
    counted = joined.groupby(keys, sort=True, observed=True, dropna=False).agg(
        flows=("flow_id", "size"),
        subscribers=("subscriber_key", "nunique"),
        messages=("messages_accepted", "sum"),
    )
    counted["messages"] = counted["messages"].fillna(0)
    return to_frame(SUMMARY.arrow(counted.reset_index()))


def timeline(flows: pd.DataFrame) -> pd.DataFrame:
    """Attempts per clock minute (UTC), by finding and traffic class."""
    keyed = flows[["finding", "traffic_class"]].assign(minute=flows["start_time"].dt.floor("min"))
    counted = keyed.groupby(["minute", "finding", "traffic_class"], sort=True, dropna=False).size()
    return to_frame(TIMELINE.arrow(counted.rename("flows").reset_index()))
