"""Rows of logs under a policy: they are judged as those of captures are, and what is null stays unknown."""

from __future__ import annotations

import pytest

from op25b_pcap.flowlogs import Flow
from op25b_pcap.mail.sessions import read as read_sessions
from op25b_pcap.reports.subscribers import subscribers
from op25b_pcap.reports.summary import summary, timeline
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
from tests.rows import judged, policy

LATER = {"watched_s": 3600.0, "dst_mx_of": [], "dst_names": []}
"""What the pipeline adds to every row."""


def verdicts(found: list[Flow], point: str = "inside") -> dict[tuple[str, int], tuple[str, str, str]]:
    """Path, finding and confidence, by the called socket."""
    rows = judged(
        [flow.row | LATER | {"capture": "log"} for flow in found],
        policy(point),
        [flow.sessions.smtp for flow in found if flow.sessions.smtp],
        [flow.sessions.retrieval for flow in found if flow.sessions.retrieval],
    )
    assert len(rows) == len(found)
    return {
        (row["dst_ip"], row["dst_port"]): (row["traffic_class"], row["finding"], row["confidence"])
        for row in rows
    }


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
        (STRANGER, 25): ("direct_to_mx", "blocked", "unknown"),
        (FRIEND, 25): ("third_party_relay", "inconclusive", "unknown"),
        (STRANGER, 587): ("submission", "inconclusive", "unknown"),
    }


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
    rows = judged(
        [flow.row | LATER | {"capture": "log"} for flow in found], policy(), smtp.to_dict("records")
    )
    frame = FLOWS.frame(rows)
    assert summary(frame, smtp)["flows"].sum() == timeline(frame)["flows"].sum() == len(found) == 7
    (home,) = subscribers(frame, smtp).to_dict("records")
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
