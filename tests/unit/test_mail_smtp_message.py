"""Message data as it passes: counts, and the end."""

from __future__ import annotations

import pytest

from op25b_pcap.mail.smtp.message import MAX_RECEIVED, Message


def passed(*pieces: bytes, bare_lf: bool = False) -> tuple[int | None, int | None, int | None]:
    """Octets, Received: fields, and what is left behind the end (None: it has not come)."""
    message = Message(bare_lf=bare_lf)
    for number, piece in enumerate(pieces):
        used = message.data(piece)
        if used is not None:
            rest = len(piece) - used + sum(map(len, pieces[number + 1 :]))
            return message.octets, message.received, rest
    return message.octets, message.received, None


@pytest.mark.parametrize(
    ("data", "octets", "rest"),
    [
        (b".\r\n", 0, 0),
        (b"a\r\n.\r\nQUIT\r\n", 3, 6),
        (b"\r\n.\r\n", 2, 0),
        (b"..\r\n.\r\n", 4, 0),
        (b"a.\r\n.\r\n.\r\n", 4, 3),
        (b"a\r\n. \r\n.\r\n", 7, 0),
        (b"a\n.\n\r\n.\r\n", 6, 0),
        (b"a\r\r\n.\r\n", 4, 0),
        (b"a\r\n.\n", 5, None),
        (b"a\r\n.", 4, None),
        (b"", 0, None),
    ],
)
def test_the_end_is_a_dot_between_two_crlf(data: bytes, octets: int, rest: int | None):
    for size in (1, 2, 3, 100):
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        found = passed(*pieces)
        assert (found[0], found[2]) == (octets, rest)


@pytest.mark.parametrize(
    ("data", "octets", "rest"),
    [
        (b".\n", 0, 0),
        (b"a\n.\nQUIT\n", 2, 5),
        (b"a\r\n.\r\n", 3, 0),
        (b"a\n.\r\nx", 2, 1),
        (b"a.\n", 3, None),
    ],
)
def test_where_lines_end_with_lf_the_end_does_so_too(data: bytes, octets: int, rest: int | None):
    for size in (1, 2, 100):
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        found = passed(*pieces, bare_lf=True)
        assert (found[0], found[2]) == (octets, rest)


@pytest.mark.parametrize(
    ("data", "received"),
    [
        (b"Received: a\r\nReceived: b\r\nSubject: x\r\nReceived: no\r\n", 2),
        (b"Received: a\r\n by b\r\n\tfor c\r\nreceived: d\r\nX: y\r\n", 2),
        (b"RECEIVED : a\r\n\r\n", 1),
        (b"Received:\r\n", 1),
        (b"Return-Path: <>\r\nReceived: a\r\n", 0),
        (b" folded\r\nReceived: a\r\n", 0),
        (b"Received-SPF: pass\r\nReceived: a\r\n", 0),
        (b"\r\nReceived: a\r\n", 0),
        (b"Received: " + b"x" * 5000 + b"\r\nReceived: b\r\n\r\n", 2),
        (b"Received: a\nReceived: b\n\n", 2),
        (b"no field\r\n", 0),
    ],
)
def test_received_fields_that_open_the_message(data: bytes, received: int):
    for size in (1, 5, 10_000):
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        assert passed(*pieces, b".\r\n")[1] == received
        chunked = Message()
        for piece in pieces:
            chunked.chunk(piece)
        chunked.finish()
        assert (chunked.received, chunked.octets) == (received, len(data))


def test_a_hundred_thousand_received_fields():
    message = Message()
    message.data(b"Received: a\r\n" * 100_000)
    assert message.received == MAX_RECEIVED


def test_nothing_of_it_is_held_behind_its_first_lines():
    message = Message()
    message.data(b"Subject: a secret\r\n" + b"x" * 100_000)
    held = [getattr(message, name) for name in Message.__slots__]
    assert max(len(value) for value in held if isinstance(value, bytes)) <= 4
    message.finish()
    assert b"" == message._tail == message._line


def test_what_a_gap_leaves_known():
    message = Message()
    message.data(b"Received: a\r\n")
    message.gap(100)
    assert (message.octets, message.received, message.is_torn) == (113, None, True)
    message.lose()
    assert message.octets is None
    opened = Message()
    opened.data(b"Received: a\r\n\r\n")
    opened.gap(100)
    assert (opened.octets, opened.received) == (115, 1)
    assert opened.data(b".\r\n") is None  # what was before it is not known
    assert opened.data(b"\r\n.\r\n") == 5
