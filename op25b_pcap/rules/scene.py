"""What evidence is drawn from: the flows and what was said in them, as columns of one length."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from op25b_pcap.policy import Policy
from op25b_pcap.tables.columns import Flags, Numbers, Words, is_in
from op25b_pcap.wire.services import SMTP_SERVICES

_SAID = (
    "banner_code",
    "banner_text",
    "starttls_offered",
    "auth_mechanism",
    "messages_accepted",
    "result",
)


@dataclass(frozen=True)
class Scene:
    """All flows at once, with the action that the rules gave them."""

    flows: pd.DataFrame
    said: pd.DataFrame
    """The SMTP session of each flow, in the order of `flows`; null where there is none."""
    retrieved: pd.DataFrame
    """`retrieval_sessions`."""
    action: Words
    policy: Policy

    def word(self, column: str) -> Words:
        """A text column of `flows`; null is empty."""
        words: Words = self.flows[column].fillna("").to_numpy(object)
        return words

    def number(self, column: str) -> Numbers:
        """A numeric column of `flows`; null is NaN."""
        numbers: Numbers = self.flows[column].to_numpy(np.float64, na_value=np.nan)
        return numbers

    def has(self, column: str, *words: str) -> Flags:
        """Whether the column holds one of the words."""
        return is_in(self.flows[column], words)

    def list_has(self, column: str, word: str) -> Flags:
        """Whether a list column contains the word."""
        lists = self.flows[column].reset_index(drop=True)
        holding = lists.explode() == word
        found: Flags = lists.index.isin(holding.index[holding.fillna(False)])
        return found

    @cached_property
    def blocked(self) -> Flags:
        """Flows that the policy blocks."""
        blocked: Flags = self.action == "block"
        return blocked

    @cached_property
    def connected(self) -> Flags:
        """Flows whose handshake was completed."""
        return self.has("outcome", "connected")

    @cached_property
    def smtp(self) -> Flags:
        """Flows on a port that speaks SMTP."""
        return self.has("service", *SMTP_SERVICES)

    def anywhere(self, keys: Words, holds: Flags) -> Flags:
        """Whether it holds for any flow with the same key."""
        return is_in(pd.Series(keys), set(keys[holds]))


def scene(
    flows: pd.DataFrame,
    smtp_sessions: pd.DataFrame,
    retrieval_sessions: pd.DataFrame,
    action: Words,
    policy: Policy,
) -> Scene:
    """Lay the tables side by side."""
    flows = flows.reset_index(drop=True)
    said = flows[["flow_id"]].merge(smtp_sessions[["flow_id", *_SAID]], on="flow_id", how="left")
    return Scene(flows, said, retrieval_sessions, action, policy)


def distinct(values: Words, of: Words, holds: Iterable[bool] | Flags) -> pd.Series:
    """How many different values each group has among the rows that hold."""
    frame = pd.DataFrame({"group": of, "value": values})[np.asarray(holds)]
    return frame.groupby("group")["value"].nunique()
