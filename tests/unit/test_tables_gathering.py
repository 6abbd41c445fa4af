"""Rows that come one by one and become a table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from op25b_pcap.tables import SMTP_TRANSACTIONS, TIMELINE
from op25b_pcap.tables.gathering import Gathering
from op25b_pcap.tables.table import to_frame


def test_rows_beyond_one_batch_keep_their_order():
    gathering = Gathering(TIMELINE)
    for number in range(20_000):
        gathering.add({"finding": "leak", "flows": number})
    frame = to_frame(gathering.table())
    assert frame["flows"].tolist() == list(range(20_000))
    assert frame["minute"].isna().all()
    assert list(frame) == list(TIMELINE.names)


def test_columns_and_rows_together():
    gathering = Gathering(TIMELINE)
    gathering.add({"finding": "leak"})
    gathering.add_columns({"flows": np.array([10, 11]), "minute": np.array([0, 60_000_000_000])}, 2)
    gathering.add({"flows": 12})
    frame = to_frame(gathering.table())
    assert frame["flows"].tolist()[1:] == [10, 11, 12]
    assert frame["finding"].isna().tolist() == [False, True, True, True]
    assert frame["minute"].tolist()[2] == pd.Timestamp(60, unit="s", tz="UTC")


def test_rows_that_are_like_others():
    gathering = Gathering(TIMELINE)
    alike = gathering.alike([{"finding": "a"}, {"finding": "b", "flows": 2}], np.array([1, 0, 1]))
    assert alike["finding"].to_pylist() == ["b", "a", "b"]
    assert alike["flows"].to_pylist() == [2, None, 2]


def test_rows_with_different_keys():
    gathering = Gathering(SMTP_TRANSACTIONS)
    gathering.add({"flow_id": "x", "rcpt_to": ["a@example.org"]})
    gathering.add({"flow_id": "y", "reply_code": 250})
    frame = to_frame(gathering.table())
    assert frame["reply_code"].isna().tolist() == [True, False]
    assert frame["rcpt_to"].isna().tolist() == [False, True]


@pytest.mark.parametrize("rows", [[], [{}], [{"finding": "leak"}]])
def test_few_rows_with_few_keys(rows):
    assert len(TIMELINE.frame(rows)) == len(rows)


def test_a_key_without_a_column_is_an_error():
    with pytest.raises(KeyError, match="no column colour"):
        Gathering(TIMELINE).add({"finding": "leak", "colour": "red"})
