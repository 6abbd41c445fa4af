"""What the policy says to each attempt, what became of it, and how sure that is."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from op25b_pcap.rules.stopping import tail_bound
from tests.rows import flow, judged, policy, session

HOME, OTHER, STATIC = "203.0.113.5", "203.0.113.6", "203.0.113.250"
SMARTHOST, LOCAL_MX, ROUTER = "192.0.2.25", "192.0.2.30", "192.0.2.1"
MX, FRIEND = "198.51.100.7", "198.51.100.200"
ICMP = {"icmp_type": 3, "icmp_code": 13}


def verdict(*flows: dict, by: object = None, **more: object) -> tuple[str, str, list[str]]:
    """Finding, confidence and evidence of the last flow."""
    row = judged(list(flows), by or policy(), **more)[-1]
    return row["finding"], row["confidence"], row["evidence"]


def finding(*flows: dict, **more: object) -> str:
    return verdict(*flows, **more)[0]


@pytest.mark.parametrize(
    ("attempt", "rule", "action", "found"),
    [
        (flow(HOME, SMARTHOST), "OP25B-001", "allow", "allowed"),
        (flow(HOME, MX, 587), "OP25B-002", "allow", "allowed"),
        (flow(HOME, MX, 993), "OP25B-003", "allow", "allowed"),
        (flow(HOME, MX), "OP25B-004", "block", "leak"),
        (flow(HOME, MX, outcome="no_answer"), "OP25B-004", "block", "blocked"),
        (flow(HOME, FRIEND), "OP25B-005", "block", "leak"),
        (flow(HOME, LOCAL_MX, outcome="no_answer"), "OP25B-006", "block", "blocked"),
        (flow(STATIC, MX), "OP25B-007", "allow", "allowed"),
        (flow(MX, HOME), "OP25B-008", "none", "out_of_scope"),
        (flow(HOME, OTHER), "OP25B-009", "none", "out_of_scope"),
        (flow(MX, "198.51.100.8"), "OP25B-010", "none", "out_of_scope"),
    ],
)
def test_each_rule(attempt, rule, action, found):
    (row,) = judged([attempt], policy())
    assert (row["rule_ids"], row["policy_action"], row["finding"]) == ([rule], action, found)


def test_the_policy_file_has_the_last_word():
    (row,) = judged([flow(HOME, OTHER)], policy(actions={"internal": "block"}))
    assert (row["policy_action"], row["rule_ids"]) == ("block", ["policy:actions.internal"])
    (row,) = judged([flow(HOME, MX)], policy(actions={"direct_to_mx": "allow"}))
    assert (row["policy_action"], row["finding"]) == ("allow", "allowed")


# The place of the capture


@pytest.mark.parametrize("outcome", ["no_answer", "refused", "prohibited", "half_open", "connected"])
def test_beyond_the_filter_the_syn_alone_is_a_leak(outcome):
    found = verdict(flow(HOME, MX, outcome=outcome), by=policy("outside"))
    assert found[:2] == ("leak", "proven")
    assert "syn_beyond_filter" in found[2]


def test_where_nobody_knows_the_side_silence_is_inconclusive():
    found = verdict(flow(HOME, MX, outcome="no_answer"), by=policy("unknown"))
    assert found[:2] == ("inconclusive", "unknown")
    assert "observation_point_unknown" in found[2]


def test_a_prohibition_proves_the_inside_for_others_too():
    told = flow(HOME, FRIEND, outcome="prohibited", icmp_from=ROUTER, **ICMP)
    found = verdict(told, flow(HOME, MX, outcome="no_answer"), by=policy("unknown"))
    assert found[0] == "blocked"
    assert "observed_inside" in found[2]


def test_a_subscribers_own_line_is_inside_of_every_filter():
    on_line = flow(HOME, MX, outcome="no_answer", subscriber_key="pppoe:17", encapsulation="pppoe:17")
    assert finding(on_line, by=policy("unknown")) == "blocked"


@pytest.mark.parametrize(("ttl", "found"), [(64, "blocked"), (128, "blocked"), (63, "inconclusive")])
def test_where_no_router_has_passed_it_on_no_filter_has(ttl, found):
    assert finding(flow(HOME, MX, outcome="no_answer", src_ttl=ttl), by=policy("unknown")) == found


def test_where_nobody_knows_the_side_what_got_through_is_a_leak_all_the_same():
    assert finding(flow(HOME, MX), by=policy("unknown")) == "leak"


# Who stopped it


def test_the_providers_own_router_is_proof():
    found = verdict(flow(HOME, MX, outcome="prohibited", icmp_from=ROUTER, **ICMP))
    assert found == ("blocked", "proven", ["icmp_prohibited", "icmp_from_own_router", "role_assumed"])


def test_a_quote_too_short_to_be_sure_proves_nothing():
    row = flow(HOME, MX, outcome="prohibited", icmp_from=ROUTER, anomalies=["icmp_quote_cut"], **ICMP)
    assert verdict(row) == ("blocked", "likely", ["icmp_prohibited", "role_assumed"])


def test_what_comes_back_and_decides_nothing_is_no_silence():
    for known in ({"dst_packets": 1}, {"icmp_type": 5, "icmp_code": 1}):
        found = verdict(flow(HOME, MX, outcome="no_answer", **known))
        assert found[0] == "inconclusive"
        assert "undecided_answer" in found[2]
        assert "silence" not in found[2]


def test_somebody_elses_router_is_likely_the_filter():
    found = verdict(flow(HOME, MX, outcome="prohibited", icmp_from="198.51.100.1", **ICMP))
    assert found[:2] == ("blocked", "likely")


def test_what_the_addressee_itself_prohibits_had_reached_it():
    found = verdict(flow(HOME, MX, outcome="prohibited", icmp_from=MX, **ICMP))
    assert found[:2] == ("leak", "likely")
    assert "icmp_from_addressee" in found[2]


@pytest.mark.parametrize(("type_", "src", "dst"), [(3, HOME, MX), (1, "2001:db8:100::5", "2001:db8:f::7")])
def test_how_nftables_rejects_by_default_is_proof_too_if_the_router_is_the_providers(type_, src, dst):
    port_unreachable = {"icmp_type": type_, "icmp_code": 3 if type_ == 3 else 4}
    by = policy(routers=[ROUTER, "2001:db8::1"])
    router = ROUTER if type_ == 3 else "2001:db8::1"
    own = flow(src, dst, outcome="unreachable", icmp_from=router, **port_unreachable)
    assert verdict(own, by=by)[:2] == ("blocked", "proven")
    submitted = flow(src, dst, 587, "unreachable", icmp_from=router, **port_unreachable)
    assert verdict(submitted, by=by)[:2] == ("disrupted", "proven")
    addressee = flow(src, dst, outcome="unreachable", icmp_from=dst, **port_unreachable)
    assert verdict(addressee, by=by)[:2] == ("leak", "likely")
    stranger = flow(src, dst, outcome="unreachable", icmp_from="198.51.100.1", **port_unreachable)
    assert verdict(stranger, by=by)[:2] == ("blocked", "unknown")


def test_too_many_hops_are_no_block():
    expired = flow(HOME, MX, outcome="unreachable", icmp_from=ROUTER, icmp_type=11, icmp_code=0)
    assert verdict(expired)[:2] == ("inconclusive", "unknown")


def test_a_strangers_prohibition_does_not_prove_the_side_for_others():
    told = flow(HOME, FRIEND, outcome="prohibited", icmp_from="198.51.100.1", **ICMP)
    assert finding(told, flow(HOME, MX, outcome="no_answer"), by=policy("unknown")) == "inconclusive"


def refused(dst: str = MX, ttl: int = 61, after_ms: float = 9.0, src: str = HOME, port: int = 25) -> dict:
    return flow(src, dst, port, "refused", rst_ttl=ttl, answer_ms=after_ms, conn_state="REJ")


def test_a_rst_from_another_distance_was_written_on_the_way():
    found = verdict(flow(HOME, MX, 587, handshake_rtt_ms=None), refused(ttl=61))
    assert found == ("blocked", "likely", ["rst_ttl_differs"])


def test_a_rst_that_took_as_long_as_the_addressee_is_not_the_providers():
    assert verdict(flow(HOME, MX, 587), refused(ttl=53, after_ms=9.0))[:2] == ("blocked", "unknown")


def test_a_rst_that_is_too_fast_was_written_on_the_way():
    found = verdict(flow(HOME, MX, 587), refused(ttl=52, after_ms=4.9))
    assert found[:2] == ("blocked", "likely")
    assert "rst_too_fast" in found[2]


def test_a_rst_like_the_addressees_other_packets_came_from_there():
    found = verdict(flow(HOME, MX, 587), refused(ttl=52, after_ms=9.0))
    assert found[:2] == ("leak", "likely")
    assert "rst_fits_addressee" in found[2]


def test_a_rst_that_can_be_compared_with_nothing():
    assert verdict(refused())[:2] == ("blocked", "unknown")


DISTANCES = [flow(HOME, f"198.51.100.{n}", 587, dst_ttl=40 + n) for n in range(10, 18)]


def test_many_addressees_equally_far_away():
    # Eight distances are known, no two alike: a share of (1 + 1) / (8 + 2) at most.
    many = [refused(f"198.18.{n}.1", ttl=64) for n in range(4)]
    assert verdict(*DISTANCES, *many[:1])[1] == "unknown"
    found = verdict(*DISTANCES, *many)
    assert found[:2] == ("blocked", "likely")
    assert "rst_alike_for_many:4/4,p<=0.008" in found[2]


def test_addressees_in_one_network_or_at_different_distances_say_nothing():
    neighbours = [refused(f"198.18.1.{n}", ttl=64) for n in range(1, 8)]
    assert verdict(*DISTANCES, *neighbours)[1] == "unknown"
    scattered = [refused(f"198.18.{n}.1", ttl=50 + n) for n in range(1, 8)]
    assert verdict(*DISTANCES, *scattered)[1] == "unknown"
    unknown = [refused(f"198.18.{n}.1", ttl=64) for n in range(1, 8)]
    assert verdict(*unknown)[1] == "unknown"


def test_addressees_at_distances_that_nobody_knows_are_not_equally_far_away():
    logged = [flow(HOME, f"198.18.{n}.1", outcome="refused", rst_ttl=None) for n in range(20)]
    assert verdict(*DISTANCES, *logged) == ("blocked", "unknown", ["role_assumed"])


def silent(dst: str = MX, src: str = HOME, **more: object) -> dict:
    return flow(src, dst, outcome="no_answer", **more)


def test_one_silence_proves_nothing():
    assert verdict(silent()) == ("blocked", "unknown", ["silence", "role_assumed"])


def test_a_capture_that_ends_at_once_has_not_missed_an_answer():
    ended = silent(syn_packets=1, watched_s=0.4)
    ended["end_time"] = ended["start_time"]
    assert verdict(ended)[:2] == ("inconclusive", "unknown")
    assert "capture_ended" in verdict(ended)[2]
    watched = ended | {"watched_s": 1.2}
    assert finding(watched) == "blocked"


def test_an_addressee_that_answers_others_is_not_dead():
    found = verdict(flow(STATIC, MX), silent())
    assert found[:2] == ("blocked", "likely")
    assert "addressee_answers_others" in found[2]


def test_many_silent_addressees_are_hardly_all_dead():
    # Nothing that is allowed is silent: 3 of 3 answered, so a share of (0 + 1) / (3 + 2) at most.
    alive = [flow(HOME, f"198.51.100.{n}", 587) for n in (101, 102, 103)]
    dead = [silent(f"198.51.100.{n}") for n in (1, 2)]
    found = verdict(*alive, *dead)
    assert found[:2] == ("blocked", "likely")
    assert "source_silent_on_25:2/2,p<=0.04" in found[2]
    assert "pool_silent_on_25:2/2,p<=0.04" in found[2]
    assert "source_answered_elsewhere" in found[2]


def test_nine_of_twelve_silent_is_hardly_chance_either():
    alive = [flow(HOME, f"198.51.100.{n}", 587) for n in (101, 102, 103)]
    through = [flow(HOME, f"198.51.100.{n}") for n in (1, 2, 3)]
    found = verdict(*alive, *through, *(silent(f"198.51.100.{n}") for n in range(4, 13)))
    assert found[:2] == ("blocked", "likely")
    assert "source_silent_on_25:9/12,p<=0.0002" in found[2]


def test_the_bound_holds_against_exact_arithmetic():
    for tried in range(1, 30):
        for some in range(tried + 1):
            for share in (0.02, 0.2, 0.5, 0.9):
                exact = sum(
                    comb(tried, k) * share**k * (1 - share) ** (tried - k) for k in range(some, tried + 1)
                )
                (bound,) = tail_bound(np.array([float(some)]), np.array([float(tried)]), share)
                assert bound >= exact * (1 - 1e-9)
                if some == tried:
                    assert bound == pytest.approx(share**tried)


def test_without_anybody_heard_silence_has_no_bound():
    dead = [silent(f"198.51.100.{n}") for n in range(1, 9)]
    assert verdict(*dead)[:2] == ("blocked", "unknown")


def test_an_exchanger_need_not_answer_on_the_submission_port():
    found = verdict(flow(OTHER, MX), flow(HOME, MX, 587, "no_answer"))
    assert found[:2] == ("inconclusive", "unknown")
    assert "submission_stopped" not in found[2]


def test_silence_here_and_an_answer_there_is_no_wholesale_silence():
    alive = [flow(HOME, f"198.51.100.{n}", 587) for n in (101, 102, 103)]
    mixed = [flow(HOME, "198.51.100.9"), *(silent(f"198.51.100.{n}") for n in (1, 2, 3))]
    assert verdict(*alive, *mixed)[:2] == ("blocked", "unknown")


def test_a_handshake_in_which_nothing_was_said_is_told_as_such():
    silent = {"src_bytes": 0, "dst_bytes": 0}
    assert "nothing_said" in verdict(flow(HOME, MX, **silent))[2]
    assert "nothing_said" not in verdict(flow(HOME, MX))[2]
    assert "nothing_said" not in verdict(flow(HOME, MX, outcome="no_answer"))[2]


def test_a_connection_never_completed_was_answered_all_the_same():
    assert verdict(flow(HOME, MX, outcome="half_open"))[:2] == ("leak", "likely")


def test_a_connection_whose_begin_was_not_seen():
    both = flow(HOME, MX, outcome="midstream", src_bytes=10, dst_bytes=10, dst_packets=2)
    assert finding(both) == "leak"
    one = flow(HOME, MX, outcome="midstream", src_bytes=10, dst_bytes=0)
    assert verdict(one)[:2] == ("inconclusive", "unknown")
    assert "opener_not_seen" in verdict(one)[2]


# Who answered


def test_a_server_that_is_called_as_dns_says_proves_the_leak():
    row = flow(HOME, MX, dst_names=["mx.example.com"], dst_mx_of=["example.com"])
    said = session(row, banner_text="mx.example.com ESMTP", messages_accepted=1, result="delivered")
    found = verdict(row, sessions=[said])
    assert found == ("leak", "proven", ["mail_accepted", "server_named_as_in_dns"])


def test_a_refusal_in_smtp_is_the_addressees_and_no_blocking():
    row = flow(HOME, MX)
    found = verdict(row, sessions=[session(row, banner_code=554, result="rejected")])
    assert found[0] == "leak"
    assert "refused_in_smtp" in found[2]


def test_the_smarthosts_name_at_a_strangers_address_is_an_interception():
    own, posed = flow(HOME, SMARTHOST), flow(HOME, MX)
    said = [session(row, banner_text="smtp.isp.example.net ESMTP") for row in (own, posed)]
    found = verdict(own, posed, sessions=said)
    assert found[:2] == ("intercepted", "likely")
    assert "smarthost_name_elsewhere" in found[2]


def test_the_inbound_server_may_be_called_like_the_smarthost_unless_dns_says_no():
    own, inbound = flow(HOME, SMARTHOST), flow(HOME, LOCAL_MX)
    said = [session(row, banner_text="mail.isp.example.net ESMTP") for row in (own, inbound)]
    assert finding(own, inbound, sessions=said) == "leak"
    named = inbound | {"dst_names": ["mx.isp.example.net"], "dst_mx_of": ["isp.example.net"]}
    assert finding(own, named, sessions=said) == "intercepted"


def test_one_name_at_addresses_that_dns_calls_otherwise():
    rows = [
        flow(HOME, f"198.51.100.{n}", dst_names=[f"mx.{d}"], dst_mx_of=[d])
        for n, d in ((1, "example.com"), (2, "example.org"))
    ]
    said = [session(row, banner_text="proxy.filter.example.net ready") for row in rows]
    assert finding(*rows, sessions=said) == "intercepted"
    assert finding(rows[0], sessions=said[:1]) == "leak"


@pytest.mark.parametrize("refusal", ["5.7.1 Host", "4.7.0 many", "IP=203.0.113.9 -", "4.3.2: busy"])
def test_a_status_is_no_name(refusal):
    rows = [
        flow(HOME, f"198.51.100.{n}", dst_names=[f"mx.{d}"], dst_mx_of=[d])
        for n, d in ((1, "example.com"), (2, "example.org"))
    ]
    said = [session(row, banner_code=554, banner_text=refusal, result="rejected") for row in rows]
    assert finding(*rows, sessions=said) == "leak"
    own, other = flow(HOME, SMARTHOST), flow(HOME, MX)
    said = [session(row, banner_code=421, banner_text=refusal, result="rejected") for row in (own, other)]
    assert finding(own, other, sessions=said) == "leak"


def test_a_name_met_elsewhere_too_convicts_where_dns_is_silent():
    known = flow(HOME, "198.51.100.1", dst_names=["mx.example.com"], dst_mx_of=["example.com"])
    unknown = flow(HOME, FRIEND)
    said = [session(row, banner_text="proxy.filter.example.net ready") for row in (known, unknown)]
    assert finding(known, unknown, sessions=said) == "intercepted"
    farther = unknown | {"dst_ttl": 48}
    assert finding(known, farther, sessions=said) == "leak"


def test_a_foreign_name_that_is_nearer_than_the_address_itself():
    true = flow(HOME, MX, 587, dst_ttl=52)
    posed = flow(HOME, MX, dst_ttl=62, dst_names=["mx.example.com"])
    assert finding(true, posed, sessions=[session(posed, banner_text="proxy.example.net x")]) == "intercepted"
    assert finding(true, posed, sessions=[session(posed, banner_text="mx.example.com x")]) == "leak"


def test_who_answers_nearer_and_sooner_than_the_address_itself_poses():
    true, posed = flow(HOME, MX, 587, dst_ttl=52), flow(HOME, MX, dst_ttl=64, handshake_rtt_ms=0.6)
    named = posed | {"dst_names": ["mx.example.com"]}
    said = [session(named, banner_text="mx.example.com ESMTP")]
    assert verdict(true, named, sessions=said)[:2] == ("intercepted", "likely")
    late = named | {"handshake_rtt_ms": 9.0}
    assert verdict(true, late, sessions=said)[:2] == ("leak", "likely")


def test_a_large_providers_name_at_its_own_addresses_is_no_interception():
    rows = [flow(HOME, f"198.51.100.{n}", dst_names=[f"mx{n}.big.example.com"]) for n in (1, 2, 3)]
    said = [session(row, banner_text="mx.big.example.com ESMTP") for row in rows]
    assert finding(*rows, sessions=said) == "leak"


# What the policy allows


def test_submission_that_a_router_prohibits_is_disrupted():
    found = verdict(flow(HOME, MX, 587, "prohibited", icmp_from=ROUTER, **ICMP))
    assert found[:2] == ("disrupted", "proven")
    assert "submission_stopped" in found[2]


def shown(*flows: dict, **more: object) -> tuple[str, str, list[str]]:
    """The verdict, where it is no matter that nobody knows the called host."""
    found, confidence, evidence = verdict(*flows, **more)
    return found, confidence, [fact for fact in evidence if fact != "role_assumed"]


def cut(dst: str = MX, port: int = 587, **more: object) -> tuple[str, str, list[str]]:
    """A connection of which nothing came, judged."""
    attempt = flow(HOME, dst, port, **{"history": "ShAdDr", "dst_ttl": 50, "rst_ttl": 50} | more)
    return shown(attempt, sessions=[session(attempt, quit=False)])


def test_a_connection_that_a_nearer_rst_ends_before_anything_came_of_it():
    assert cut(rst_ttl=62) == ("disrupted", "likely", ["cut_by_nearer_rst", "submission_stopped"])
    assert cut(port=25, rst_ttl=62) == ("blocked", "likely", ["cut_by_nearer_rst"])
    assert cut(rst_ttl=52)[0] == "allowed"  # what guards a server stands near it
    assert cut(rst_ttl=126, dst_ttl=117)[0] == "disrupted"
    assert cut(rst_ttl=113, dst_ttl=50)[0] == "allowed"  # another system's TTL, about as far away
    assert cut(rst_ttl=None)[0] == "allowed"
    beyond = flow(HOME, MX, history="ShAr", dst_ttl=50, rst_ttl=62)
    seen = shown(beyond, sessions=[session(beyond)], by=policy("outside"))
    assert seen[0] == "leak"


def test_a_connection_that_came_to_something_was_not_cut():
    attempt = flow(HOME, MX, 587, history="ShAdDr", dst_ttl=50, rst_ttl=62)
    assert shown(attempt, sessions=[session(attempt, result="delivered")])[0] == "allowed"


def test_a_connection_that_a_router_prohibits():
    assert cut(**ICMP, icmp_from=ROUTER, history="ShAdDT") == (
        *("disrupted", "proven"),
        ["cut_by_icmp", "cut_by_own_router", "said_in_vain", "submission_stopped"],
    )
    assert cut(**ICMP, icmp_from="198.51.100.1")[:2] == ("disrupted", "likely")
    assert cut(port=25, **ICMP, icmp_from=ROUTER)[:2] == ("blocked", "proven")
    assert cut(**ICMP, icmp_from=MX)[0] == "allowed"
    assert cut(icmp_type=3, icmp_code=4, icmp_from=ROUTER)[0] == "allowed"
    assert cut(**ICMP, icmp_from=ROUTER, anomalies=["icmp_quote_cut"])[0] == "allowed"


def test_who_repeats_what_nobody_answers_has_not_worked():
    assert cut(history="ShAdDT", rst_ttl=None) == ("inconclusive", "unknown", ["said_in_vain"])
    assert cut(history="ShAdDTFf", rst_ttl=None)[0] == "allowed"


def test_an_error_in_the_addressees_name_that_is_too_fast():
    heard = flow(HOME, MX, 587, handshake_rtt_ms=50.0)
    error = {**ICMP, "icmp_from": MX}
    near = flow(HOME, MX, outcome="prohibited", answer_ms=10.0, **error)
    assert shown(heard, near) == ("blocked", "likely", ["icmp_prohibited", "icmp_too_fast"])
    far = flow(HOME, MX, outcome="prohibited", answer_ms=49.0, **error)
    assert shown(heard, far)[0] == "leak"


@pytest.mark.parametrize("code", [0, 1, 4, 11, 12])
def test_a_router_that_knows_no_way_is_no_filter(code):
    error = {"outcome": "unreachable", "icmp_type": 3, "icmp_code": code, "icmp_from": ROUTER}
    facts = ["icmp_no_way", "icmp_unreachable"]
    assert shown(flow(HOME, MX, **error)) == ("blocked", "unknown", facts)
    assert shown(flow(HOME, MX, 587, **error)) == ("disrupted", "likely", facts)


def test_a_prohibition_before_a_rst_counts():
    attempt = flow(HOME, MX, outcome="refused", rst_ttl=61, **ICMP, icmp_from=ROUTER)
    assert shown(attempt) == ("blocked", "proven", ["icmp_prohibited", "icmp_from_own_router"])


def test_a_quote_without_ports_may_mean_another_attempt():
    error = {"outcome": "prohibited", **ICMP, "icmp_from": "198.51.100.1", "anomalies": ["icmp_quote_cut"]}
    one, other = flow(HOME, MX, **error), flow(HOME, MX, 587, **error)
    assert shown(one)[0] == "blocked"
    for pair in ((one, other), (other, one)):
        assert shown(*pair) == ("inconclusive", "unknown", ["icmp_quote_unsure"])


def test_a_static_customer_that_is_stopped():
    found = verdict(flow(STATIC, MX, 25, "prohibited", icmp_from=ROUTER, **ICMP))
    assert found[:2] == ("disrupted", "proven")
    assert "static_customer_stopped" in found[2]


def test_an_allowed_server_that_refuses_may_simply_be_closed():
    assert verdict(refused(port=587))[:2] == ("inconclusive", "unknown")


def test_an_allowed_attempt_that_is_silent_while_others_are_answered():
    assert finding(flow(OTHER, MX, 587), flow(HOME, MX, 587, "no_answer")) == "disrupted"
    assert finding(flow(HOME, MX, 587, "no_answer")) == "inconclusive"


def test_allowed_and_answered_is_proven_where_both_sides_were_seen():
    assert verdict(flow(HOME, SMARTHOST))[:2] == ("allowed", "proven")
    assert verdict(flow(HOME, SMARTHOST, dst_packets=0))[:2] == ("allowed", "likely")


def test_a_handshake_alone_is_not_working_mail():
    silent_server = flow(HOME, SMARTHOST, src_bytes=0, dst_bytes=0, conn_state="RSTR")
    assert verdict(silent_server)[:2] == ("inconclusive", "unknown")


# Nothing silently turns into compliance


def test_nothing_assumed_proves_anything():
    by = policy()
    assumed = type(by)(by.name, by.observation_point, by.prefixes, assumed=True)
    for attempt in (flow(HOME, SMARTHOST), flow(HOME, MX, outcome="prohibited", icmp_from=ROUTER, **ICMP)):
        found = verdict(attempt, by=assumed)
        assert found[1] == "likely"
        assert "policy_assumed" in found[2]


def test_a_subscriber_whom_only_a_private_address_tells_proves_nothing():
    found = verdict(flow("10.1.2.3", MX), by=policy("outside"))
    assert found[:2] == ("leak", "likely")
    assert "source_role_assumed" in found[2]
    inner = flow("192.168.1.2", MX, outer_src_ip="2001:db8:110::1")
    assert "source_role_assumed" not in verdict(inner, by=policy())[2]


def test_what_contradicts_the_policys_side_is_not_proven():
    told = flow(HOME, MX, outcome="prohibited", icmp_from=ROUTER, **ICMP)
    assert verdict(told, by=policy("outside"))[:2] == ("leak", "likely")
    tunnelled = flow("192.168.1.2", MX, outcome="no_answer", outer_src_ip="2001:db8:110::1")
    assert verdict(tunnelled, by=policy("outside"))[:2] == ("leak", "likely")


def test_unknown_roles_are_inconclusive():
    by = policy()
    assumed = type(by)(by.name, by.observation_point, by.prefixes, assumed=True)
    found = verdict(flow("198.51.100.1", MX), by=assumed)
    assert found[:2] == ("inconclusive", "unknown")
    assert "roles_unknown" in found[2]


# What else is worth knowing


def test_starttls_that_is_missing_only_here():
    rows = [flow(HOME, SMARTHOST), flow(OTHER, SMARTHOST)]
    said = [session(rows[0], starttls_offered=True), session(rows[1], starttls_offered=False)]
    assert "starttls_missing_here" in verdict(*rows, sessions=said)[2]
    assert "starttls_missing_here" not in verdict(*reversed(rows), sessions=said)[2]


def test_pop_before_smtp():
    fetched, sent = flow(HOME, FRIEND, 110), flow(HOME, FRIEND)
    shared = ("flow_id", "start_time", "src_ip", "src_port", "dst_ip", "dst_port", "service")
    login = {name: fetched[name] for name in shared} | {"auth_succeeded": True, "anomalies": []}
    said = [session(sent, transactions=1)]
    assert "pop_before_smtp" in verdict(fetched, sent, retrieved=[login], sessions=said)[2]
    assert "pop_before_smtp" not in verdict(fetched, sent, sessions=said)[2]
    hidden = [session(sent, transactions=0, tls="starttls")]
    assert "pop_before_smtp" not in verdict(fetched, sent, retrieved=[login], sessions=hidden)[2]


def test_a_leak_by_ipv6_alone():
    v6 = flow("2001:db8:100::5", "2001:db8:f::7")
    assert "leaks_by_ipv6_only" in verdict(silent(), v6)[2]
    assert "leaks_by_ipv6_only" not in verdict(silent(), flow(HOME, FRIEND), v6)[2]


def test_an_empty_table():
    assert judged([], policy()) == []
