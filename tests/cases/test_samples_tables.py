"""What an analysis finds in the sample captures, story by story, against expected.toml.

Each story is analysed alone, and all of them together as one observation (the README's first
command): what is true of a story must not depend on what else was captured.
"""

import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from op25b_pcap.cli import app

SAMPLES = Path(__file__).parents[2] / "sample_pcaps"
STORIES = sorted(path.parent for path in SAMPLES.glob("*/expected.toml"))
SAME_ATTEMPT = ("src_ip", "dst_ip", "dst_port")


class Tables:
    """The output folder of one analysis."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getitem__(self, name: str) -> list[dict]:
        return pq.read_table(self.folder / f"{name}.parquet").to_pylist()


def arguments(captures: Path, out: Path) -> list[str]:
    policy = str(SAMPLES / "policy.toml")
    return ["analyze", str(captures), "--policy", policy, "--out", str(out), "--envelope", "full"]


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    out = tmp_path_factory.mktemp("together") / "reports"
    subprocess.run(
        [sys.executable, "-m", "op25b_pcap", *arguments(SAMPLES, out)], check=True, capture_output=True
    )
    return Tables(out)


@pytest.fixture
def alone(request, tmp_path):
    result = CliRunner().invoke(app, arguments(request.param, tmp_path / "reports"))
    assert result.exit_code == 0, result.output
    return Tables(tmp_path / "reports")


stories_alone = pytest.mark.parametrize(
    ("alone", "story"), [(s, s) for s in STORIES], indirect=["alone"], ids=[s.name for s in STORIES]
)


@stories_alone
def test_a_story_alone(alone, story):
    assert faults(alone, story) == []
    assert len(alone["flows"]) == len(expected(story)["attempt"])


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_a_story_among_all(together, story):
    assert faults(together, story) == []


def test_all_stories_and_nothing_else(together):
    assert len(together["flows"]) == sum(len(expected(story)["attempt"]) for story in STORIES)


def expected(story: Path) -> dict:
    return tomllib.loads((story / "expected.toml").read_text(encoding="utf-8"))


def faults(tables: Tables, story: Path) -> list[str]:
    """Every difference between what was expected and what was found, in words."""
    found = defaultdict(list)
    for row in tables["flows"]:  # in order of start_time
        found[tuple(row[name] for name in SAME_ATTEMPT)].append(row)
    sessions = {
        name: {row["flow_id"]: row for row in tables[name]}
        for name in ("smtp_sessions", "retrieval_sessions")
    }
    transactions = defaultdict(list)
    for row in tables["smtp_transactions"]:
        transactions[row["flow_id"]].append(row)
    told: list[str] = []
    for attempt in expected(story)["attempt"]:
        smtp = attempt.pop("smtp_session", {})
        retrieval = attempt.pop("retrieval_session", {})
        mails = attempt.pop("smtp_transactions", [])
        same = tuple(attempt[name] for name in SAME_ATTEMPT)
        if not found[same]:
            told.append(f"{same}: no such attempt")
            continue
        flow = found[same].pop(0)
        flow_id = flow["flow_id"]
        told += differences(same, "flows", attempt, flow)
        if smtp:
            told += differences(same, "smtp_sessions", smtp, sessions["smtp_sessions"].get(flow_id))
        if retrieval:
            row = sessions["retrieval_sessions"].get(flow_id)
            told += differences(same, "retrieval_sessions", retrieval, row)
        if len(mails) > len(transactions[flow_id]):
            told.append(f"{same}: {len(transactions[flow_id])} transactions, expected {len(mails)}")
        for mail, row in zip(mails, transactions[flow_id], strict=False):
            told += differences(same, "smtp_transactions", mail, row)
    subscribers = {row["subscriber_key"]: row for row in tables["subscribers"]}
    for row in expected(story).get("subscriber", []):
        key = row["subscriber_key"]
        told += differences(key, "subscribers", row, subscribers.get(key))
    return told


def differences(who, table: str, wanted: dict, row: dict | None) -> list[str]:
    if row is None:
        return [f"{who}: no row in {table}"]
    wanted |= dict.fromkeys(wanted.pop("null", []))
    return [
        f"{who}: {table}.{name} is {row[name]!r}, expected {value!r}"
        for name, value in wanted.items()
        if row[name] != value
    ]
