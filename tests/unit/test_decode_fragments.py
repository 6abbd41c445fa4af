"""IP packets in parts: put together, or as much of them as came."""

from __future__ import annotations

import itertools
import struct
import tracemalloc

import pytest

from op25b_pcap.decode import Tally, dissect, fragments
from op25b_pcap.samples.frames import ip
from tests.encapsulations import (
    CLIENT,
    CLIENT6,
    FAR6,
    NEAR6,
    PLACE,
    SERVER,
    SERVER6,
    decoded,
    frame,
    only,
    record,
    segment,
    why_not,
)
from tests.reference import decode

RAW = 101
PAYLOAD = bytes(range(256)) * 4
SEGMENT = segment(flags=0x18, payload=PAYLOAD)
SEGMENT6 = segment(CLIENT6, SERVER6, 0x18, PAYLOAD)
PARTS = [(0, 400), (400, 800), (800, len(SEGMENT))]


def part(start: int, end: int, whole: bytes = SEGMENT, more: bool | None = None, number: int = 5) -> bytes:
    """Octets `start` to `end` of a segment as an IPv4 fragment."""
    more = end < len(whole) if more is None else more
    packet = bytearray(ip(CLIENT, SERVER, 6, whole[start:end], 64, number))
    packet[6:8] = struct.pack("!H", more << 13 | start // 8)
    return bytes(packet)


def part6(start: int, end: int, whole: bytes = SEGMENT6, number: int = 5) -> bytes:
    header = struct.pack("!BBHI", 6, 0, start | (end < len(whole)), number)
    return ip(CLIENT6, SERVER6, 44, header + whole[start:end], 64)


def records(*packets: bytes, link_type: int = RAW) -> list:
    return [record(data, link_type, number=n, at_s=n / 1000) for n, data in enumerate(packets, 1)]


@pytest.mark.parametrize("make", [part, part6])
@pytest.mark.parametrize("order", list(itertools.permutations(PARTS)))
def test_parts_in_any_order_are_one_packet(make, order):
    (packet,), tally = decoded(records(*(make(*extent) for extent in order)))
    assert (packet.payload, packet.payload_length, packet.checksum_ok) == (PAYLOAD, len(PAYLOAD), True)
    assert packet.seen.number == 3  # the part that made it whole
    assert (tally.decoded, dict(tally.skipped)) == (1, {"fragment": 2})


def test_a_header_in_eight_octet_parts():
    tiny = [(start, start + 8) for start in range(0, 24, 8)] + [(24, len(SEGMENT))]
    (packet,), _ = decoded(records(*(part(*extent) for extent in tiny)))
    assert packet.payload == PAYLOAD


def test_what_came_first_stays_where_parts_overlap():
    other = SEGMENT[:400] + bytes(len(SEGMENT) - 400)
    (packet,), _ = decoded(records(part(0, 400), part(400, 800), part(392, len(other), other)))
    assert packet.payload[:776] == PAYLOAD[:776]
    assert packet.payload[776:] == bytes(len(PAYLOAD) - 776)
    assert packet.checksum_ok is False


def test_a_repeated_part_changes_nothing():
    packets, tally = decoded(records(part(0, 400), part(0, 400), part(400, 800), part(800, len(SEGMENT))))
    assert [p.payload for p in packets] == [PAYLOAD]
    assert tally.skipped == {"fragment": 3}


def test_a_missing_part_leaves_the_first_to_go_alone():
    (packet,), tally = decoded(records(part(800, len(SEGMENT)), part(0, 400)))
    assert (packet.seen.number, packet.src_port, packet.seq) == (2, 50000, 1000)
    assert (packet.payload, packet.payload_length) == (PAYLOAD[:376], len(PAYLOAD))
    assert packet.checksum_ok is None
    assert (tally.decoded, dict(tally.skipped)) == (1, {"fragment": 1})


def test_without_the_last_part_nobody_knows_how_long_it_was():
    (packet,), _ = decoded(records(part(0, 400)))
    assert (packet.payload, packet.payload_length) == (PAYLOAD[:376], 376)


def test_without_the_first_part_there_is_nothing():
    packets, tally = decoded(records(part(400, 800), part(800, len(SEGMENT))))
    assert (packets, dict(tally.skipped)) == ([], {"fragment": 2})


def test_a_first_part_without_flags_is_no_segment():
    packets, tally = decoded(records(part(0, 8)))
    assert (packets, dict(tally.skipped)) == ([], {"fragment": 1})


def test_patience_has_an_end():
    late = [record(part(*PARTS[0]), RAW, number=1)]
    late += [record(part(*extent), RAW, number=n, at_s=31) for n, extent in enumerate(PARTS[1:], 2)]
    (packet,), tally = decoded(late)
    assert (packet.seen.number, packet.payload_length) == (1, 376)
    assert tally.skipped == {"fragment": 2}


@pytest.mark.parametrize("at_s", [0, 31, 1 << 32])
def test_a_record_of_another_time_makes_no_difference(at_s):
    """It may be damaged; and in another piece of a capture nobody would see it."""
    parts = records(*(part(*extent) for extent in PARTS))
    packets, _ = decoded([parts[0], record(ip(CLIENT, SERVER, 17, b"", 64), RAW, at_s=at_s), *parts[1:]])
    assert [packet.payload for packet in packets] == [PAYLOAD]


def test_parts_are_taken_by_time_however_they_were_captured():
    late = record(part(*PARTS[2]), RAW, number=1, at_s=31)
    packets, tally = decoded(
        [late, record(part(*PARTS[1]), RAW, number=2), record(part(*PARTS[0]), RAW, number=3)]
    )
    assert [(packet.seen.number, packet.payload_length) for packet in packets] == [(3, 776)]
    assert (tally.read, tally.decoded, tally.skipped) == (3, 1, {"fragment": 2})


def test_packets_with_other_numbers_or_ends_are_others():
    mixed = [part(*PARTS[0]), part(*PARTS[1], number=6), part(*PARTS[2], number=6), part(*PARTS[0], number=6)]
    packets, _ = decoded(records(*mixed))
    assert sorted(p.payload_length for p in packets) == [376, len(PAYLOAD)]


def test_cut_parts_make_a_cut_packet():
    cut = [record(part(*extent)[:60], RAW, len(part(*extent)), n) for n, extent in enumerate(PARTS, 1)]
    (packet,), _ = decoded(cut)
    assert (packet.payload, packet.payload_length) == (PAYLOAD[:16], len(PAYLOAD))
    assert packet.checksum_ok is None


def test_a_tunnel_s_packet_in_parts():
    inner = ip(CLIENT, SERVER, 6, SEGMENT, 64)

    def outer(start: int, end: int) -> bytes:
        header = struct.pack("!BBHI", 4, 0, start | (end < len(inner)), 9)
        return frame(0x86DD, ip(NEAR6, FAR6, 44, header + inner[start:end], 64))

    whole, _ = decoded(records(outer(0, 800), outer(800, len(inner)), link_type=1))
    (packet,) = whole
    assert (packet.payload, packet.checksum_ok) == (PAYLOAD, True)
    assert (packet.seen.encapsulation, packet.seen.outer_src) == ("ipip6", NEAR6)
    assert packet.seen.place == f"0 {PLACE}"
    alone = only(outer(0, 800))
    assert (alone.payload, alone.payload_length) == (PAYLOAD[:756], len(PAYLOAD))


def test_fragments_within_fragments():
    outer_payload = part(*PARTS[0])

    def outer(start: int, end: int) -> bytes:
        packet = bytearray(ip("192.0.2.1", "192.0.2.2", 4, outer_payload[start:end], 64, 1))
        packet[6:8] = struct.pack("!H", (end < len(outer_payload)) << 13 | start // 8)
        return bytes(packet)

    nested = records(outer(0, 200), outer(200, len(outer_payload)), part(*PARTS[1]))
    packets, tally = decoded(nested)
    assert [p.payload_length for p in packets] == [376]
    assert tally.read == 3


def test_what_cannot_be_a_part():
    assert why_not(part(400, 400, more=True), RAW) == "malformed"
    ping_of_death = bytearray(part(0, 400, more=False))
    ping_of_death[6:8] = struct.pack("!H", 8190)
    assert why_not(bytes(ping_of_death), RAW) == "malformed"


def test_a_part_that_is_not_of_eights_is_cut_to_them():
    odd = part(0, 404, more=True)
    (packet,), _ = decoded(records(odd, part(400, 800), part(800, len(SEGMENT))))
    assert packet.payload == PAYLOAD


class TestBounds:
    @pytest.mark.parametrize(("bound", "most"), [("MOST_PACKETS", 10), ("MOST_OCTETS", 4000)])
    def test_the_oldest_go_their_way_before_too_much_is_held(self, monkeypatch, bound, most):
        monkeypatch.setattr(fragments, bound, most)
        flood = records(*(part(0, 400, number=n) for n in range(30)))
        tally = Tally()
        for gone, packet in enumerate(decode(flood, tally)):
            assert packet.ip_id == gone
            assert tally.read - gone <= 12
        assert (tally.read, tally.decoded) == (30, 30)

    def test_parts(self, monkeypatch):
        monkeypatch.setattr(fragments, "MOST_PARTS", 4)
        many = [(start, min(start + 80, len(SEGMENT))) for start in range(0, len(SEGMENT), 80)]
        (packet,), _ = decoded(records(*(part(*extent) for extent in many)))
        assert packet.payload == PAYLOAD[: 4 * 80 - 24]


class TestGivenUp:
    """A lone first part that holds a part of another packet, which has waited as long."""

    @staticmethod
    def outer(inner: bytes, number: int) -> bytes:
        """The first fragment of a tunnel's packet, of which the rest never comes."""
        packet = bytearray(ip("192.0.2.1", "192.0.2.2", 4, inner, 64, number))
        packet[6:8] = struct.pack("!H", 1 << 13)
        return bytes(packet)

    @pytest.mark.parametrize("bystanders_s", [(), (30.5,), (30.5, 31.5), (31.5, 32.5), (30.5, 31.5, 64)])
    def test_how_often_there_is_a_record_makes_no_difference(self, bystanders_s):
        told = [
            (0, self.outer(part(0, 400), 1)),
            (1, self.outer(part(400, 800), 2)),
            (33, part(800, len(SEGMENT))),  # too late for the others, which were given up by then
            *((at_s, ip(CLIENT, SERVER, 17, b"", 64)) for at_s in bystanders_s),
        ]
        told.sort(key=lambda one: one[0])
        packets, _ = decoded(record(data, RAW, at_s=at_s) for at_s, data in told)
        assert [(len(packet.payload), packet.payload_length) for packet in packets] == [(372, 376)]

    def test_what_was_put_together_is_known_by_age_no_longer(self, monkeypatch):
        held = fragments.Fragments()
        monkeypatch.setattr(dissect, "Fragments", lambda: held)
        packets, _ = decoded(records(*(part(*extent, number=n) for n in range(1_000) for extent in PARTS)))
        assert len(packets) == 1_000
        assert len(held._by_age) < 100


def test_what_waits_holds_nothing_that_lies_behind_its_packet():
    octets = 1 << 20
    tracemalloc.start()
    try:
        padded = (
            record(part(0, 400, number=n) + bytes(octets), RAW, number=n + 1, at_s=n / 1000)
            for n in range(64)
        )
        packets = list(dissect.join(padded, Tally()))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(packets) == 64
    assert peak < 16 * octets
