"""The facts behind findings: their meanings, which are data, and how they become a column."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources

import pandas as pd

from op25b_pcap.tables.columns import Coded, Flags, of_lists


@lru_cache(maxsize=1)
def meanings() -> Mapping[str, str]:
    """What each fact means, by its name, in the order in which they are listed."""
    text = resources.files("op25b_pcap.rules").joinpath("evidence.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def listed(facts: Mapping[str, Flags | Coded]) -> pd.Series:
    """The column `evidence`: for each row the facts that hold, in the order of their meanings.

    Raises KeyError for a fact without a meaning.
    """
    if strange := facts.keys() - meanings().keys():
        raise KeyError(f"no meaning for the fact {sorted(strange)[0]}")
    return of_lists({name: facts[name] for name in meanings() if name in facts})
