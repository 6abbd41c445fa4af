"""Of every DNS message that the quick reader takes it says what dnspython says."""

from __future__ import annotations

from struct import pack

import dns.flags
import dns.message
import dns.rrset
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from op25b_pcap.compiled import kernels
from op25b_pcap.roles import records as records_room
from op25b_pcap.roles.records import _columns, _read, records, thoroughly
from op25b_pcap.wire import dns as wire
from op25b_pcap.wire.dns import A, read_messages

NAMES = ("example.com.", "mx.example.com.", "MX.Example.COM.", "a-b_c.mx.example.com.", "com.", ".")
DATA = (
    "A 198.51.100.25",
    "AAAA 2001:db8:f::25",
    "AAAA ::ffff:192.0.2.1",
    "AAAA ::5",
    "AAAA ::",
    "AAAA ::192.0.2.1",
    "AAAA 2001:db8:0:0:1:0:0:1",
    "MX 10 mx.example.com.",
    "MX 0 .",
    "MX 20 mail.example.net.",
    "CNAME mx.example.com.",
    "CNAME example.com.",
    "NS ns.example.com.",
    "SOA ns.example.com. root.example.com. 1 2 3 4 5",
    'TXT "\\000\\015\\000\\001"',
)
ODD_NAMES = (r"a\.b.example.com.", r"\195\164.example.com.", f"{'a' * 63}.{'b.' * 90}", "1." * 20)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Responses as dnspython writes them."""
    names = st.sampled_from(NAMES + ODD_NAMES if draw(st.booleans()) else NAMES)
    sections = st.lists(st.tuples(names, st.sampled_from(DATA)), max_size=4)
    asked = dns.message.make_query(draw(names), draw(st.sampled_from(("MX", "A", "ANY"))))
    if draw(st.booleans()):
        asked.use_edns(0)
    response = dns.message.make_response(asked)
    for section in (response.answer, response.authority, response.additional):
        for owner, data in draw(sections):
            kind, _, rest = data.partition(" ")
            section.append(dns.rrset.from_text(owner, 300, "IN", kind, rest))
    if draw(st.booleans()):
        response.flags |= dns.flags.TC
    return response.to_wire()


def disturbed(message: bytes, changes: list[tuple[int, int]], cut: int) -> bytes:
    octets = bytearray(message)
    for at, value in changes:
        octets[at % len(octets)] = value
    return bytes(octets[: len(octets) - cut])


changes = st.lists(
    st.tuples(
        st.integers(0, 600), st.sampled_from((0, 1, 2, 12, 15, 28, 41, 63, 64, 192)) | st.integers(0, 255)
    ),
    max_size=3,
)


def quickly(*messages: bytes, reader=read_messages) -> list[list[tuple[int, str, str]] | None]:
    """What the kernel reads in each; None if it is unusual."""
    found: list[list[tuple[int, str, str]] | None] = [[] for _ in messages]
    for rows, said in _read(column(messages), reader):
        is_usual = rows[:, wire.KIND] != wire.UNUSUAL
        for number in rows[~is_usual, wire.MESSAGE].tolist():
            assert found[number] == []
            found[number] = None
        for number, *record in zip(*_columns(rows[is_usual], said), strict=True):
            found[number].append(tuple(record))
    return found


def column(messages) -> pa.Array:
    return pa.array(messages, pa.binary())


def said(told, *how) -> set[tuple[int, int, str, str]]:
    """All records, with the numbers of their messages."""
    return {row for columns in records(column(told), *how) for row in zip(*columns, strict=True)}


@given(messages(), changes, st.just(0) | st.integers(0, 40))
def test_both_readers_agree(message, changes, cut):
    octets = disturbed(message, changes, cut)
    (quick,) = quickly(octets)
    if quick is not None:
        assert set(quick) == set(thoroughly(octets))


@given(st.lists(messages(), max_size=5), changes, st.just(0) | st.integers(0, 40))
def test_the_compiled_reader_is_the_same(some, changes, cut):
    told = [disturbed(message, changes, cut) for message in some]
    one_by_one = [quickly(message)[0] for message in told]
    assert quickly(*told) == quickly(*told, reader=kernels().read_messages) == one_by_one
    called = frozenset({bytes([198, 51, 100, 25])})
    compiled = said(told, called, kernels().read_messages)
    assert compiled == said(told, called)
    assert compiled <= said(told)


def message(*answers: bytes, question: bytes = b"\1a\0", additions: int = 0) -> bytes:
    counts = pack("!HHHH", 1, len(answers) - additions, 0, additions)
    return b"\0\1\x81\x80" + counts + question + b"\0\1\0\1" + b"".join(answers)


def record(owner: bytes, kind: int = A, data: bytes = b"\xc6\x33\x64\x19") -> bytes:
    return owner + pack("!HHIH", kind, 1, 300, len(data)) + data


USUAL = {
    "a pointer to a name": message(record(b"\xc0\x0c")),
    "a pointer into a name": message(record(b"\xc0\x0e"), question=b"\1a\1b\0"),
    "a label and a pointer": message(record(b"\1c\xc0\x0c")),
    "no records": message(),
    "options": message(record(b"\0", 41, b""), additions=1),
    "broken options": message(record(b"\0", 41, b"\0"), record(b"\xc0\x0c"), additions=2),
}
# The question stands at 12, the first record's owner at 19, its data at 31.
UNUSUAL = {
    "a pointer to itself": message(record(b"\xc0\x13")),
    "a pointer to itself behind a label": message(record(b"\1c\xc0\x13")),
    "a pointer ahead": message(record(b"\xc0\x15"), record(b"\1c\0")),
    "a pointer to a pointer": message(record(b"\xc0\x0c"), record(b"\xc0\x13")),
    "a pointer to the root": message(record(b"\xc0\x0e")),
    "two labels of dots": message(record(b"\3a.b\0")),
    "a label of another type": message(record(b"\x41a\0")),
    "a name that ends beyond": message(record(b"\xc0\x0c"))[:-5] + b"\4\1c",
    "two targets of one alias": message(record(b"\1c\0", 5, b"\xc0\x0c"), record(b"\1c\0", 5, b"\1d\0")),
    "an address of five octets": message(record(b"\xc0\x0c", data=bytes(5))),
    "an exchanger and more": message(record(b"\xc0\x0c", 15, b"\0\1\xc0\x0c\0")),
    "a chain of pointers": message(
        *(record(b"\1c" + pack("!H", 0xC00C + max(7 + 17 * (n - 1), 0))) for n in range(20))
    ),
    "options of a name": message(record(b"\xc0\x0c", 41, b""), additions=1),
    "options among answers": message(record(b"\0", 41, b"")),
    "options twice": message(record(b"\0", 41, b""), record(b"\0", 41, b""), additions=2),
    "a signature": message(record(b"\0", 250, b""), additions=1),
    "a header alone": message()[:12],
    "less than a header": message()[:11],
    "a question": b"\0\1\1\0" + message(record(b"\xc0\x0c"))[4:],
    "an update": b"\0\1\xa8\0" + message(record(b"\xc0\x0c"))[4:],
    "two questions": b"\0\1\x81\x80\0\2\0\0\0\0\0\0" + b"\1a\0\0\1\0\1" * 2,
}


@pytest.mark.parametrize("case", USUAL)
def test_what_is_usual_is_read_quickly(case):
    assert quickly(USUAL[case]) == [thoroughly(USUAL[case])]


@pytest.mark.parametrize("case", UNUSUAL)
def test_what_is_not_is_left(case):
    assert quickly(UNUSUAL[case]) == [None]
    assert said([UNUSUAL[case]]) == {(0, *record) for record in thoroughly(UNUSUAL[case])}


def test_what_is_unusual_is_read_as_long_as_it_is_worth_it(monkeypatch):
    odd = UNUSUAL["two labels of dots"]
    monkeypatch.setattr(records_room, "MOST_THOROUGH", 2 * len(odd))
    assert {number for number, *_ in said([odd, message(record(b"\xc0\x0c")), odd, odd])} == {0, 1, 2}


def test_there_is_room_for_more_than_fits():
    name = b"".join(b"\x0f" + bytes([97 + n]) * 15 for n in range(15)) + b"\0"
    long = message(*(record(b"\xc0\x0c") for _ in range(2_000)), question=name)
    short = message(record(b"\xc0\x0c"))
    told = [long, short, long * 4, long, short]
    for reader in (read_messages, kernels().read_messages):
        found = quickly(*told, reader=reader)
        assert found[2] is None  # no message is so long
        assert [len(found[n]) for n in (0, 1, 3, 4)] == [2_000, 1, 2_000, 1]
        assert all(set(found[n]) == set(thoroughly(told[n])) for n in (0, 1, 3, 4))
        octets, rows, text = long * 3, np.empty((4_000, wire.CELLS), np.int64), np.empty(4 << 20, np.uint8)
        ends = np.cumsum([len(long)] * 3)
        assert reader(octets, ends, 0, rows, text)[0] == 1
