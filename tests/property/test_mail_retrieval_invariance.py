"""No cut of the octets may change what is read of a POP3 or IMAP session, whatever was said."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from op25b_pcap.mail.imap import Imap
from op25b_pcap.mail.lines import CRLF, Line, Lines
from op25b_pcap.mail.pop3 import Pop3
from op25b_pcap.mail.tls import Handshake, looks_like_tls
from op25b_pcap.tables.streams import Side
from tests.hellos import CLIENT, CLIENT_REST, SERVER, SERVER_REST, ssl2_client_hello
from tests.retrievals import C, S, Turn, assert_sound, cut, in_one_go, kept, play

WORDS = {
    Pop3: {
        C: b"USER a|PASS b|APOP a b|AUTH PLAIN|AUTH|AUTH LOGIN Yg==|*|Yg==|STLS|CAPA|RETR 1|LIST|LIST 1"
        b"|XYZ|QUIT",
        S: b"+OK|+OK x|-ERR|+ |+|.|..|From: x|+OK\r\n.|garbage",
    },
    Imap: {
        C: b"a LOGIN b c|a LOGIN {3}|b LOGIN {3+}|b c|a AUTHENTICATE PLAIN|Yg==|*|b STARTTLS"
        b"|c COMPRESS DEFLATE|d IDLE|DONE|e APPEND x {9}|a SELECT b|f XYZ|g LOGOUT",
        S: b"* OK x|* PREAUTH|* BYE|a OK|a NO|b OK|b BAD|c OK|c NO|+ go|* 1 FETCH (BODY[] {5}|)"
        b"|* 5 EXISTS|garbage",
    },
}
OCTETS = [
    CLIENT,
    SERVER,
    CLIENT_REST,
    SERVER_REST,
    CLIENT[:20],
    ssl2_client_hello(),
    b"\0",
    b"\xff\n",
    b"\n",
    b"x",
]


def turns(protocol: type) -> st.SearchStrategy[list[Turn]]:
    """Talk of both sides in any order: right words, wrong words, TLS, gaps."""
    said = {side: [line + b"\r\n" for line in words.split(b"|")] for side, words in WORDS[protocol].items()}
    start = st.sampled_from([[], [(S, said[S][0])], [(C, CLIENT)]])
    turn = st.one_of(
        *[st.tuples(st.just(side), st.sampled_from(lines)) for side, lines in said.items()] * 3,
        st.tuples(st.sampled_from(Side), st.sampled_from(OCTETS)),
        st.tuples(st.sampled_from(Side), st.binary(min_size=1, max_size=40)),
        st.tuples(st.sampled_from(Side), st.integers(1, 20)),
    )
    return st.builds(lambda first, more: first + more, start, st.lists(turn, max_size=25))


protocols = pytest.mark.parametrize("protocol", [Pop3, Imap])
ways = st.fixed_dictionaries({"from_start": st.booleans(), "tls_port": st.booleans()})


@protocols
@settings(max_examples=300)
@given(data=st.data(), begin=ways, sizes=st.lists(st.integers(1, 50), min_size=1, max_size=5))
def test_any_cut_gives_the_same_session(protocol, data, begin, sizes):
    talk = data.draw(turns(protocol))
    whole = play(protocol(**begin), talk).columns()
    assert_sound(whole)
    assert play(protocol(**begin), in_one_go(talk)).columns() == whole
    assert play(protocol(**begin), cut(talk, sizes)).columns() == whole


@protocols
@settings(max_examples=200)
@given(octets=st.lists(st.tuples(st.sampled_from(Side), st.binary(max_size=200)), max_size=10))
def test_any_octets_can_be_read(protocol, octets):
    assert_sound(play(protocol(), octets).columns())


@protocols
@settings(max_examples=100)
@given(data=st.data(), begin=ways)
def test_nothing_said_outlives_the_session(protocol, data, begin):
    """Every command has a secret in it, every other line of the server too."""
    talk = [
        (side, what.replace(b"x", b"hush").replace(b"b", b"hush") if isinstance(what, bytes) else what)
        for side, what in data.draw(turns(protocol))
    ]
    session = play(protocol(**begin), talk)
    remembered = {(session.greeting or "").encode(), (session.tls_sni or "").encode()}
    assert not [text for text in kept(session) if b"hush" in text and text not in remembered]


@settings(max_examples=200)
@given(
    pieces=st.lists(
        st.tuples(
            st.sampled_from(Side),
            st.one_of(st.sampled_from(OCTETS), st.binary(min_size=1, max_size=9), st.integers(1, 9)),
        ),
        max_size=12,
    ),
    sizes=st.lists(st.integers(1, 50), min_size=1, max_size=5),
)
def test_any_cut_gives_the_same_handshake(pieces, sizes):
    def told(talk):
        handshake = Handshake()
        for side, what in talk:
            if isinstance(what, int):
                handshake.gap(side)
            else:
                handshake.receive(side, what)
        return handshake.version, handshake.sni, handshake.anomalies, handshake.is_done

    assert told(cut(pieces, sizes)) == told(pieces)


@settings(max_examples=500)
@given(st.binary(max_size=20) | st.sampled_from(OCTETS), st.binary(max_size=12))
def test_more_octets_never_change_a_verdict(head, more):
    verdict = looks_like_tls(head)
    assert verdict is None or looks_like_tls(head + more) is verdict


text_like = st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b".", b"..", b"a"]), max_size=30).map(b"".join)


def pieces_of(octets: bytes, sizes: list[int]) -> list[bytes]:
    return [what for _, what in cut([(C, octets)] if octets else [], sizes)]


@settings(max_examples=500)
@given(text_like, st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_any_cut_gives_the_same_lines(octets, sizes):
    lines, found = Lines(), b""
    for piece in pieces_of(octets, sizes):
        lines.feed(piece)
        while (line := lines.next_line()) is not None:
            assert b"\n" not in line.text
            assert not line.text.endswith(b"\r") or line.ending == b"\r\n"
            found += line.text + line.ending
    assert found + lines.take(lines.pending) == octets


@settings(max_examples=500)
@given(text_like, text_like, text_like)
@example(b"", b"a\r\n", b".\r\n")
@example(b"a", b"\r\n", b"")
def test_a_line_alone_is_read_as_any_other(before, octets, behind):
    at_once, in_steps = Lines(), Lines()
    for lines in (at_once, in_steps):
        lines.feed(before)
        while lines.next_line() is not None:
            pass
    text = at_once.only_line(octets)
    in_steps.feed(octets)
    if text is None:
        at_once.feed(octets)
    else:
        assert in_steps.next_line() == Line(text, CRLF, 0, False)
    for lines in (at_once, in_steps):
        lines.feed(behind)
    assert at_once.pending == in_steps.pending
    assert at_once.drop_text() == in_steps.drop_text()
    assert at_once.next_line() == in_steps.next_line()


@settings(max_examples=500)
@given(text_like, st.lists(st.integers(1, 9), min_size=1, max_size=4))
@example(b".\r\n", [1])
@example(b"a\r\n.\r\nb", [2])
def test_dropping_a_text_is_reading_lines_until_one_is_a_dot(octets, sizes):
    reader, read, end = Lines(), 0, b""
    reader.feed(octets)
    before = b"\r\n"
    while not end and (line := reader.next_line()) is not None:
        if line.text == b".":
            end = before + b"." + line.ending
        else:
            read, before = read + len(line.text + line.ending), line.ending

    dropper, dropped, dropped_end = Lines(), 0, b""
    for piece in pieces_of(octets, sizes):
        dropper.feed(piece)
        if not dropped_end:
            text = dropper.drop_text()
            dropped, dropped_end = dropped + text.octets, text.end
    assert dropped_end == end
    assert not end or (dropped, dropper.pending) == (read, reader.pending)
