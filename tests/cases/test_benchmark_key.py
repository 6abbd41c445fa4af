"""The captures that are measured with: what their keys say is what both engines find."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.generate import generate
from op25b_pcap.pipeline import analyse


@pytest.mark.parametrize("engine", ["auto", "scapy"])
@pytest.mark.parametrize("kind", ["mix", "mail", "flood", "bulk"])
def test_the_tables_say_what_the_key_says(kind, engine, tmp_path):
    path = tmp_path / "capture.pcap"
    key = generate(kind, 1, path, seed=7)
    analysis = analyse([path], engine=engine)
    flows = analysis.tables["flows"]
    found = Counter(
        f"{port} {outcome}" for port, outcome in zip(flows["dst_port"], flows["outcome"], strict=True)
    )
    assert analysis.tally.read == key["packets"]
    assert dict(found) == key["attempts"]
    assert analysis.tables["smtp_sessions"]["messages_accepted"].sum() == key["messages"]
    assert not any("bad_checksum" in anomalies for anomalies in flows["anomalies"])
    assert not analysis.is_damaged


def test_the_same_seed_gives_the_same_octets(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate("mail", 1, tmp_path / name, seed)
    first, same, other = ((tmp_path / name).read_bytes() for name in "abc")
    assert first == same != other
