"""What DNS answers say of addresses, in whatever order and form they come."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterable
from itertools import pairwise

import dns.flags
import dns.message
import dns.rrset
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from op25b_pcap.roles import dns as room
from op25b_pcap.roles.dns import MOST_NAMED, Answers, Said
from op25b_pcap.roles.exchangers import with_lookups, with_names
from op25b_pcap.roles.messages import Messages
from op25b_pcap.tables import FLOWS
from op25b_pcap.tables.packets import DnsMessage
from op25b_pcap.tables.streams import Chunk, Side
from tests.rows import SECOND, START, flow
from tests.segments import octets, seen

MX, MX_V6 = "198.51.100.25", "2001:db8:f::25"


def wire(name: str, *records: str, additional: tuple[str, ...] = ()) -> bytes:
    """A response; a record is written `owner type data`."""
    response = dns.message.make_response(dns.message.make_query(name, "MX"))
    for section, texts in ((response.answer, records), (response.additional, additional)):
        for text in texts:
            owner, kind, data = text.split(" ", 2)
            section.append(dns.rrset.from_text(owner, 300, "IN", kind, data))
    return response.to_wire()


def answered(*payloads: bytes, at_s: float = 0.0) -> Answers:
    answers = Answers()
    hear(answers, payloads, at_s)
    return answers


def hear(answers: Answers, payloads: Iterable[bytes], at_s: float = 0.0) -> None:
    messages = Messages(answers.hear)
    for number, payload in enumerate(payloads):
        messages.add(DnsMessage(seen(at_s + number, 1).time_ns, octets("203.0.113.5"), payload))
    messages.close()


def texts(*values: str) -> pa.Array:
    return pa.array(values, pa.string())


def named(answers: Answers, *dst: str, start_s: float = 100.0) -> list[tuple[list[str], list[str]]]:
    rows = [flow("203.0.113.5", ip, start_time=START + round(start_s * SECOND)) for ip in dst]
    frame = with_names(FLOWS.frame(rows), answers.said(texts(*dst)))
    return [(list(r["dst_mx_of"]), list(r["dst_names"])) for r in frame.to_dict("records")]


MX_ANSWER = wire("example.com.", "example.com. MX 10 mx.example.com.")
A_ANSWER = wire("mx.example.com.", f"mx.example.com. A {MX}", f"mx.example.com. AAAA {MX_V6}")
KNOWN = (["example.com"], ["mx.example.com"])


def test_an_exchanger_and_its_addresses():
    answers = answered(MX_ANSWER, A_ANSWER)
    assert named(answers, MX, MX_V6, "198.51.100.26") == [KNOWN, KNOWN, ([], [])]


def test_the_order_of_the_answers_does_not_matter():
    assert named(answered(A_ANSWER, MX_ANSWER), MX) == [KNOWN]


def test_addresses_in_the_additional_section():
    payload = wire(
        "example.com.", "example.com. MX 10 mx.example.com.", additional=(f"mx.example.com. A {MX}",)
    )
    assert named(answered(payload), MX) == [KNOWN]


def test_an_address_alone_makes_no_exchanger():
    assert named(answered(A_ANSWER), MX) == [([], ["mx.example.com"])]


def test_what_was_said_after_the_attempt_does_not_count():
    assert named(answered(MX_ANSWER, A_ANSWER, at_s=50.0), MX, start_s=50.5) == [([], [])]
    assert named(answered(A_ANSWER, MX_ANSWER, at_s=50.0), MX, start_s=50.5) == [([], ["mx.example.com"])]
    assert named(answered(MX_ANSWER, A_ANSWER, at_s=50.0), MX, start_s=51.0) == [KNOWN]


def test_aliases_are_followed():
    payload = wire("mx.example.com.", "mx.example.com. CNAME mail.example.net.", f"mail.example.net. A {MX}")
    assert named(answered(MX_ANSWER, payload), MX) == [
        (["example.com"], ["mail.example.net", "mx.example.com"])
    ]


def test_aliases_in_a_circle_end():
    payload = wire(
        "a.example.com.",
        "a.example.com. CNAME b.example.com.",
        "b.example.com. CNAME a.example.com.",
        f"a.example.com. A {MX}",
    )
    assert named(answered(payload), MX) == [([], ["a.example.com", "b.example.com"])]


def test_names_differ_not_by_case():
    payload = wire("Example.COM.", "Example.COM. MX 10 MX.Example.com.")
    assert named(answered(payload, A_ANSWER), MX) == [KNOWN]


def test_a_null_exchanger_names_nobody():
    found = answered(wire("example.com.", "example.com. MX 0 ."), A_ANSWER)
    assert named(found, MX) == [([], ["mx.example.com"])]


def test_a_query_says_nothing():
    query = dns.message.from_wire(A_ANSWER)
    query.flags &= ~dns.flags.QR
    assert named(answered(query.to_wire()), MX) == [([], [])]


@pytest.mark.parametrize("cut", range(1, len(A_ANSWER)))
def test_a_message_cut_anywhere_does_no_harm(cut):
    assert named(answered(A_ANSWER[:cut]), MX)[0] in (([], []), ([], ["mx.example.com"]))


@given(st.binary(max_size=200), st.integers(0, 40))
def test_any_octets_do_no_harm(noise, at):
    answered(noise, A_ANSWER[:at] + noise + A_ANSWER[at:]).said(texts(MX))


def framed(*payloads: bytes) -> bytes:
    return b"".join(len(p).to_bytes(2) + p for p in payloads)


@given(st.lists(st.integers(0, len(framed(MX_ANSWER, A_ANSWER))), max_size=6))
def test_over_tcp_wherever_it_is_cut(cuts):
    stream = framed(MX_ANSWER, A_ANSWER)
    edges = [0, *sorted(cuts), len(stream)]
    answers = Answers()
    answers.add_stream(
        [Chunk(Side.CLIENT, START, 0, b"\0\5query")]
        + [Chunk(Side.SERVER, START, 0, stream[a:b]) for a, b in pairwise(edges)],
        "203.0.113.5",
    )
    assert named(answers, MX) == [KNOWN]


def test_over_tcp_nothing_is_read_after_a_gap():
    answers = Answers()
    answers.add_stream([Chunk(Side.SERVER, START, 5, framed(MX_ANSWER))], "203.0.113.5")
    assert named(answers, MX) == [([], [])]


def test_who_asks_for_whose_exchangers():
    other = wire("example.org.", "example.org. MX 10 mx.example.com.")
    answers = answered(MX_ANSWER, A_ANSWER, MX_ANSWER, other)
    assert answers.lookups().to_pylist() == [{"client": "203.0.113.5", "domains": 2}]
    rows = [flow("203.0.113.5", MX), flow("203.0.113.6", MX)]
    found = with_lookups(FLOWS.frame(rows), answers.lookups())["src_mx_lookups"]
    assert (found[0], found.isna().tolist()) == (2, [False, True])


ADDRESSES = ("198.51.100.25", "192.0.2.1", "0.1.0.1", "2001:db8:f::25", "::1")
records = st.lists(
    st.one_of(
        st.sampled_from(ADDRESSES).map(lambda ip: f"mx.example.com. {'AAAA' if ':' in ip else 'A'} {ip}"),
        st.just("www.example.com. CNAME mx.example.com."),
        st.just("example.com. MX 10 mx.example.com."),
        st.just('mx.example.com. TXT "\\000\\001\\000\\001"'),
    ),
    max_size=4,
)


@given(st.lists(records, max_size=5), st.sets(st.sampled_from(ADDRESSES)))
def test_messages_that_are_left_unread_say_nothing_of_what_was_called(messages, called):
    payloads = [wire("example.com.", *message) for message in messages]
    told = []
    for answers, asked in ((answered(*payloads), ADDRESSES), (answered(*payloads), called)):
        names, domains = answers.said(texts(*asked))
        of_called = [
            [row for row in known.to_pylist() if row["address"] in called] for known in (names, domains)
        ]
        told.append((of_called, answers.lookups()))
    assert told[0] == told[1]


def test_of_many_domains_the_first_are_told_so_that_a_hub_costs_no_memory():
    payloads = [wire(f"d{n}.example.", f"d{n}.example. MX 10 mx.example.com.") for n in range(40)]
    answers = answered(A_ANSWER, *payloads)
    (early, names), (late, _) = (named(answers, MX, start_s=start_s)[0] for start_s in (3.5, 100))
    assert (early, names) == (["d0.example", "d1.example", "d2.example"], ["mx.example.com"])
    assert late == sorted(f"d{n}.example" for n in range(MOST_NAMED))


@given(
    st.lists(st.tuples(st.sampled_from(ADDRESSES), st.integers(0, 9)), max_size=12),
    st.lists(
        st.tuples(st.sampled_from(ADDRESSES), st.text("abc", min_size=1), st.integers(0, 9)), max_size=40
    ),
)
def test_each_flow_is_told_what_was_known_when_it_began(calls, known):
    names: dict[str, list] = {}
    for ip, name, at_s in sorted(set(known), key=lambda one: (one[2], one[1])):
        if name not in {text for _, text in names.setdefault(ip, [])}:
            names[ip].append((START + at_s * SECOND, name))
    names = {ip: told[:MOST_NAMED] for ip, told in names.items()}
    rows = [flow("203.0.113.5", ip, start_time=START + at_s * SECOND) for ip, at_s in calls]
    told_of = [(ip, time_ns, name) for ip, told in names.items() for time_ns, name in told]
    columns = [*zip(*told_of, strict=True)] or [(), (), ()]
    said = Said(pa.table([*columns], room.KNOWN), room.KNOWN.empty_table())
    frame = with_names(FLOWS.frame(rows), said)
    for (ip, at_s), told, nothing in zip(calls, frame["dst_names"], frame["dst_mx_of"], strict=True):
        began_ns = START + at_s * SECOND
        assert list(told) == sorted(text for time_ns, text in names.get(ip, []) if time_ns <= began_ns)
        assert not len(nothing)


@given(
    st.lists(
        st.tuples(st.sampled_from("123"), st.sampled_from("abcd"), st.integers(0, 9)), min_size=1, max_size=30
    ),
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("xyz"), st.integers(0, 9)), max_size=30),
    st.integers(1, 5),
    st.integers(1, 4),
)
def test_whose_exchanger_an_address_is(addresses, exchangers, together, most):
    """Against plain loops, whatever is taken together, and however little is told."""
    answers = Answers()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "_TOGETHER", together)
        patch.setattr(room, "MOST_NAMED", most)
        for kind, facts in (("names", addresses), ("exchangers", exchangers)):
            for one, other, time_ns in facts:
                answers.take({kind: pa.table([[one], [other], [time_ns]], room.FACT)})
        names, domains = answers.said(texts("1", "2", "4"))
    known = earliest(addresses)
    hosts = {host for address, host in known if address in ("1", "2")}
    of_host = first({fact: at for fact, at in earliest(exchangers).items() if fact[0] in hosts}, most)
    both = [
        (address, domain, max(named_ns, told_ns))
        for (address, host), named_ns in known.items()
        for owner, told_ns, domain in of_host
        if host == owner and address in ("1", "2")
    ]
    of_called = {fact: at for fact, at in known.items() if fact[0] in ("1", "2")}
    assert [tuple(row.values()) for row in names.to_pylist()] == first(of_called, most)
    assert [tuple(row.values()) for row in domains.to_pylist()] == first(earliest(both), most)


def earliest(facts: list[tuple[str, str, int]]) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for one, other, time_ns in facts:
        found[one, other] = min(found.get((one, other), time_ns), time_ns)
    return found


def first(facts: dict[tuple[str, str], int], most: int) -> list[tuple[str, int, str]]:
    """Of each first text those of the earliest time."""
    found: dict[str, list[tuple[int, str]]] = {}
    for (one, other), time_ns in facts.items():
        found.setdefault(one, []).append((time_ns, other))
    return [(one, *known) for one in sorted(found) for known in sorted(found[one])[:most]]


def test_what_is_remembered_has_a_bound(monkeypatch):
    monkeypatch.setattr(room, "MAX_ANSWERS", 3)
    monkeypatch.setattr(room, "_TOGETHER", 1)
    late = [wire(f"h{n}.example.", f"h{n}.example. A {MX}") for n in range(9)]
    assert named(answered(*late, *late), MX) == [([], ["h0.example", "h1.example", "h2.example"])]


def test_one_message_teaches_a_few_hundred_names():
    payload = wire("h.example.", *(f"h{n}.example. A 198.51.100.{n % 2}" for n in range(400)))
    (told,) = [facts for name, facts in answered(payload).told().items() if name == "names"]
    assert len(told) == room._MOST_TOLD


def test_an_address_of_another_class_spoils_none_of_ours():
    """dnspython remembers a type by the class that it has met first."""
    code = "from op25b_pcap.roles.records import thoroughly; print(thoroughly(bytes.fromhex('{}')))"
    owner = b"\x03a b\x07example\0"
    records_ = b"".join(
        owner + kind + class_ + bytes(4) + len(data).to_bytes(2) + data
        for class_ in (b"\0\xff", b"\0\x01")
        for kind, data in ((b"\0\x01", bytes(4)), (b"\0\x1c", bytes(16)), (b"\0\x0f", b"\0\0\0"))
    )
    message = b"\0\1\x81\x80\0\1\0\6\0\0\0\0" + owner + b"\0\1\0\1" + records_
    command = [sys.executable, "-c", code.format(message.hex())]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "(1, 'a\\\\032b.example', '0.0.0.0')" in told
    assert "(28, 'a\\\\032b.example', '::')" in told


def test_a_stream_of_many_messages_and_of_nothing():
    answers = Answers()
    stream = b"\0\0" * 300_000 + framed(MX_ANSWER) + b"\0\5short" + framed(A_ANSWER) * 2_000
    answers.add_stream([Chunk(Side.SERVER, START, 0, stream)], "203.0.113.5")
    assert sum(map(len, answers._unread)) <= 2_001
    assert named(answers, MX) == [KNOWN]


def test_what_was_learnt_is_no_larger_in_a_pipe():
    answers = Answers()
    for part in range(10):
        names = texts(*(f"h{n}.example" for n in range(5_000 * part, 5_000 * part + 5_000)))
        answers.take({"names": pa.table([names, names, pa.array([0] * 5_000)], room.FACT)})
    told = answers.told()
    assert len(pickle.dumps(told)) < 2 * sum(table.nbytes for table in told.values())
