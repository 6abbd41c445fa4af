"""How the columns are held, verdicts by kinds of rows, and shards: none of it changes a verdict."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from op25b_pcap.facts import Facts
from op25b_pcap.opinion import counts, judging, opinion
from op25b_pcap.roles import tag as tagging
from op25b_pcap.rules import judge as ruling
from op25b_pcap.tables import FLOWS, SUBSCRIBERS
from op25b_pcap.tables.columns import Kinds
from op25b_pcap.tables.meeting import InTurn, met
from tests.rows import facts, flow, mail, policy, session

SOURCES = ("203.0.113.5", "203.0.113.6", "203.0.113.250", "192.0.2.25", "192.168.0.9", "2001:db8:100::5")
CALLED = ("198.51.100.7", "198.51.100.8", "198.51.100.200", "192.0.2.25", "192.0.2.30", "2001:db8:f::7")
OUTCOMES = ("connected", "no_answer", "refused", "prohibited", "unreachable", "half_open", "midstream", None)
ATTEMPT = st.builds(
    lambda src, dst, port, outcome, ttl, syns, router, mx: flow(
        src,
        dst,
        port,
        outcome,
        rst_ttl=ttl if outcome == "refused" else None,
        syn_packets=syns,
        icmp_type=3 if outcome in ("prohibited", "unreachable") else None,
        icmp_from=router if outcome in ("prohibited", "unreachable") else None,
        dst_mx_of=["example.com"] if mx else [],
        dst_names=["mx.example.com"] if mx else [],
    ),
    st.sampled_from(SOURCES),
    st.sampled_from(CALLED),
    st.sampled_from((25, 587, 110)),
    st.sampled_from(OUTCOMES),
    st.sampled_from((52, 60)),
    st.integers(1, 2),
    st.sampled_from(("192.0.2.1", "198.51.100.1", "198.51.100.7")),
    st.booleans(),
)
SAID = st.fixed_dictionaries(
    {
        "banner_text": st.sampled_from((None, "mx.example.com ESMTP", "smtp.isp.example.net ESMTP")),
        "auth_mechanism": st.sampled_from((None, "PLAIN")),
        "client_kind": st.sampled_from(("mua", "mta", "bot", "unknown")),
        "messages_accepted": st.integers(0, 1),
        "transactions": st.integers(0, 1),
        "result": st.sampled_from(("delivered", "aborted")),
    }
)
TO = st.sampled_from((None, "bob@example.com", "ann@elsewhere.example"))
CAPTURE = st.lists(st.tuples(ATTEMPT, SAID, TO), max_size=12)


def encoded(frame: pd.DataFrame) -> pd.DataFrame:
    """The same frame with all text that may be repeated in Arrow's dictionary encoding."""
    columns = {}
    for name in frame:
        array = frame[name].array.__arrow_array__()
        if pa.types.is_string(array.type) and name not in ("flow_id", "community_id"):
            array = array.dictionary_encode()
        columns[name] = pd.Series(array, dtype=pd.ArrowDtype(array.type))
    return pd.DataFrame(columns)


def facts_of(rows: list) -> Facts:
    smtp = [(row, said, to) for row, said, to in rows if row["service"] != "pop3"]
    shared = ("flow_id", "start_time", "src_ip", "src_port", "dst_ip", "dst_port", "service")
    logins = [{name: row[name] for name in shared} for row, *_ in rows if row["service"] == "pop3"]
    return facts(
        [row for row, *_ in rows],
        [session(row, **said) for row, said, _ in smtp],
        [mail(row, to) for row, _, to in smtp if to],
        [login | {"auth_succeeded": True, "anomalies": []} for login in logins],
    )


def results(rows: list, point: str | None, *, as_dictionaries: bool = False) -> list[list[dict]]:
    """All tables that the two stages and the counting make; without a point a policy is assumed."""
    shown = facts_of(rows)
    if as_dictionaries:
        shown = replace(shown, flows=encoded(shown.flows), smtp_sessions=encoded(shown.smtp_sessions))
    judged, known = opinion(shown, policy(point) if point else None)
    counted = counts(known).values()
    return [FLOWS.arrow(judged.facts.flows).to_pylist(), *(frame.to_dict("records") for frame in counted)]


@settings(max_examples=50)
@given(CAPTURE, st.sampled_from(("inside", "outside", "unknown", None)))
def test_a_verdict_for_each_kind_is_the_verdict_for_each_row(rows, point):
    by_kinds = results(rows, point)
    with pytest.MonkeyPatch.context() as patch:
        for stage in (tagging, ruling):
            patch.setattr(stage, "alike", lambda count, _: Kinds(np.arange(count), np.arange(count)))
        assert results(rows, point) == by_kinds


@settings(max_examples=50)
@given(CAPTURE, st.sampled_from(("inside", "unknown", None)))
def test_plain_text_and_dictionaries_say_the_same(rows, point):
    assert results(rows, point) == results(rows, point, as_dictionaries=True)


@settings(max_examples=100)
@given(
    CAPTURE,
    st.sets(st.integers(0, 12), max_size=4),
    st.sampled_from(("inside", "outside", "unknown", None)),
    st.booleans(),
)
def test_shards_of_any_size_are_judged_as_all_at_once(rows, cuts, point, waiting):
    by = policy(point) if point else None
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    shown = [facts_of(rows[begin:end]) for begin, end in pairwise(edges)] or [facts_of([])]
    ways = [partial(judging, lambda known=known: known, by) for known in shown]
    walks = InTurn(ways, may_wait=lambda: waiting)
    shards, known = met(walks)
    found = [row for judged in shards for row in FLOWS.arrow(judged.facts.flows).to_pylist()]
    counted = [frame.to_dict("records") for frame in counts(known).values()]
    assert [found, *counted] == results(rows, point)


@settings(max_examples=50)
@given(CAPTURE)
def test_each_attempt_is_counted_once(rows):
    flows, counted, summed, timed = results(rows, "inside")
    for table in (counted, summed, timed):
        assert sum(row["flows"] for row in table) == len(flows)
    assert [row["subscriber_key"] for row in counted] == [
        row["subscriber_key"]
        for row in sorted(counted, key=lambda row: (-row["recipients"], -row["flows"], row["subscriber_key"]))
    ]
    assert set(counted[0] if counted else SUBSCRIBERS.names) == set(SUBSCRIBERS.names)
