"""Whose mail exchanger a called address is, by the DNS answers that came before the call."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from op25b_pcap.roles.dns import MOST_NAMED, Said
from op25b_pcap.tables.columns import Coded, Indices, coded, nanoseconds

_TEXTS = pa.list_(pa.string())


def with_names(flows: pd.DataFrame, said: Said) -> pd.DataFrame:
    """`flows` with `dst_names` and `dst_mx_of`, sorted lists; empty where nothing was said."""
    dst, start_ns = coded(flows["dst_ip"]), nanoseconds(flows["start_time"])
    order = np.argsort(start_ns, kind="stable")
    turns = np.empty_like(order)
    turns[order] = np.arange(len(order))
    columns = {
        name: pd.Series(
            _lists(dst, start_ns[order], turns, known), index=flows.index, dtype=pd.ArrowDtype(_TEXTS)
        )
        for name, known in (("dst_names", said.names), ("dst_mx_of", said.domains))
    }
    return flows.assign(**columns)


def with_lookups(flows: pd.DataFrame, lookups: pa.Table) -> pd.DataFrame:
    """`flows` with `src_mx_lookups`, of the opener or of who pays for its tunnel; `lookups` as `LOOKUPS`."""
    counts = lookups["domains"].cast(pa.uint32()).combine_chunks()
    of_opener, of_payer = (
        counts.take(pc.index_in(side.known, value_set=lookups["client"])).take(pa.array(side.codes))
        for side in (coded(flows[name]) for name in ("src_ip", "subscriber_key"))
    )
    column = pd.Series(pc.coalesce(of_opener, of_payer), index=flows.index, dtype=pd.ArrowDtype(pa.uint32()))
    return flows.assign(src_mx_lookups=column)


def _lists(dst: Coded, began_ns: Indices, turns: Indices, known: pa.Table) -> pa.Array:
    """For each flow what was `known` of its called host when it began, sorted.

    `began_ns` are the flows' times in order, `turns` the place of each there. What is known of an
    address only grows: its flows have no more different lists than texts, and the empty one.
    """
    called = pc.index_in(known["address"], value_set=dst.known).fill_null(-1).to_numpy()
    order = np.argsort(called, kind="stable")[np.count_nonzero(called < 0) :]
    called, texts = called[order].astype(np.int64), known["text"].take(order).to_pylist()
    first = np.append(0, np.cumsum(np.bincount(called, minlength=len(dst.known))))
    # Host by host, then by the turn of the first flow that may know of it.
    keys = called * (len(turns) + 1) + np.searchsorted(began_ns, known["time_ns"].to_numpy()[order])
    host = dst.codes.astype(np.int64)
    counts = np.searchsorted(keys, host * (len(turns) + 1) + turns, side="right") - first[host]
    # Nothing is the same of every host: a flood has millions.
    codes, kinds = pd.factorize(np.where(counts > 0, host * (MOST_NAMED + 1) + counts, 0))
    begins, lengths = first[kinds // (MOST_NAMED + 1)].tolist(), (kinds % (MOST_NAMED + 1)).tolist()
    lists = [sorted(texts[begin : begin + count]) for begin, count in zip(begins, lengths, strict=True)]
    return pa.array(lists, _TEXTS).take(pa.array(codes))
