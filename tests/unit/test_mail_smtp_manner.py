"""What the client's manner shows it to be, and how the session ended for the mail."""

from __future__ import annotations

import pytest

from op25b_pcap.mail.sessions import read
from op25b_pcap.tables.streams import Chunk
from op25b_pcap.wire.services import SERVICES
from tests.hellos import CLIENT, SERVER
from tests.smtp_talk import BYE, ENVELOPE, HELLO, MAIL, C, S, steps

RELAYED = MAIL.replace("C: Subject", "C: Received: by home.example.org\nC: Subject")
LITERAL = HELLO.replace("home.example.org", "[203.0.113.5]")
AUTH = "C: AUTH PLAIN x\nS: 235 Ok\n"
STARTTLS = "C: STARTTLS\nS: 220 Go\n"
UNKNOWN_RECIPIENTS = (
    "C: MAIL FROM:<x@example.org>\nS: 250 Ok\n" + "C: RCPT TO:<a@example.com>\nS: 550 No\n" * 3
)
REFUSED = "C: RCPT TO:<a@example.com>\nS: 550 5.7.1 No\n"


def row(talk: str | list, port: int = 25, **flow: object) -> dict:
    sent = steps(talk) if isinstance(talk, str) else talk
    chunks = [
        Chunk(side, at, what if isinstance(what, int) else 0, what if isinstance(what, bytes) else b"")
        for at, (side, what) in enumerate(sent)
    ]
    shared = dict.fromkeys(("flow_id", "start_time", "src_ip", "src_port", "dst_ip"))
    seen = {"initiator_evidence": "syn", "conn_state": "SF", "src_packets": 9, "dst_packets": 9}
    found = read({**shared, **seen, "dst_port": port, "service": SERVICES[port], **flow}, chunks)
    assert found.smtp is not None
    return found.smtp


@pytest.mark.parametrize(
    ("talk", "port", "kind"),
    [
        (HELLO + RELAYED + BYE, 25, "mta"),
        (HELLO + AUTH + RELAYED + BYE, 587, "mta"),
        (HELLO + MAIL + RELAYED, 25, "mta"),
        (HELLO + AUTH + MAIL + BYE, 25, "mua"),
        (LITERAL + MAIL + BYE, 25, "mua"),
        (HELLO + MAIL + BYE, 587, "mua"),
        (HELLO + MAIL + BYE, 25, "unknown"),
        (LITERAL + AUTH + REFUSED + BYE, 25, "mua"),
        (HELLO + AUTH + BYE, 587, "mua"),
        (HELLO + BYE, 587, "unknown"),
        (HELLO + REFUSED + BYE, 25, "unknown"),
        ("C: HELO x\nS: 220 mx\nS: 250 mx\n" + MAIL, 25, "bot"),
        ("S: 554 No\nC: HELO x\nS: 250 mx\nC: MAIL FROM:<>\nS: 503 No\nC: QUIT\nS: 221 Bye\n", 25, "bot"),
        (HELLO + UNKNOWN_RECIPIENTS, 25, "bot"),
        (HELLO + UNKNOWN_RECIPIENTS + BYE, 25, "unknown"),
        (HELLO + MAIL + "C: EHLO other.example.org\nS: 250 mx\n" + RELAYED + BYE, 25, "mta"),
        (HELLO + "C: EHLO other.example.org\nS: 250 mx\n" + UNKNOWN_RECIPIENTS + BYE, 25, "bot"),
        ("C: HELO x\nS? 9\nS: 250 mx\n" + MAIL, 25, "unknown"),
        ("", 25, "unknown"),
    ],
)
def test_client_kind(talk: str, port: int, kind: str):
    assert row(talk, port)["client_kind"] == kind


def test_tls_hides_what_the_client_is():
    hidden = [*steps(LITERAL + STARTTLS), (C, CLIENT), (S, SERVER)]
    assert row(hidden, 587)["client_kind"] == "unknown"
    assert row([*steps(LITERAL + RELAYED + STARTTLS), (C, CLIENT), (S, SERVER)])["client_kind"] == "mta"


@pytest.mark.parametrize(
    ("talk", "result"),
    [
        ("", "no_dialogue"),
        (HELLO + MAIL + BYE, "delivered"),
        (HELLO + UNKNOWN_RECIPIENTS + MAIL, "delivered"),
        ("S: 554 No\nC: QUIT\nS: 221 Bye\n", "rejected"),
        ("S: 421 Busy\n", "rejected"),
        (HELLO + UNKNOWN_RECIPIENTS + BYE, "rejected"),
        (HELLO + "C: MAIL FROM:<x@example.org>\nS: 450 4.7.1 Later\n" + BYE, "rejected"),
        (HELLO + ENVELOPE + "C: DATA\nS: 554 No\n" + BYE, "rejected"),
        (HELLO + MAIL.replace("250 2.0.0 Queued", "550 Spam") + BYE, "rejected"),
        (HELLO + ENVELOPE + "S: 421 Timeout\n", "rejected"),
        (HELLO + "C: AUTH PLAIN x\nS: 535 No\n" + BYE, "aborted"),
        (HELLO + BYE, "aborted"),
        ("S: 220 mx.example.com\n", "aborted"),
        (HELLO + ENVELOPE + "C: DATA\nS: 354 Go\nC: x\n", "aborted"),
    ],
)
def test_result(talk: str, result: str):
    assert row(talk)["result"] == result


def test_what_cannot_be_seen_is_opaque():
    assert row([*steps(HELLO + STARTTLS), (C, CLIENT), (S, SERVER)])["result"] == "opaque"
    assert row([(C, CLIENT), (S, SERVER)], 465)["result"] == "opaque"
    assert row([*steps(HELLO + MAIL + STARTTLS), (C, CLIENT)])["result"] == "delivered"
    alone = row("C: EHLO x\nC: MAIL FROM:<>\nC: QUIT\n", dst_packets=0)
    assert (alone["result"], alone["anomalies"]) == ("opaque", ["server_unseen"])


def test_a_server_that_never_says_a_word():
    silent = row("C: EHLO x\nC: QUIT\n", dst_packets=5)
    assert (silent["result"], silent["anomalies"]) == ("aborted", [])
