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
from op25b_pcap.rules.evidence import listed
from op25b_pcap.rules.places import is_inside
from op25b_pcap.rules.scene import Scene, scene
from op25b_pcap.tables.columns import Flags, Words, first_that_holds, is_in, of_lists, of_words


def judge(
    flows: pd.DataFrame, smtp_sessions: pd.DataFrame, retrieval_sessions: pd.DataFrame, policy: Policy
) -> pd.DataFrame:
    """`flows` with its rule columns; no row is added, dropped or moved."""
    action, rule_ids = _ruled(flows, policy)
    seen = scene(flows, smtp_sessions, retrieval_sessions, action, policy)
    facts: dict[str, Flags | Words] = {
        **manners.facts(seen),
        **identity.facts(seen),
        **stopping.facts(seen),
    }
    facts |= _places(seen, facts)
    holds = {name: column.astype(bool) for name, column in facts.items()}
    finding = _finding(seen, holds)
    confidence = _confidence(seen, finding, holds)
    return flows.assign(
        policy_action=of_words(action, flows.index),
        rule_ids=rule_ids,
        finding=of_words(finding, flows.index),
        confidence=of_words(confidence, flows.index),
        evidence=listed(facts, flows.index),
    )


def _ruled(flows: pd.DataFrame, policy: Policy) -> tuple[Words, pd.Series]:
    """The action for each flow, and the ids of the rules that it is under."""
    rows = len(flows)
    traffic_class = flows["traffic_class"].to_numpy(object)
    actions = np.full((rows, len(rules())), "", dtype=object)
    for column, rule in enumerate(rules()):
        fits = np.ones(rows, dtype=bool)
        for name, words in rule.when.items():
            fits &= is_in(flows[name], words)
        actions[fits, column] = rule.action
    decided = np.full(rows, "none", dtype=object)
    for action in reversed(PRECEDENCE):
        decided[(actions == action).any(axis=1)] = action
    deciding = actions == decided[:, None]
    ids = [rule.id for rule in rules()]
    for name, action in policy.actions.items():
        overridden = traffic_class == name
        decided[overridden] = action
        deciding[overridden] = False
        deciding = np.column_stack([deciding, overridden])
        ids.append(f"policy:actions.{name}")
    return decided, of_lists(deciding, ids, flows.index)


def _places(seen: Scene, facts: dict[str, Flags | Words]) -> dict[str, Flags | Words]:
    """Facts that follow from where the capture was taken, and from what is missing."""
    inside = is_inside(seen)
    everywhere = np.ones(len(seen.flows), dtype=bool)
    syn = seen.has("initiator_evidence", "syn")
    inferred = inside is True and seen.policy.observation_point == "unknown"
    unknown = seen.has("traffic_class", "unknown")
    stopped = ~seen.connected & seen.blocked
    return {
        "syn_beyond_filter": seen.blocked & syn & (inside is False),
        "observed_inside": stopped & inferred,
        "observation_point_unknown": stopped & (inside is None),
        "roles_unknown": unknown,
        "policy_assumed": everywhere & seen.policy.assumed,
    }


def _finding(seen: Scene, fact: dict[str, Flags]) -> Words:
    """Action and outcome together: the first line that holds.

    A blocked attempt that only the addressee itself can have turned away has passed the filter.
    """
    blocked, allowed = seen.blocked, seen.action == "allow"
    went_on = seen.connected | _carried_data(seen)
    posed = (
        fact["smarthost_name_elsewhere"]
        | fact["one_name_at_many_addresses"]
        | fact["foreign_name_and_nearer"]
    )
    reached = fact["icmp_from_addressee"] | fact["rst_fits_addressee"] | seen.has("outcome", "half_open")
    stopped = seen.has("outcome", "no_answer", "refused", "prohibited", "unreachable")
    proof_of_filter = _stopped_by_network(fact) | _silenced(fact)
    return first_that_holds(
        len(seen.flows),
        (fact["roles_unknown"], "inconclusive"),
        (seen.action == "none", "out_of_scope"),
        (blocked & went_on & posed, "intercepted"),
        (blocked & (went_on | fact["syn_beyond_filter"] | reached), "leak"),
        (blocked & fact["capture_ended"], "inconclusive"),
        (blocked & stopped & fact["observation_point_unknown"] & ~proof_of_filter, "inconclusive"),
        (blocked & stopped, "blocked"),
        (allowed & went_on, "allowed"),
        (allowed & _stopped_by_network(fact), "disrupted"),
        (allowed & fact["silence"] & fact["addressee_answers_others"] & ~fact["capture_ended"], "disrupted"),
        otherwise="inconclusive",
    )


def _stopped_by_network(fact: dict[str, Flags]) -> Flags:
    """Somebody on the way answered in the addressee's place, or said that it may not be."""
    told = fact["icmp_prohibited"] & ~fact["icmp_from_addressee"]
    return told | fact["rst_ttl_differs"] | fact["rst_too_fast"] | fact["rst_alike_for_many"]


def _silenced(fact: dict[str, Flags]) -> Flags:
    """A silence that is hardly the addressee's own."""
    return (
        fact["silence"]
        & ~fact["capture_ended"]
        & (fact["addressee_answers_others"] | fact["source_silent_on_25"] | fact["pool_silent_on_25"])
    )


def _carried_data(seen: Scene) -> Flags:
    """A connection whose beginning was not seen, but that carried octets both ways."""
    both = (seen.number("src_bytes") > 0) & (seen.number("dst_bytes") > 0)
    return seen.has("outcome", "midstream") & both


def _confidence(seen: Scene, finding: Words, fact: dict[str, Flags]) -> Words:
    """`proven` needs a fact that has no other explanation; nothing assumed proves anything."""
    both_seen = (seen.number("src_packets") > 0) & (seen.number("dst_packets") > 0)
    went_on = seen.connected & both_seen
    proven = (
        ((finding == "leak") & (fact["syn_beyond_filter"] | (went_on & fact["server_named_as_in_dns"])))
        | ((finding == "blocked") & fact["icmp_from_own_router"])
        | ((finding == "disrupted") & fact["icmp_from_own_router"])
        | ((finding == "allowed") & went_on)
    )
    likely = np.isin(finding, ("leak", "allowed", "intercepted", "disrupted")) | (
        (finding == "blocked") & (_stopped_by_network(fact) | _silenced(fact))
    )
    certain = proven & (not seen.policy.assumed)
    return first_that_holds(
        len(finding), (certain, "proven"), (proven | likely, "likely"), otherwise="unknown"
    )
