"""The facts behind findings: their meanings, which are data, and how they become a column."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources

import numpy as np
import pandas as pd

from op25b_pcap.tables.columns import Coded, Flags, of_ragged


@lru_cache(maxsize=1)
def meanings() -> Mapping[str, str]:
    """What each fact means, by its name, in the order in which they are listed."""
    text = resources.files("op25b_pcap.rules").joinpath("evidence.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def listed(facts: Mapping[str, Flags | Coded], index: pd.Index) -> pd.Series:
    """The column `evidence`: for each row the names of the facts that hold.

    A fact is an array of booleans, or a column of texts that are null where it does not hold.
    Raises KeyError for a fact without a meaning.
    """
    if strange := facts.keys() - meanings().keys():
        raise KeyError(f"no meaning for the fact {sorted(strange)[0]}")
    names = [name for name in meanings() if name in facts]
    holds = np.column_stack([held(facts[name]) for name in names])
    _, found = np.nonzero(holds)
    texts: list[str] = list(names)
    for column, name in enumerate(names):
        fact = facts[name]
        if isinstance(fact, Coded):
            found[found == column] = fact.codes[holds[:, column]] + len(texts)
            texts += list(fact.values)
    return of_ragged(Coded(texts, found), holds.sum(axis=1), index)


def held(fact: Flags | Coded) -> Flags:
    """Whether a fact holds, for each row."""
    return ~fact.is_in(None) if isinstance(fact, Coded) else fact
