"""Without a policy: who is taken for a subscriber, and who for a smarthost."""

from __future__ import annotations

from op25b_pcap.opinion import opinion
from op25b_pcap.policy import Policy
from tests.rows import facts, flow, mail, session

HOME, OTHER = "203.0.113.5", "203.0.113.6"
RELAY, MX, MX2 = "192.0.2.25", "198.51.100.25", "198.51.100.26"


def drawn(flows: list[dict], sessions: list[dict] = (), mails: list[dict] = ()) -> Policy:
    judged, _ = opinion(facts(flows, sessions, mails), None)
    return judged.policy


def listed(policy: Policy, kind: str) -> list[str]:
    return sorted(str(prefix).removesuffix("/32") for prefix in policy.of(kind))


def test_private_sources_mean_the_inside_of_a_home():
    policy = drawn([flow("192.168.0.10", MX), flow("203.0.113.9", MX)])
    assert policy.assumed
    assert policy.observation_point == "inside"
    assert "192.168.0.0/16" in listed(policy, "dynamic")


def test_a_private_source_in_a_tunnel_makes_no_home():
    tunnelled = flow("192.168.1.2", MX, outer_src_ip="2001:db8:110::1")
    policy = drawn([tunnelled, flow(HOME, MX)])
    assert listed(policy, "dynamic") == ["192.168.1.2", HOME]


def test_else_the_openers_that_are_no_servers_to_others():
    policy = drawn([flow(HOME, RELAY), flow(OTHER, RELAY), flow(RELAY, MX)])
    assert policy.observation_point == "unknown"
    assert listed(policy, "dynamic") == [HOME, OTHER]


def test_a_home_server_that_is_called_by_an_exchanger_stays_a_subscriber():
    policy = drawn([flow(HOME, MX), flow(OTHER, MX), flow(MX, HOME)])
    assert listed(policy, "dynamic") == [HOME, OTHER]


def test_a_home_server_that_is_called_from_far_away_stays_a_subscriber_too():
    inbound = flow("198.51.100.40", HOME, src_ttl=47)
    assert listed(drawn([inbound, flow(HOME, RELAY)]), "dynamic") == [HOME]
    nearby = inbound | {"src_ttl": 62}
    assert listed(drawn([nearby, flow(HOME, RELAY)]), "dynamic") == ["198.51.100.40"]


def test_dns_tells_the_server_where_two_call_each_other():
    policy = drawn([flow(HOME, MX, dst_mx_of=["example.com"]), flow(MX, HOME)])
    assert listed(policy, "dynamic") == [HOME]


def test_a_call_that_failed_makes_no_server():
    policy = drawn([flow(HOME, OTHER, outcome="refused"), flow(OTHER, MX)])
    assert listed(policy, "dynamic") == [HOME, OTHER]


def test_who_takes_mail_for_a_domain_with_other_exchangers_is_a_relay():
    relayed, direct = flow(HOME, RELAY), flow(OTHER, MX, outcome="no_answer", dst_mx_of=["example.com"])
    policy = drawn([relayed, direct], [session(relayed)], [mail(relayed, "bob@example.com")])
    assert listed(policy, "smarthosts") == [RELAY]


def test_an_exchanger_that_takes_mail_for_its_own_domain_is_none():
    direct = flow(HOME, MX, dst_mx_of=["example.com"], dst_names=["mx.example.com"])
    policy = drawn([direct], [session(direct)], [mail(direct, "bob@example.com")])
    assert listed(policy, "smarthosts") == []


def test_an_exchanger_that_takes_mail_for_others_too_is_careless_and_no_relay_of_the_provider():
    direct, other = flow(HOME, MX, dst_mx_of=["example.com"]), flow(HOME, MX2, dst_mx_of=["example.org"])
    policy = drawn([direct, other], [session(direct)], [mail(direct, "bob@example.org")])
    assert listed(policy, "smarthosts") == []


def test_whoever_had_to_log_in_used_no_open_relay_of_the_provider():
    submitted, direct = flow(HOME, RELAY), flow(OTHER, MX, dst_mx_of=["example.com"])
    logged_in = session(submitted, auth_mechanism="PLAIN")
    policy = drawn([submitted, direct], [logged_in], [mail(submitted, "bob@example.com")])
    assert listed(policy, "smarthosts") == []


def test_a_host_looked_up_by_its_own_name_that_takes_a_strangers_mail():
    relayed = flow(HOME, RELAY, dst_names=["smtp.isp.example.net"])
    said = session(relayed, banner_text="smtp.isp.example.net ESMTP")
    assert listed(drawn([relayed], [said], [mail(relayed, "bob@example.com")]), "smarthosts") == [RELAY]
    assert listed(drawn([relayed], [said], [mail(relayed, "bob@isp.example.net")]), "smarthosts") == []


def test_a_host_that_several_use_and_that_delivers_to_several():
    clients = [flow(f"203.0.113.{n}", RELAY) for n in (1, 2, 3)]
    onward = [flow(RELAY, f"198.51.100.{n}") for n in (1, 2, 3)]
    assert listed(drawn(clients + onward), "smarthosts") == [RELAY]
    assert listed(drawn(clients + onward[:2]), "smarthosts") == []


def test_an_inferred_smarthost_is_marked_so():
    relayed, direct = flow(HOME, RELAY), flow(HOME, MX, dst_mx_of=["example.com"])
    known = facts([relayed, direct], [session(relayed)], [mail(relayed, "bob@example.com")])
    judged, _ = opinion(known, None)
    rows = judged.facts.flows.to_dict("records")
    assert (rows[0]["dst_role"], rows[0]["dst_role_evidence"]) == ("smarthost", "behaviour")
    assert rows[0]["traffic_class"] == "smarthost"
    assert rows[1]["traffic_class"] == "direct_to_mx"


def test_nothing_seen_nothing_assumed():
    assert listed(drawn([]), "dynamic") == []
