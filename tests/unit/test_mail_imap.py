"""IMAP sessions: who authenticated how, what was asked, and what cannot be told."""

from __future__ import annotations

import pytest

from op25b_pcap.mail.imap import KNOWN, MAX_OUTSTANDING, REPLIES, Imap
from op25b_pcap.mail.lines import MAX_LINE
from op25b_pcap.tables.streams import Side
from tests.hellos import CLIENT, CLIENT_REST, SERVER, SERVER_REST
from tests.retrievals import C, S, assert_reads, kept, play, script

READY = "* OK [CAPABILITY IMAP4rev1 LITERAL+ SASL-IR] imap.example.org ready"
HELLOS = [(C, CLIENT), (S, SERVER), (C, CLIENT_REST), (S, SERVER_REST)]
IN_TLS = {"tls_version": "TLSv1.3", "tls_sni": "mail.example.org"}
BY_LOGIN = {"auth_mechanism": "LOGIN", "auth_succeeded": True}


def after_greeting(exchange: str) -> str:
    """`|` between lines."""
    return "\n".join([f"S: {READY}", *exchange.split("|")])


def test_nothing():
    assert_reads(Imap, [])


def test_a_session():
    talk = f"""
        S: {READY}
        C: a1 LOGIN alice not-a-secret
        S: a1 OK [CAPABILITY IMAP4rev1 IDLE] Logged in
        C: a2 SELECT INBOX
        S: * FLAGS (\\Answered \\Deleted)
        S: * 18 EXISTS
        S: * OK [UIDVALIDITY 3857529045]
        S: a2 OK [READ-WRITE] SELECT completed
        C: a3 UID FETCH 1:* (FLAGS)
        S: * 1 FETCH (UID 10 FLAGS (\\Seen))
        S: a3 OK Done
        C: a4 IDLE
        S: + idling
        S: * 19 EXISTS
        C: DONE
        S: a4 OK IDLE terminated
        C: a5 LOGOUT
        S: * BYE Logging out
        S: a5 OK Done
    """
    assert_reads(Imap, talk, greeting=READY, **BY_LOGIN, commands=5)


@pytest.mark.parametrize(
    ("greeting", "anomalies"),
    [
        ("* BYE Too many connections", []),
        ("* PREAUTH imap.example.org logged in as somebody", ["preauth"]),
        ("* ok lower case", []),
        ("* OK", []),
    ],
)
def test_greetings(greeting: str, anomalies: list):
    assert_reads(Imap, f"S: {greeting}", greeting=greeting, anomalies=anomalies)


@pytest.mark.parametrize(
    ("exchange", "mechanism", "succeeded", "commands"),
    [
        ("C: a LOGIN alice guess", "LOGIN", None, 1),
        ("C: a LOGIN alice guess|S: a NO", "LOGIN", False, 1),
        ("C: a LOGIN alice guess|S: a BAD no|C: b LOGIN alice right|S: b OK", "LOGIN", True, 2),
        ("C: a login alice right|S: * CAPABILITY IMAP4rev1|S: a ok", "LOGIN", True, 1),
        ('C: a LOGIN "al{5}" "say \\"OK\\" {9}"|S: a OK', "LOGIN", True, 1),
        ("C: a LOGIN x y|C: b SELECT INBOX|S: a NO|S: b NO", "LOGIN", False, 2),
        ("C: a LOGIN x y|S: b OK|S: A OK", "LOGIN", None, 1),
        ("C: a AUTHENTICATE PLAIN|S: + |C: AGFsaWNlAHNlY3JldA==|S: a OK", "PLAIN", True, 1),
        ("C: a AUTHENTICATE plain AGFsaWNlAHNlY3JldA==|S: a NO", "PLAIN", False, 1),
        ("C: a AUTHENTICATE EXTERNAL =|S: a OK", "EXTERNAL", True, 1),
        ("C: a AUTHENTICATE LOGIN|S: + VXNlcg==|C: YWxp|S: + UGFz|C: NOOP|S: a OK", "LOGIN", True, 1),
        ("C: a AUTHENTICATE CRAM-MD5|S: + PDE4|C: *|S: a BAD|C: b LOGOUT|S: b OK", "CRAM-MD5", False, 2),
        ("C: a AUTHENTICATE NTLM|S: a NO|C: b LOGIN x y|S: b OK|C: c LOGIN x z|S: c BAD", "LOGIN", True, 3),
    ],
)
def test_authentication(exchange: str, mechanism: str | None, succeeded: bool | None, commands: int):
    columns = {"auth_mechanism": mechanism, "auth_succeeded": succeeded, "commands": commands}
    assert_reads(Imap, after_greeting(exchange), greeting=READY, **columns)


def test_what_has_replies_of_interest_is_known():
    assert all(KNOWN.fullmatch(command) for command in REPLIES)


def test_what_is_no_mechanism_may_be_a_secret():
    talk = after_greeting("C: a AUTHENTICATE AGFsaWNlAHNlY3JldA==|S: a NO")
    columns = {"auth_succeeded": False, "commands": 1, "anomalies": ["unknown_mechanism"]}
    assert_reads(Imap, talk, greeting=READY, **columns)


class TestLiterals:
    """Counted octets, in which anything may stand."""

    def test_login(self):
        talk = [
            *script(after_greeting("C: a LOGIN {7}|S: + go")),
            (C, b"a\r\nb c\r {6}\r\n"),
            *script("S: + go"),
            (C, b"x {9}\n\r\nb LOGOUT\r\n"),
            *script("S: a OK\nS: b OK"),
        ]
        assert_reads(Imap, talk, greeting=READY, **BY_LOGIN, commands=2, anomalies=[])

    def test_login_without_waiting(self):
        talk = [*script(f"S: {READY}"), (C, b"a LOGIN {5+}\r\nalice {0+}\r\n\r\nb NOOP\r\n")]
        assert_reads(Imap, [*talk, *script("S: a OK\nS: b OK")], greeting=READY, **BY_LOGIN, commands=2)

    def test_a_mail_that_looks_like_a_session(self):
        mail = b"x LOGIN a b\r\ny STARTTLS\r\n"
        talk = [
            *script(after_greeting(f"C: a APPEND Sent (\\Seen) ~{{{len(mail)}}}|S: + go")),
            (C, mail + b"\r\n"),
            *script("S: x OK\nS: y OK\nS: a OK\nC: b FETCH 1 BODY[]\nS: * 1 FETCH (BODY[] {25}"),
            (S, mail[:25] + b" FLAGS () BODY[1] {3}\r\nb O)\r\n"),
            *script("S: b OK"),
        ]
        assert_reads(Imap, talk, greeting=READY, commands=2)

    def test_refused(self):
        talk = after_greeting("C: a APPEND Sent {99999}|S: a NO [TOOBIG]|C: b LOGIN x y|S: b OK")
        assert_reads(Imap, talk, greeting=READY, **BY_LOGIN, commands=2)

    def test_refused_though_empty(self):
        talk = after_greeting("C: a APPEND Sent {0}|S: a NO|C: b LOGIN x y|S: b OK")
        assert_reads(Imap, talk, greeting=READY, **BY_LOGIN, commands=2)

    def test_refused_though_sent(self):
        sent = (C, b"b LOGIN x y\n\r\nc LOGIN x y\r\n")
        talk = [*script(after_greeting("C: a APPEND Sent {12+}|S: a NO")), sent, *script("S: c OK")]
        assert_reads(Imap, talk, greeting=READY, **BY_LOGIN, commands=2)

    def test_sizes_that_cannot_be(self):
        huge = after_greeting("C: a APPEND x {99999999999999999999}|S: + go|C: b LOGIN x y|S: b OK")
        assert_reads(Imap, huge, greeting=READY, commands=1)
        longer = after_greeting("C: a APPEND x {999999999999999999999}|C: b LOGIN x y|S: b OK")
        assert_reads(Imap, longer, greeting=READY, **BY_LOGIN, commands=2)

    def test_words_in_braces_that_are_none(self):
        talk = after_greeting("S: * OK see {900}|S: * BYE {9}|S: + {9}|C: a LOGIN x y|S: a OK {9}|C: b NOOP")
        assert_reads(Imap, talk, greeting=READY, **BY_LOGIN, commands=2)

    def test_at_the_end_of_a_line_without_measure(self):
        line = b"* 1 FETCH (ENVELOPE (" + b"x" * (2 * MAX_LINE) + b" {6}\r\n"
        talk = [*script(after_greeting("C: a LOGIN x y")), (S, line + b"a NO\r\n NIL))\r\na OK\r\n")]
        assert_reads(Imap, talk, greeting=READY, **BY_LOGIN, commands=1, anomalies=["long_line"])

    def test_a_gap_within(self):
        talk = [
            *script(after_greeting("C: a APPEND x {20}|S: + go")),
            *[(C, b"twelve"), (C, 10), (C, b"four\r\nb FETCH 1 BODY[]\r\n")],
            *script("S: a OK\nS: * 1 FETCH (BODY[] {9}"),
            *[(S, 4), (S, b"12345)\r\nb OK\r\n")],
            *script("C: c LOGIN x y\nS: c OK"),
        ]
        assert_reads(Imap, talk, greeting=READY, **BY_LOGIN, commands=3, anomalies=["gap"])


class TestTls:
    """STARTTLS, TLS from the first octet, and DEFLATE, which hides as much."""

    def test_starttls(self):
        talk = after_greeting("C: a CAPABILITY|S: * CAPABILITY STARTTLS|S: a OK|C: b STARTTLS|S: b OK")
        assert_reads(Imap, [*script(talk), *HELLOS], greeting=READY, tls="starttls", **IN_TLS, commands=2)

    @pytest.mark.parametrize("reply", ["NO", "BAD"])
    def test_starttls_refused(self, reply: str):
        talk = after_greeting(f"C: a STARTTLS|C: b LOGIN x y|S: a {reply}|S: b OK")
        assert_reads(Imap, talk, greeting=READY, **BY_LOGIN, commands=2)

    def test_a_command_slipped_in_behind_starttls_is_not_read(self):
        talk = [*script(after_greeting("C: a STARTTLS|C: b LOGIN x y|S: a OK")), *HELLOS]
        columns = {"tls": "starttls", **IN_TLS, "commands": 1}
        assert_reads(Imap, talk, greeting=READY, **columns, anomalies=["commands_after_starttls"])

    def test_starttls_whose_answer_was_not_seen(self):
        talk = [*script(after_greeting("C: a STARTTLS")), (C, CLIENT), (S, 30), (S, SERVER)]
        columns = {"greeting": READY, "tls": "starttls", **IN_TLS, "commands": 1}
        assert_reads(Imap, talk, **columns, anomalies=["gap"])

    def test_implicit_tls(self):
        assert_reads(Imap, HELLOS, begin={"tls_port": True}, tls="implicit", **IN_TLS)

    def test_compression(self):
        talk = [
            *script(after_greeting("C: a LOGIN x y|S: a OK|C: b COMPRESS DEFLATE")),
            *script("S: b OK DEFLATE active"),
            *[(C, b"\x72\x74\n c LOGIN z z\r\n"), (S, b"\xf2c OK\r\n")],
        ]
        assert_reads(Imap, talk, greeting=READY, **BY_LOGIN, commands=2, anomalies=["compressed"])

    def test_compression_refused(self):
        talk = after_greeting("C: a COMPRESS DEFLATE|C: b LOGIN x y|S: a NO|S: b OK")
        assert_reads(Imap, talk, greeting=READY, **BY_LOGIN, commands=2)


class TestNotAllSeen:
    """Midstream, one-sided, gaps: named, and never guessed over."""

    def test_from_the_middle_of_idling(self):
        talk = "S: * OK Still here\nC: DONE\nS: a4 OK\nC: a5 LOGOUT\nS: * BYE\nS: a5 OK"
        assert_reads(Imap, talk, begin={"from_start": False}, commands=1, anomalies=["midstream"])

    def test_the_client_alone(self):
        login = (C, b"a LOGIN {5}\r\nalice {6}\r\nb NOOP\r\n")
        talk = [login, *script("C: b AUTHENTICATE PLAIN\nC: AGFsaWNl\nC: c QUIT x\nC: d LOGOUT")]
        assert_reads(Imap, talk, auth_mechanism="PLAIN", commands=3, anomalies=["server_unseen"])

    def test_the_server_alone(self):
        talk = f"S: {READY}\nS: * CAPABILITY IMAP4rev1\nS: a OK\nS: b OK LOGIN completed"
        assert_reads(Imap, talk, greeting=READY, anomalies=["client_unseen"])

    def test_a_server_that_hangs_up_on_its_own(self):
        assert_reads(Imap, f"S: {READY}\nS: * BYE idle for too long", greeting=READY)

    def test_a_reply_in_a_gap_is_unknown(self):
        talk = after_greeting("C: a LOGIN x y|S: [20]|C: b LOGOUT|S: b OK")
        assert_reads(Imap, talk, greeting=READY, auth_mechanism="LOGIN", commands=2, anomalies=["gap"])

    def test_a_reply_in_a_gap_may_show_in_what_follows(self):
        talk = after_greeting("C: a LOGIN x y|S: [20]|C: b SELECT INBOX|S: b OK")
        assert_reads(Imap, talk, greeting=READY, **BY_LOGIN, commands=2, anomalies=["gap"])

    def test_behind_a_gap_of_the_client_only_what_is_answered_is_believed(self):
        mail = "C: [99]|C: We LOGIN every day|C: I STORE nothing|C: Dear you|C: .|S: x OK"
        assert_reads(Imap, after_greeting(mail), greeting=READY, commands=2, anomalies=["gap"])
        answered = after_greeting("C: [99]|C: b LOGIN x y|S: b OK")
        assert_reads(Imap, answered, greeting=READY, **BY_LOGIN, commands=1, anomalies=["gap"])

    def test_a_gap_in_the_answer_to_a_fetch(self):
        talk = after_greeting("C: a LOGIN x y|S: a OK|C: b FETCH 1 BODY[]|S: [40]|S: of a mail|S: )|S: b OK")
        assert_reads(Imap, talk, greeting=READY, **BY_LOGIN, commands=2, anomalies=["gap"])

    def test_more_logins_than_anybody_tries_at_once(self):
        session = Imap()
        session.receive(Side.SERVER, b"* OK ready\r\n")
        session.receive(Side.CLIENT, b"".join(b"t%d LOGIN x y\r\n" % n for n in range(MAX_OUTSTANDING + 1)))
        session.receive(Side.SERVER, b"t0 OK\r\n")
        assert session.columns()["auth_succeeded"] is None
        session.receive(Side.SERVER, b"t1 OK\r\n")
        assert session.columns()["auth_succeeded"] is True


class TestOtherProtocols:
    """What speaks on an IMAP port, but not IMAP."""

    def test_a_server_that_greets_otherwise(self):
        talk = "S: SSH-2.0-OpenSSH_9.2\nC: SSH-2.0-x\nC: a LOGIN x y"
        assert_reads(Imap, talk, greeting="SSH-2.0-OpenSSH_9.2", anomalies=["not_imap"])

    def test_a_client_that_speaks_first(self):
        talk = "C: a LOGIN x y\nS: HTTP/1.1 200 OK\nS: a OK"
        assert_reads(Imap, talk, anomalies=["not_imap"])

    def test_lines_of_nobodys_grammar(self):
        talk = after_greeting("C: (a) LOGIN x y|C: a+b NOOP|C: LOGIN|C: a 5|C:  a NOOP|C:|S: what|C: a XYZZY")
        assert_reads(Imap, talk, greeting=READY, commands=1, anomalies=["unexpected_line"])


def test_no_secret_is_kept():
    secrets = ("hush-user", "hush-pass", "aHVzaA==", "hush-tag", "hush-mail", "hush-rest")
    talk = f"""
        S: {READY}
        C: hush-tag LOGIN hush-user hush-pass
        C: a LOGIN "hush-user" hush-pass
        S: a NO hush-user
        C: b LOGIN {{9}}
        S: + hush-user
        C: hush-user {{9}}
        S: +
        C: hush-pass
        S: b NO
        C: c AUTHENTICATE PLAIN aHVzaA==
        S: c NO
        C: d AUTHENTICATE CRAM-MD5
        S: + aHVzaA==
        C: aHVzaA==
        S: d OK hush-user
        C: e APPEND hush-mail {{20}}
        S: + go
    """
    session = play(Imap(), [*script(talk), (C, b"hush-mail"), (S, b"* hush-rest")])
    for text in kept(session):
        assert not any(secret.encode() in text for secret in secrets), text
    assert READY.encode() in kept(session)
