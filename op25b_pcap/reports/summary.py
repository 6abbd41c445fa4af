"""Flows counted: the `summary` and `timeline` tables."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import pandas as pd
import pyarrow as pa

from op25b_pcap.tables.columns import Coded, alike, beside, coded, coded_times, numbers
from op25b_pcap.tables.everywhere import Everywhere, Known, Values
from op25b_pcap.tables.reports import SUMMARY, TIMELINE
from op25b_pcap.tables.table import to_frame

MINUTE_NS = 60_000_000_000
_KEYS = tuple(name for name in SUMMARY.names if name not in ("flows", "subscribers", "messages"))


def tell_summary(flows: pd.DataFrame, smtp_sessions: pd.DataFrame, everywhere: Everywhere) -> None:
    """What attempts tell of each kind of them."""
    keys = {name: coded(flows[name]) for name in _KEYS}
    kinds = alike(len(flows), keys.values())
    words = zip(*(key[kinds.examples].told().to_pylist() for key in keys.values()), strict=True)
    # To be counted with each of its subscribers a kind has a short name.
    kind = Coded([blake2b(repr(one).encode(), digest_size=8).hexdigest() for one in words], kinds.codes)
    messages = np.nan_to_num(
        numbers(beside(flows, smtp_sessions, ("messages_accepted",))["messages_accepted"])
    )
    values: Values = {"flows": ("sum", np.ones(len(flows))), "messages": ("sum", messages)}
    everywhere.each("summary", values, kind, *keys.values())
    of_all = np.ones(len(flows), dtype=bool)
    everywhere.count("subscribers_of_kind", coded(flows["subscriber_key"]), {"subscribers": of_all}, kind)


def summary(known: Known) -> pd.DataFrame:
    """Flows, subscribers and accepted messages by what they are and what became of them."""
    whole = known["summary"]
    kind = Coded(whole["0"].combine_chunks(), np.arange(len(whole)))
    asked = Everywhere(known).asked("subscribers_of_kind", kind)
    counted = whole.drop_columns("0").rename_columns([*_KEYS, "flows", "messages"])
    counted = to_frame(counted.append_column("subscribers", pa.array(asked.of_values("subscribers"))))
    return to_frame(SUMMARY.arrow(counted.sort_values([*_KEYS])))


def tell_timeline(flows: pd.DataFrame, everywhere: Everywhere) -> None:
    """What attempts tell of each minute."""
    minute = coded_times(flows["start_time"], MINUTE_NS)
    words = (coded(flows[name]) for name in ("finding", "traffic_class"))
    everywhere.each("timeline", {"flows": ("sum", np.ones(len(flows)))}, minute, *words)


def timeline(known: Known) -> pd.DataFrame:
    """Attempts per clock minute (UTC), by finding and traffic class."""
    keys = ["minute", "finding", "traffic_class"]
    counted = to_frame(known["timeline"].rename_columns([*keys, "flows"]))
    return to_frame(TIMELINE.arrow(counted.sort_values(keys)))
