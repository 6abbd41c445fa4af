"""Whether finished rows stay in memory or lie on disk for a while makes no difference to what is written."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from benchmarks.generate import generate
from op25b_pcap import compiled, facts, leavings, pipeline, side_by_side, spread
from op25b_pcap.assembly import flows, store
from op25b_pcap.reports.explain import advise
from op25b_pcap.roles.draft import draft
from op25b_pcap.tables import TABLES, meeting


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    path = tmp_path_factory.mktemp("stacks") / "mail.pcap"
    generate("mail", 3, path, 7)
    return path


def written(path, folder, **settings):
    """The tables, their CSV twins, run.json, what is told of them, and whether there was a stack."""
    folder.mkdir()
    with pipeline.analyse([path], **settings) as analysis:
        pipeline.write(analysis, folder, csv=True)
        told = [draft(analysis.frames("flows"), analysis.policy, 1), *advise(analysis.known, assumed=True)]
    tables = {name: pq.read_table(folder / f"{name}.parquet") for name in TABLES}
    texts = {name: (folder / f"{name}.csv").read_bytes() for name in TABLES}
    run = json.loads((folder / "run.json").read_text())
    del run["timings_s"]
    return tables, texts, run, told, bool(analysis.parts)


@pytest.mark.parametrize(("workers", "forks"), [(1, True), (2, True), (2, False)])
@pytest.mark.parametrize("packets", [store.MOST_PACKETS, 500], ids=["in memory", "in layers"])
@pytest.mark.parametrize(("envelope", "waiting"), [("domain", 1 << 40), ("none", 0)])
def test_held_or_set_down(capture, envelope, waiting, packets, workers, forks, tmp_path, monkeypatch):
    monkeypatch.setattr(side_by_side, "CAN_FORK", forks)
    monkeypatch.setattr(compiled, "WORTHWHILE", 0)
    monkeypatch.setattr(compiled, "WORTH_COMPILING", 0)
    monkeypatch.setattr(flows, "_WORTH_A_SHARE", 1_000)
    monkeypatch.setattr(flows, "_CONVERSATIONS_TOGETHER", 40)
    monkeypatch.setattr(store.Store.__init__, "__defaults__", (None, packets, store.MOST_OCTETS))
    *held, was_stacked = written(capture, tmp_path / "held", envelope=envelope)
    assert not was_stacked
    monkeypatch.setattr(facts, "FLOWS_OF_A_PORTION", 25)
    monkeypatch.setattr(spread, "ROW_GROUP", 70)
    monkeypatch.setattr(spread, "FLOWS_OF_A_SHARD", 150)
    monkeypatch.setattr(leavings, "_ROOMY", waiting)
    monkeypatch.setattr(meeting, "_MANY", 20)
    *stacked, was_stacked = written(capture, tmp_path / "stacked", envelope=envelope, workers=workers)
    assert was_stacked
    for of_held, of_stacked in zip(held, stacked, strict=True):
        assert of_held == of_stacked
