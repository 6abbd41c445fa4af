"""TLS hellos: version and name in whatever pieces they come, and nothing from what is no TLS."""

from __future__ import annotations

import tracemalloc

import pytest

from op25b_pcap.mail.tls import MAX_HELLO, MAX_RECORD, TELLING_OCTETS, Handshake, looks_like_tls
from op25b_pcap.tables.streams import Side
from tests.hellos import (
    ALERT,
    APPLICATION_DATA,
    CHANGE_CIPHER_SPEC,
    CLIENT,
    CLIENT_REST,
    HANDSHAKE,
    RANDOM,
    RETRY,
    SERVER,
    SERVER_REST,
    client_hello,
    extension,
    message,
    record,
    server_hello,
    server_name,
    ssl2_client_hello,
    vector,
)
from tests.retrievals import C, S, in_one_go, octet_by_octet

MAIL = server_name(b"mail.example.org")


def told(turns: list) -> tuple:
    handshake = Handshake()
    for side, what in turns:
        if isinstance(what, int):
            handshake.gap(side)
        else:
            handshake.receive(side, what)
    return handshake.version, handshake.sni, handshake.anomalies, handshake.is_done


def assert_reads(turns: list, version=None, sni=None, anomalies=(), is_done=False) -> None:
    """Whole, octet by octet; and with trailing octets, which may complete nothing."""
    expected = (version, sni, set(anomalies), is_done)
    for way in (turns, in_one_go(turns), octet_by_octet(turns), [*turns, (C, b"\x16"), (S, b"\x16")]):
        assert told(way) == expected


def test_a_handshake_of_tls_1_3():
    turns = [(C, CLIENT), (S, SERVER), (C, CLIENT_REST), (S, SERVER_REST)]
    assert_reads(turns, "TLSv1.3", "mail.example.org", is_done=True)


@pytest.mark.parametrize(
    ("number", "name"),
    [(0x0300, "SSLv3"), (0x0301, "TLSv1.0"), (0x0302, "TLSv1.1"), (0x0303, "TLSv1.2"), (0x7F1C, "TLSv1.3")],
)
def test_the_server_chooses_the_version(number: int, name: str):
    hello = record(HANDSHAKE, server_hello(number), min(number, 0x0303))
    assert_reads([(C, CLIENT), (S, hello)], name, "mail.example.org")


def test_an_early_draft_of_tls_1_3_has_its_number_in_front():
    hello = record(HANDSHAKE, message(2, b"\x7f\x12" + RANDOM + bytes.fromhex("1301")))
    assert_reads([(S, hello)], "TLSv1.3")


def test_a_version_nobody_knows_is_not_told():
    assert_reads([(S, record(HANDSHAKE, server_hello(0x0305)))], anomalies=["tls_malformed"])


def test_what_the_client_offers_is_not_the_version():
    offer = extension(43, b"\x04\x03\x04\x03\x03")
    assert_reads([(C, record(HANDSHAKE, client_hello(MAIL, offer)))], sni="mail.example.org")


def test_a_retry_request_names_the_version_and_a_second_hello_follows():
    retry = record(HANDSHAKE, server_hello(0x0304, random=RETRY)) + record(CHANGE_CIPHER_SPEC, b"\1")
    second = record(CHANGE_CIPHER_SPEC, b"\1") + record(HANDSHAKE, client_hello(MAIL))
    turns = [(C, CLIENT), (S, retry), (C, second), (S, SERVER[:-6]), (S, SERVER_REST)]
    assert_reads(turns, "TLSv1.3", "mail.example.org", is_done=True)


def test_a_hello_in_many_records_and_many_messages_in_one_record():
    hello = client_hello(extension(51, bytes(1216)), MAIL)  # a post-quantum key share
    pieces = b"".join(record(HANDSHAKE, hello[at : at + 100], 0x0301) for at in range(0, len(hello), 100))
    flight = server_hello(0x0303) + message(11, bytes(900)) + message(14, b"")
    assert_reads([(C, pieces), (S, record(HANDSHAKE, flight))], "TLSv1.2", "mail.example.org")


def test_a_client_that_names_nobody():
    assert_reads([(C, record(HANDSHAKE, client_hello()))])
    assert_reads([(C, record(HANDSHAKE, client_hello(extension(10, b"\0\2\0\x1d"))))])
    assert_reads([(C, record(HANDSHAKE, client_hello(extension(0, b"\0\0"))))])


@pytest.mark.parametrize(
    ("name", "sni", "anomalies"),
    [
        (b"Mail.Example.ORG", "mail.example.org", []),
        (b"192.0.2.25", "192.0.2.25", []),
        (b"x" * 255, "x" * 255, []),
        (b"x" * 256, "x" * 255, ["tls_odd_sni"]),
        (b"", "", ["tls_odd_sni"]),
        (b"mail\0.example.org", r"mail\x00.example.org", ["tls_odd_sni"]),
        ("bücher.example".encode(), "bücher.example", ["tls_odd_sni"]),
        (b"\xff\xfe", r"\xff\xfe", ["tls_odd_sni"]),
    ],
)
def test_names_are_told_as_safe_text(name: bytes, sni: str, anomalies: list):
    assert_reads([(C, record(HANDSHAKE, client_hello(server_name(name))))], sni=sni, anomalies=anomalies)


def test_only_host_names_are_names():
    other = extension(0, vector(b"\1" + vector(b"other") + b"\0" + vector(b"mail.example.org")))
    assert_reads([(C, record(HANDSHAKE, client_hello(other)))], sni="mail.example.org")
    assert_reads([(C, record(HANDSHAKE, client_hello(server_name(b"other", kind=9))))])


def test_old_clients_ask_in_the_manner_of_sslv2():
    rest = record(HANDSHAKE, message(16, RANDOM)) + record(CHANGE_CIPHER_SPEC, b"\1")
    hello = record(HANDSHAKE, server_hello(0x0301), 0x0301)
    assert_reads([(C, ssl2_client_hello()), (S, hello), (C, rest)], "TLSv1.0")
    assert_reads([(C, ssl2_client_hello(2)), (S, b"\x80\x0b\x04\x00\x01\x00\x02\0\0\0\0\0\0")], "SSLv2")


def test_alerts_in_clear_are_named_if_they_are_fatal():
    assert_reads([(C, CLIENT), (S, record(ALERT, b"\2\x28"))], None, "mail.example.org", ["tls_alert"])
    warned = [(C, CLIENT), (S, record(ALERT, b"\1\x70") + SERVER)]
    assert_reads(warned, "TLSv1.3", "mail.example.org")
    unknown_ca = [(C, CLIENT + record(ALERT, b"\2\x30")), (S, record(HANDSHAKE, server_hello(0x0303)))]
    assert_reads(unknown_ca, "TLSv1.2", "mail.example.org", ["tls_alert"])
    assert_reads([(C, CLIENT + record(ALERT, bytes(26)))], sni="mail.example.org")  # an encrypted one


@pytest.mark.parametrize(
    "octets",
    [
        b"* OK ready\r\n",
        b"\x16\x03\x01\x00\x05\x05hello",  # a message that no client begins with
        record(HANDSHAKE, message(1, bytes(MAX_HELLO))[: 1 << 14]),
        b"\x16\x03\x03\xff\xff" + bytes(9),
        b"\x16\x05\x03\x00\x01" + bytes(9),
        record(HANDSHAKE, message(1, b"\3\3" + RANDOM[:20])),
        record(HANDSHAKE, client_hello(server_name(b"mail.example.org")[:-1])),
        record(HANDSHAKE, client_hello(extension(0, b"\xff\xff\0"))),
    ],
)
def test_what_is_no_tls_is_named(octets: bytes):
    assert_reads([(C, octets)], anomalies=["tls_malformed"])


def test_an_empty_record_is_named_and_read_over():
    empty = record(HANDSHAKE, b"") + CLIENT
    assert_reads([(C, empty)], sni="mail.example.org", anomalies=["tls_empty_record"])


def test_records_from_the_middle_tell_nothing():
    assert_reads([(C, record(APPLICATION_DATA, RANDOM)), (S, record(APPLICATION_DATA, RANDOM))], is_done=True)


def test_a_gap_ends_what_can_be_read_of_a_side():
    early = [(C, CLIENT[:30]), (C, 5), (C, CLIENT[35:]), (S, SERVER)]
    assert_reads(early, "TLSv1.3", anomalies=["gap"], is_done=True)
    late = [(C, CLIENT), (S, SERVER), (C, CLIENT_REST), (C, 5), (S, 5)]
    assert_reads(late, "TLSv1.3", "mail.example.org", is_done=True)


def test_memory_does_not_grow_with_what_is_sent():
    handshake = Handshake()
    endless = record(HANDSHAKE, bytes(MAX_RECORD - 2048))
    handshake.receive(Side.CLIENT, record(HANDSHAKE, message(1, bytes(MAX_HELLO - 4))[:100]))
    tracemalloc.start()
    for _ in range(500):
        handshake.receive(Side.CLIENT, endless)
    assert tracemalloc.get_traced_memory()[0] < 2 * MAX_HELLO
    tracemalloc.stop()


@pytest.mark.parametrize(
    "octets",
    [
        CLIENT,
        SERVER,
        ssl2_client_hello(),
        ssl2_client_hello(2),
        record(ALERT, b"\2\x28"),
        record(APPLICATION_DATA, RANDOM),
        record(APPLICATION_DATA, bytes(MAX_RECORD)),
    ],
)
def test_tls_is_known_by_its_first_octets(octets: bytes):
    verdicts = [looks_like_tls(octets[:length]) for length in range(TELLING_OCTETS + 1)]
    assert verdicts[-1] is True
    assert set(verdicts[: verdicts.index(True)]) == {None}
    assert False not in verdicts


@pytest.mark.parametrize(
    "octets",
    [
        b"220 mx.example.com ESMTP\r\n",
        b"EHLO home.example.org\r\n",
        b"\r\n",
        b"\x00\x00\x00\x00",
        b"\x16\x03\x09\x00\x01",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\x48\x01",
        b"\x19\x03\x03\x00\x01",
        "ようこそ".encode(),
        b"\x80\x2e\x01\x03\x01\x00\x07\x00\x00\x00\x10",  # cipher suites that are no multiple of three
        b"\x80\x00\x00\x54\x12\x34\x56\x78\x00\x00\x00\x01",  # a record mark of ONC RPC
    ],
)
def test_no_text_is_taken_for_tls(octets: bytes):
    assert looks_like_tls(octets) is False
