"""Two report folders against each other: what changed, by finding, by role, by subscriber.

Where both are of the same captures (another policy, say), attempts are joined by `flow_id`, and
it is told which of them would fare otherwise, and whose working mail that would be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

_BY = ("finding", "traffic_class", "src_role", "dst_role", "subscriber_key")
_TURNED = ["policy_action", "finding"]
_IN_VAIN = ("rejected", "aborted", "no_dialogue")
"""Results of sessions that carried no mail."""
_BEFORE, _AFTER = "_before", "_after"

Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Comparison:
    """Three tables, each empty where nothing changed."""

    counts: pd.DataFrame
    """`by`, `value`, `before`, `after`, `change`: attempts counted in each folder."""
    moved: pd.DataFrame
    """Attempts of both folders whose action or finding changed, counted by how."""
    collateral: pd.DataFrame
    """`subscriber_key`, `dst_ip`, `service`, `flows`, `messages`: what works, was not blocked
    before, and is blocked now; most messages first."""


def compare(before: Tables, after: Tables) -> Comparison:
    """What is otherwise in `after`."""
    pairs = before["flows"].merge(
        after["flows"][["flow_id", *_TURNED]], on="flow_id", suffixes=(_BEFORE, _AFTER)
    )
    messages = after["smtp_sessions"][["flow_id", "messages_accepted", "result"]]
    pairs = pairs.merge(messages, on="flow_id", how="left")
    pairs["messages"] = pairs["messages_accepted"].fillna(0)
    return Comparison(_counts(before["flows"], after["flows"]), _moved(pairs), _collateral(pairs))


def _counts(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for by in _BY:
        counted = pd.DataFrame({"before": before[by].value_counts(), "after": after[by].value_counts()})
        counted = counted.fillna(0).astype("int64")
        counted["change"] = counted["after"] - counted["before"]
        changed = counted[counted["change"] != 0].rename_axis("value").reset_index()
        parts.append(changed.sort_values("value").assign(by=by.removesuffix("_key")))
    return pd.concat(parts, ignore_index=True)[["by", "value", "before", "after", "change"]]


def _moved(pairs: pd.DataFrame) -> pd.DataFrame:
    keys = [name + when for when in (_BEFORE, _AFTER) for name in _TURNED]
    otherwise = pd.Series(False, index=pairs.index)
    for name in _TURNED:
        otherwise |= (pairs[name + _BEFORE] != pairs[name + _AFTER]).astype(bool)
    return _counted(pairs[otherwise], ["traffic_class", "outcome", *keys])


def _collateral(pairs: pd.DataFrame) -> pd.DataFrame:
    works = (pairs["outcome"] == "connected") & ~pairs["result"].isin(_IN_VAIN)
    newly = (pairs["policy_action_before"] != "block") & (pairs["policy_action_after"] == "block")
    counted = _counted(pairs[(works & newly).astype(bool)], ["subscriber_key", "dst_ip", "service"])
    return counted.drop(columns="subscribers").sort_values(
        ["messages", "flows", "subscriber_key"], ascending=[False, False, True], ignore_index=True
    )


def _counted(flows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    return (
        flows.assign(payer=flows["subscriber_key"])
        .groupby(keys, sort=True, dropna=False)
        .agg(flows=("flow_id", "size"), subscribers=("payer", "nunique"), messages=("messages", "sum"))
        .reset_index()
    )
