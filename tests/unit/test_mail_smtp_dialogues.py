"""Dialogues as both sides hold them, nothing missing: what is told of each."""

from __future__ import annotations

import pytest

from tests.smtp_talk import BYE, DATA, ENVELOPE, HELLO, MAIL, C, S, heard, mails, read, steps, told

PLUM = len(b"Subject: Spring\r\n\r\nThe plum is in flower.\r\n")


def test_a_mail_from_greeting_to_quit():
    row = read(HELLO + MAIL + BYE)
    (mail,) = row.pop("mails")
    assert row == {
        "banner_code": 220,
        "banner_text": "mx.example.com ESMTP",
        "helo_verb": "EHLO",
        "helo": "home.example.org",
        "extensions": ["PIPELINING", "8BITMIME"],
        "starttls_offered": False,
        "starttls_accepted": None,
        "auth_offered": [],
        "auth_mechanism": None,
        "auth_succeeded": None,
        "transactions": 1,
        "messages_accepted": 1,
        "recipients_accepted": 1,
        "recipients_rejected": 0,
        "message_bytes": PLUM,
        "last_reply_code": 221,
        "last_enhanced_code": "2.0.0",
        "last_reply_text": "Bye",
        "quit": True,
        "tls": "none",
        "tls_version": None,
        "tls_sni": None,
        "anomalies": [],
    }
    assert mail == {
        "transaction_index": 1,
        "mail_from": "haruko@example.org",
        "rcpt_to": ["aiko@example.com"],
        "rcpt_reply_codes": [250],
        "declared_size": None,
        "body": None,
        "smtputf8": False,
        "data_command": "DATA",
        "message_bytes": PLUM,
        "received_headers": 0,
        "reply_code": 250,
        "enhanced_code": "2.0.0",
        "accepted": True,
    }


def test_helo_after_a_refused_ehlo():
    row = read("""
        S: 220 old.example.com
        C: EHLO home.example.org
        S: 500 5.5.1 Command unrecognized
        C: HELO home.example.org
        S: 250 old.example.com
    """)
    assert (row["helo_verb"], row["extensions"], row["starttls_offered"]) == ("HELO", None, None)
    assert row["anomalies"] == ["helo_fallback"]


def test_a_refused_ehlo_changes_nothing():
    row = read("""
        S: 220 mx.example.com
        C: HELO home.example.org
        S: 250 mx.example.com
        C: MAIL FROM:<a@example.org>
        S: 250 Ok
        C: EHLO
        S: 501 Syntax
        C: RCPT TO:<b@example.com>
        S: 250 Ok
    """)
    assert (row["helo_verb"], row["helo"], row["transactions"]) == ("HELO", "home.example.org", 1)
    assert row["mails"][0]["rcpt_to"] == ["b@example.com"]


def test_an_accepted_ehlo_ends_the_transaction():
    first, second = mails(HELLO + ENVELOPE + HELLO.partition("ESMTP")[2] + MAIL)
    assert (first["rcpt_to"], first["reply_code"], first["accepted"]) == (["aiko@example.com"], None, False)
    assert (second["rcpt_to"], second["accepted"]) == (["aiko@example.com"], True)


def test_several_transactions_and_rset_between():
    row = read(HELLO + MAIL + ENVELOPE + "C: RSET\nS: 250 Ok\n" + MAIL + BYE)
    assert [(mail["transaction_index"], mail["accepted"]) for mail in row["mails"]] == [
        (1, True),
        (2, False),
        (3, True),
    ]
    assert (row["messages_accepted"], row["message_bytes"]) == (2, 2 * PLUM)


def test_other_commands_do_not_touch_the_transaction():
    other = "C: NOOP\nS: 250 Ok\nC: VRFY aiko\nS: 252 Maybe\nC: HELP\nS: 214-Help\nS: 214 yourself\n"
    (mail,) = mails(HELLO + other + ENVELOPE + other + DATA)
    assert mail["accepted"] is True


def test_pipelined_groups_are_answered_in_order():
    row = read(
        HELLO
        + """
        C: MAIL FROM:<a@example.org>
        C: RCPT TO:<b@example.com>
        C: RCPT TO:<c@example.com>
        C: DATA
        S: 250 2.1.0 Ok
        S: 550 5.1.1 Unknown
        S: 250 2.1.5 Ok
        S: 354 Go on
        C: x
        C: .
        C: QUIT
        S: 250 2.0.0 Queued
        S: 221 2.0.0 Bye
    """
    )
    (mail,) = row["mails"]
    assert mail["rcpt_reply_codes"] == [550, 250]
    assert (mail["accepted"], row["quit"], row["anomalies"]) == (True, True, [])
    assert (row["recipients_accepted"], row["recipients_rejected"]) == (1, 1)


def test_rset_behind_a_message_begins_a_new_mail():
    two = mails(HELLO + ENVELOPE + DATA.replace("C: .\n", "C: .\nC: RSET\n") + "S: 250 Ok\n" + MAIL)
    assert [mail["accepted"] for mail in two] == [True, True]


def test_what_is_pipelined_behind_a_refused_mail_belongs_to_it():
    row = read(
        HELLO
        + """
        C: MAIL FROM:<spam@example.org>
        C: RCPT TO:<b@example.com>
        C: DATA
        S: 550 5.7.1 Not from you
        S: 503 5.5.1 MAIL first
        S: 503 5.5.1 RCPT first
        C: RSET
        S: 250 Ok
    """
    )
    (mail,) = row["mails"]
    assert (mail["mail_from"], mail["rcpt_to"]) == ("spam@example.org", ["b@example.com"])
    assert (mail["reply_code"], mail["enhanced_code"], mail["accepted"]) == (550, "5.7.1", False)
    assert mail["message_bytes"] is None


def test_a_refused_mail_within_a_transaction_leaves_it_open():
    first, second = mails(HELLO + ENVELOPE + "C: MAIL FROM:<other@example.org>\nS: 503 5.5.1 Nested\n" + DATA)
    assert (first["mail_from"], first["accepted"]) == ("haruko@example.org", True)
    assert (second["mail_from"], second["reply_code"], second["accepted"]) == (
        "other@example.org",
        503,
        False,
    )


def test_after_refused_data_the_client_gives_commands():
    row = read(HELLO + ENVELOPE + "C: DATA\nS: 451 4.3.0 Later\nC: QUIT\nS: 221 Bye\n")
    (mail,) = row["mails"]
    assert (mail["data_command"], mail["message_bytes"]) == ("DATA", None)
    assert (mail["reply_code"], mail["enhanced_code"], mail["accepted"]) == (451, "4.3.0", False)
    assert (row["quit"], row["anomalies"]) == (True, [])


def test_data_that_is_refused_and_tried_again():
    (mail,) = mails(HELLO + ENVELOPE + "C: DATA\nS: 451 Later\n" + DATA)
    assert (mail["reply_code"], mail["accepted"], mail["message_bytes"]) == (250, True, PLUM)


def test_a_message_sent_before_354_is_read_all_the_same():
    row = read(HELLO + ENVELOPE + "C: DATA\nC: Subject: x\nC: .\nC: QUIT\nS: 354 Go\nS: 250 Ok\nS: 221 Bye")
    assert (row["messages_accepted"], row["quit"], row["anomalies"]) == (1, True, ["early_data"])


@pytest.mark.parametrize(
    ("reply", "accepted"), [("250 Ok", True), ("550 5.7.1 Spam", False), ("421 4.3.2 Going down", False)]
)
def test_what_the_server_says_to_the_message(reply: str, accepted: bool):
    (mail,) = mails(HELLO + ENVELOPE + DATA.replace("250 2.0.0 Queued", reply))
    assert (mail["reply_code"], mail["accepted"]) == (int(reply[:3]), accepted)


def test_dots_are_counted_as_they_were_sent():
    body = "..\r\n.x\r\n...\r\n. \r\n\r\n"
    talk = [
        *steps(HELLO + ENVELOPE + "C: DATA\nS: 354 Go"),
        (C, body.encode() + b".\r\n"),
        (S, b"250 Ok\r\n"),
    ]
    (mail,) = told(heard(talk))["mails"]
    assert (mail["message_bytes"], mail["accepted"]) == (len(body), True)


def test_an_empty_message():
    (mail,) = mails(HELLO + ENVELOPE + "C: DATA\nS: 354 Go\nC: .\nS: 250 Ok")
    assert (mail["message_bytes"], mail["received_headers"], mail["accepted"]) == (0, 0, True)


def test_commands_within_a_message_are_none():
    said = "C: DATA\nS: 354 Go\nC: MAIL FROM:<x@example.org>\nC: QUIT\nC: .\nS: 250 Ok"
    row = read(HELLO + ENVELOPE + said)
    assert (row["transactions"], row["quit"]) == (1, False)


def test_421_in_the_middle_of_a_session():
    row = read(HELLO + ENVELOPE + "S: 421 4.4.2 mx.example.com Timeout")
    assert (row["last_reply_code"], row["last_enhanced_code"]) == (421, "4.4.2")
    assert row["last_reply_text"] == "mx.example.com Timeout"
    assert row["mails"][0]["rcpt_reply_codes"] == [250]


def test_unknown_lines_have_replies_too():
    row = read(HELLO + "C: WHAT\nC: \nS: 500 What?\nS: 500 What?\n" + MAIL)
    assert (row["messages_accepted"], row["anomalies"]) == (1, ["unknown_command"])


def test_a_server_that_leaves_a_line_without_a_reply():
    row = read(HELLO + "C: \nC: MAIL FROM:<>\nS: 250 Ok\nC: RCPT TO:<a@example.com>\nS: 250 Ok\n")
    assert row["mails"][0]["rcpt_reply_codes"] == [250]
    assert row["anomalies"] == ["command_without_reply", "unknown_command"]


def test_more_replies_than_commands():
    row = read(HELLO + "C: MAIL FROM:<>\nS: 250 Ok\nS: 250 Again\nC: DATA\nS: 354 Go\nC: .\nS: 250 Ok\n")
    assert row["messages_accepted"] == 1


def test_quit_that_is_answered_with_250():
    row = read(HELLO + "C: QUIT\nS: 250 Ok")
    assert (row["quit"], row["last_reply_code"], row["anomalies"]) == (True, 250, ["unexpected_reply"])


def test_replies_that_were_captured_before_their_commands():
    """Two taps whose clocks differ."""
    row = read("""
        S: 220 mx.example.com
        S: 250-mx.example.com
        S: 250 SIZE 1000
        C: EHLO home.example.org
        S: 250 2.1.0 Ok
        C: MAIL FROM:<a@example.org>
        S: 550 5.1.1 Unknown
        C: RCPT TO:<b@example.com>
        S: 250 2.1.5 Ok
        C: RCPT TO:<c@example.com>
        S: 354 Go on
        C: DATA
        S: 250 2.0.0 Queued
        C: x
        C: .
        S: 221 Bye
        C: QUIT
    """)
    (mail,) = row["mails"]
    assert row["extensions"] == ["SIZE"]
    assert (mail["rcpt_reply_codes"], mail["accepted"], row["quit"]) == ([550, 250], True, True)
    assert row["anomalies"] == []


def test_a_client_that_speaks_first():
    row = read("C: EHLO home.example.org\nS: 220 mx.example.com\nS: 250 mx.example.com\n" + MAIL)
    assert (row["banner_code"], row["helo"], row["messages_accepted"]) == (220, "home.example.org", 1)
    assert row["anomalies"] == ["early_talker"]


def test_a_server_that_does_not_greet():
    row = read("C: EHLO home.example.org\nS: 250 mx.example.com\n" + MAIL)
    assert (row["banner_code"], row["extensions"], row["messages_accepted"]) == (None, [], 1)


@pytest.mark.parametrize("code", [554, 421])
def test_a_greeting_that_refuses(code: int):
    row = read(f"S: {code}-5.7.1 mx.example.com\nS: {code} 5.7.1 Go away\nC: QUIT\nS: 221 Bye")
    assert (row["banner_code"], row["banner_text"]) == (code, "5.7.1 mx.example.com\n5.7.1 Go away")
    assert row["transactions"] == 0


def test_who_goes_on_after_a_refusal_is_named():
    row = read("S: 554 No\nC: HELO x\nS: 250 x\nC: MAIL FROM:<a@example.org>\nS: 503 No\n")
    assert row["anomalies"] == ["ignores_refusal", "out_of_order"]


def test_a_reply_in_several_lines_is_one():
    said = "S: 550-5.7.1 First\nS: 550-5.7.1\nS: 550 5.7.1 Last"
    row = read(HELLO + "C: MAIL FROM:<a@example.org>\n" + said)
    assert (row["last_reply_code"], row["last_enhanced_code"]) == (550, "5.7.1")
    assert row["last_reply_text"] == "First\n\nLast"


def test_a_reply_that_never_ends_is_none():
    row = read(HELLO + "C: NOOP\nS: 250-never")
    assert (row["last_reply_code"], row["last_reply_text"]) == (250, "mx.example.com\nPIPELINING\n8BITMIME")


def test_lines_that_are_no_replies_are_left_out():
    row = read("S: 220 mx.example.com\nS: hello\nC: EHLO x\nS: 4.7.0 odd\nS: 250 mx.example.com\n")
    assert (row["helo"], row["last_reply_code"]) == ("x", 250)
    assert row["anomalies"] == ["reply_without_code"]


def test_different_codes_in_one_reply():
    row = read(HELLO + "C: MAIL FROM:<>\nS: 250-Ok\nS: 550 No\n")
    assert (row["mails"][0]["reply_code"], row["anomalies"]) == (550, ["reply_code_changed"])


def test_a_reply_whose_end_was_forgotten_ends_where_the_next_begins():
    row = read("S| 220 mx.example.com\nC: EHLO x\nS| 250-mx.example.com\nC: MAIL FROM:<>\nS: 250 Ok\n")
    assert (row["banner_code"], row["banner_text"]) == (220, "mx.example.com")
    assert (row["mails"][0]["accepted"], row["last_reply_code"]) == (False, 250)
    assert row["anomalies"] == ["reply_without_end"]


def test_bare_line_feeds_are_taken_for_line_ends_and_named():
    row = read(
        "S| 220 mx\\n\nC| HELO x\\n\nS| 250 mx\\n\nC| MAIL FROM:<>\\nRCPT TO:<a@example.com>\\nDATA\\n\n"
        "S| 250 Ok\\n250 Ok\\n354 Go\\n\nC| x\\n.\\nQUIT\\n\nS| 250 Ok\\n221 Bye\\n"
    )
    (mail,) = row["mails"]
    assert (mail["message_bytes"], mail["accepted"], row["quit"]) == (2, True, True)
    assert row["anomalies"] == ["bare_lf"]


@pytest.mark.parametrize("end", [r"\n.\r\n", r"\r\n.\n", r"\n.\n"])
def test_the_server_says_what_ends_a_message(end: str):
    """Where a server takes a bare LF, what a smuggler hides behind it would be commands."""
    row = read(HELLO + ENVELOPE + "C: DATA\nS: 354 Go\n" + f"C| x{end}\n" + "S: 250 Ok\n" + MAIL)
    assert [mail["accepted"] for mail in row["mails"]] == [True, True]
    assert row["mails"][0]["message_bytes"] == len(
        "x" + end.partition(".")[0].encode().decode("unicode_escape")
    )
    assert row["anomalies"] == ["bare_lf_end_of_data"]


def test_a_bare_line_feed_ends_no_message_of_its_own():
    said = "C: DATA\nS: 354 Go\n" + r"C| a\n.\nMAIL FROM:<x@example.org>\r\n.\r\n" + "\nS: 250 Ok"
    row = read(HELLO + ENVELOPE + said)
    assert (row["transactions"], row["anomalies"]) == (1, [])


class TestChunks:
    def test_octets_are_counted_not_read(self):
        row = read(
            HELLO
            + ENVELOPE
            + r"""
            C| BDAT 6\r\nQUIT\r\n
            S: 250 2.0.0 6 octets
            C| BDAT 5 LAST\r\n.\r\nx\n
            S: 250 2.0.0 Queued
        """
            + MAIL
        )
        first, second = row["mails"]
        assert (first["data_command"], first["message_bytes"], first["accepted"]) == ("BDAT", 11, True)
        assert (second["data_command"], second["accepted"], row["quit"]) == ("DATA", True, False)
        assert row["anomalies"] == []

    def test_pipelined_with_the_next_mail(self):
        first, second = mails(
            HELLO
            + r"""
            C| MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nBDAT 3\r\nabcBDAT 3 LAST\r\nabc
            C| MAIL FROM:<c@example.org>\r\nRCPT TO:<d@example.com>\r\nBDAT 1 LAST\r\nx
            S: 250 Ok
            S: 250 Ok
            S: 250 Ok
            S: 250 Ok
            S: 250 Ok
            S: 550 5.1.1 Unknown
            S: 554 5.5.1 No recipients
        """
        )
        assert (first["message_bytes"], first["accepted"], first["rcpt_reply_codes"]) == (6, True, [250])
        assert (second["mail_from"], second["accepted"]) == ("c@example.org", False)

    def test_the_last_may_be_empty(self):
        said = r"C| BDAT 3\r\nabc" + "\nS: 250 Ok\nC: BDAT 0 LAST\nS: 250 Ok"
        (mail,) = mails(HELLO + ENVELOPE + said)
        assert (mail["message_bytes"], mail["accepted"]) == (3, True)

    def test_received_fields_across_chunks(self):
        said = r"C| BDAT 12\r\nReceived: a\r" + "\nS: 250 Ok\n" + r"C| BDAT 13 LAST\r\n\nreceived : b"
        (mail,) = mails(HELLO + ENVELOPE + said + "\nS: 250 Ok")
        assert mail["received_headers"] == 2

    def test_the_octets_of_a_refused_chunk_are_no_commands(self):
        row = read(HELLO + r"C| BDAT 6 LAST\r\nQUIT\r\n" + "\nS: 503 5.5.1 MAIL first\n" + MAIL)
        assert (row["quit"], row["messages_accepted"], row["anomalies"]) == (False, 1, [])

    def test_the_first_refusal_is_told(self):
        said = r"C| BDAT 1\r\nxBDAT 1 LAST\r\ny" + "\nS: 552 5.3.4 Too big\nS: 503 5.5.1 No\n"
        first, second = mails(HELLO + ENVELOPE + said + MAIL)
        assert (first["reply_code"], first["accepted"], second["accepted"]) == (552, False, True)

    def test_octets_that_come_after_the_refusal(self):
        said = "C: BDAT 20 LAST\nS: 552 5.3.4 Too big\nC: eighteen octets no\n"
        row = read(HELLO + ENVELOPE + said + MAIL)
        assert [mail["accepted"] for mail in row["mails"]] == [False, True]
        assert (row["mails"][0]["message_bytes"], row["anomalies"]) == (20, [])

    def test_a_size_that_no_client_keeps(self):
        row = read(HELLO + ENVELOPE + "C: BDAT 18446744073709551615 LAST\nS: 552 5.3.4 Too big\n" + MAIL)
        assert [mail["accepted"] for mail in row["mails"]] == [False, True]
        assert row["anomalies"] == ["chunk_unfinished"]

    @pytest.mark.parametrize("size", ["18446744073709551616", "9" * 5000, "x", "-1", ""])
    def test_a_size_that_is_none(self, size: str):
        row = read(HELLO + ENVELOPE + f"C: BDAT {size} LAST\nS: 501 5.5.4 Syntax\n" + DATA)
        assert row["messages_accepted"] == 1
        assert row["anomalies"] == ["malformed_chunk_size", "unknown_command"]


class TestBoxesOnTheWay:
    def test_a_greeting_in_asterisks(self):
        row = read("S: 220 ****************0*2****** *0**\nC: EHLO x\nS: 500 no\nC: HELO x\nS: 250 mx\n")
        assert row["banner_text"] == "****************0*2****** *0**"
        assert row["anomalies"] == ["banner_masked", "helo_fallback"]

    def test_extensions_and_commands_in_x(self):
        row = read("S: 220 mx\nC: EHLO x\nS: 250-mx\nS: 250-XXXXXXXA\nS: 250 SIZE\nC: XXXX\nS: 250 Ok\n")
        assert row["extensions"] == ["XXXXXXXA", "SIZE"]
        assert row["starttls_offered"] is False
        assert set(row["anomalies"]) >= {"starttls_masked", "command_masked"}

    def test_http_connect_before_the_dialogue(self):
        row = read(
            "C: CONNECT mx.example.com:25 HTTP/1.0\nC: Host: x\nC:\nS: HTTP/1.0 200 Ok\nS: Via: x\nS:\n"
            + HELLO
            + MAIL
        )
        assert (row["banner_code"], row["messages_accepted"]) == (220, 1)
        assert row["anomalies"] == ["http_connect"]

    @pytest.mark.parametrize(
        ("asked", "granted"),
        [
            (r"\x04\x01\x00\x19\xc6\x33\x64\x07user\x00", r"\x00\x5a\x00\x19\xc6\x33\x64\x07"),
            (r"\x04\x01\x00\x19\x00\x00\x00\x01\x00mx.example.com\x00", r"\x00\x5a\x00\x19\x00\x00\x00\x01"),
            (
                r"\x05\x01\x00\x05\x01\x00\x03\x02mx\x00\x19",
                r"\x05\x00\x05\x00\x00\x01\xc6\x33\x64\x07\x00\x19",
            ),
            (
                r"\x05\x02\x00\x02\x01\x04user\x06secret\x05\x01\x00\x01\xc6\x33\x64\x07\x00\x19",
                r"\x05\x02\x01\x00\x05\x00\x00\x01\xc6\x33\x64\x07\x00\x19",
            ),
        ],
        ids=["4", "4a", "5", "5 with password"],
    )
    def test_socks_before_the_dialogue(self, asked: str, granted: str):
        row = read(f"C| {asked}\nS| {granted}\n" + HELLO + MAIL)
        assert (row["banner_code"], row["messages_accepted"]) == (220, 1)
        assert row["anomalies"] == ["socks"]

    def test_the_header_of_a_load_balancer(self):
        row = read("C: PROXY TCP4 203.0.113.5 198.51.100.7 50000 25\n" + HELLO + MAIL)
        assert (row["helo"], row["anomalies"]) == ("home.example.org", ["proxy_header"])

    def test_a_browser(self):
        row = read("S: 220 mx\nC: POST / HTTP/1.1\nC: Host: mx.example.com\nS: 500 What?\nS: 500 What?")
        assert row["anomalies"] == ["http_request", "unknown_command"]

    @pytest.mark.parametrize(
        ("greeting", "name"), [("+OK ready", "pop3_greeting"), ("* OK IMAP4rev1", "imap_greeting")]
    )
    def test_another_protocol_is_named(self, greeting: str, name: str):
        row = read(f"S: {greeting}\n")
        assert (row["banner_code"], row["anomalies"]) == (None, [name])


class TestBounds:
    def test_ten_thousand_recipients(self):
        asked = "".join(f"RCPT TO:<r{n}@example.com>\r\n" for n in range(10_000))
        answered = b"250 Ok\r\n" * 9_999 + b"450 Later\r\n"
        talk = [*steps(HELLO + "C: MAIL FROM:<>\nS: 250 Ok"), (C, asked.encode()), (S, answered)]
        row = told(heard(talk))
        (mail,) = row["mails"]
        assert mail["rcpt_to"][-1] == "r9999@example.com"
        assert (len(mail["rcpt_to"]), mail["rcpt_reply_codes"][-1]) == (10_000, 450)
        assert (row["recipients_accepted"], row["recipients_rejected"], row["anomalies"]) == (9_999, 1, [])

    def test_beyond_the_bounds_all_is_counted(self, monkeypatch):
        monkeypatch.setattr("op25b_pcap.mail.smtp.record.MAX_RECIPIENTS", 3)
        monkeypatch.setattr("op25b_pcap.mail.smtp.record.MAX_TRANSACTIONS", 2)
        row = told(heard(steps(HELLO + MAIL * 4)))
        assert (row["transactions"], row["messages_accepted"], row["recipients_accepted"]) == (4, 4, 4)
        assert row["message_bytes"] == 4 * PLUM
        assert [mail["rcpt_to"] for mail in row["mails"]] == [["aiko@example.com"]] * 2
        assert row["anomalies"] == ["recipients_cut", "transactions_cut"]

    def test_a_line_of_ten_megabytes(self):
        talk = [*steps(HELLO), *[(C, b"x" * 100_000)] * 100, (C, b"\r\n"), (S, b"500 What?\r\n")]
        row = told(heard([*talk, *steps(MAIL)]))
        assert (row["messages_accepted"], row["anomalies"]) == (1, ["long_line", "unknown_command"])

    def test_long_names_are_cut_and_named(self):
        row = read("S: 220 mx\nC: EHLO " + "x" * 3000 + "\nS: 250 " + "y" * 3000)
        assert (len(row["helo"]), len(row["last_reply_text"])) == (1000, 1000)
        assert row["anomalies"] == ["text_cut"]

    def test_replies_without_end_are_bounded(self):
        dialogue = heard([*steps(HELLO), *[(S, b"250 Ok\r\n" * 1000)] * 20, *steps(MAIL)])
        assert "surplus_reply" in dialogue.anomalies

    def test_commands_without_replies_are_bounded(self, monkeypatch):
        monkeypatch.setattr("op25b_pcap.mail.smtp.replies.MAX_OUTSTANDING", 10)
        row = told(heard([*steps(HELLO), (C, b"NOOP\r\n" * 30 + b"QUIT\r\n"), (S, b"221 Bye\r\n")]))
        assert (row["quit"], row["last_reply_code"], row["anomalies"]) == (True, 221, ["many_unanswered"])
