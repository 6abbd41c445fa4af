"""Pages that cannot drift: generated ones are fresh, every command is described, links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import duckdb
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from op25b_pcap import policy
from op25b_pcap.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
_spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
generate = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(generate)


@pytest.mark.parametrize("name", generate.PAGES)
def test_generated_pages_are_fresh(name):
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == generate.PAGES[name](), "run `make docs`"


def commands() -> list[tuple[str, ...]]:
    """Every command as it is typed."""
    found: list[tuple[str, ...]] = []

    def walk(group, words: tuple[str, ...]) -> None:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                walk(command, (*words, name))
            else:
                found.append((*words, name))

    walk(get_command(app), ())
    return found


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_says_what_it_does_with_an_example(words):
    told = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert told.exit_code == 0
    assert "Example" in told.output
    assert f"op25b-pcap {' '.join(words)}" in told.output.replace("\n", " ")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"op25b-pcap {' '.join(words)}" in readme


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_paths_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), target
    for path in re.findall(r"`((?:op25b_pcap|docs|tests)/[\w/.*]+)`", text):
        assert list(ROOT.glob(path.rstrip("/"))), path


def test_every_anomaly_of_packets_has_a_meaning():
    folder = ROOT / "op25b_pcap" / "flows"
    code = "".join((folder / name).read_text(encoding="utf-8") for name in ("flow.py", "reassembly.py"))
    oddities = code[code.index("def _oddities") :]
    named = re.findall(r'anomalies\.add\("(\w+)"\)', code) + re.findall(r'^        "(\w+)":', oddities, re.M)
    assert set(named) == set(generate.PACKETS)


def test_the_policy_page_has_every_key_and_its_examples_are_sound(tmp_path):
    page = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
    keys = {
        f"{section}.{key}" for section, names in policy._KEYS.items() if section != "actions" for key in names
    }
    assert set(re.findall(r"^\| `(\w+\.[a-z_]+)` \|", page, re.M)) == keys
    (tmp_path / "pools.txt").write_text("198.18.0.0/24  # a pool\n")
    examples = re.findall(r"```toml\n(.*?)```", page, re.S)
    assert len(examples) == 2
    for example in examples:
        (tmp_path / "isp.toml").write_text(example)
        assert policy.load(tmp_path / "isp.toml").actions


def test_the_tables_join_as_the_page_says(tmp_path):
    page = (ROOT / "docs" / "columns.md").read_text(encoding="utf-8")
    (query,) = re.findall(r"```sql\n(.*?)```", page, re.S)
    call = ["analyze", str(ROOT / "sample_pcaps"), "--out", str(tmp_path)]
    assert CliRunner().invoke(app, call).exit_code == 0
    told = duckdb.sql(query.replace("'reports/", f"'{tmp_path}/"))
    assert {"leak", "blocked"} == {row[1] for row in told.fetchall()}
