"""Rows of logs under a policy: they are judged as those of captures are, and what is null stays unknown."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from op25b_pcap.afterwards import explain, rejudge
from op25b_pcap.facts import Facts
from op25b_pcap.flowlogs import Flow
from op25b_pcap.mail.sessions import read as read_sessions
from op25b_pcap.opinion import counts, opinion
from op25b_pcap.reports.compare import compare
from op25b_pcap.reports.explain import advise
from op25b_pcap.reports.run import describe, numbers
from op25b_pcap.reports.terminal import print_comparison, print_summary
from op25b_pcap.reports.writing import read_tables, write_run, write_tables
from op25b_pcap.roles.draft import draft
from op25b_pcap.tables import FLOWS, RETRIEVAL_SESSIONS, SMTP_SESSIONS, SMTP_TRANSACTIONS
from tests.flow_logs import (
    CONN,
    FRIEND,
    HOME,
    SMARTHOST,
    SMTP,
    STRANGER,
    conn,
    mail,
    nfdump_17,
    packet,
    read,
    reply,
    request,
    syslog,
    talk,
    tsv,
)
from tests.rows import facts, judged, policy

LATER = {"watched_s": 3600.0, "dst_mx_of": [], "dst_names": []}
"""What the pipeline adds to every row."""


def judge(found: list[Flow], point: str = "inside") -> list[dict]:
    rows = judged(
        [flow.row | LATER | {"capture": "log"} for flow in found],
        policy(point),
        [flow.sessions.smtp for flow in found if flow.sessions.smtp],
        [flow.sessions.retrieval for flow in found if flow.sessions.retrieval],
    )
    assert len(rows) == len(found)
    return rows


def verdicts(found: list[Flow], point: str = "inside") -> dict[tuple[str, int], tuple[str, str, str]]:
    """Path, finding and confidence, by the called socket."""
    return {
        (row["dst_ip"], row["dst_port"]): (row["traffic_class"], row["finding"], row["confidence"])
        for row in judge(found, point)
    }


def verdict(*logs: bytes, point: str = "inside", **known: object) -> tuple[str, str, set[str]]:
    """Finding, confidence and evidence of the only attempt; the called host's role is no matter here."""
    (row,) = judge(read(*logs, **known).flows, point)
    return row["finding"], row["confidence"], set(row["evidence"]) - {"role_assumed"}


def test_zeek():
    records = [
        conn(1),
        talk(2, dst=FRIEND),
        talk(3, dst=SMARTHOST),
        talk(4, dst="198.51.100.26", dst_port=587),
        conn(5, dst=SMARTHOST, dst_port=587, history="Sr", conn_state="REJ", orig_bytes=0, resp_bytes=0),
        talk(6, dst="192.0.2.110", dst_port=143),
    ]
    assert verdicts(read(tsv(records, CONN)).flows) == {
        (STRANGER, 25): ("direct_to_mx", "blocked", "unknown"),
        (FRIEND, 25): ("third_party_relay", "leak", "likely"),
        (SMARTHOST, 25): ("smarthost", "allowed", "proven"),
        ("198.51.100.26", 587): ("submission", "allowed", "proven"),
        (SMARTHOST, 587): ("smarthost", "inconclusive", "unknown"),
        ("192.0.2.110", 143): ("retrieval", "allowed", "proven"),
    }


def test_a_dialogue_makes_a_friends_server_known_as_what_it_is():
    found = read(tsv([talk(1)], CONN), tsv([mail(1)], SMTP)).flows
    assert verdicts(found)[STRANGER, 25] == ("direct_to_mx", "leak", "likely")


def test_nfdump():
    there = [request("S", packets=4), request("SAPF", packets=9)._replace(src_port=2, dst=FRIEND)]
    back = [reply("SAPF", packets=9)._replace(src=FRIEND, dst_port=2)]
    assert verdicts(read(nfdump_17(*there, *back)).flows) == {
        (STRANGER, 25): ("direct_to_mx", "blocked", "unknown"),
        (FRIEND, 25): ("third_party_relay", "leak", "likely"),
    }


def test_a_firewall():
    stamp = "Nov 24 07:13:31"
    log = syslog(
        (stamp, packet()),
        (stamp, packet(prefix="mail ", DST=FRIEND)),
        (stamp, packet(SPT=2, DPT=587)),
    )
    assert verdicts(read(log).flows) == {
        (STRANGER, 25): ("direct_to_mx", "blocked", "likely"),
        (FRIEND, 25): ("third_party_relay", "inconclusive", "unknown"),
        (STRANGER, 587): ("submission", "disrupted", "likely"),
    }


POINTS = ("inside", "outside", "unknown")
STAMP = "Nov 24 07:13:31"


def met(prefix: str, *more: tuple[str, str], dst_port: int = 25) -> bytes:
    """A SYN that met a rule of that name, and what else was logged."""
    return syslog((STAMP, packet(prefix=prefix, DPT=dst_port)), *more)


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("prefix", ["OP25B-DROP: ", "smtp REJECT: "])
def test_what_a_firewall_stopped_is_blocked_wherever_the_log_was_taken(prefix, point):
    finding, confidence, evidence = verdict(met(prefix), point=point)
    assert (finding, confidence) == ("blocked", "likely")
    assert evidence - {"silence"} == {"filter_said_so"}


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("prefix", ["DROP: ", "REJECT: "])
def test_what_a_firewall_stopped_although_it_is_allowed_is_disrupted(prefix, point):
    finding, confidence, evidence = verdict(met(prefix, dst_port=587), point=point)
    assert (finding, confidence) == ("disrupted", "likely")
    assert evidence - {"silence"} == {"filter_said_so", "submission_stopped"}


@pytest.mark.parametrize("prefix", ["ACCEPT: ", "mail "])
def test_what_one_rule_let_pass_may_be_stopped_by_another(prefix):
    assert verdict(met(prefix)) == ("inconclusive", "unknown", {"outcome_not_logged"})
    assert verdict(met(prefix, dst_port=587)) == ("inconclusive", "unknown", {"outcome_not_logged"})
    missing = {"outcome_not_logged", "observation_point_unknown"}
    assert verdict(met(prefix), point="unknown") == ("inconclusive", "unknown", missing)
    beyond = {"outcome_not_logged", "syn_beyond_filter"}
    assert verdict(met(prefix), point="outside") == ("leak", "likely", beyond)


def test_a_firewall_says_nothing_of_the_attempt_by_dropping_its_late_packets():
    late = ("Nov 24 07:13:51", packet("ACK FIN", "DROP: "))
    assert verdict(met("mail ", late)) == ("inconclusive", "unknown", {"outcome_not_logged"})
    assert verdict(syslog(late)) == ("inconclusive", "unknown", {"opener_not_seen"})


def test_what_was_answered_after_all_was_not_stopped():
    answer = packet("ACK SYN", "mail ", SRC=STRANGER, DST=HOME, SPT=25, DPT=48945)
    assert verdict(met("REJECT: ", (STAMP, answer))) == ("inconclusive", "unknown", {"outcome_not_logged"})


def test_of_a_firewall_that_let_pass_and_stopped_the_same_packet_only_the_drop_is_certain():
    dropped, rejected = ((STAMP, packet(prefix=prefix)) for prefix in ("DROP: ", "REJECT: "))
    assert verdict(met("ACCEPT: ", dropped))[0] == "blocked"
    assert verdict(met("ACCEPT: ", rejected)) == ("inconclusive", "unknown", {"outcome_not_logged"})


def test_a_log_that_ends_right_after_a_drop_has_missed_nothing():
    (flow,) = read(met("DROP: ")).flows
    (row,) = judged([flow.row | LATER | {"capture": "log", "watched_s": 0.0}], policy())
    assert (row["finding"], "capture_ended" in row["evidence"]) == ("blocked", False)


SILENT = {"zeek": tsv([conn()], CONN), "nfdump": nfdump_17(request("S", packets=4))}


@pytest.mark.parametrize("kind", SILENT)
def test_a_silence_depends_on_the_side_as_in_a_capture(kind):
    assert verdict(SILENT[kind]) == ("blocked", "unknown", {"silence"})
    missing = {"silence", "observation_point_unknown"}
    assert verdict(SILENT[kind], point="unknown") == ("inconclusive", "unknown", missing)
    assert verdict(SILENT[kind], point="outside") == ("leak", "proven", {"silence", "syn_beyond_filter"})


UNCOUNTED = dict.fromkeys(("orig_bytes", "resp_bytes"))


def nfdump_talk(flags: str, **more: int) -> bytes:
    there, back = request(flags, packets=9, **more), reply(flags, packets=9, **more)
    return nfdump_17(there._replace(dst=SMARTHOST), back._replace(src=SMARTHOST), flags=bool(flags))


@pytest.mark.parametrize(
    ("log", "found"),
    [
        (nfdump_talk("SAPF"), ("allowed", "proven", set())),
        (nfdump_talk("SAF"), ("inconclusive", "unknown", {"nothing_said"})),
        (tsv([talk(dst=SMARTHOST, **UNCOUNTED)], CONN), ("allowed", "proven", set())),
        (
            tsv([talk(dst=SMARTHOST, history="ShAFaf", **UNCOUNTED)], CONN),
            ("inconclusive", "unknown", {"nothing_said"}),
        ),
        (
            tsv([talk(dst=SMARTHOST, history=None, **UNCOUNTED)], CONN),
            ("inconclusive", "unknown", {"dialogue_not_logged"}),
        ),
        (tsv([mail(id__resp_h=SMARTHOST)], SMTP), ("allowed", "likely", {"mail_accepted"})),
    ],
    ids=["nfdump", "nfdump-handshake", "zeek", "zeek-handshake", "zeek-state", "smtp.log"],
)
def test_whether_anything_was_said_is_known_without_counted_octets(log, found):
    assert verdict(log) == found


def test_what_a_sampling_exporter_has_not_seen_is_missing():
    log = nfdump_17(request("S"))
    assert verdict(log, sampled=True) == ("inconclusive", "unknown", {"outcome_not_logged"})


def written(folder: Path, *logs: bytes) -> Path:
    """The report folder of these logs."""
    found = read(*logs).flows
    shown = Facts(
        FLOWS.frame([flow.row | LATER | {"capture": "log"} for flow in found]),
        SMTP_SESSIONS.frame([flow.sessions.smtp for flow in found if flow.sessions.smtp]),
        SMTP_TRANSACTIONS.frame([row for flow in found for row in flow.sessions.transactions]),
        RETRIEVAL_SESSIONS.frame([flow.sessions.retrieval for flow in found if flow.sessions.retrieval]),
    )
    by = policy()
    judged, known = opinion(shown, by)
    tables = {**judged.tables, **counts(known)}
    folder.mkdir()
    write_tables(tables, folder, csv=True)
    write_run(describe([], {}, by, numbers(known, tables), {}, {}), folder)
    return folder


FIREWALL = syslog(
    (STAMP, packet()),
    (STAMP, packet(SPT=2, prefix="REJECT: ")),
    (STAMP, packet(SPT=3, prefix="ACCEPT: ")),
)
WORDS = [
    (
        FIREWALL,
        [
            "  Nothing came back. 1 packet went there; Zeek would write S0.\n"
            "  Not known from this log: octets there, packets back, octets back.\n",
            "  What became of it is not known from this log. 1 packet went there.\n"
            "  Not known from this log: octets there, packets back, octets back, Zeek's state, Zeek's "
            "history.\n",
            "    - a firewall logged it by a rule that, going by its name, drops or rejects\n",
            "    - missing: what became of it, which the log does not tell\n",
        ],
    ),
    (
        tsv([talk(2), conn(3, history=None, conn_state=None)], CONN),
        [
            "  The connection was made. 12 packets with 900 octets went there, 10 packets with 700 octets "
            "came back; Zeek would write SF.\n  Not known from this log: number of SYNs.\n",
            "  What became of it is not known from this log. 1 packet went there, 0 packets came back.\n",
        ],
    ),
    (
        tsv([mail(2)], SMTP),
        [
            "  The connection was made.\n  Not known from this log: number of SYNs, packets there, "
            "octets there, packets back, octets back, Zeek's state, Zeek's history.\n"
            "  The client called itself",
        ],
    ),
    (
        nfdump_17(request("S", packets=4)),
        ["  Nothing came back. 4 packets (4 SYNs) went there; Zeek would write S0.\n"],
    ),
]


@pytest.mark.parametrize(("log", "sentences"), WORDS, ids=["firewall", "zeek", "smtp.log", "nfdump"])
def test_what_the_log_does_not_know_is_explained_as_not_known(log, sentences, tmp_path):
    told = "\n".join(explain(written(tmp_path / "reports", log), HOME))
    for sentence in sentences:
        assert sentence in told
    assert not re.search(r"(?i)\b(none|nan)\b|<na>", told)


def test_what_became_of_nobody_knows_what_is_counted_all_the_same(tmp_path):
    folder = written(tmp_path / "reports", FIREWALL)
    tables = read_tables(folder)
    _, known = opinion(Facts(*(tables[name] for name in Facts.__slots__)), policy())
    (line,) = advise(known, assumed=False)
    assert "1 blocked (silence); 1 blocked (not known from this log); 1 inconclusive (not known" in line
    for width in (60, 80, 200):
        console = Console(file=io.StringIO(), width=width)
        print_summary(tables["summary"], console)
        shown = [row.split() for row in console.file.getvalue().splitlines() if "direct_to_mx" in row]
        assert [("-" in row, "no_answer" in row) for row in shown].count((True, False)) == 2
        assert len(shown) == 3
        assert max(map(len, console.file.getvalue().splitlines())) <= width


def test_under_another_policy_no_attempt_of_a_log_is_lost(tmp_path):
    folder = written(tmp_path / "reports", FIREWALL)
    tables, *_ = rejudge(folder, policy(actions={"direct_to_mx": "allow"}))
    assert sorted(tables["flows"]["finding"]) == ["disrupted", "disrupted", "inconclusive"]
    moved = compare(read_tables(folder), tables).moved
    assert moved["flows"].sum() == 3
    console = Console(file=io.StringIO(), width=200)
    print_comparison({"moved": moved}, console)
    assert console.file.getvalue().count(" - ") == 2


@pytest.mark.parametrize("log", [log for log, _ in WORDS], ids=["firewall", "zeek", "smtp.log", "nfdump"])
def test_without_a_policy_logs_are_judged_too_and_nothing_is_proven(log, tmp_path):
    found = read_tables(written(tmp_path / "reports", log))
    (known, by), _ = opinion(Facts(*(found[name] for name in Facts.__slots__)), None)
    assert by.assumed
    assert len(known.flows) == len(found["flows"])
    assert "proven" not in set(known.flows["confidence"])
    assert draft([known.flows], by, 1).count(HOME.rpartition(".")[0]) == 1


def test_every_row_fits_the_tables_and_is_counted():
    found = [
        *read(
            tsv([conn(1), talk(2), conn(3, history=None, conn_state=None)], CONN), tsv([mail(2)], SMTP)
        ).flows,
        *read(nfdump_17(request("S"), request("")._replace(src_port=7))).flows,
        *read(syslog(("Nov 24 07:13:31", packet()), ("Nov 24 07:13:31", packet(prefix="x ", SPT=9)))).flows,
    ]
    smtp = SMTP_SESSIONS.frame([flow.sessions.smtp for flow in found if flow.sessions.smtp])
    mails = SMTP_TRANSACTIONS.frame([row for flow in found for row in flow.sessions.transactions])
    assert SMTP_SESSIONS.arrow(smtp).num_rows == 4
    assert SMTP_TRANSACTIONS.arrow(mails).num_rows == 1
    rows = [flow.row | LATER | {"capture": "log"} for flow in found]
    counted = counts(opinion(facts(rows, smtp.to_dict("records")), policy())[1])
    assert counted["summary"]["flows"].sum() == counted["timeline"]["flows"].sum() == len(found) == 7
    (home,) = counted["subscribers"].to_dict("records")
    assert (home["subscriber_key"], home["flows"], home["messages_accepted"]) == (HOME, 7, 1)


@pytest.mark.parametrize("port", [25, 587, 465, 110, 995, 143, 993])
@pytest.mark.parametrize(("state", "history"), [("S0", "S"), ("REJ", "Sr"), ("S1", "Sh")])
def test_a_silent_attempt_has_the_session_that_a_captured_one_has(port, state, history):
    record = conn(dst_port=port, conn_state=state, history=history, orig_pkts=4, resp_pkts=int(state != "S0"))
    (flow,) = read(tsv([record], CONN)).flows
    assert tuple(flow.sessions) == tuple(read_sessions(flow.row, ()))
    for table, row in ((SMTP_SESSIONS, flow.sessions.smtp), (RETRIEVAL_SESSIONS, flow.sessions.retrieval)):
        assert row is None or table.arrow(table.frame([row])).num_rows == 1


def test_what_may_have_been_said_has_no_session():
    (flow,) = read(tsv([talk()], CONN)).flows
    assert tuple(flow.sessions) == (None, None, [])
    silent = talk(orig_bytes=0, resp_bytes=0, history="ShAFaf")
    (flow,) = read(tsv([silent], CONN)).flows
    assert flow.sessions.smtp["result"] == "no_dialogue"
