"""The kernels tell of every conversation what `flows` tells, whatever happened to its packets."""

from __future__ import annotations

from unittest import mock

from hypothesis import example, given, settings
from hypothesis import strategies as st

from op25b_pcap.assembly import flows, store, thin
from op25b_pcap.tables.packets import IcmpError, TcpSegment
from tests.assemblies import assembled, by_reference
from tests.segments import SECOND, Talk, mail_session, octets

many = settings(max_examples=400)


def delivery(talk: Talk) -> Talk:
    """A message in several segments, with a resumed connection at the end."""
    talk.handshake()
    at = [0, 0]
    for side, text in (
        (1, b"220 mx.example.net ESMTP\r\n"),
        (0, b"EHLO home.example.org\r\n"),
        (1, b"250-mx.example.net\r\n250 SIZE\r\n"),
        (0, b"MAIL FROM:<a@example.org>\r\n"),
        (1, b"250 ok\r\n"),
        (0, b"RCPT TO:<b@example.net>\r\n"),
        (1, b"250 ok\r\n"),
        (0, b"DATA\r\n"),
        (1, b"354 go\r\n"),
        *((0, bytes([65 + n]) * 40 + b"\r\n") for n in range(6)),
        (0, b".\r\n"),
        (1, b"250 queued\r\n"),
        (0, b"QUIT\r\n"),
    ):
        send = talk.server if side else talk.client
        send("PA", at[side], at[1 - side], text)
        at[side] += len(text)
        (talk.client if side else talk.server)("A", at[1 - side], at[side])
    return talk.client("FA", at[0], at[1]).server("FA", at[1], at[0] + 1).client("A", at[0] + 1, at[1] + 1)


def stories() -> list[Talk]:
    twice = mail_session(Talk(client_isn=10**6, now=300.0, packets=mail_session(Talk()).packets))
    return [
        delivery(Talk()),
        delivery(Talk("2001:db8::5", "2001:db8:1::7", client_isn=2**32 - 30, server_isn=2**32 - 100)),
        delivery(Talk(server_port=587)),
        Talk().client("S").wait(1).client("S").wait(2).client("S"),
        Talk().client("S").server("RA").wait(0.5).client("S").server("RA"),
        Talk().client("S").icmp(3, 13).client("S").icmp(3, 13, "192.0.2.9"),
        Talk().client("S").icmp(3, 1).wait(2).client("S").icmp(11, 0),
        Talk().client("S").icmp(3, 13, seq=None).server("SA").client("A", 0, 0),
        Talk().client("S").server("SA").client("R", 0),
        Talk(client_port=25, server_port=25).client("PA", 0, 0, b"x").server("PA", 0, 1, b"y"),
        twice,
    ]


flags = st.sampled_from([1, 2, 4, 8, 16, 17, 18, 20, 24, 25, 0, 255])
changes = st.one_of(
    st.tuples(st.just("drop")),
    st.tuples(st.just("flags"), flags),
    st.tuples(st.just("seq"), st.sampled_from([-1, 1, -40, 40, 2**31, 2**24 + 5])),
    st.tuples(st.just("ack"), st.sampled_from([-1, 1, -40, 40, 2**30, 2**31])),
    st.tuples(st.just("window"), st.sampled_from([0, None])),
    st.tuples(st.just("sum"), st.sampled_from([False, None])),
    st.tuples(st.just("cut"), st.integers(0, 3)),
    st.tuples(st.just("content"), st.integers(0, 255)),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.3, 20.0, 200.0, 300.0, 8000.0])),
    st.tuples(st.just("later"), st.sampled_from([0.0005, 0.002, 0.01, 0.5])),
    st.tuples(st.just("no time")),
    st.tuples(st.just("again"), st.sampled_from([0.00001, 0.002, 0.1, 0.5]), *[st.booleans()] * 3),
    st.tuples(st.just("mirror"), st.sampled_from([0.00001, 0.002, 0.1]), st.booleans(), st.booleans()),
    st.tuples(st.just("options"), st.sampled_from([b"", b"\1\1\1\1", b"\1\1\1\0"])),
    st.tuples(st.just("parts"), st.integers(1, 30)),
    st.tuples(st.just("ip_id"), st.sampled_from([0, 7])),
    st.tuples(st.just("icmp"), st.sampled_from([(3, 13), (3, 1), (3, 4), (11, 0)]), st.integers(0, 2)),
)  # fmt: skip


def changed(packets: list, place: int, change: tuple) -> list:
    """The packets with something done to one of them, or to all from there on."""
    at = place % len(packets)
    before, packet, after = packets[:at], packets[at], packets[at + 1 :]
    if not isinstance(packet, TcpSegment):
        return packets
    match change:
        case ("drop",):
            return (before + after) or packets
        case ("flags", value):
            packet = packet._replace(flags=value)
        case ("seq", by):
            packet = packet._replace(seq=(packet.seq + by) % 2**32)
        case ("ack", by):
            packet = packet._replace(ack=(packet.ack + by) % 2**32)
        case ("window", value):
            packet = packet._replace(window=value)
        case ("sum", value):
            packet = packet._replace(checksum_ok=value)
        case ("cut", count):
            packet = packet._replace(payload=packet.payload[:count])
        case ("content", octet):
            packet = packet._replace(payload=bytes([octet]) * len(packet.payload))
        case ("wait", seconds):
            after = [moved(p, seconds) for p in after]
        case ("later", seconds):
            packet = moved(packet, seconds)
        case ("no time",):
            packet = packet._replace(seen=packet.seen._replace(time_ns=0))
        case ("again", seconds, elsewhere, other_id, other_ttl):
            copy = moved(packet, seconds)
            if elsewhere:
                copy = copy._replace(seen=copy.seen._replace(place="other"))
            if other_id:
                copy = copy._replace(ip_id=60000)
            if other_ttl:
                copy = copy._replace(ttl=9)
            after = [copy, *after]
        case ("mirror", seconds, elsewhere, other_ttl):
            copies = [moved(p, seconds) for p in (packet, *after)]
            if elsewhere:
                copies = [p._replace(seen=p.seen._replace(place="other")) for p in copies]
            if other_ttl:
                copies = [p._replace(ttl=9) if isinstance(p, TcpSegment) else p for p in copies]
            after = [*after, *copies]
        case ("options", value):
            packet = packet._replace(options=value)
        case ("parts", size):
            first = packet._replace(
                payload=packet.payload[:size], payload_length=min(size, packet.payload_length)
            )
            rest = packet._replace(
                seq=(packet.seq + size) % 2**32,
                payload=packet.payload[size:],
                payload_length=max(packet.payload_length - size, 0),
            )
            packet, after = first, [moved(rest, 0.0001), *after]
        case ("icmp", (kind, code), ports):
            quoted = (packet.src_port, packet.dst_port, packet.seq)
            quoted = quoted[: (0, 2, 3)[ports]] + (None,) * (3, 1, 0)[ports]
            error = IcmpError(packet.seen, octets("192.0.2.1"), kind, code, packet.src, packet.dst, *quoted)
            after = [moved(error, 0.001), *after]
        case ("ip_id", number):
            before, after = (
                [p._replace(ip_id=number) if hasattr(p, "ip_id") else p for p in part]
                for part in (before, after)
            )
            packet = packet._replace(ip_id=number)
    return [*before, packet, *after]


def moved(packet, seconds: float):
    return packet._replace(seen=packet.seen._replace(time_ns=packet.seen.time_ns + round(seconds * SECOND)))


happenings = given(
    st.integers(0, len(stories()) - 1), st.lists(st.tuples(st.integers(0, 80), changes), max_size=5)
)


@many
@happenings
@example(9, [(1, ("again", 1e-05, False, False, False)), (1, ("ack", 40)), (26, ("ack", 2**31))])
def test_a_story_that_something_happened_to(number, what):
    told(number, what)


@settings(max_examples=200)
@happenings
def test_a_long_story_is_told_by_what_is_new_in_it(number, what):
    with mock.patch.object(flows, "_MANY_PACKETS", 9), mock.patch.object(thin, "AT_BOTH_ENDS", 2):
        told(number, what)


def told(number, what):
    packets = stories()[number].packets
    for place, change in what:
        packets = changed(packets, place, change)
    packets = sorted(packets, key=lambda packet: packet.seen.time_ns)
    packets = [p._replace(seen=p.seen._replace(number=n)) for n, p in enumerate(packets, 1)]
    found, _ = assembled(packets)
    assert found == by_reference(packets)


def test_no_packets_are_no_flows():
    assert assembled([]) == assembled([], shares=2) == ([], 0)


def test_the_usual_course_is_told_by_kernels():
    stories_told = [assembled(talk.packets) for talk in stories()]
    assert [usual for _, usual in stories_told] == [1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0]


def test_loss_cuts_and_copies_are_told_by_kernels():
    packets = delivery(Talk()).packets
    carrying = next(at for at, packet in enumerate(packets) if len(packet.payload) > 40)
    for few in (
        [*packets[:carrying], *packets[carrying + 1 :]],
        [packet._replace(payload=packet.payload[:20]) for packet in packets],
        sorted(
            [*packets, *(moved(p, 0.0001)._replace(ttl=9) for p in packets)], key=lambda p: p.seen.time_ns
        ),
    ):
        found, usual = assembled(few)
        assert usual == 1
        assert found == by_reference(few)


def test_shares_and_what_does_not_fit_into_memory(monkeypatch):
    packets = sorted((p for talk in stories() for p in talk.packets), key=lambda packet: packet.seen.time_ns)
    in_memory = assembled(packets)
    monkeypatch.setattr(flows, "_WORTH_A_SHARE", 50)
    assert assembled(packets, 3) == in_memory
    monkeypatch.setattr(store.Store.__init__, "__defaults__", (None, 7, 4096))
    assert assembled(packets) == in_memory
    assert assembled(packets, 2) == in_memory
