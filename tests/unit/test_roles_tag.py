"""Who is who under a policy, which path the mail is on, and which of the four cases it is."""

from __future__ import annotations

import pytest

from op25b_pcap.opinion import opinion
from op25b_pcap.policy import Policy
from tests.rows import facts, flow, policy, session

HOME, NEIGHBOUR, STATIC = "203.0.113.5", "203.0.113.6", "203.0.113.250"
SMARTHOST, LOCAL_MX, MAILBOX, ROUTER = "192.0.2.25", "192.0.2.30", "192.0.2.110", "192.0.2.1"
STRANGER, FRIEND = "198.51.100.7", "198.51.100.200"


def tagged(
    *flows: dict, sessions: list[dict] = (), mails: list[dict] = (), by: Policy | None = None
) -> list[dict]:
    judged, _ = opinion(facts(list(flows), sessions, mails), by or policy())
    return list(judged.facts.flows.to_dict("records"))


PATHS = [
    (HOME, SMARTHOST, 25, "dynamic", "smarthost", "policy", "outbound", "smarthost"),
    (HOME, SMARTHOST, 587, "dynamic", "smarthost", "policy", "outbound", "smarthost"),
    (HOME, SMARTHOST, 465, "dynamic", "smarthost", "policy", "outbound", "smarthost"),
    (STRANGER, SMARTHOST, 587, "unknown", "smarthost", "policy", "inbound", "smarthost"),
    (HOME, STRANGER, 25, "dynamic", "mx", "assumed", "outbound", "direct_to_mx"),
    ("2001:db8:100::9", "2001:db8:f::1", 25, "dynamic", "mx", "assumed", "outbound", "direct_to_mx"),
    (HOME, FRIEND, 25, "dynamic", "third_party_relay", "policy", "outbound", "third_party_relay"),
    (HOME, FRIEND, 587, "dynamic", "submission_server", "policy", "outbound", "submission"),
    (HOME, STRANGER, 465, "dynamic", "submission_server", "port", "outbound", "submission"),
    (HOME, STRANGER, 2525, "dynamic", "submission_server", "port", "outbound", "submission"),
    (HOME, MAILBOX, 110, "dynamic", "mailbox_server", "policy", "outbound", "retrieval"),
    (HOME, STRANGER, 993, "dynamic", "mailbox_server", "port", "outbound", "retrieval"),
    (HOME, FRIEND, 143, "dynamic", "mailbox_server", "policy", "outbound", "retrieval"),
    (HOME, LOCAL_MX, 25, "dynamic", "local_mx", "policy", "outbound", "local_mx"),
    (HOME, MAILBOX, 25, "dynamic", "mailbox_server", "policy", "outbound", "local_mx"),
    (HOME, NEIGHBOUR, 25, "dynamic", "dynamic", "policy", "internal", "internal"),
    (HOME, NEIGHBOUR, 587, "dynamic", "dynamic", "policy", "internal", "submission"),
    (STRANGER, HOME, 25, "unknown", "dynamic", "policy", "inbound", "inbound_smtp"),
    (STRANGER, STATIC, 25, "unknown", "static", "policy", "inbound", "inbound_smtp"),
    (STATIC, STRANGER, 25, "static", "mx", "assumed", "outbound", "server_to_server"),
    (STATIC, LOCAL_MX, 25, "static", "local_mx", "policy", "outbound", "server_to_server"),
    (SMARTHOST, STRANGER, 25, "smarthost", "mx", "assumed", "outbound", "server_to_server"),
    (STRANGER, LOCAL_MX, 25, "unknown", "local_mx", "policy", "inbound", "server_to_server"),
    (SMARTHOST, LOCAL_MX, 25, "smarthost", "local_mx", "policy", "internal", "server_to_server"),
    (ROUTER, STRANGER, 25, "router", "mx", "assumed", "outbound", "server_to_server"),
    (STRANGER, "198.51.100.8", 25, "unknown", "mx", "assumed", "transit", "transit"),
    (STRANGER, "198.51.100.8", 587, "unknown", "submission_server", "port", "transit", "transit"),
    ("192.168.0.2", STRANGER, 25, "dynamic", "mx", "assumed", "outbound", "direct_to_mx"),
]


def test_to_submit_at_another_server_of_the_provider_is_none_of_the_cases():
    rows = tagged(*(flow(HOME, dst, 587) for dst in (FRIEND, LOCAL_MX, MAILBOX, ROUTER)))
    assert [row["op25b_case"] for row in rows] == [4, None, None, None]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path[0]}>{path[1]}:{path[2]}")
def test_each_path_of_mail(path):
    src, dst, port, *expected = path
    (row,) = tagged(flow(src, dst, port))
    names = ("src_role", "dst_role", "dst_role_evidence", "direction", "traffic_class")
    assert [row[name] for name in names] == expected


def test_who_pays_for_a_tunnel_is_the_subscriber():
    inner = flow("198.51.100.77", STRANGER, outer_src_ip="2001:db8:110::1", encapsulation="ipip6")
    assert tagged(inner)[0]["src_role"] == "dynamic"


def test_dns_makes_an_exchanger():
    (row,) = tagged(flow(HOME, STRANGER, dst_mx_of=["example.com"]))
    assert (row["dst_role"], row["dst_role_evidence"]) == ("mx", "dns_mx")


def test_the_policy_outweighs_dns():
    (row,) = tagged(flow(HOME, FRIEND, dst_mx_of=["friend.example.org"]))
    assert (row["dst_role"], row["dst_role_evidence"]) == ("third_party_relay", "policy")


def test_a_listed_exchanger_elsewhere():
    (row,) = tagged(flow(HOME, STRANGER), by=policy(mx=[STRANGER]))
    assert (row["dst_role"], row["dst_role_evidence"]) == ("mx", "policy")


def test_whoever_logs_in_on_port_25_submits_mail():
    silent, talking = flow(HOME, STRANGER, outcome="no_answer"), flow(NEIGHBOUR, STRANGER)
    logged_in = session(talking, auth_mechanism="PLAIN", auth_offered=["PLAIN"])
    for row in tagged(silent, talking, sessions=[logged_in]):
        assert (row["dst_role"], row["dst_role_evidence"]) == ("third_party_relay", "dialogue")


def test_an_exchanger_that_also_offers_auth_stays_one():
    row = flow(HOME, STRANGER, dst_mx_of=["example.com"])
    (found,) = tagged(row, sessions=[session(row, auth_offered=["PLAIN"])])
    assert (found["dst_role"], found["dst_role_evidence"]) == ("mx", "dns_mx")


def test_a_host_where_the_same_subscriber_reads_mail_is_a_relay():
    reading, sending = flow(HOME, STRANGER, 143), flow(HOME, STRANGER, 25, "no_answer")
    other = flow(NEIGHBOUR, STRANGER, 25, "no_answer")
    rows = tagged(reading, sending, other)
    assert [(row["dst_role"], row["dst_role_evidence"]) for row in rows] == [
        ("mailbox_server", "port"),
        ("third_party_relay", "behaviour"),
        ("mx", "assumed"),
    ]


def test_a_greeting_that_says_exchanger():
    row = flow(HOME, STRANGER)
    (found,) = tagged(row, sessions=[session(row, banner_text="mx1.example.com ESMTP")])
    assert (found["dst_role"], found["dst_role_evidence"]) == ("mx", "dialogue")


@pytest.mark.parametrize(
    ("said", "role"),
    [
        ({"auth_offered": ["PLAIN"]}, "third_party_relay"),
        ({"auth_offered": ["PLAIN"], "banner_text": "mx1.example.com ESMTP"}, "mx"),
        ({"auth_mechanism": "PLAIN", "banner_text": "mx1.example.com ESMTP"}, "third_party_relay"),
    ],
)
def test_to_offer_a_login_is_less_than_to_call_oneself_an_exchanger(said, role):
    row = flow(HOME, STRANGER)
    (found,) = tagged(row, sessions=[session(row, **said)])
    assert (found["dst_role"], found["dst_role_evidence"]) == (role, "dialogue")


def test_an_opener_that_dns_calls_an_exchanger():
    rows = tagged(flow(HOME, STRANGER, dst_mx_of=["example.com"]), flow(STRANGER, HOME))
    assert rows[1]["src_role"] == "mx"


def case(
    port: int, dst: str, src: str = HOME, kind: str = "unknown", traces: int | None = None
) -> int | None:
    row = flow(src, dst, port)
    mail = {"flow_id": row["flow_id"], "transaction_index": 1, "received_headers": traces}
    value = tagged(row, sessions=[session(row, client_kind=kind)], mails=[mail])[0]["op25b_case"]
    return None if value is None or value != value else value


def test_the_four_cases():
    assert case(25, SMARTHOST, kind="mua") == 1
    assert case(25, SMARTHOST, kind="mta") == 2
    assert case(25, SMARTHOST, traces=0) == 1
    assert case(25, SMARTHOST, kind="mta", traces=0) == 2
    assert case(587, SMARTHOST) is None  # hidden by TLS: a person or a home server
    assert case(25, STRANGER) == 3
    assert case(25, FRIEND) == 4
    assert case(587, FRIEND) == 4
    assert case(143, FRIEND) is None
    assert case(25, STRANGER, src=STATIC) is None
    assert case(25, HOME, src=STRANGER) is None


def test_no_row_is_added_dropped_or_moved():
    flows = [flow(HOME, STRANGER), flow(STRANGER, HOME), flow(HOME, SMARTHOST, 587)]
    assert [row["flow_id"] for row in tagged(*flows)] == [row["flow_id"] for row in flows]
    assert tagged() == []
