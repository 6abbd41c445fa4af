"""Whose mail exchanger a called address is, by the DNS answers that came before the call."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import pyarrow as pa

from op25b_pcap.tables.columns import coded
from op25b_pcap.tables.flows import FLOWS
from op25b_pcap.tables.table import arrow_type

_COLUMNS = {"dst_names": "name", "dst_mx_of": "domain"}


def with_names(flows: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
    """`flows` with `dst_names` and `dst_mx_of`, sorted lists; empty where nothing was said.

    `answers` has columns `address`, `name`, `domain` and `known_ns`, as `dns.Answers.frame`.
    """
    calls = pd.DataFrame(
        {
            "dst_ip": flows["dst_ip"].astype(object).to_numpy(),
            "start_ns": flows["start_time"].astype("int64").to_numpy(),
        }
    ).rename_axis("row")
    known = calls.reset_index().merge(answers, left_on="dst_ip", right_on="address")
    known = known[known["known_ns"] <= known["start_ns"]]
    return flows.assign(
        **{column: _lists(known, said, len(flows), column) for column, said in _COLUMNS.items()}
    )


def with_lookups(flows: pd.DataFrame, lookups: Mapping[str, int]) -> pd.DataFrame:
    """`flows` with `src_mx_lookups`, of the opener or of who pays for its tunnel."""
    ends = coded(flows["src_ip"]).beside(coded(flows["subscriber_key"]))
    asked = ends.mapped(lambda pair: lookups.get(pair[0], lookups.get(pair[1])))
    counts = pa.array(asked.values, pa.uint32()).take(pa.array(asked.codes))
    column = pd.Series(counts, index=flows.index, dtype=pd.ArrowDtype(pa.uint32()))
    return flows.assign(src_mx_lookups=column)


def _lists(known: pd.DataFrame, said: str, rows: int, column: str) -> pd.Series:
    """One sorted list of different texts for each row of `flows`."""
    pairs = known[["row", said]].dropna().drop_duplicates().sort_values(["row", said])
    counts = pairs.groupby("row").size().reindex(range(rows), fill_value=0)
    offsets = pa.array([0, *counts.cumsum()], pa.int32())
    lists = pa.ListArray.from_arrays(offsets, pa.array(pairs[said], pa.string()))
    return pd.Series(lists, dtype=pd.ArrowDtype(arrow_type(FLOWS[column].type)))
