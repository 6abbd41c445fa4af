"""Whom a subscriber resembles, and why."""

from __future__ import annotations

import pytest

from op25b_pcap.opinion import opinion
from op25b_pcap.reports.subscribers import subscribers
from tests.rows import SECOND, START, facts, flow, policy, session

HOME = "203.0.113.5"


def counted(flows: list[dict], sessions: list[dict] = ()) -> list[dict]:
    _, known = opinion(facts(flows, sessions), policy())
    return subscribers(known).to_dict("records")


def exchangers(count: int, apart_s: float = 60) -> list[dict]:
    return [
        flow(
            HOME,
            f"198.51.100.{n}",
            outcome="no_answer",
            start_time=START + round(n * apart_s * SECOND),
        )
        for n in range(1, count + 1)
    ]


def test_one_row_a_subscriber_by_recipients():
    other = flow("203.0.113.6", "198.51.100.1")
    said = session(other, recipients_accepted=2, recipients_rejected=5, messages_accepted=1)
    rows = counted([*exchangers(3), other], [said])
    assert [(row["subscriber_key"], row["recipients"], row["flows"]) for row in rows] == [
        ("203.0.113.6", 7, 1),
        (HOME, 0, 3),
    ]
    assert (rows[1]["blocked"], rows[1]["leaked"], rows[1]["distinct_mx"]) == (3, 0, 3)
    assert (rows[1]["intercepted"], rows[1]["disrupted"]) == (0, 0)


def test_one_fact_makes_no_bot():
    (row,) = counted(exchangers(6))
    assert (row["profile"], list(row["reasons"])) == ("unknown", [])


@pytest.mark.parametrize(
    ("flows", "reason"), [(exchangers(12, apart_s=1), "fast"), (exchangers(6, apart_s=3600), "recurs")]
)
def test_many_exchangers_and_haste_or_persistence_do(flows, reason):
    (row,) = counted(flows)
    assert (row["profile"], list(row["reasons"])) == ("bot_like", ["many_exchangers", reason])


def test_more_lookups_than_mails():
    flows = exchangers(6)
    (row,) = counted([row | {"src_mx_lookups": 9} for row in flows])
    assert (row["profile"], list(row["reasons"])) == ("bot_like", ["many_exchangers", "many_lookups"])


def test_invented_names_and_recipients_that_are_refused():
    rows = [flow(HOME, f"198.51.100.{n}") for n in (1, 2)]
    said = [session(row, helo=f"host{row['src_port']}.example.org", recipients_rejected=3) for row in rows]
    (row,) = counted(rows, said)
    assert (row["profile"], list(row["reasons"])) == ("bot_like", ["many_helo_names", "recipients_refused"])


def test_a_home_server_and_a_mail_client():
    relaying, fetching = flow(HOME, "192.0.2.25"), flow("203.0.113.6", "198.51.100.9", 143)
    rows = counted([relaying, fetching], [session(relaying, client_kind="mta")])
    assert {row["subscriber_key"]: row["profile"] for row in rows} == {
        HOME: "home_server_like",
        "203.0.113.6": "mail_client_like",
    }


def test_servers_have_no_profile():
    rows = [flow("192.0.2.25", f"198.51.100.{n}", start_time=START + n) for n in range(1, 20)]
    (row,) = counted(rows)
    assert (row["src_role"], row["profile"]) == ("smarthost", "unknown")
