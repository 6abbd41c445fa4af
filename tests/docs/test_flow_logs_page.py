"""The examples of the page on flow logs are read as it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.flow_logs import read

PAGE = (Path(__file__).parents[2] / "docs" / "flow-logs.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=["zeek", "nfdump", "firewall"])
def test_examples_tell_of_a_silent_attempt(example):
    found = read(example.encode())
    (row,) = found.rows
    assert not found.damages
    assert (row["src_ip"], row["src_port"], row["dst_ip"], row["dst_port"]) == (
        "203.0.113.3",
        48945,
        "198.51.100.25",
        25,
    )
    assert row["start_time"] // 10**9 == 1763968411
    assert (row["outcome"], row["conn_state"]) == ("no_answer", "S0")
