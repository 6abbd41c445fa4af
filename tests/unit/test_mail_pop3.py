"""POP3 sessions: who authenticated how, what was asked, and what cannot be told."""

from __future__ import annotations

import pytest

from op25b_pcap.mail.lines import MAX_LINE
from op25b_pcap.mail.pop3 import MAX_OUTSTANDING, Pop3
from op25b_pcap.mail.retrieval import MAX_GREETING
from op25b_pcap.tables.streams import Side
from tests.hellos import CLIENT, CLIENT_REST, SERVER, SERVER_REST
from tests.retrievals import C, S, assert_reads, kept, play, script

READY = "+OK pop.example.org ready"
HELLOS = [(C, CLIENT), (S, SERVER), (C, CLIENT_REST), (S, SERVER_REST)]
IN_TLS = {"tls_version": "TLSv1.3", "tls_sni": "mail.example.org"}
LOGIN = """
    S: +OK pop.example.org ready
    C: USER alice
    S: +OK
    C: PASS not-a-secret
    S: +OK 2 messages
"""


def test_nothing():
    assert_reads(Pop3, [])


def test_a_session():
    talk = f"""
        {LOGIN}
        C: STAT
        S: +OK 2 640
        C: LIST
        S: +OK
        S: 1 320
        S: 2 320
        S: .
        C: LIST 1
        S: +OK 1 320
        C: UIDL
        S: +OK
        S: 1 QhdPYR:00WBw1Ph7x7
        S: .
        C: RETR 1
        S: +OK 320 octets
        S: From: somebody@example.com
        S:
        S: ..
        S: +OK this is no reply
        S: -ERR nor is this
        S: .
        C: TOP 2 0
        S: +OK
        S: Subject: plum
        S: .
        C: DELE 1
        S: +OK
        C: QUIT
        S: +OK Bye
    """
    assert_reads(Pop3, talk, greeting=READY, auth_mechanism="USER", auth_succeeded=True, commands=10)


def test_a_server_that_refuses_at_once():
    talk = "S: -ERR too many connections from your address"
    assert_reads(Pop3, talk, greeting="-ERR too many connections from your address")


def test_a_client_that_says_nothing():
    assert_reads(Pop3, f"S: {READY}", greeting=READY)


@pytest.mark.parametrize(
    ("exchange", "mechanism", "succeeded", "commands"),
    [
        ("C: USER alice|S: -ERR", "USER", False, 1),
        ("C: USER alice|S: +OK", "USER", None, 1),
        ("C: USER alice|S: +OK|C: PASS guess", "USER", None, 2),
        ("C: USER alice|S: +OK|C: PASS guess|S: -ERR", "USER", False, 2),
        ("C: USER alice|S: +OK|C: PASS guess|S: -ERR|C: PASS right|S: +OK", "USER", True, 3),
        ("C: user alice|S: +ok|C: pass right|S: +ok", "USER", True, 2),
        ("C: USER alice|C: PASS right|S: +OK|S: +OK", "USER", True, 2),
        ("C: USER alice|C: PASS right|S: -ERR|S: -ERR", "USER", False, 2),
        ("C: APOP alice c4c9334bac560ecc979e58001b3e22fb|S: +OK", "APOP", True, 1),
        ("C: APOP alice c4c9334bac560ecc979e58001b3e22fb|S: -ERR", "APOP", False, 1),
        ("C: AUTH PLAIN AGFsaWNlAHNlY3JldA==|S: +OK", "PLAIN", True, 1),
        ("C: AUTH plain|S: + |C: AGFsaWNlAHNlY3JldA==|S: +OK", "PLAIN", True, 1),
        ("C: AUTH PLAIN|S: +|C: AGFsaWNlAHNlY3JldA==|S: -ERR", "PLAIN", False, 1),
        ("C: AUTH LOGIN|S: + VXNlcm5hbWU6|C: YWxp|S: + UGFzc3dvcmQ6|C: QUIT|S: +OK", "LOGIN", True, 1),
        ("C: AUTH CRAM-MD5|S: + PDE4|C: *|S: -ERR", "CRAM-MD5", False, 1),
        ("C: AUTH SCRAM-SHA-256-PLUS|S: -ERR", "SCRAM-SHA-256-PLUS", False, 1),
        ("C: AUTH XOAUTH2 dXNlcj1h|S: -ERR|C: USER a|S: +OK|C: PASS b|S: +OK", "USER", True, 3),
        ("C: APOP a 0|S: +OK|C: AUTH PLAIN AA==|S: -ERR", "APOP", True, 2),
    ],
)
def test_authentication(exchange: str, mechanism: str | None, succeeded: bool | None, commands: int):
    talk = "\n".join([f"S: {READY}", *exchange.split("|")])
    columns = {"auth_mechanism": mechanism, "auth_succeeded": succeeded, "commands": commands}
    assert_reads(Pop3, talk, greeting=READY, **columns)


@pytest.mark.parametrize("word", ["AGFsaWNlAHNlY3JldA==", "HUSH", "X" * 99, "\xff"])
def test_what_is_no_mechanism_may_be_a_secret(word: str):
    talk = f"S: {READY}\nC: AUTH {word} x\nS: -ERR"
    columns = {"auth_succeeded": False, "commands": 1, "anomalies": ["unknown_mechanism"]}
    assert_reads(Pop3, talk, greeting=READY, **columns)


def test_asking_for_the_mechanisms_is_no_attempt():
    talk = f"""
        S: {READY}
        C: AUTH
        S: +OK
        S: PLAIN
        S: .
        C: CAPA
        S: +OK
        S: SASL PLAIN
        S: STLS
        S: .
        C: AUTH
        S: -ERR
        C: QUIT
        S: +OK
    """
    assert_reads(Pop3, talk, greeting=READY, commands=4)


def test_pipelined_commands_get_their_replies_in_order():
    commands = [(C, b"RETR 1\r\nRETR 9\r\nRETR 2\r\nAPOP a 0\r\nQUIT\r\n")]
    replies = script("""
        S: +OK
        S: APOP a 1
        S: .
        S: -ERR no such message
        S: +OK
        S: ..
        S: .
        S: -ERR
        S: +OK
    """)
    talk = [*script(f"S: {READY}"), *commands, *replies]
    assert_reads(Pop3, talk, greeting=READY, auth_mechanism="APOP", auth_succeeded=False, commands=5)


def test_unknown_commands_count():
    talk = f"""
        S: {READY}
        C: XTND XMIT
        S: -ERR
        C: GET / HTTP/1.1
        S: -ERR
        C:
        C: NOOP
        S: +OK
    """
    assert_reads(Pop3, talk, greeting=READY, commands=3)


def test_a_text_that_nobody_announced_is_read_over():
    talk = f"""
        S: {READY}
        C: HELP
        S: +OK
        S: Commands are USER and PASS
        S: .
        C: APOP a 0
        S: +OK
    """
    columns = {"auth_mechanism": "APOP", "auth_succeeded": True, "commands": 2}
    assert_reads(Pop3, talk, greeting=READY, **columns, anomalies=["unexpected_line"])


def test_a_server_that_hangs_up_on_its_own():
    assert_reads(Pop3, f"S: {READY}\nC: NOOP\nS: +OK\nS: -ERR idle", greeting=READY, commands=1)


def test_a_reply_too_many_is_named():
    talk = f"S: {READY}\nC: NOOP\nS: +OK\nS: +OK"
    assert_reads(Pop3, talk, greeting=READY, commands=1, anomalies=["surplus_reply"])


def test_bare_line_feeds():
    talk = [(S, b"+OK ready\n"), (C, b"RETR 1\nQUIT\n"), (S, b"+OK\nFrom: x\n.\n+OK\n")]
    assert_reads(Pop3, talk, greeting="+OK ready", commands=2, anomalies=["bare_lf"])


def test_the_greeting_is_safe_and_short():
    octets = b"+OK \xe3\x81\x82\xff\x07" + b"x" * 5000
    text = r"+OK あ\xff\x07" + "x" * (MAX_GREETING - 9)
    assert_reads(Pop3, [(S, octets + b"\r\n")], greeting=text)


def test_lines_without_measure():
    talk = [(S, b"+OK ready\r\n"), (C, b"NOOP " + b"x" * (2 * MAX_LINE) + b"\r\n"), (S, b"-ERR\r\n")]
    assert_reads(Pop3, talk, greeting="+OK ready", commands=1, anomalies=["long_line"])


def test_more_commands_than_any_client_sends():
    session = Pop3()
    session.receive(Side.SERVER, b"+OK ready\r\n")
    session.receive(Side.CLIENT, b"NOOP\r\n" * (MAX_OUTSTANDING + 1) + b"APOP a 0\r\n")
    session.receive(Side.SERVER, b"+OK\r\n" * (MAX_OUTSTANDING + 2))
    columns = session.columns()
    assert columns["anomalies"] == ["many_unanswered"]
    assert (columns["auth_mechanism"], columns["auth_succeeded"]) == ("APOP", None)
    assert columns["commands"] == MAX_OUTSTANDING + 2


class TestTls:
    """STLS, and TLS from the first octet."""

    def test_stls(self):
        talk = [*script(f"S: {READY}\nC: CAPA\nS: +OK\nS: STLS\nS: .\nC: STLS\nS: +OK Begin"), *HELLOS]
        assert_reads(Pop3, talk, greeting=READY, tls="starttls", **IN_TLS, commands=2)

    def test_stls_refused(self):
        talk = f"S: {READY}\nC: STLS\nS: -ERR\nC: APOP a 0\nS: +OK"
        columns = {"auth_mechanism": "APOP", "auth_succeeded": True, "commands": 2}
        assert_reads(Pop3, talk, greeting=READY, **columns)

    def test_stls_refused_to_a_client_that_did_not_wait(self):
        talk = f"S: {READY}\nC: STLS\nC: APOP a 0\nS: -ERR\nS: +OK"
        columns = {"auth_mechanism": "APOP", "auth_succeeded": True, "commands": 2}
        assert_reads(Pop3, talk, greeting=READY, **columns)

    def test_stls_accepted_after_which_no_tls_comes(self):
        talk = f"S: {READY}\nC: STLS\nS: +OK\nC: APOP a 0\nS: +OK"
        columns = {"auth_mechanism": "APOP", "auth_succeeded": True, "commands": 2}
        assert_reads(Pop3, talk, greeting=READY, **columns, anomalies=["starttls_without_tls"])

    def test_stls_accepted_and_nothing_more(self):
        talk = f"S: {READY}\nC: STLS\nS: +OK"
        assert_reads(Pop3, talk, trailing=b"\x16", greeting=READY, tls="starttls", commands=1)

    def test_stls_accepted_by_a_server_that_does_not_know_what_it_said(self):
        talk = [*script(f"S: {READY}\nC: STLS\nS: +OK"), (C, CLIENT), (S, b"-ERR what?\r\n")]
        columns = {"greeting": READY, "tls_sni": "mail.example.org", "commands": 1}
        assert_reads(Pop3, talk, **columns, anomalies=["unasked_tls"])

    def test_a_command_slipped_in_behind_stls_is_not_read(self):
        talk = [*script(f"S: {READY}\nC: STLS\nC: APOP a 0\nS: +OK"), *HELLOS]
        columns = {"tls": "starttls", **IN_TLS, "commands": 1}
        assert_reads(Pop3, talk, greeting=READY, **columns, anomalies=["commands_after_starttls"])

    def test_a_reply_slipped_in_behind_the_answer_to_stls(self):
        talk = [*script(f"S: {READY}\nC: STLS\nS: +OK\nS: +OK 1 message"), *HELLOS]
        columns = {"tls": "starttls", **IN_TLS, "commands": 1}
        assert_reads(Pop3, talk, greeting=READY, **columns, anomalies=["surplus_reply"])

    def test_tls_that_both_sides_begin_unasked(self):
        talk = [*script(f"S: {READY}"), *HELLOS]
        assert_reads(Pop3, talk, greeting=READY, tls="starttls", **IN_TLS, anomalies=["unasked_tls"])

    def test_stls_whose_answer_was_not_seen(self):
        talk = [*script(f"S: {READY}\nC: STLS\nS: [20]"), *HELLOS]
        assert_reads(Pop3, talk, greeting=READY, tls="starttls", **IN_TLS, commands=1, anomalies=["gap"])

    def test_stls_of_the_client_alone(self):
        talk = [*script("C: CAPA\nC: STLS"), (C, CLIENT), (C, CLIENT_REST)]
        columns = {"tls": "starttls", "tls_sni": "mail.example.org", "commands": 2}
        assert_reads(Pop3, talk, **columns, anomalies=["server_unseen"])

    def test_stls_of_the_client_alone_in_vain(self):
        talk = "C: STLS\nC: USER alice\nC: PASS not-a-secret"
        assert_reads(Pop3, talk, auth_mechanism="USER", commands=3, anomalies=["server_unseen"])

    def test_a_client_that_never_waits_is_read_on(self):
        session = Pop3()
        session.receive(Side.SERVER, b"+OK ready\r\n")
        session.receive(Side.CLIENT, b"STLS\r\n" + b"NOOP\r\n" * 50_000)
        session.close()
        assert session.columns()["commands"] == 50_001

    def test_implicit_tls(self):
        assert_reads(Pop3, HELLOS, tls="implicit", **IN_TLS)

    def test_implicit_tls_of_one_side(self):
        sni = {"tls_sni": "mail.example.org"}
        assert_reads(Pop3, [(C, CLIENT), (C, CLIENT_REST)], tls="implicit", **sni)
        version = {"tls_version": "TLSv1.3"}
        talk = [(S, SERVER), (S, SERVER_REST)]
        assert_reads(Pop3, talk, tls="implicit", **version, anomalies=["client_unseen"])

    def test_a_gap_in_a_handshake(self):
        sni = {"tls": "implicit", "tls_sni": "mail.example.org", "anomalies": ["gap"]}
        assert_reads(Pop3, [(C, CLIENT), (S, SERVER[:30]), (S, 5), (S, SERVER[35:])], **sni)
        assert_reads(Pop3, [(C, CLIENT), (S, 5), (S, SERVER[5:])], **sni)

    def test_a_session_in_clear_on_a_port_for_tls(self):
        talk = f"S: {READY}\nC: APOP a 0\nS: +OK"
        columns = {"auth_mechanism": "APOP", "auth_succeeded": True, "commands": 1}
        begin = {"tls_port": True}
        assert_reads(Pop3, talk, begin=begin, greeting=READY, **columns, anomalies=["clear_text"])

    @pytest.mark.parametrize("client_first", [True, False])
    def test_a_client_that_speaks_tls_to_a_server_that_does_not(self, client_first: bool):
        talk = [(C, CLIENT), (S, b"+OK ready\r\n")]
        columns = {"greeting": "+OK ready", "tls_sni": "mail.example.org", "anomalies": ["unasked_tls"]}
        assert_reads(Pop3, talk if client_first else talk[::-1], **columns)

    def test_tls_that_began_in_a_gap(self):
        talk = [*script(f"S: {READY}\nC: CAPA\nS: -ERR\nC: [6]"), (C, CLIENT), (S, SERVER)]
        assert_reads(Pop3, talk, greeting=READY, tls="starttls", **IN_TLS, commands=1, anomalies=["gap"])

    @pytest.mark.parametrize(("tls_port", "tls"), [(True, "implicit"), (False, "starttls")])
    def test_tls_from_its_middle(self, tls_port: bool, tls: str):
        begin = {"from_start": False, "tls_port": tls_port}
        assert_reads(
            Pop3, [(C, CLIENT_REST), (S, SERVER_REST)], begin=begin, tls=tls, anomalies=["midstream"]
        )

    def test_tls_from_the_middle_of_a_record(self):
        begin = {"from_start": False, "tls_port": True}
        talk = [(S, bytes(range(256)) + SERVER_REST), (C, CLIENT_REST[6:])]
        columns = {"tls": "implicit", "anomalies": ["bare_lf", "binary", "midstream"]}
        assert_reads(Pop3, talk[:1], begin=begin, **columns)


class TestNotAllSeen:
    """Midstream, one-sided, gaps: named, and never guessed over."""

    def test_from_the_middle_a_first_line_is_no_greeting(self):
        talk = "S: +OK 2 640\nC: RETR 1\nS: +OK\nS: APOP a 0\nS: .\nC: QUIT\nS: +OK"
        assert_reads(Pop3, talk, begin={"from_start": False}, commands=2, anomalies=["midstream"])

    def test_from_the_middle_of_a_mail(self):
        talk = "S: end of a mail\nS: USER alice\nS: .\nC: APOP a 0\nS: +OK"
        columns = {"auth_mechanism": "APOP", "auth_succeeded": True, "commands": 1}
        assert_reads(Pop3, talk, begin={"from_start": False}, **columns, anomalies=["midstream"])

    def test_the_client_alone(self):
        talk = "C: USER alice\nC: PASS not-a-secret\nC: STAT\nC: XTND XMIT\nC: QUIT"
        assert_reads(Pop3, talk, auth_mechanism="USER", commands=4, anomalies=["server_unseen"])

    def test_the_client_alone_answers_challenges(self):
        talk = "C: AUTH LOGIN\nC: YWxpY2U=\nC: bm90LWEtc2VjcmV0\nC: STAT\nC: QUIT"
        assert_reads(Pop3, talk, auth_mechanism="LOGIN", commands=3, anomalies=["server_unseen"])

    def test_the_server_alone(self):
        talk = f"S: {READY}\nS: +OK\nS: +OK 2 messages\nS: +OK\nS: 1 320\nS: .\nS: +OK"
        assert_reads(Pop3, talk, greeting=READY, anomalies=["client_unseen", "unexpected_line"])

    def test_a_gap_before_the_greeting(self):
        talk = "S: [20]\nS: +OK\nC: APOP a 0\nS: +OK"
        columns = {"auth_mechanism": "APOP", "auth_succeeded": True, "commands": 1}
        assert_reads(Pop3, talk, **columns, anomalies=["gap"])

    def test_a_reply_in_a_gap_is_unknown(self):
        talk = f"S: {READY}\nC: USER alice\nS: +OK\nC: PASS x\nS: [9]\nS: +OK\nC: QUIT\nS: +OK"
        assert_reads(Pop3, talk, greeting=READY, auth_mechanism="USER", commands=3, anomalies=["gap"])

    def test_a_reply_in_a_gap_may_show_in_what_follows(self):
        talk = f"S: {READY}\nC: USER alice\nS: +OK\nC: PASS x\nS: [9]\nC: STAT\nS: +OK 2 640"
        columns = {"auth_mechanism": "USER", "auth_succeeded": True, "commands": 3}
        assert_reads(Pop3, talk, greeting=READY, **columns, anomalies=["gap"])

    @pytest.mark.parametrize(("reply", "succeeded"), [("+OK", True), ("-ERR", False)])
    def test_half_an_attempt_in_a_gap(self, reply: str, succeeded: bool):
        talk = f"S: {READY}\nS: +OK\nC: [12]\nC: PASS x\nS: {reply}"
        columns = {"auth_mechanism": "USER", "auth_succeeded": succeeded, "commands": 1}
        assert_reads(Pop3, talk, greeting=READY, **columns, anomalies=["gap"])
        columns["commands"] = 2
        assert_reads(Pop3, talk + "\nC: QUIT\nS: +OK", greeting=READY, **columns, anomalies=["gap"])

    def test_half_an_attempt_in_a_gap_whose_replies_come_together(self):
        talk = f"S: {READY}\nC: [12]\nC: PASS x\nS: +OK\nS: -ERR\nC: QUIT\nS: +OK"
        columns = {"auth_mechanism": "USER", "commands": 2}
        assert_reads(Pop3, talk, greeting=READY, **columns, anomalies=["gap"])

    def test_the_rest_of_a_command_is_no_command(self):
        talk = [*script(f"S: {READY}"), (C, b"PASS not"), (C, 3), (C, b"ecret\r\nQUIT\r\n")]
        assert_reads(Pop3, talk, greeting=READY, commands=1, anomalies=["gap"])

    def test_a_gap_in_a_mail(self):
        talk = f"""
            {LOGIN}
            C: RETR 1
            S: +OK
            S: From: x
            S: [1000]
            S: +OK not a reply
            S: .
            C: QUIT
            S: +OK
        """
        columns = {"auth_mechanism": "USER", "auth_succeeded": True, "commands": 4}
        assert_reads(Pop3, talk, greeting=READY, **columns, anomalies=["gap"])


class TestOtherProtocols:
    """What speaks on a POP3 port, but not POP3."""

    def test_a_server_that_greets_otherwise(self):
        talk = "S: 220 mx.example.com ESMTP\nC: EHLO x\nS: 250 mx.example.com"
        assert_reads(Pop3, talk, greeting="220 mx.example.com ESMTP", anomalies=["not_pop3"])

    def test_a_client_that_speaks_first(self):
        talk = "C: USER x\nC: GET / HTTP/1.1\nS: HTTP/1.1 200 OK\nS: Set-Cookie: x"
        assert_reads(Pop3, talk, anomalies=["not_pop3"])

    def test_a_client_that_speaks_no_text(self):
        talk = [*script(f"S: {READY}"), (C, b"\0\1\2\r\nNOOP\r\n"), (S, b"-ERR\r\n")]
        assert_reads(Pop3, talk, greeting=READY, commands=1, anomalies=["binary"])


def test_no_secret_is_kept():
    secrets = ("hush-user", "hush-pass", "hush-apop", "aHVzaA==", "hush-word", "hush-mail", "hush-rest")
    talk = f"""
        S: {READY}
        C: USER hush-user
        S: +OK hush-user
        C: PASS hush-pass
        S: -ERR
        C: APOP hush-user hush-apop
        S: -ERR
        C: AUTH PLAIN aHVzaA==
        S: -ERR
        C: AUTH LOGIN
        S: + aHVzaA==
        C: aHVzaA==
        S: +OK
        C: hush-word hush-word
        C: hush-word
        S: -ERR hush-word
        C: RETR 1
        S: +OK
        S: hush-mail
    """
    session = play(Pop3(), [*script(talk), (S, b"hush-mail"), (C, b"hush-rest")])
    for text in kept(session):
        assert not any(secret.encode() in text for secret in secrets), text
    assert READY.encode() in kept(session)
