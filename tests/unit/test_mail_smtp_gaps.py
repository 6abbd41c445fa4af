"""What is told where packets are missing: less, but nothing that was not so, and no two mails mixed."""

from __future__ import annotations

import pytest

from tests.smtp_talk import BYE, DATA, ENVELOPE, HELLO, MAIL, C, S, heard, mails, read, steps, told

PLUM = len(b"Subject: Spring\r\n\r\nThe plum is in flower.\r\n")


def one_side(talk: str, side: str) -> str:
    return "\n".join(line for line in talk.splitlines() if line.startswith(side))


class TestOneSideOnly:
    def test_the_client_alone_shows_what_was_accepted_up_to_data(self):
        row = read(one_side(HELLO + MAIL + MAIL + BYE, "C"))
        first, second = row["mails"]
        assert (row["helo"], row["extensions"], row["starttls_offered"]) == ("home.example.org", None, None)
        assert (row["transactions"], row["messages_accepted"], row["quit"]) == (2, 0, True)
        assert (first["mail_from"], first["rcpt_to"]) == ("haruko@example.org", ["aiko@example.com"])
        assert (first["rcpt_reply_codes"], first["reply_code"], first["accepted"]) == ([None], None, None)
        assert [mail["message_bytes"] for mail in (first, second)] == [PLUM, PLUM]
        assert row["anomalies"] == ["decided_by_client"]

    def test_data_that_was_refused_unseen(self):
        row = read(one_side(HELLO + ENVELOPE + "C: DATA\nC: RSET\n" + MAIL, "C"))
        assert [mail["message_bytes"] for mail in row["mails"]] == [None, PLUM]
        assert row["anomalies"] == ["decided_by_client"]

    def test_chunks_need_no_reply(self):
        talk = HELLO + ENVELOPE + r"C| BDAT 6\r\nQUIT\r\nBDAT 1 LAST\r\nx" + "\n" + BYE
        (mail,) = mails(one_side(talk, "C"))
        assert (mail["message_bytes"], mail["accepted"]) == (7, None)

    def test_responses_are_none_of_the_commands(self):
        row = read(
            "C: EHLO x\nC: AUTH LOGIN\nC: aGFydWtv\nC: c2VzYW1l\nC: MAIL FROM:<a@example.org>\nC: QUIT\n"
        )
        assert (row["auth_mechanism"], row["auth_succeeded"]) == ("LOGIN", None)
        assert (row["transactions"], row["quit"]) == (1, True)
        assert row["anomalies"] == ["decided_by_client"]

    def test_an_initial_response_is_followed_by_commands(self):
        row = read("C: EHLO x\nC: AUTH PLAIN AGEAYg==\nC: MAIL FROM:<a@example.org>\nC: QUIT\n")
        assert (row["auth_mechanism"], row["auth_succeeded"], row["transactions"]) == ("PLAIN", None, 1)

    def test_a_long_message_does_not_wait_for_the_end(self):
        dialogue = heard(
            [*steps("C: EHLO x\n" + one_side(ENVELOPE, "C") + "\nC: DATA"), (C, b"x\r\n" * 99_999)]
        )
        (mail,) = told(dialogue)["mails"]
        assert mail["message_bytes"] == 3 * 99_999

    def test_the_server_alone_shows_what_it_offers_and_took(self):
        row = read(one_side(HELLO + MAIL + BYE, "S"))
        (mail,) = row["mails"]
        assert (row["banner_code"], row["helo"], row["last_reply_code"]) == (220, None, 221)
        assert (row["extensions"], row["quit"]) == (["PIPELINING", "8BITMIME"], True)
        assert (mail["mail_from"], mail["rcpt_to"], mail["accepted"]) == (None, None, True)
        assert (mail["message_bytes"], mail["received_headers"]) == (None, None)

    def test_the_server_alone_refuses(self):
        row = read("S: 220 mx\nS: 250 mx\nS: 250 Ok\nS: 550 No\nS: 221 Bye")
        assert (row["messages_accepted"], row["transactions"], row["last_reply_code"]) == (0, 0, 221)


class TestBeginningUnseen:
    def test_in_the_middle_of_an_envelope(self):
        row = read("C: RCPT TO:<b@example.com>\nS: 250 2.1.5 Ok\n" + DATA + MAIL, from_start=False)
        first, second = row["mails"]
        assert (row["banner_code"], row["helo"]) == (None, None)
        assert (first["mail_from"], first["rcpt_to"], first["rcpt_reply_codes"]) == (
            None,
            ["b@example.com"],
            [250],
        )
        assert (first["accepted"], second["accepted"]) == (True, True)
        assert row["anomalies"] == ["midstream"]

    def test_in_the_middle_of_a_message(self):
        row = read(
            "C: plum is in flower.\nC: RCPT TO:<x@example.com>\nC: .\nS: 250 Ok\n" + MAIL, from_start=False
        )
        first, second = row["mails"]
        assert (first["mail_from"], first["rcpt_to"], first["message_bytes"]) == (None, None, None)
        assert (first["received_headers"], first["accepted"]) == (None, True)
        assert (second["mail_from"], second["accepted"]) == ("haruko@example.org", True)

    def test_the_first_reply_answers_an_unseen_command(self):
        row = read(
            "S: 550 5.1.1 Unknown\nC: RCPT TO:<b@example.com>\nS: 250 2.1.5 Ok\n" + DATA, from_start=False
        )
        assert row["mails"][0]["rcpt_reply_codes"] == [250]

    def test_only_the_opening_packets_are_missing(self):
        row = read(HELLO + MAIL + BYE, from_start=False)
        assert (row["banner_code"], row["helo"], row["messages_accepted"]) == (220, "home.example.org", 1)
        assert row["anomalies"] == ["midstream"]

    def test_a_session_that_goes_on_in_the_next_capture(self):
        row = told(heard(steps(HELLO + ENVELOPE), is_over=False))
        assert row["mails"][0]["accepted"] is None


class TestGapsOfTheClient:
    def test_within_a_message_that_the_server_then_answers(self):
        row = read(
            HELLO
            + ENVELOPE
            + "C: DATA\nS: 354 Go\nC: Received: a\nC? 1000\nC: more\nC: .\nS: 250 2.0.0 Ok\n"
            + MAIL
        )
        first, second = row["mails"]
        assert (first["message_bytes"], first["received_headers"]) == (1000 + 13 + 6, None)
        assert (first["reply_code"], first["accepted"], second["accepted"]) == (250, True, True)
        assert row["anomalies"] == ["gap"]

    def test_over_the_end_of_a_message(self):
        """The next mail begins behind the gap: none of it falls to the one before."""
        row = read(HELLO + ENVELOPE + "C: DATA\nS: 354 Go\nC: x\nS: 250 2.0.0 Ok\nC? 3\n" + MAIL)
        first, second = row["mails"]
        assert (first["rcpt_to"], first["message_bytes"], first["accepted"]) == (
            ["aiko@example.com"],
            None,
            True,
        )
        assert (second["rcpt_to"], second["message_bytes"]) == (["aiko@example.com"], PLUM)

    def test_over_the_end_of_one_mail_and_the_beginning_of_the_next(self):
        said = "C: DATA\nS: 354 Go\nC: x\nS: 250 2.0.0 Ok\nS: 250 2.1.0 Ok\nC? 60\n"
        row = read(HELLO + ENVELOPE + said + "C: RCPT TO:<emi@example.com>\nS: 250 2.1.5 Ok\n" + DATA)
        first, second = row["mails"]
        assert (first["mail_from"], first["rcpt_to"]) == ("haruko@example.org", ["aiko@example.com"])
        assert (first["message_bytes"], first["accepted"]) == (None, True)
        assert (second["mail_from"], second["rcpt_to"]) == (None, ["emi@example.com"])
        assert (second["message_bytes"], second["accepted"]) == (PLUM, True)

    def test_over_everything_between_two_messages(self):
        answers = "S: 250 Ok\nS: 250 Ok\nS: 250 Ok\nS: 354 Go\n"
        row = read(HELLO + ENVELOPE + f"C: DATA\nS: 354 Go\nC: x\n{answers}C? 99\nC: y\nC: .\nS: 250 Ok\n")
        first, second = row["mails"]
        assert (first["message_bytes"], first["accepted"]) == (None, True)
        assert (second["mail_from"], second["rcpt_to"], second["message_bytes"]) == (None, None, None)
        assert (second["accepted"], row["messages_accepted"]) == (True, 2)

    def test_right_behind_data(self):
        """The capture has the answer behind the gap."""
        row = read(HELLO + ENVELOPE + "C: DATA\nC? 50\nC: x\nS: 354 Go\nC: .\nS: 250 Ok\n" + MAIL)
        first, second = row["mails"]
        assert (first["rcpt_to"], first["message_bytes"]) == (["aiko@example.com"], None)
        assert (first["accepted"], second["accepted"]) == (True, True)

    def test_within_an_envelope(self):
        row = read(HELLO + "C: MAIL FROM:<a@example.org>\nS: 250 Ok\nS: 250 Ok\nC? 30\n" + DATA + MAIL)
        first, second, third = row["mails"]
        assert (first["mail_from"], first["rcpt_to"], first["accepted"]) == ("a@example.org", [], None)
        assert (second["mail_from"], second["rcpt_to"], second["accepted"]) == (None, None, True)
        assert third["mail_from"] == "haruko@example.org"

    def test_a_pipelined_command_is_lost(self):
        said = "C: MAIL FROM:<a@example.org>\nC? 30\nC: RCPT TO:<c@example.com>\nC: DATA\n"
        answers = (
            "S: 250 2.1.0 Ok\nS: 550 5.1.1 Lost one\nS: 250 2.1.5 Ok\nS: 354 Go\nC: x\nC: .\nS: 250 Queued\n"
        )
        first, second = mails(HELLO + said + answers)
        assert (first["mail_from"], first["rcpt_to"]) == ("a@example.org", [])
        assert (second["rcpt_to"], second["rcpt_reply_codes"]) == (["c@example.com"], [250])
        assert second["accepted"] is True

    def test_a_whole_envelope_behind_data_that_was_refused(self):
        """The 354 could be for the DATA that was seen, had the client gone on behind it."""
        said = "C: MAIL FROM:<a@example.org>\nC: RCPT TO:<b@example.com>\nC: DATA\n"
        answers = "S? 14\nS: 550 5.1.1 No\nS: 451 Later\nS: 250 Reset\nS: 250 Ok\nS: 250 Ok\nS: 354 Go\n"
        row = read(HELLO + said + answers + "C? 79\nC: x\nC: .\nS: 250 Queued\n")
        first, second = row["mails"]
        assert (first["mail_from"], first["rcpt_to"]) == ("a@example.org", ["b@example.com"])
        assert (first["rcpt_reply_codes"], first["message_bytes"], first["accepted"]) == ([None], None, None)
        assert (second["mail_from"], second["rcpt_to"], second["message_bytes"]) == (None, None, None)
        assert (second["accepted"], row["recipients_accepted"], row["anomalies"]) == (True, 0, ["gap"])

    def test_in_a_message_whose_354_was_the_only_reply(self):
        """The step is lost, but nothing else can have been answered since."""
        said = "S: 250 2.1.5 Ok\nC? 29\nC: DATA\nS: 354 Go\nC? 24\n"
        row = read(HELLO + ENVELOPE + said + "C: MAIL FROM:<a@example.org>\nS? 18\nS: 250 Ok\n" + BYE)
        assert [mail["mail_from"] for mail in row["mails"]] == ["haruko@example.org", None, "a@example.org"]
        assert [mail["data_command"] for mail in row["mails"]] == [None, "DATA", None]
        assert [mail["accepted"] for mail in row["mails"]] == [None, None, False]

    def test_over_the_end_of_a_message_whose_answer_is_missing_too(self):
        said = "C: DATA\nS: 354 Go\nC? 20\nC| \\n.\\r\\n\nC: MAIL FROM:<b@example.org>\nS? 18\n"
        row = read(HELLO + ENVELOPE + said + "S: 250 2.1.0 Ok\nC: RSET\nS: 250 2.0.0 Ok\n")
        assert [(mail["reply_code"], mail["accepted"]) for mail in row["mails"]] == [(None, None)]

    def test_right_before_the_dot_of_a_message_that_is_refused(self):
        """Whether the dot begins a line is not known."""
        said = "C: DATA\nS: 354 Go\nC? 87\nC: .\nS: 554 Spam\n"
        (mail,) = mails(HELLO + ENVELOPE + said)
        assert (mail["message_bytes"], mail["reply_code"], mail["accepted"]) == (None, 554, False)

    def test_a_lost_quit_is_known_by_its_answer(self):
        row = read(HELLO + "S: 221 2.0.0 Bye")
        assert (row["quit"], row["anomalies"]) == (True, ["surplus_reply"])

    def test_within_a_chunk_nothing_is_lost_but_octets(self):
        row = read(HELLO + ENVELOPE + r"C| BDAT 10 LAST\r\nabc" + "\nC? 4\nC| xyz\nS: 250 Ok\n" + MAIL)
        assert (row["mails"][0]["message_bytes"], row["messages_accepted"]) == (10, 2)

    def test_over_the_end_of_a_chunk(self):
        row = read(HELLO + ENVELOPE + r"C| BDAT 10 LAST\r\nabc" + "\nC? 40\nC: DATA\nS: 250 Ok\nS: 354 Go\n")
        assert row["mails"][0]["message_bytes"] is None

    def test_within_a_response(self):
        row = read(
            HELLO
            + "C: AUTH LOGIN\nS: 334 eA==\nC? 8\nC| ydWtv\\r\\n\nS: 334 eQ==\nC: c2VzYW1l\nS: 235 Ok\n"
            + MAIL
        )
        assert (row["auth_mechanism"], row["messages_accepted"]) == ("LOGIN", 1)

    def test_from_one_side_what_follows_a_gap_in_a_message_is_of_no_mail(self):
        talk = (
            one_side(HELLO + ENVELOPE, "C")
            + "\nC: DATA\nC: x\nC? 100\nC: RCPT? no\nC: .\n"
            + one_side(MAIL, "C")
        )
        first, second, third = mails(talk)
        assert (first["mail_from"], first["message_bytes"]) == ("haruko@example.org", None)
        assert (second["mail_from"], second["message_bytes"]) == (None, None)
        assert (third["mail_from"], third["message_bytes"]) == ("haruko@example.org", PLUM)

    def test_packets_cut_by_the_snap_length(self):
        """Of each packet the first octets, of its message nothing more."""
        said = "C: DATA\nS: 354 Go\nC: Received: a\nC? 900\nS: 250 2.0.0 Ok\n"
        row = read(HELLO + ENVELOPE + said + ENVELOPE + said + BYE)
        assert [(mail["mail_from"], mail["accepted"]) for mail in row["mails"]] == [
            ("haruko@example.org", True)
        ] * 2
        assert row["quit"] is True


class TestGapsOfTheServer:
    def test_a_client_that_waits_tells_which_reply_is_missing(self):
        row = read(
            HELLO
            + """
            C: MAIL FROM:<a@example.org>
            S: 250 2.1.0 Ok
            C: RCPT TO:<b@example.com>
            C: RCPT TO:<c@example.com>
            S? 23
            S: 250 2.1.5 Ok
            C: DATA
            S: 354 Go on
            C: x
            C: .
            S: 250 Queued
        """
        )
        (mail,) = row["mails"]
        assert (mail["rcpt_reply_codes"], mail["accepted"]) == ([None, 250], True)
        assert row["anomalies"] == ["gap"]

    def test_within_a_pipelined_group_354_is_the_next_certain_reply(self):
        (mail,) = mails(
            HELLO
            + """
            C: MAIL FROM:<a@example.org>
            C: RCPT TO:<b@example.com>
            C: RCPT TO:<c@example.com>
            C: DATA
            S? 20
            S: 550 5.1.1 Unknown
            S: 354 Go on
            C: x
            C: .
            S: 250 Queued
        """
        )
        assert (mail["rcpt_reply_codes"], mail["accepted"]) == ([None, 550], True)

    def test_the_answer_to_a_message(self):
        row = read(HELLO + MAIL.replace("S: 250 2.0.0 Queued", "S? 19") + MAIL)
        first, second = row["mails"]
        assert (first["message_bytes"], first["reply_code"], first["accepted"]) == (PLUM, None, None)
        assert (second["rcpt_reply_codes"], second["accepted"]) == ([250], True)

    def test_a_lost_354_is_inferred(self):
        row = read(
            HELLO
            + ENVELOPE
            + "C: DATA\nC: Subject: x\nC: .\nS? 12\nS: 250 2.0.0 Queued\nC: QUIT\nS: 221 Bye\n"
        )
        (mail,) = row["mails"]
        assert (mail["message_bytes"], mail["accepted"]) == (12, True)
        assert row["anomalies"] == ["decided_by_client", "gap"]

    def test_a_lost_refusal_of_data_is_inferred(self):
        row = read(HELLO + ENVELOPE + "C: DATA\nC: QUIT\nS? 19\nS: 221 Bye\n")
        assert (row["mails"][0]["message_bytes"], row["mails"][0]["accepted"], row["quit"]) == (
            None,
            None,
            True,
        )

    def test_a_greeting_that_is_missing_in_part(self):
        row = read("S? 30\nS: mx.example.com ESMTP\nC: EHLO x\nS: 250 mx\n" + MAIL)
        assert (row["banner_code"], row["helo"], row["messages_accepted"]) == (None, "x", 1)

    def test_extensions_of_which_some_are_missing_are_not_told(self):
        row = read("S: 220 mx\nC: EHLO x\nS: 250-mx\nS: 250-STARTTLS\nS? 20\nS: 250 SIZE\n" + MAIL)
        assert (row["extensions"], row["starttls_offered"], row["messages_accepted"]) == (None, None, 1)

    def test_the_answer_to_auth_is_missing(self):
        row = read(
            HELLO + "C: AUTH PLAIN AGEAYg==\nC: MAIL FROM:<>\nS? 14\nS: 250 2.1.0 Ok\nC: QUIT\nS: 221 Bye\n"
        )
        assert (row["auth_mechanism"], row["auth_succeeded"]) == ("PLAIN", None)
        assert (row["transactions"], row["quit"]) == (1, True)

    def test_both_sides(self):
        row = read(HELLO + ENVELOPE + "S? 500\nC? 700\n" + MAIL + BYE)
        assert [mail["accepted"] for mail in row["mails"]] == [None, True]
        assert (row["quit"], row["anomalies"]) == (True, ["gap"])


@pytest.mark.parametrize("side", [C, S])
def test_nothing_but_a_gap(side):
    row = told(heard([(side, 1_000_000)]))
    assert (row["transactions"], row["last_reply_code"], row["anomalies"]) == (0, None, ["gap"])


def test_the_end_of_a_message_that_was_not_captured():
    """The last packets of the client are missing, those of the server are not."""
    row = told(heard(steps(HELLO + ENVELOPE + "C: DATA\nS: 354 Go\nC: x\nS: 250 2.0.0 Ok\nS: 221 Bye")))
    assert (row["mails"][0]["message_bytes"], row["mails"][0]["accepted"], row["quit"]) == (None, True, True)


def test_a_message_that_was_broken_off():
    row = told(heard([*steps(HELLO + ENVELOPE + "C: DATA\nS: 354 Go\nC: Received: a"), (S, b"")]))
    assert (row["mails"][0]["message_bytes"], row["mails"][0]["received_headers"]) == (13, None)
    assert (row["mails"][0]["accepted"], row["message_bytes"]) == (None, 13)
