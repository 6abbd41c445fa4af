"""What evidence is drawn from: the flows and what was said in them, as columns of one length.

And all other flows, which are asked by the name of a question (`everywhere`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from op25b_pcap.policy import Policy
from op25b_pcap.policy.networks import Addresses, Ends, Networks
from op25b_pcap.tables.columns import (
    Coded,
    Flags,
    Numbers,
    beside,
    coded,
    flattened,
    numbers,
)
from op25b_pcap.tables.everywhere import Asked, Everywhere
from op25b_pcap.wire.services import SMTP_SERVICES

_SAID = (
    "banner_text",
    "starttls_offered",
    "tls",
    "auth_mechanism",
    "transactions",
    "messages_accepted",
    "result",
)


@dataclass(frozen=True)
class Scene:
    """Many flows at once, with the action that the rules gave them."""

    flows: pd.DataFrame
    said: pd.DataFrame
    """The SMTP session of each flow, in the order of `flows`; null where there is none."""
    retrieved: pd.DataFrame
    """`retrieval_sessions`."""
    blocked: Flags
    """Flows that the policy blocks."""
    allowed: Flags
    """Flows that it allows; to the rest it says nothing."""
    policy: Policy
    ends: Ends
    everywhere: Everywhere
    _words: dict[str, Coded] = field(default_factory=dict)

    def word(self, column: str) -> Coded:
        """A column of `flows` in which many rows have the same value."""
        if column not in self._words:
            self._words[column] = coded(self.flows[column])
        return self._words[column]

    def number(self, column: str) -> Numbers:
        """A numeric column of `flows`; null is NaN."""
        return numbers(self.flows[column])

    def has(self, column: str, *words: str | None) -> Flags:
        """Whether the column holds one of the words; None is null."""
        return self.word(column).is_in(*words)

    def list_has(self, column: str, *words: str) -> Flags:
        """Whether a list column contains one of the words."""
        rows, elements = flattened(self.flows[column])
        found = self.blocked & False
        found[rows[elements.is_in(*words)]] = True
        return found

    def same_server(self, name: str, holds: Flags) -> Asked:
        """Whether it holds for any flow to the same port of the same host."""
        return self.everywhere.any(name, holds, self.word("dst_ip"), self.word("dst_port"))

    @property
    def connected(self) -> Flags:
        """Flows whose handshake was completed."""
        return self.has("outcome", "connected")

    def carried(self, column: str, letter: str) -> Flags:
        """Whether a side sent octets; by its letter in `history` where a log does not count them."""
        octets = self.number(column)
        uncounted = np.isnan(octets)
        if not uncounted.any():
            return octets > 0
        history = self.word("history")
        return (octets > 0) | (uncounted & history.where([letter in (text or "") for text in history.values]))

    @cached_property
    def spoken(self) -> Flags:
        """Flows in which anything was said; where octets are not counted, a session may tell, too."""
        uncounted = np.isnan(self.number("src_bytes")) & np.isnan(self.number("dst_bytes"))
        told = uncounted & ~coded(self.said["result"]).is_in("no_dialogue", None)
        return self.carried("src_bytes", "D") | self.carried("dst_bytes", "d") | told

    @property
    def ended_in_vain(self) -> Flags:
        """Flows whose SMTP session came to nothing: no mail, no refusal, no TLS."""
        return coded(self.said["result"]).is_in("aborted", "no_dialogue")

    @cached_property
    def filter_stopped(self) -> Flags:
        """Flows of which a firewall logged a packet that it did not let pass."""
        return self.list_has("anomalies", "filter_dropped", "filter_rejected")

    @cached_property
    def icmp_is_own(self) -> Flags:
        """Flows whose ICMP error came from a router of the policy."""
        routers = Networks({"routers": self.policy.of("routers")})
        return routers.of(Addresses(self.word("icmp_from"))).within("routers")

    @property
    def smtp(self) -> Flags:
        """Flows on a port that speaks SMTP."""
        return self.has("service", *SMTP_SERVICES)


def scene(
    flows: pd.DataFrame,
    smtp_sessions: pd.DataFrame,
    retrieval_sessions: pd.DataFrame,
    action: Coded,
    policy: Policy,
    ends: Ends,
    everywhere: Everywhere,
) -> Scene:
    """Lay the tables side by side."""
    said = beside(flows, smtp_sessions, _SAID)
    blocked, allowed = action.is_in("block"), action.is_in("allow")
    return Scene(flows, said, retrieval_sessions, blocked, allowed, policy, ends, everywhere)
