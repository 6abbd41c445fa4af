"""The rules as data: `op25b.toml`, read once and checked against the columns they speak of."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from op25b_pcap.tables.flows import ACTIONS, FLOWS

PRECEDENCE = ("block", "allow", "none")
"""Which action wins where a flow is under several rules; the order of the rules never matters."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of the file."""

    id: str
    meaning: str
    reference: str
    when: Mapping[str, tuple[str, ...]]
    """Columns of `flows`, and the words of which one must stand there."""
    action: str


@lru_cache(maxsize=1)
def rules() -> tuple[Rule, ...]:
    """All rules in the file's order. Raises ValueError where one is not sound."""
    text = resources.files("op25b_pcap.rules").joinpath("op25b.toml").read_text(encoding="utf-8")
    found = tuple(_rule(entry) for entry in tomllib.loads(text)["rule"])
    if len({rule.id for rule in found}) < len(found):
        raise ValueError("two rules have the same id")
    return found


def _rule(entry: Mapping[str, object]) -> Rule:
    missing = {"id", "meaning", "reference", "when", "action"} ^ entry.keys()
    if missing:
        raise ValueError(f"rule {entry.get('id')}: missing or unknown: {', '.join(sorted(missing))}")
    when = entry["when"]
    if not isinstance(when, dict) or entry["action"] not in ACTIONS:
        raise ValueError(f"rule {entry['id']}: `when` must be a table, `action` one of {ACTIONS}")
    conditions = {
        column: (words,) if isinstance(words, str) else tuple(words) for column, words in when.items()
    }
    for column, words in conditions.items():
        allowed = FLOWS[column].words
        if strange := set(words) - set(allowed or words):
            raise ValueError(f"rule {entry['id']}: {column} is never {sorted(strange)}")
    return Rule(
        str(entry["id"]), str(entry["meaning"]), str(entry["reference"]), conditions, str(entry["action"])
    )
