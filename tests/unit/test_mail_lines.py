"""Lines out of octets: endings, limits, gaps, and texts that are dropped unread."""

from __future__ import annotations

import pytest

from op25b_pcap.mail.lines import LAST_OCTETS, MAX_LINE, Line, Lines, Text, printable


def read(*pieces: bytes) -> tuple[list[Line], int]:
    lines, found = Lines(), []
    for piece in pieces:
        lines.feed(piece)
        while (line := lines.next_line()) is not None:
            found.append(line)
    return found, lines.pending


def assert_lines(octets: bytes, *expected: Line, pending: int = 0) -> None:
    """Whole, octet by octet, and with trailing octets."""
    assert read(octets) == (list(expected), pending)
    assert read(*(bytes([octet]) for octet in octets)) == (list(expected), pending)
    assert read(octets, b"tr") == (list(expected), pending + 2)


def line(text: bytes, ending: bytes = b"\r\n", cut: int = 0, after_gap: bool = False) -> Line:
    return Line(text, ending, cut, after_gap)


def test_nothing():
    assert_lines(b"")


def test_lines_end_with_crlf_or_lf():
    assert_lines(b"one\r\ntwo\n\r\n\n", line(b"one"), line(b"two", b"\n"), line(b""), line(b"", b"\n"))


def test_a_bare_cr_ends_no_line():
    assert_lines(b"one\rtwo\r\r\n", line(b"one\rtwo\r"))


def test_an_unfinished_line_waits():
    assert_lines(b"one\r\ntwo\r", line(b"one"), pending=4)


@pytest.mark.parametrize("surplus", [-1, 0, 1, 2, 1000, 3 * MAX_LINE])
@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_of_an_over_long_line_both_ends_are_kept(surplus: int, ending: bytes):
    length = MAX_LINE + LAST_OCTETS + surplus
    text = (b"head" + b"x" * (length - 8) + b"tail")[:length]
    for size in (1 << 30, 1, 1460, MAX_LINE + 1):
        octets = text + ending
        pieces = [octets[at : at + size] for at in range(0, len(octets), size)]
        ((found,), _) = read(*pieces)
        assert found.ending == ending
        assert found.cut == max(surplus, 0)
        assert found.text == text[:MAX_LINE] + text[MAX_LINE:][-LAST_OCTETS:]


def test_memory_is_bounded_by_the_longest_line():
    lines = Lines()
    for _ in range(1000):
        lines.feed(b"x" * 10_000)
        assert lines.next_line() is None
        assert lines.pending <= MAX_LINE + LAST_OCTETS + 1
    lines.feed(b"\nnext\n")
    assert lines.next_line().cut == 10_000_000 - MAX_LINE - LAST_OCTETS
    assert lines.next_line() == line(b"next", b"\n")


def test_after_a_gap_a_line_may_be_the_rest_of_one():
    lines = Lines()
    lines.feed(b"forgotten")
    lines.gap()
    lines.feed(b" rest\r\nwhole\r\n")
    assert lines.next_line() == line(b" rest", after_gap=True)
    assert lines.next_line() == line(b"whole")


def test_octets_can_be_taken_and_dropped_by_count():
    lines = Lines()
    lines.feed(b"one\r\nabcdefgh")
    assert lines.next_line() == line(b"one")
    assert lines.peek(3) == b"abc"
    assert lines.take(2) == b"ab"
    assert lines.drop(3) == 3
    assert lines.pending == 3
    assert lines.drop(9) == 3
    assert lines.take(1) == b""
    lines.feed(b"two\r\n")
    assert lines.next_line() == line(b"two")


def drop(octets: bytes, size: int) -> tuple[int, bytes, bytes]:
    """Octets dropped, how the text ended, and what follows it."""
    lines, dropped, end = Lines(), 0, b""
    for at in range(0, len(octets), size):
        lines.feed(octets[at : at + size])
        if not end:
            text = lines.drop_text()
            dropped, end = dropped + text.octets, text.end
    return dropped, end, lines.take(lines.pending)


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b".\r\nrest", (0, b"\r\n.\r\n", b"rest")),
        (b"one\r\n.\r\nrest", (5, b"\r\n.\r\n", b"rest")),
        (b"one\n.\nrest", (4, b"\n.\n", b"rest")),
        (b"one\n.\r\n", (4, b"\n.\r\n", b"")),
        (b"..\r\n.x\r\n.\rx\r\nx.\r\n.\r\n.\r\n", (17, b"\r\n.\r\n", b".\r\n")),
        (b"", (0, b"", b"")),
    ],
)
def test_a_text_ends_with_a_line_of_one_dot(octets: bytes, expected: tuple):
    assert {drop(octets, size) for size in range(1, 30)} == {expected}


def test_an_unfinished_text_leaves_nothing_that_is_not_needed():
    lines = Lines()
    lines.feed(b"one\r\ntwo\r\n.\r")
    assert lines.drop_text() == Text(10, b"")
    assert lines.pending == 2


def test_in_the_middle_of_a_line_a_dot_ends_nothing():
    lines = Lines()
    lines.feed(b"one")
    assert lines.drop_text() == Text(3, b"")
    lines.feed(b".\r\n.\r\n")
    assert lines.drop_text() == Text(3, b"\r\n.\r\n")


def test_after_a_gap_a_dot_may_be_in_the_middle_of_a_line():
    lines = Lines()
    lines.feed(b"one\r\n")
    lines.gap()
    lines.feed(b".\r\ntwo\r\n.\r\n")
    assert lines.drop_text() == Text(8, b"\r\n.\r\n")


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"220 mx.example.com\\", "220 mx.example.com\\"),
        ("ようこそ".encode(), "ようこそ"),
        (b"caf\xe9", r"caf\xe9"),
        (b"a\tb\0c\x7f\r", r"a\tb\x00c\x7f\r"),
        ("\u202egnp.exe\u2028\x85".encode(), r"\u202egnp.exe\u2028\x85"),
        (b"\xed\xa0\x80", r"\xed\xa0\x80"),
        (b"0123456789", "01234567"),
    ],
)
def test_strangers_octets_become_safe_text(octets: bytes, expected: str):
    assert printable(octets, 8 if octets.startswith(b"01") else 100) == expected
