"""Rows that come one by one and become a table."""

from __future__ import annotations

import numpy as np
import pytest

from op25b_pcap.tables import SMTP_TRANSACTIONS, TIMELINE
from op25b_pcap.tables.gathering import Gathering


def test_rows_beyond_one_batch_keep_their_order():
    gathering = Gathering(TIMELINE)
    for number in range(20_000):
        gathering.add({"finding": "leak", "flows": number})
    frame = gathering.frame()
    assert frame["flows"].tolist() == list(range(20_000))
    assert frame["minute"].isna().all()
    assert list(frame) == list(TIMELINE.names)


def test_an_order_and_a_column_that_no_row_had():
    gathering = Gathering(TIMELINE)
    for word in ("a", "b", "c"):
        gathering.add({"finding": word})
    frame = gathering.frame(np.array([2, 0, 1]), {"flows": np.array([10, 11, 12])})
    assert frame["finding"].tolist() == ["c", "a", "b"]
    assert frame["flows"].tolist() == [12, 10, 11]


def test_rows_with_different_keys():
    gathering = Gathering(SMTP_TRANSACTIONS)
    gathering.add({"flow_id": "x", "rcpt_to": ["a@example.org"]})
    gathering.add({"flow_id": "y", "reply_code": 250})
    frame = gathering.frame()
    assert frame["reply_code"].isna().tolist() == [True, False]
    assert frame["rcpt_to"].isna().tolist() == [False, True]


@pytest.mark.parametrize("rows", [[], [{}], [{"finding": "leak"}]])
def test_few_rows_with_few_keys(rows):
    assert len(TIMELINE.frame(rows)) == len(rows)


def test_a_key_without_a_column_is_an_error():
    with pytest.raises(KeyError, match="no column colour"):
        Gathering(TIMELINE).add({"finding": "leak", "colour": "red"})
