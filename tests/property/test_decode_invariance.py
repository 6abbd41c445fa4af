"""Whatever the octets: no exception, every record accounted for; whatever the cuts: the same packet."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from op25b_pcap.samples.frames import ip
from op25b_pcap.tables.packets import TcpSegment
from op25b_pcap.wire.layers import LINK_TYPES
from tests.encapsulations import (
    CLIENT,
    CLIENT6,
    SERVER,
    SERVER6,
    WRAPPED,
    decoded,
    frame,
    only,
    record,
    segment,
)

names = st.sampled_from(sorted(WRAPPED))
link_types = st.sampled_from(sorted(LINK_TYPES)) | st.integers(0, 65535)
lengths = st.none() | st.integers(0, 1 << 32)
many = settings(max_examples=400)


@many
@given(st.lists(st.tuples(st.binary(max_size=300), link_types, lengths), max_size=8))
def test_any_octets_under_any_link_type_are_accounted_for(frames):
    _, tally = decoded(record(data, link_type, length) for data, link_type, length in frames)
    assert tally.read == len(frames)


@many
@given(names, st.data())
def test_so_are_mutated_packets(name, data):
    octets = bytearray(WRAPPED[name].data)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(octets) - 1))
        octets[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
        if not octets:
            break
    link_type = data.draw(st.just(WRAPPED[name].link_type) | link_types)
    decoded([record(bytes(octets), link_type, data.draw(lengths))])


@pytest.mark.parametrize("name", WRAPPED)
def test_a_cut_frame_gives_the_same_packet_or_none(name):
    link_type, data, *_ = WRAPPED[name]
    whole = only(data, link_type)
    for size in range(len(data)):
        packets, tally = decoded([record(data[:size], link_type, len(data))])
        for packet in packets:
            assert packet[:8] == whole[:8]
            assert packet.window in (None, whole.window)
            assert packet.payload_length == whole.payload_length == 0
            assert whole.options.startswith(packet.options)
            assert packet.checksum_ok is not False
        if not packets and size < 14:
            assert set(tally.skipped) <= {"truncated", "malformed", "no_ip"}


@many
@given(st.binary(max_size=60), st.binary(max_size=60))
def test_trailers_change_nothing(payload, trailer):
    for ends, ether_type in (((CLIENT, SERVER), 0x0800), ((CLIENT6, SERVER6), 0x86DD)):
        plain = frame(ether_type, ip(*ends, 6, segment(*ends, 0x18, payload), 64))
        packet = only(plain)
        assert (packet.payload, packet.checksum_ok) == (payload, True)
        assert only(plain + trailer) == packet


@st.composite
def fragmentations(draw):
    """A segment with its IP packet in parts, in some order, some of them twice."""
    payload = draw(st.binary(max_size=400))
    is_ipv6 = draw(st.booleans())
    ends = (CLIENT6, SERVER6) if is_ipv6 else (CLIENT, SERVER)
    whole = segment(*ends, 0x18, payload)
    cuts = sorted({8 * at for at in draw(st.lists(st.integers(1, (len(whole) - 1) // 8), max_size=6))})
    parts = []
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        more = end < len(whole)
        if is_ipv6:
            header = struct.pack("!BBHI", 6, 0, start | more, 77)
            parts.append(ip(*ends, 44, header + whole[start:end], 64))
        else:
            packet = bytearray(ip(*ends, 6, whole[start:end], 64, 77))
            packet[6:8] = struct.pack("!H", more << 13 | start // 8)
            parts.append(bytes(packet))
    order = draw(st.permutations(parts))
    again = draw(st.integers(0, len(order) - 1))
    return payload, [*order[:again], order[again], *order[again:]] if len(order) > 1 else order


@many
@given(fragmentations())
def test_any_parts_in_any_order_are_the_packet(case):
    payload, parts = case
    packets, tally = decoded(record(part, 101, number=n) for n, part in enumerate(parts, 1))
    whole = [p for p in packets if isinstance(p, TcpSegment) and p.checksum_ok]
    assert [p.payload for p in whole] == [payload]
    assert tally.decoded + tally.skipped["fragment"] == len(parts)


@many
@given(fragmentations(), st.data())
def test_some_of_the_parts_give_no_other_packet(case, data):
    payload, parts = case
    kept = [part for part in parts if data.draw(st.booleans())]
    packets, _ = decoded(record(part, 101, number=n) for n, part in enumerate(kept, 1))
    for packet in packets:
        assert packet[3:8] == (50000, 25, 1000, 0, 0x18)
        assert payload.startswith(packet.payload)
        assert packet.checksum_ok is not False
