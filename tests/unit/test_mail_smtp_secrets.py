"""AUTH and STARTTLS: what is told of them, and that no response and no message outlives its reading."""

from __future__ import annotations

import pytest

from op25b_pcap.mail.smtp import reply_lines
from tests.hellos import CLIENT, CLIENT_REST, SERVER, SERVER_REST, ssl2_client_hello
from tests.retrievals import kept
from tests.smtp_talk import BYE, ENVELOPE, MAIL, C, S, Step, cut, heard, read, steps, told

AUTH_HELLO = """
S: 220 mx.example.com ESMTP
C: EHLO home.example.org
S: 250-mx.example.com
S: 250-AUTH PLAIN LOGIN cram-md5
S: 250-AUTH=LOGIN
S: 250 STARTTLS
"""
OK, NO = "235 2.7.0 Authenticated", "535 5.7.8 Not you"
SECRET = "b3Blbi1zZXNhbWU="


@pytest.mark.parametrize(
    ("mechanism", "exchange"),
    [
        ("PLAIN", f"C: AUTH PLAIN {SECRET}\n"),
        ("PLAIN", f"C: AUTH PLAIN\nS: 334 \nC: {SECRET}\n"),
        ("PLAIN", f"C: auth plain =\nS: 334\nC: {SECRET}\n"),
        ("LOGIN", f"C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: {SECRET}\nS: 334 UGFzc3dvcmQ6\nC: {SECRET}\n"),
        ("LOGIN", f"C: AUTH LOGIN {SECRET}\nS: 334 UGFzc3dvcmQ6\nC: {SECRET}\n"),
        ("CRAM-MD5", f"C: AUTH cram-md5\nS: 334 PDEuMjM0QG14Pg==\nC: {SECRET}\n"),
        ("XOAUTH2", f"C: AUTH XOAUTH2 {SECRET}\nS: 334 eyJzdGF0dXMiOiI0MDEifQ==\nC: \n"),
        ("GSSAPI", f"C: AUTH GSSAPI {SECRET}\nS: 334 YII=\nC: {SECRET}\nS: 334 YII=\nC: {SECRET}\n"),
        ("SCRAM-SHA-256", f"C: AUTH SCRAM-SHA-256 {SECRET}\nS: 334 cg==\nC: {SECRET}\nS: 334 dg==\nC: \n"),
    ],
)
@pytest.mark.parametrize(("reply", "succeeded"), [(OK, True), (NO, False)])
def test_each_way_to_log_in(mechanism: str, exchange: str, reply: str, succeeded: bool):
    row = read(AUTH_HELLO + exchange + f"S: {reply}\n" + MAIL)
    assert (row["auth_mechanism"], row["auth_succeeded"]) == (mechanism, succeeded)
    assert row["auth_offered"] == ["PLAIN", "LOGIN", "CRAM-MD5"]
    assert (row["messages_accepted"], row["anomalies"]) == (1, [])


def test_a_client_that_gives_up():
    row = read(AUTH_HELLO + "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: *\nS: 501 5.7.0 Cancelled\n" + BYE)
    assert (row["auth_mechanism"], row["auth_succeeded"], row["quit"]) == ("LOGIN", False, True)


def test_the_attempt_that_succeeded_is_told():
    tries = f"C: AUTH PLAIN x\nS: {NO}\nC: AUTH LOGIN x\nS: 334 eA==\nC: x\nS: {OK}\n"
    row = read(AUTH_HELLO + tries + "C: AUTH PLAIN x\nS: 503 Again?\n")
    assert (row["auth_mechanism"], row["auth_succeeded"]) == ("LOGIN", True)


def test_a_response_that_looks_like_a_command_is_none():
    row = read(AUTH_HELLO + "C: AUTH LOGIN\nS: 334 eA==\nC: QUIT\nS: 334 eA==\nC: DATA\nS: 535 No\n")
    assert (row["quit"], row["transactions"], row["auth_succeeded"]) == (False, 0, False)


def test_a_mechanism_that_is_not_known_may_be_a_password():
    row = read(AUTH_HELLO + "C: AUTH hunter2\nS: 504 5.5.4 What?\n")
    assert (row["auth_mechanism"], row["auth_succeeded"]) == (None, False)
    assert row["anomalies"] == ["unknown_mechanism"]


def test_the_challenge_is_not_told():
    row = read(AUTH_HELLO + "C: AUTH CRAM-MD5\nS: 334 PDEuMjM0QG14Pg==\n")
    assert (row["last_reply_code"], row["last_reply_text"], row["auth_succeeded"]) == (334, None, None)


@pytest.mark.parametrize(
    "said",
    [
        f"C: AUTH PLAIN {SECRET}\nS: 535 bad credentials {SECRET}\n",
        f"C: AUTH PLAIN {SECRET}\nS: 535 5.7.8 who is open-sesame?\n",
        f"C: AUTH LOGIN\nS: 334 VXNl\nC: {SECRET}\nS: 334 UGFzc\nC: eA==\nS: 235 open-sesame is in\n",
        f"C: AUTH PLAIN {SECRET}\nS: 535 no\nS: 421 4.7.0 that is enough, open-sesame\n",
        f"C: AUTH {SECRET}\nS: 504 5.3.3 AUTH mechanism {SECRET} not available\n",
        f"C: {SECRET} x\nS: 421 4.7.0 Unrecognized {SECRET}\n",
        f"C: AUTH PLAIN {SECRET}\nS: 535 {'x' * 5_000}\n",
    ],
)
def test_a_reply_that_repeats_what_somebody_logs_in_with_is_not_told(said):
    assert read(AUTH_HELLO + said)["last_reply_text"] is None
    assert read(AUTH_HELLO + said + "C: QUIT\nS: 221 bye\n")["last_reply_text"] == "bye"


def test_why_nobody_gets_in_is_told():
    assert read(AUTH_HELLO + f"C: AUTH PLAIN {SECRET}\nS: {NO}\n")["last_reply_text"] == "Not you"
    refused = "C: AUTH PLAIN\nS: 504 5.5.4 PLAIN is not for you\n"
    assert read(AUTH_HELLO + refused)["last_reply_text"] == "PLAIN is not for you"
    unknown = "C: XYZZY plugh\nS: 421 4.7.0 too many errors\n"
    assert read(AUTH_HELLO + unknown)["last_reply_text"] == "too many errors"


SECRETIVE = {
    "initial response": f"C: AUTH PLAIN {SECRET}\nS: {OK}\n",
    "initial response refused": f"C: AUTH PLAIN {SECRET}\nS: {NO}\n",
    "response": f"C: AUTH LOGIN\nS: 334 eA==\nC: {SECRET}\nS: 334 eA==\nC: {SECRET}\nS: {OK}\n",
    "unfinished": f"C: AUTH LOGIN\nS: 334 eA==\nC| {SECRET}\n",
    "unanswered": f"C: AUTH PLAIN {SECRET}\n",
    "unanswered response": f"C: AUTH LOGIN\nC: {SECRET}\nC: {SECRET}\nC: QUIT\n",
    "out of place": f"C: {SECRET}\nS: 500 What?\n",
    "as the mechanism": f"C: AUTH {SECRET}\nS: 504 What?\n",
    "behind a gap": f"C: AUTH LOGIN\nS: 334 eA==\nC? 4\nC: {SECRET}\nS: 235 Ok\nC: {SECRET}\n",
    "a message": ENVELOPE + f"C: DATA\nS: 354 Go\nC: Received: {SECRET}\nC: To: {SECRET}\nC:\nC| {SECRET}\n",
    "a chunk": ENVELOPE + rf"C| BDAT 100\r\nReceived: {SECRET}\r\n{SECRET}" + "\n",
    "parameters": f"C: MAIL FROM:<a@example.org> AUTH={SECRET} ENVID={SECRET}\nS: 250 Ok\n",
    "repeated by the server": f'C: {SECRET}\nS: 500 5.5.1 Command unrecognized: "{SECRET}"\n',
    "repeated by the server behind a gap": f"C: AUTH PLAIN\nS? 9\nC: {SECRET}\nS: 500 {SECRET}?\n",
    "a proxy": "",
}


@pytest.mark.parametrize("case", SECRETIVE)
@pytest.mark.parametrize("sizes", [[1], [7], [1000]], ids=str)
def test_no_secret_is_kept(case: str, sizes: list[int]):
    """Neither in what is told, nor anywhere in the objects that told it."""
    talk = steps(AUTH_HELLO + SECRETIVE[case])
    if case == "a proxy":
        talk = [(C, b"\5\1\2\1\4user\x10" + SECRET.encode() + b"\5\1\0\1\1\1\1\1\0\x19"), *talk]
    dialogue = heard(cut(talk, sizes))
    row = told(dialogue)
    assert row["helo"] == "home.example.org"
    assert SECRET[:-2] not in repr(row)
    assert not [text for text in kept(dialogue) if SECRET[:-2].encode() in text]


@pytest.mark.parametrize("reply", [f"334 {SECRET[:8]}", f"500 {SECRET[:8]}?", f"454 {SECRET[:8]}"])
def test_only_positive_replies_are_remembered(reply: str):
    """Others may repeat what a client said, or be part of what authenticates."""
    remembered = reply_lines._usual_replies.cache_info().misses
    heard(steps(f"S: {reply}"))
    assert reply_lines._usual_replies.cache_info().misses == remembered


def test_within_a_session_a_response_is_gone_when_the_next_line_is_read():
    dialogue = heard([])
    for side, what in steps(AUTH_HELLO + SECRETIVE["response"]):
        dialogue.receive(side, what)
    assert not [text for text in kept(dialogue) if SECRET.encode() in text]


class TestTls:
    HIDDEN: tuple[Step, ...] = ((C, CLIENT), (S, SERVER), (C, CLIENT_REST), (S, SERVER_REST))

    def test_starttls(self):
        row = read([*steps(AUTH_HELLO + "C: STARTTLS\nS: 220 2.0.0 Go ahead"), *self.HIDDEN])
        assert (row["starttls_offered"], row["starttls_accepted"], row["tls"]) == (True, True, "starttls")
        assert (row["tls_version"], row["tls_sni"]) == ("TLSv1.3", "mail.example.org")
        assert (row["last_reply_code"], row["last_enhanced_code"], row["anomalies"]) == (220, "2.0.0", [])

    @pytest.mark.parametrize("reply", ["454 4.7.0 Not now", "502 5.5.1 What?", "501 No arguments"])
    def test_starttls_refused(self, reply: str):
        row = read(AUTH_HELLO + f"C: STARTTLS\nS: {reply}\n" + MAIL)
        assert (row["starttls_accepted"], row["tls"], row["messages_accepted"]) == (False, "none", 1)

    def test_accepted_and_then_nothing(self):
        row = told(heard(steps(AUTH_HELLO + "C: STARTTLS\nS: 220 Go ahead")))
        assert (row["starttls_accepted"], row["tls"]) == (True, "none")

    def test_a_client_that_goes_on_in_clear(self):
        row = read(AUTH_HELLO + "C: STARTTLS\nS: 220 Go ahead\nC: EHLO x\nS: 250 mx\n" + MAIL)
        assert (row["tls"], row["messages_accepted"]) == ("none", 1)
        assert "starttls_without_tls" in row["anomalies"]

    def test_commands_in_front_of_tls(self):
        """For a server that takes them for said in TLS (CVE-2011-0411)."""
        row = read([*steps(AUTH_HELLO + "C: STARTTLS\nC: RSET\nS: 220 Go ahead"), *self.HIDDEN])
        assert (row["tls"], row["tls_sni"]) == ("starttls", "mail.example.org")
        assert row["anomalies"] == ["commands_after_starttls"]

    def test_tls_from_the_first_octet(self):
        row = read([*self.HIDDEN], tls_port=True)
        assert (row["tls"], row["tls_version"], row["tls_sni"]) == ("implicit", "TLSv1.3", "mail.example.org")
        assert (row["banner_code"], row["last_reply_code"], row["anomalies"]) == (None, None, [])

    def test_tls_that_is_not_answered(self):
        assert read([(C, CLIENT)], tls_port=True)["tls"] == "implicit"

    def test_tls_to_a_server_in_clear(self):
        row = read([(C, CLIENT), *steps("S: 220 mx.example.com")], tls_port=True)
        assert (row["tls"], row["tls_sni"], row["last_reply_code"]) == ("none", "mail.example.org", 220)
        assert (row["banner_code"], row["anomalies"]) == (220, ["unasked_tls"])

    def test_a_server_that_answers_clear_text_in_tls(self):
        row = read([*steps("C: EHLO x"), (S, b"\x15\3\1\0\2\2\x46")], tls_port=True)
        assert (row["helo"], row["tls"]) == ("x", "none")
        assert row["anomalies"] == ["tls_alert", "unasked_tls"]

    def test_a_hello_of_ssl_2(self):
        row = read([(C, ssl2_client_hello()), (S, SERVER)], tls_port=True)
        assert (row["tls"], row["tls_version"]) == ("implicit", "TLSv1.3")

    def test_the_client_alone(self):
        row = read([*steps("C: EHLO x\nC: STARTTLS"), (C, CLIENT), (C, CLIENT_REST)])
        assert (row["starttls_accepted"], row["tls"], row["tls_version"]) == (None, "starttls", None)
        assert row["tls_sni"] == "mail.example.org"

    def test_the_server_alone(self):
        row = read(
            [*steps("S: 220 mx\nS: 250-mx\nS: 250 STARTTLS\nS: 220 Go ahead"), (S, SERVER), (S, SERVER_REST)]
        )
        assert (row["banner_code"], row["starttls_offered"], row["tls"]) == (220, True, "starttls")
        assert row["tls_version"] == "TLSv1.3"

    @pytest.mark.parametrize(("tls_port", "tls"), [(True, "implicit"), (False, "starttls")])
    def test_from_the_middle_of_tls(self, tls_port: bool, tls: str):
        row = read([(C, CLIENT_REST), (S, SERVER_REST)], from_start=False, tls_port=tls_port)
        assert (row["tls"], row["transactions"]) == (tls, 0)

    def test_from_the_answer_to_starttls_on(self):
        row = read([*steps("S: 220 2.0.0 Go ahead"), *self.HIDDEN], from_start=False)
        assert (row["banner_code"], row["starttls_accepted"], row["tls"]) == (None, True, "starttls")

    def test_a_gap_in_the_hello(self):
        row = read([*steps(AUTH_HELLO + "C: STARTTLS\nS: 220 Go"), (C, CLIENT[:30]), (C, 50), (S, SERVER)])
        assert (row["tls"], row["tls_version"], row["tls_sni"]) == ("starttls", "TLSv1.3", None)
        assert row["anomalies"] == ["gap"]
