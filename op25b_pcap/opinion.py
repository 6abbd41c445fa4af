"""From facts to findings: roles, rules and counts, of all attempts or of shards of them.

What a shard is judged by are its own rows, and the answers of all shards to what they ask each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import pandas as pd
import pyarrow as pa

from op25b_pcap.facts import Facts
from op25b_pcap.policy import Policy
from op25b_pcap.reports.explain import tell_advice
from op25b_pcap.reports.run import tell_numbers
from op25b_pcap.reports.subscribers import subscribers, tell_subscribers
from op25b_pcap.reports.summary import summary, tell_summary, tell_timeline, timeline
from op25b_pcap.roles.assumed import assumed_policy
from op25b_pcap.roles.behaviour import conduct
from op25b_pcap.roles.dns import Answers, Said
from op25b_pcap.roles.exchangers import with_lookups, with_names
from op25b_pcap.roles.tag import tag
from op25b_pcap.rules.judge import judge
from op25b_pcap.rules.stopping import trips
from op25b_pcap.tables.columns import coded
from op25b_pcap.tables.everywhere import Everywhere, Known, Way
from op25b_pcap.tables.meeting import alone

FLOWS_OF_A_SHARD = 1 << 18
"""Attempts that are judged together where there are more, about: some 200 MB."""
Tables = dict[str, pd.DataFrame]


class Heard(NamedTuple):
    """What DNS said: of the addresses that were called, and how many domains' exchangers each client was
    told.
    """

    said: Said
    lookups: pa.Table


class Judged(NamedTuple):
    """Facts, of flows with roles and findings, and the policy behind them."""

    facts: Facts
    policy: Policy

    @property
    def tables(self) -> Tables:
        """The large tables."""
        return {name: getattr(self.facts, name) for name in Facts.__slots__}


def heard(answers: Answers, called: Callable[[], pa.Array]) -> Heard:
    """What DNS said of addresses that were called; which these are is asked if it said anything."""
    addresses = called() if answers.have_heard else pa.array([], pa.string())
    return Heard(answers.said(addresses), answers.lookups())


def called(facts: Facts) -> pa.Array:
    """The addresses that were called, each once."""
    return coded(facts.flows["dst_ip"]).present()


def with_dns(facts: Facts, heard: Heard) -> Facts:
    """The same with what DNS said of addresses."""
    return replace(facts, flows=with_lookups(with_names(facts.flows, heard.said), heard.lookups))


def opinion(facts: Facts, policy: Policy | None) -> tuple[Judged, Known]:
    """All facts judged at once, and what is to be counted. Without a policy one is assumed from them."""
    return alone(partial(judging, lambda: facts, policy), lambda judged: judged)


def judging(view: Callable[[], Facts], policy: Policy | None, everywhere: Everywhere) -> Way[Judged]:
    """The way of a shard, whose facts are read when it begins; what it counts it tells at its end."""
    facts = view()
    shown = conduct(facts.flows, facts.smtp_sessions, facts.smtp_transactions, everywhere)
    trips(facts.flows, everywhere)
    if policy is None:
        policy = yield from assumed_policy(facts.flows, facts.smtp_transactions, shown, everywhere)
    else:
        yield None
    tagged, ends = tag(facts.flows, shown, policy), shown.ends
    del shown
    flows = yield from judge(tagged, facts.smtp_sessions, facts.retrieval_sessions, policy, ends, everywhere)
    judged = Judged(replace(facts, flows=flows), policy)
    tell_subscribers(flows, facts.smtp_sessions, everywhere)
    tell_summary(flows, facts.smtp_sessions, everywhere)
    tell_timeline(flows, everywhere)
    tell_advice(flows, everywhere)
    tell_numbers(judged.tables, everywhere)
    return judged


def counts(known: Known) -> Tables:
    """The tables that count."""
    return {"subscribers": subscribers(known), "summary": summary(known), "timeline": timeline(known)}
