"""Flows to rows: every mail flow has one, and the protocol is what was spoken, not the port."""

from __future__ import annotations

import pytest

from op25b_pcap.flows import flows
from op25b_pcap.mail.imap import Imap
from op25b_pcap.mail.pop3 import Pop3
from op25b_pcap.mail.sessions import read
from op25b_pcap.mail.smtp.dialogue import Dialogue
from op25b_pcap.tables import RETRIEVAL_SESSIONS, SMTP_SESSIONS, SMTP_TRANSACTIONS
from op25b_pcap.tables.sessions import Sessions
from op25b_pcap.wire.services import SERVICES, SMTP_SERVICES
from tests.hellos import CLIENT, CLIENT_REST, SERVER, SERVER_REST
from tests.segments import Talk
from tests.smtp_talk import BYE, HELLO, MAIL, C, S, Step, steps

SHARED = ("flow_id", "start_time", "src_ip", "src_port", "dst_ip", "dst_port", "service")


def over(sent: list[Step], port: int = 25, *, opened: bool = True, hears: str = "CS") -> Talk:
    """The talk in TCP segments."""
    talk = Talk(server_port=port)
    if opened:
        talk.handshake() if hears == "CS" else talk.client("S").client("A", 0, 0)
    at = {C: 0, S: 0}
    for side, what in sent:
        octets = what if isinstance(what, int) else len(what)
        if isinstance(what, bytes) and ("C" if side is C else "S") in hears:
            (talk.client if side is C else talk.server)("PA", at[side], 0, what)
        at[side] += octets
    return talk


def sessions(talk: Talk) -> Sessions:
    (flow,) = flows(talk.packets)
    found = read(flow.row, flow.chunks)
    for table, rows in (
        (SMTP_SESSIONS, [found.smtp]),
        (RETRIEVAL_SESSIONS, [found.retrieval]),
        (SMTP_TRANSACTIONS, found.transactions),
    ):
        for row in filter(None, rows):
            assert row.keys() == set(table.names)
            assert all(row[column.name] is not None for column in table.columns if not column.nullable)
            assert all(row[c.name] in (None, *c.words) for c in table.columns if c.words)
    for row in filter(None, (found.smtp, found.retrieval)):
        assert {name: row[name] for name in SHARED} == {name: flow.row[name] for name in SHARED}
    return found


@pytest.mark.parametrize("port", [465, 993, 995])
def test_behind_both_hellos_nothing_tells_anything(port: int):
    hidden: list[Step] = [(C, CLIENT), (S, SERVER), (C, CLIENT_REST), (S, SERVER_REST)]
    more: list[Step] = [
        (C, b"QUIT\r\n"),
        (S, 7),
        (S, b"220 mx\r\n"),
        (C, CLIENT),
        (C, 9),
        (C, b"\x15\3\1\0\2\2\x46"),
    ]
    assert sessions(over([*hidden, *more], port)) == sessions(over(hidden, port))


def test_a_session_is_done_when_both_hellos_were_read():
    hidden: list[Step] = [(C, CLIENT), (S, SERVER), (C, CLIENT_REST), (S, SERVER_REST)]
    for protocol in (Dialogue, Pop3, Imap):
        session = protocol(tls_port=True)
        done = []
        for side, octets in hidden:
            session.receive(side, octets)
            done.append(session.is_done)
        assert done == [False, False, True, True]


@pytest.mark.parametrize("port", SERVICES)
def test_an_unanswered_call_has_a_row(port: int):
    found = sessions(Talk(server_port=port).client("S"))
    assert (found.smtp is not None) is (SERVICES[port] in SMTP_SERVICES)
    assert (found.retrieval is not None) is (SERVICES[port] not in SMTP_SERVICES)
    assert found.transactions == []
    if found.smtp:
        assert (found.smtp["result"], found.smtp["client_kind"], found.smtp["tls"]) == (
            "no_dialogue",
            "unknown",
            "none",
        )
        unseen = ("banner_code", "banner_text", "helo_verb", "helo", "extensions", "starttls_offered")
        unseen += ("auth_offered", "auth_mechanism", "last_reply_code", "last_reply_text")
        assert [found.smtp[name] for name in unseen] == [None] * len(unseen)
        assert (found.smtp["transactions"], found.smtp["quit"], found.smtp["anomalies"]) == (0, False, [])


def test_a_mail_and_its_transactions():
    found = sessions(over(steps(HELLO + MAIL + MAIL + BYE)))
    assert (found.smtp["messages_accepted"], found.smtp["result"]) == (2, "delivered")
    assert [row["transaction_index"] for row in found.transactions] == [1, 2]
    assert {row["flow_id"] for row in found.transactions} == {found.smtp["flow_id"]}


def test_smtp_on_a_port_for_fetching_mail():
    for port in (110, 143, 993, 995):
        found = sessions(over(steps(HELLO + MAIL), port))
        assert found.retrieval is None
        assert (found.smtp["messages_accepted"], found.smtp["service"]) == (1, SERVICES[port])
        assert "other_port" in found.smtp["anomalies"]


@pytest.mark.parametrize(
    "talk",
    [
        "S: +OK ready\nC: QUIT\nS: +OK Bye",
        "S: 220 ftp.example.com\nC: USER x\nS: 331 Password?",
        "C: EHLO x\nC: QUIT",
        "S? 5\nS: 220 mx\nC: EHLO x",
    ],
)
def test_what_is_not_smtp_on_such_a_port(talk: str):
    assert sessions(over(steps(talk), 110)).retrieval is not None


def test_a_greeting_of_smtp_to_which_nothing_was_said():
    assert sessions(over(steps("S: 220 mx.example.com ESMTP"), 110)).smtp["banner_code"] == 220


def test_tls_on_port_25_and_clear_text_on_port_465():
    hidden = sessions(over([(C, CLIENT), (S, SERVER)])).smtp
    assert (hidden["tls"], hidden["tls_sni"], hidden["result"]) == ("implicit", "mail.example.org", "opaque")
    clear = sessions(over(steps(HELLO + MAIL), 465)).smtp
    assert (clear["tls"], clear["messages_accepted"], clear["anomalies"]) == ("none", 1, ["clear_text"])


def test_one_side_of_the_connection():
    client = sessions(over(steps(HELLO + MAIL + BYE), hears="C")).smtp
    assert (client["helo"], client["quit"], client["result"]) == ("home.example.org", True, "opaque")
    assert client["anomalies"] == ["decided_by_client", "server_unseen"]
    server = sessions(over(steps(HELLO + MAIL + BYE), opened=False, hears="S")).smtp
    assert (server["banner_code"], server["last_reply_code"], server["messages_accepted"]) == (220, 221, 1)
    assert server["anomalies"] == ["client_unseen", "midstream"]


def test_a_capture_that_begins_later():
    found = sessions(over(steps(MAIL + BYE), opened=False))
    assert (found.smtp["banner_code"], found.smtp["messages_accepted"]) == (None, 1)
    assert found.smtp["anomalies"] == ["midstream"]


def test_a_lost_segment():
    talk = over(steps(HELLO + MAIL.replace("S: 250 2.1.5 Ok", "S? 14") + BYE))
    found = sessions(talk)
    assert (found.transactions[0]["rcpt_reply_codes"], found.transactions[0]["accepted"]) == ([None], True)
    assert found.smtp["anomalies"] == ["gap"]
