"""The rules stage: what the policy says to each attempt, what became of it, and how we know.

In: flows with roles, the sessions, the policy. Out: the same rows with action, rules, finding,
confidence and evidence. What is unknown never turns into compliance: it is `inconclusive`,
and the evidence names what was missing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from op25b_pcap.policy import Policy
from op25b_pcap.policy.networks import Ends
from op25b_pcap.rules import identity, manners, stopping
from op25b_pcap.rules.catalogue import PRECEDENCE, rules
from op25b_pcap.rules.evidence import listed
from op25b_pcap.rules.places import is_inside
from op25b_pcap.rules.scene import Scene, scene
from op25b_pcap.tables.columns import (
    Coded,
    Flags,
    Indices,
    alike,
    coded,
    first_that_holds,
    held,
    of_lists,
    of_words,
)
from op25b_pcap.tables.everywhere import Everywhere, Way, abreast

Facts = dict[str, Flags | Coded]
Holds = dict[str, Flags]


class _Wire(NamedTuple):
    """What the finding depends on beside the facts, for each flow."""

    blocked: Flags
    allowed: Flags
    connected: Flags
    half_open: Flags
    stopped: Flags
    spoken: Flags
    """Anything was said: a handshake alone may be a box's, and nothing came of it."""
    carried_data: Flags
    """A connection whose beginning was not seen, but that carried octets both ways."""
    answered: Flags
    """Both sides were seen, and the called host said something."""
    submission: Flags
    from_static: Flags

    @property
    def went_on(self) -> Flags:
        """The attempt got through."""
        return self.connected | self.carried_data

    def of(self, rows: Indices) -> _Wire:
        """The same of some flows."""
        return _Wire(*(column[rows] for column in self))


def judge(
    flows: pd.DataFrame,
    smtp_sessions: pd.DataFrame,
    retrieval_sessions: pd.DataFrame,
    policy: Policy,
    ends: Ends,
    everywhere: Everywhere,
) -> Way[pd.DataFrame]:
    """`flows` with its rule columns; no row is added, dropped or moved."""
    action, rule_ids = _ruled(flows, policy)
    seen = scene(flows, smtp_sessions, retrieval_sessions, action, policy, ends, everywhere)
    found = yield from abreast(manners.facts(seen), identity.facts(seen), stopping.facts(seen), _places(seen))
    of_all: Facts = {name: fact for facts in found for name, fact in facts.items()}
    shown = _wire(seen)
    kinds = alike(len(flows), [*shown, *of_all.values()])
    wire = shown.of(kinds.examples)
    facts = {name: fact[kinds.examples] for name, fact in of_all.items()}
    holds = {name: held(fact) for name, fact in facts.items()}
    finding = _finding(wire, holds)
    confidence = _confidence(wire, finding, holds)
    disrupted = finding.is_in("disrupted")
    facts["submission_stopped"] = disrupted & wire.submission & ~holds["icmp_no_way"]
    facts["refused_in_smtp"] = holds["refused_in_smtp"] & ~finding.is_in("intercepted")
    facts["static_customer_stopped"] = disrupted & wire.from_static
    return flows.assign(
        policy_action=of_words(action, flows.index),
        rule_ids=rule_ids,
        finding=kinds.told(of_words(finding), flows.index),
        confidence=kinds.told(of_words(confidence), flows.index),
        evidence=kinds.told(listed(facts), flows.index),
    )


def _ruled(flows: pd.DataFrame, policy: Policy) -> tuple[Coded, pd.Series]:
    """The action for each flow, and the ids of the rules that it is under."""
    found = rules()
    columns = {
        name: coded(flows[name]) for name in ("traffic_class", *(n for rule in found for n in rule.when))
    }
    kinds = alike(len(flows), columns.values())
    columns = {name: column[kinds.examples] for name, column in columns.items()}
    count = len(kinds.examples)
    under = {
        rule.id: np.logical_and.reduce(
            [np.ones(count, dtype=bool), *(columns[name].is_in(*words) for name, words in rule.when.items())]
        )
        for rule in found
    }
    overrides = {name: columns["traffic_class"].is_in(name) for name in policy.actions}
    decided = first_that_holds(
        count,
        *((overrides[name], action) for name, action in policy.actions.items()),
        *((under[rule.id], rule.action) for action in PRECEDENCE for rule in found if rule.action == action),
        otherwise="none",
    )
    overridden = np.logical_or.reduce([np.zeros(count, dtype=bool), *overrides.values()])
    ids: Facts = {rule.id: under[rule.id] & decided.is_in(rule.action) & ~overridden for rule in found}
    ids |= {f"policy:actions.{name}": holds for name, holds in overrides.items()}
    return decided[kinds.codes], kinds.told(of_lists(ids), flows.index)


def _wire(seen: Scene) -> _Wire:
    src_data, dst_data = seen.carried("src_bytes", "D"), seen.carried("dst_bytes", "d")
    both_seen = (seen.number("src_packets") > 0) & (seen.number("dst_packets") > 0)
    return _Wire(
        seen.blocked,
        seen.allowed,
        seen.connected,
        seen.has("outcome", "half_open"),
        seen.has("outcome", "no_answer", "refused", "prohibited", "unreachable"),
        seen.spoken,
        seen.has("outcome", "midstream") & src_data & dst_data,
        both_seen & dst_data,
        seen.has("traffic_class", "submission"),
        seen.has("src_role", "static"),
    )


def _places(seen: Scene) -> Way[Facts]:
    """Facts that follow from where the capture was taken, and from what is missing."""
    inside = yield from is_inside(seen)
    inferred = inside is True and seen.policy.observation_point == "unknown"
    # What a firewall stopped had reached the filter, and not its far side.
    unfiltered = seen.blocked & ~seen.filter_stopped
    stopped = ~seen.connected & unfiltered
    return {
        "syn_beyond_filter": unfiltered & seen.has("initiator_evidence", "syn") & (inside is False),
        "observed_inside": stopped & inferred,
        "observation_point_unknown": stopped & (inside is None),
        "roles_unknown": seen.has("traffic_class", "unknown"),
        "policy_assumed": np.full(len(seen.flows), seen.policy.assumed),
    }


def _finding(wire: _Wire, fact: Holds) -> Coded:
    """Action and outcome together: the first line that holds.

    A blocked attempt that only the addressee itself can have turned away has passed the filter.
    """
    blocked, allowed = wire.blocked, wire.allowed
    posed = (
        fact["smarthost_name_elsewhere"]
        | fact["one_name_at_many_addresses"]
        | fact["foreign_name_and_nearer"]
        | fact["nearer_and_sooner"]
    )
    cut = _cut(fact)
    reached = fact["icmp_from_addressee"] | fact["rst_fits_addressee"] | wire.half_open
    proof_of_filter = _stopped_by_network(fact) | _silenced(fact)
    stopped = (wire.stopped & ~fact["undecided_answer"]) | fact["filter_said_so"]
    undecided = fact["capture_ended"] | fact["icmp_time_exceeded"] | fact["icmp_quote_unsure"]
    return first_that_holds(
        len(blocked),
        (fact["roles_unknown"], "inconclusive"),
        (~blocked & ~allowed, "out_of_scope"),
        (blocked & wire.went_on & posed, "intercepted"),
        (blocked & cut & ~fact["syn_beyond_filter"], "blocked"),
        (blocked & (wire.went_on | fact["syn_beyond_filter"] | reached), "leak"),
        (blocked & undecided, "inconclusive"),
        (blocked & stopped & fact["observation_point_unknown"] & ~proof_of_filter, "inconclusive"),
        (blocked & stopped, "blocked"),
        (allowed & (cut | fact["icmp_no_way"]), "disrupted"),
        (allowed & wire.went_on & wire.spoken & ~fact["said_in_vain"], "allowed"),
        (allowed & _stopped_by_network(fact), "disrupted"),
        (allowed & fact["silence"] & fact["addressee_answers_others"] & ~fact["capture_ended"], "disrupted"),
        otherwise="inconclusive",
    )


def _stopped_by_network(fact: Holds) -> Flags:
    """Somebody on the way answered in the addressee's place, or said that it may not be.

    A firewall's rule is believed by its name, which some bear that only log: that is no proof.
    """
    told = (fact["icmp_prohibited"] & ~fact["icmp_from_addressee"]) | fact["icmp_from_own_router"]
    told |= fact["filter_said_so"] | fact["icmp_too_fast"]
    return told | fact["rst_ttl_differs"] | fact["rst_too_fast"] | fact["rst_alike_for_many"]


def _cut(fact: Holds) -> Flags:
    """A connection that somebody on the way ended."""
    return fact["cut_by_nearer_rst"] | fact["cut_by_icmp"]


def _silenced(fact: Holds) -> Flags:
    """A silence that is hardly the addressee's own."""
    return (
        fact["silence"]
        & ~fact["capture_ended"]
        & (fact["addressee_answers_others"] | fact["source_silent_on_25"] | fact["pool_silent_on_25"])
    )


def _confidence(wire: _Wire, finding: Coded, fact: Holds) -> Coded:
    """`proven` needs a fact that has no other explanation; nothing assumed proves anything."""
    went_on = wire.connected & wire.answered
    itself = went_on & fact["server_named_as_in_dns"] & ~fact["nearer_than_on_other_ports"]
    beyond = fact["syn_beyond_filter"] & ~fact["icmp_from_own_router"] & ~fact["in_tunnel"]
    beyond &= ~fact["outcome_not_logged"]  # a firewall that does not say what it did may be the filter
    by_own_router = fact["icmp_from_own_router"] | fact["cut_by_own_router"]
    proven = (
        (finding.is_in("leak") & (beyond | itself))
        | (finding.is_in("blocked", "disrupted") & by_own_router)
        | (finding.is_in("allowed") & went_on)
    )
    likely = finding.is_in("leak", "allowed", "intercepted", "disrupted") | (
        finding.is_in("blocked") & (_stopped_by_network(fact) | _silenced(fact) | _cut(fact))
    )
    certain = proven & ~fact["source_role_assumed"] & ~fact["policy_assumed"]
    return first_that_holds(
        len(finding), (certain, "proven"), (proven | likely, "likely"), otherwise="unknown"
    )
