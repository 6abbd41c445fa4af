"""Single lines of SMTP: what is a command, an address, a reply, and what of it may be kept."""

from __future__ import annotations

import time

import pytest

from op25b_pcap.mail.smtp.grammar import (
    VERBS,
    MailOptions,
    command,
    enhanced_code,
    follows_message,
    is_unmistakable,
    mechanisms,
    reply_line,
    visible,
)
from op25b_pcap.mail.smtp.preamble import MAX_PREAMBLE, preamble
from op25b_pcap.tables.streams import Side


@pytest.mark.parametrize(
    ("line", "verb"),
    [
        *((verb, verb) for verb in sorted(VERBS - {"BDAT"})),
        ("quit", "QUIT"),
        ("  Quit  ", "QUIT"),
        ("DATA\t", "DATA"),
        ("BDAT 10", "BDAT"),
        ("BDAT 10  last ", "BDAT LAST"),
        ("", ""),
        ("WHAT", ""),
        ("QUITE", ""),
        ("MAILFROM:<a@example.org>", ""),
        ("c2VjcmV0", ""),
        ("BDAT", ""),
        ("BDAT 1 MORE", ""),
        ("\x00\xff", ""),
    ],
)
def test_verbs(line: str, verb: str):
    assert command(line.encode("latin-1")).verb == verb


@pytest.mark.parametrize(
    ("path", "address", "oddities"),
    [
        ("<a@example.org>", "a@example.org", ()),
        (" <a@example.org>", "a@example.org", ()),
        ("<>", "", ()),
        ("< a@example.org >", "a@example.org", ()),
        ('<"a b"@example.org>', '"a b"@example.org', ()),
        (r'<"a\">b"@example.org>', r'"a\">b"@example.org', ()),
        ('<"x> SIZE=1"@example.org>', '"x> SIZE=1"@example.org', ()),
        ("<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]", ()),
        ("<@one.example.org,@two.example.org:a@example.org>", "a@example.org", ("source_route",)),
        ("<postmaster>", "postmaster", ()),
        ("<ごみ@example.org>", "ごみ@example.org", ()),
        ("a@example.org", "a@example.org", ("malformed_path",)),
        ("<a@example.org", "a@example.org", ("malformed_path",)),
        ('<a"b@example.org>', 'a"b@example.org', ("malformed_path",)),
        ("<" + "a" * 2000 + ">", "a" * 1000, ("text_cut",)),
    ],
)
def test_addresses(path: str, address: str, oddities: tuple[str, ...]):
    for line in (f"MAIL FROM:{path}", f"rcpt to :{path}", f"RCPT TO:{path} NOTIFY=NEVER ORCPT=rfc822;x"):
        found = command(line.encode())
        assert (found.text, found.oddities) == (address, oddities)


@pytest.mark.parametrize("line", ["MAIL", "MAIL FROM:", "MAIL <a@example.org>", "RCPT FROM:<a@example.org>"])
def test_no_address_at_all(line: str):
    found = command(line.encode())
    assert (found.verb, found.text, found.oddities) == (line[:4], None, ("malformed_command",))


@pytest.mark.parametrize(
    ("parameters", "options", "oddities"),
    [
        ("", MailOptions(), ()),
        ("SIZE=1234 BODY=8BITMIME SMTPUTF8", MailOptions(1234, "8BITMIME", True), ()),
        ("body=binarymime size=0", MailOptions(0, "BINARYMIME"), ()),
        ("RET=HDRS ENVID=x AUTH=<> MT-PRIORITY=3", MailOptions(), ()),
        ("SIZE=18446744073709551615", MailOptions(2**64 - 1), ()),
        ("SIZE=18446744073709551616", MailOptions(), ("malformed_size",)),
        ("SIZE=" + "9" * 5000, MailOptions(), ("malformed_size",)),
        ("SIZE=", MailOptions(), ("malformed_size",)),
        ("SIZE=\xb2", MailOptions(), ("malformed_size",)),
        ("BODY=9BIT", MailOptions(), ("malformed_body",)),
    ],
)
def test_parameters(parameters: str, options: MailOptions, oddities: tuple[str, ...]):
    found = command(f"MAIL FROM:<a@example.org> {parameters}".encode())
    assert (found.options, found.oddities) == (options, oddities)


def test_of_auth_only_the_mechanism_is_kept():
    assert command(b"AUTH PLAIN c2VjcmV0") == command(b"auth plain  x")
    assert command(b"AUTH PLAIN c2VjcmV0").text == "PLAIN"
    assert command(b"AUTH c2VjcmV0").text is None
    assert "c2VjcmV0" not in repr([command(b"c2VjcmV0"), command(b"VRFY c2VjcmV0"), command(b"XYZ c2VjcmV0")])


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("220 mx.example.com", (220, True, b"mx.example.com")),
        ("250-mx", (250, False, b"mx")),
        ("250", (250, True, b"")),
        ("250-", (250, False, b"")),
        ("250 ", (250, True, b"")),
        ("250  two", (250, True, b" two")),
        ("250Ok", (250, True, b"Ok")),
        ("472 odd", (472, True, b"odd")),
        ("421\ttab", (421, True, b"\ttab")),
        ("199 no", None),
        ("600 no", None),
        ("2500 no", None),
        ("4.7.0 no", None),
        (" 250 no", None),
        ("", None),
        ("+OK", None),
    ],
)
def test_replies(line: str, reply: tuple[int, bool, bytes] | None):
    assert reply_line(line.encode()) == reply


@pytest.mark.parametrize(
    ("text", "code", "rest"),
    [
        ("2.0.0 Ok", "2.0.0", "Ok"),
        ("5.7.26", "5.7.26", ""),
        ("4.4.2\nmore", "4.4.2", "more"),
        ("5.7.1: no", None, "5.7.1: no"),
        ("1.2.3 no", None, "1.2.3 no"),
        ("5.7.1234 no", None, "5.7.1234 no"),
        ("Ok 2.0.0", None, "Ok 2.0.0"),
    ],
)
def test_enhanced_codes(text: str, code: str | None, rest: str):
    assert enhanced_code(text) == (code, rest)


def test_mechanisms_offered():
    assert mechanisms("AUTH PLAIN login") == ["PLAIN", "LOGIN"]
    assert mechanisms("auth=LOGIN PLAIN") == ["LOGIN", "PLAIN"]
    assert mechanisms("AUTH") == []
    assert mechanisms("AUTHX") is mechanisms("SIZE 100") is None


def test_what_can_only_be_a_command():
    for line in (
        b"MAIL FROM:<>",
        b"rcpt to: <a>",
        b"EHLO x",
        b"QUIT",
        b"data ",
        b"BDAT 1 LAST",
        b"AUTH PLAIN x",
    ):
        assert is_unmistakable(line), line
    for line in (
        b"Quite",
        b"From: x",
        b"DATA: x",
        b"MAIL FROM: ",
        b"EHLO",
        b"Help me",
        b"AUTH x",
        b"BDAT x",
        b"",
    ):
        assert not is_unmistakable(line), line
    assert follows_message(b"QUIT")
    assert not follows_message(b"RCPT TO:<a@example.org>")


def test_a_stranger_s_octets_become_text_that_does_no_harm():
    assert visible(b"caf\xc3\xa9 \xe5\xb1\xb1") == "café 山"
    assert visible(b"\x1b[2J\x07\x00\x7f") == r"\x1b[2J\x07\x00\x7f"
    assert visible(b"\xff\xc3") == r"\xff\xc3"
    assert visible("\u202e\u2028".encode()) == r"\u202e\u2028"


@pytest.mark.parametrize(
    "line",
    [
        b"MAIL FROM:<" + b'"' * 65_000,
        b"MAIL FROM:<" + b'"\\' * 30_000,
        b"MAIL FROM:<" + b'"a"' * 20_000,
        b"RCPT TO:<" + b"@a,"[::-1] * 20_000,
        b"RCPT TO:<@" + b"a,@" * 20_000 + b">",
        b"RCPT TO:" + b" \t" * 30_000,
        b"BDAT 1" + b" " * 60_000 + b"x",
        b"BDAT " + b"1" * 60_000,
        b"AUTH " + b" " * 60_000,
        b" " * 60_000,
        b"250" + b" " * 60_000,
    ],
    ids=lambda line: line[:20].decode(),
)
def test_time_is_linear_in_the_line(line: bytes):
    begin = time.process_time()
    command(line)
    is_unmistakable(line)
    reply_line(line)
    assert time.process_time() - begin < 0.2


@pytest.mark.parametrize(
    ("side", "head"),
    [(Side.CLIENT, b"CONNECT x:25 HTTP/1.0\r\n"), (Side.CLIENT, b"PROXY "), (Side.SERVER, b"HTTP/1.0 200 ")],
)
def test_a_preamble_that_does_not_end_is_none(side: Side, head: bytes):
    assert preamble(side, head[:3]) is None
    assert preamble(side, head) is None
    assert preamble(side, head + b"x" * MAX_PREAMBLE) == ("", 0)


@pytest.mark.parametrize("head", [b"", b"EHLO x\r\n", b"PROX", b"220 mx\r\n", b"\5", b"\4\1\0"])
def test_most_dialogues_have_no_preamble(head: bytes):
    """Or it is too early to tell."""
    for side in Side:
        assert preamble(side, head) in (("", 0), None)
