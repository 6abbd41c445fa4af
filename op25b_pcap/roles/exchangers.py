"""Whose mail exchanger a called address is, by the DNS answers that came before the call."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from op25b_pcap.tables.columns import coded, nanoseconds
from op25b_pcap.tables.flows import FLOWS
from op25b_pcap.tables.table import arrow_type

_COLUMNS = {"dst_names": "name", "dst_mx_of": "domain"}


def with_names(flows: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
    """`flows` with `dst_names` and `dst_mx_of`, sorted lists; empty where nothing was said.

    `answers` has columns `address`, `name`, `domain` and `known_ns`, as `dns.Answers.frame`.
    """
    dst = coded(flows["dst_ip"])
    named = dst.where(pc.is_in(dst.known, value_set=pa.array(answers["address"].unique(), pa.string())))
    calls = pd.DataFrame(
        {
            "row": named.nonzero()[0],
            "dst_ip": flows.loc[named, "dst_ip"].astype(object).to_numpy(),
            "start_ns": nanoseconds(flows["start_time"])[named],
        }
    )
    known = calls.merge(answers, left_on="dst_ip", right_on="address")
    known = known[known["known_ns"] <= known["start_ns"]]
    return flows.assign(
        **{column: _lists(known, said, flows.index, column) for column, said in _COLUMNS.items()}
    )


def with_lookups(flows: pd.DataFrame, lookups: Mapping[str, int]) -> pd.DataFrame:
    """`flows` with `src_mx_lookups`, of the opener or of who pays for its tunnel."""
    asked = pa.array(lookups.keys(), pa.string())
    counts = pa.array(lookups.values(), pa.uint32())
    of_opener, of_payer = (
        counts.take(pc.index_in(side.known, value_set=asked)).take(pa.array(side.codes))
        for side in (coded(flows[name]) for name in ("src_ip", "subscriber_key"))
    )
    column = pd.Series(pc.coalesce(of_opener, of_payer), index=flows.index, dtype=pd.ArrowDtype(pa.uint32()))
    return flows.assign(src_mx_lookups=column)


def _lists(known: pd.DataFrame, said: str, index: pd.Index, column: str) -> pd.Series:
    """One sorted list of different texts for each row of `flows`."""
    pairs = known[["row", said]].dropna().drop_duplicates().sort_values(["row", said])
    offsets = np.searchsorted(pairs["row"].to_numpy(), np.arange(len(index) + 1))
    lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(pairs[said], pa.string()))
    return pd.Series(lists, index=index, dtype=pd.ArrowDtype(arrow_type(FLOWS[column].type)))
