"""The rules stage: what the policy says to each attempt, what became of it, and how we know.

In: flows with roles, the sessions, the policy. Out: the same rows with action, rules, finding,
confidence and evidence. What is unknown never turns into compliance: it is `inconclusive`,
and the evidence names what was missing.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from op25b_pcap.policy import Policy
from op25b_pcap.rules import identity, manners, stopping
from op25b_pcap.rules.catalogue import PRECEDENCE, rules
from op25b_pcap.rules.evidence import held, listed
from op25b_pcap.rules.places import is_inside
from op25b_pcap.rules.scene import Scene, scene
from op25b_pcap.tables.columns import Choice, Coded, Flags, coded, first_that_holds, of_lists, of_words


def judge(
    flows: pd.DataFrame, smtp_sessions: pd.DataFrame, retrieval_sessions: pd.DataFrame, policy: Policy
) -> pd.DataFrame:
    """`flows` with its rule columns; no row is added, dropped or moved."""
    action, rule_ids = _ruled(flows, policy)
    seen = scene(flows, smtp_sessions, retrieval_sessions, action, policy)
    facts: dict[str, Flags | Coded] = {
        **manners.facts(seen),
        **identity.facts(seen),
        **stopping.facts(seen),
    }
    facts |= _places(seen)
    holds = {name: held(fact) for name, fact in facts.items()}
    finding = _finding(seen, holds)
    confidence = _confidence(seen, finding, holds)
    disrupted = finding.is_in("disrupted")
    facts["submission_stopped"] = disrupted & seen.has("traffic_class", "submission")
    facts["static_customer_stopped"] = disrupted & seen.has("src_role", "static")
    return flows.assign(
        policy_action=of_words(action, flows.index),
        rule_ids=rule_ids,
        finding=of_words(finding, flows.index),
        confidence=of_words(confidence, flows.index),
        evidence=listed(facts, flows.index),
    )


def _ruled(flows: pd.DataFrame, policy: Policy) -> tuple[Coded, pd.Series]:
    """The action for each flow, and the ids of the rules that it is under."""
    rows, found = len(flows), rules()
    columns = {name: coded(flows[name]) for rule in found for name in rule.when}
    under = np.ones((rows, len(found)), dtype=bool)
    for number, rule in enumerate(found):
        for name, words in rule.when.items():
            under[:, number] &= columns[name].is_in(*words)
    overrides = {name: coded(flows["traffic_class"]).is_in(name) for name in policy.actions}
    by_action: list[Choice] = [
        (np.any(under[:, [rule.action == action for rule in found]], axis=1, keepdims=False), action)
        for action in PRECEDENCE
    ]
    by_policy = [(overrides[name], action) for name, action in policy.actions.items()]
    decided = first_that_holds(rows, *by_policy, *by_action, otherwise="none")
    for number, rule in enumerate(found):
        under[:, number] &= decided.is_in(rule.action)
    for overridden in overrides.values():
        under[overridden] = False
    under = np.column_stack([under, *overrides.values()])
    ids = [*(rule.id for rule in found), *(f"policy:actions.{name}" for name in overrides)]
    return decided, of_lists(under, ids, flows.index)


def _places(seen: Scene) -> dict[str, Flags | Coded]:
    """Facts that follow from where the capture was taken, and from what is missing."""
    inside = is_inside(seen)
    everywhere = np.ones(len(seen.flows), dtype=bool)
    inferred = inside is True and seen.policy.observation_point == "unknown"
    stopped = ~seen.connected & seen.blocked
    return {
        "syn_beyond_filter": seen.blocked & seen.has("initiator_evidence", "syn") & (inside is False),
        "observed_inside": stopped & inferred,
        "observation_point_unknown": stopped & (inside is None),
        "roles_unknown": seen.has("traffic_class", "unknown"),
        "policy_assumed": everywhere & seen.policy.assumed,
    }


def _finding(seen: Scene, fact: dict[str, Flags]) -> Coded:
    """Action and outcome together: the first line that holds.

    A blocked attempt that only the addressee itself can have turned away has passed the filter.
    """
    blocked, allowed = seen.blocked, seen.allowed
    went_on = seen.connected | _carried_data(seen)
    posed = (
        fact["smarthost_name_elsewhere"]
        | fact["one_name_at_many_addresses"]
        | fact["foreign_name_and_nearer"]
        | fact["nearer_and_sooner"]
    )
    reached = fact["icmp_from_addressee"] | fact["rst_fits_addressee"] | seen.has("outcome", "half_open")
    stopped = seen.has("outcome", "no_answer", "refused", "prohibited", "unreachable")
    proof_of_filter = _stopped_by_network(fact) | _silenced(fact)
    return first_that_holds(
        len(seen.flows),
        (fact["roles_unknown"], "inconclusive"),
        (~blocked & ~allowed, "out_of_scope"),
        (blocked & went_on & posed, "intercepted"),
        (blocked & (went_on | fact["syn_beyond_filter"] | reached), "leak"),
        (blocked & (fact["capture_ended"] | fact["icmp_time_exceeded"]), "inconclusive"),
        (blocked & stopped & fact["observation_point_unknown"] & ~proof_of_filter, "inconclusive"),
        (blocked & stopped, "blocked"),
        (allowed & went_on & _spoken(seen), "allowed"),
        (allowed & _stopped_by_network(fact), "disrupted"),
        (allowed & fact["silence"] & fact["addressee_answers_others"] & ~fact["capture_ended"], "disrupted"),
        otherwise="inconclusive",
    )


def _stopped_by_network(fact: dict[str, Flags]) -> Flags:
    """Somebody on the way answered in the addressee's place, or said that it may not be."""
    told = (fact["icmp_prohibited"] & ~fact["icmp_from_addressee"]) | fact["icmp_from_own_router"]
    return told | fact["rst_ttl_differs"] | fact["rst_too_fast"] | fact["rst_alike_for_many"]


def _silenced(fact: dict[str, Flags]) -> Flags:
    """A silence that is hardly the addressee's own."""
    return (
        fact["silence"]
        & ~fact["capture_ended"]
        & (fact["addressee_answers_others"] | fact["source_silent_on_25"] | fact["pool_silent_on_25"])
    )


def _spoken(seen: Scene) -> Flags:
    """Whether anything was said: a handshake alone may be a box's, and nothing came of it."""
    spoken: Flags = (seen.number("src_bytes") > 0) | (seen.number("dst_bytes") > 0)
    return spoken


def _carried_data(seen: Scene) -> Flags:
    """A connection whose beginning was not seen, but that carried octets both ways."""
    both = (seen.number("src_bytes") > 0) & (seen.number("dst_bytes") > 0)
    return seen.has("outcome", "midstream") & both


def _confidence(seen: Scene, finding: Coded, fact: dict[str, Flags]) -> Coded:
    """`proven` needs a fact that has no other explanation; nothing assumed proves anything."""
    both_seen = (seen.number("src_packets") > 0) & (seen.number("dst_packets") > 0)
    went_on = seen.connected & both_seen & (seen.number("dst_bytes") > 0)
    itself = went_on & fact["server_named_as_in_dns"] & ~fact["nearer_than_on_other_ports"]
    beyond = fact["syn_beyond_filter"] & ~fact["icmp_from_own_router"] & ~fact["in_tunnel"]
    proven = (
        (finding.is_in("leak") & (beyond | itself))
        | (finding.is_in("blocked") & fact["icmp_from_own_router"])
        | (finding.is_in("disrupted") & fact["icmp_from_own_router"])
        | (finding.is_in("allowed") & went_on)
    )
    likely = finding.is_in("leak", "allowed", "intercepted", "disrupted") | (
        finding.is_in("blocked") & (_stopped_by_network(fact) | _silenced(fact))
    )
    certain = proven & ~fact["source_role_assumed"] & (not seen.policy.assumed)
    return first_that_holds(
        len(finding), (certain, "proven"), (proven | likely, "likely"), otherwise="unknown"
    )
