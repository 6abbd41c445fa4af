"""Rules and evidence are data: complete, unambiguous, and no order among them matters."""

from __future__ import annotations

import pytest

from op25b_pcap.rules import catalogue, judge
from op25b_pcap.rules.catalogue import rules
from op25b_pcap.rules.evidence import meanings
from op25b_pcap.tables.flows import TRAFFIC_CLASSES
from tests.rows import flow, judged, policy

HOME, MX = "203.0.113.5", "198.51.100.7"
ENTRY = {"id": "X", "meaning": "m", "reference": "r", "when": {"traffic_class": "transit"}, "action": "block"}


def test_every_traffic_class_is_under_exactly_one_rule():
    covered = [word for rule in rules() for word in rule.when["traffic_class"]]
    assert sorted(covered) == sorted(TRAFFIC_CLASSES)


def test_every_rule_says_what_it_means_and_why():
    assert all(rule.meaning.endswith(".") and rule.reference for rule in rules())


@pytest.mark.parametrize(
    "change",
    [
        {"action": "deny"},
        {"when": {"traffic_class": "spam"}},
        {"when": "traffic_class"},
        {"comment": "x"},
    ],
)
def test_an_unsound_rule_is_refused(change):
    with pytest.raises(ValueError, match="rule X"):
        catalogue._rule(ENTRY | change)


def test_a_rule_speaks_of_columns_that_there_are():
    with pytest.raises(KeyError, match="colour"):
        catalogue._rule(ENTRY | {"when": {"colour": "red"}})


def test_block_outweighs_allow_in_whatever_order(monkeypatch):
    narrow = catalogue._rule(
        ENTRY | {"id": "Y", "when": {"dst_role": "mx", "ip_version": [4]}, "action": "allow"}
    )
    for found in ((*rules(), narrow), (narrow, *rules())):
        monkeypatch.setattr(judge, "rules", lambda found=found: found)
        (row,) = judged([flow(HOME, MX)], policy())
        assert (row["policy_action"], row["rule_ids"]) == ("block", ["OP25B-004"])


def test_every_fact_that_may_be_named_has_a_meaning():
    flows = [flow(HOME, MX), flow(HOME, MX, outcome="no_answer"), flow(HOME, MX, 110)]
    named = {fact.partition(":")[0] for row in judged(flows, policy()) for fact in row["evidence"]}
    assert named <= set(meanings())
