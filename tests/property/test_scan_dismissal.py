"""What is dismissed at a glance is what `frame` drops, for the same reason."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from op25b_pcap.capture.observation import Observation
from op25b_pcap.samples.frames import ip, tcp, udp
from op25b_pcap.scan import row as cell
from op25b_pcap.scan.dismissal import dismissal
from op25b_pcap.scan.frame import frame as whole
from op25b_pcap.scan.row import GO_ON, NOT_TCP, OTHER_PORT
from op25b_pcap.wire.layers import UDP_PORTS
from op25b_pcap.wire.services import WATCHED
from tests.encapsulations import CLIENT, CLIENT6, SERVER, SERVER6, STATIONS, record
from tests.scans import Watched, assert_equal

SAMPLES = sorted((Path(__file__).parents[2] / "sample_pcaps").rglob("*.pcap*"))
IPV4, IPV6 = 0x0800, 0x86DD
KNOWN = cell.registries()


def glance(data: bytes, link_type: int = 1, before: int = 0) -> int:
    """The kernel's verdict of a record that stands somewhere in a window."""
    window = Watched(bytes(before) + data)
    return dismissal(window, before, len(window), link_type, KNOWN)


def look(data: bytes, link_type: int = 1) -> int:
    """The verdict of `frame`."""
    row = [0] * cell.WIDTH
    row[cell.LAYER], row[cell.AT], row[cell.END], row[cell.LENGTH] = link_type, 0, len(data), len(data)
    return whole(data, row, KNOWN)


def tagged(packet: bytes, *tags: int) -> bytes:
    """A packet in Ethernet, behind so many tags."""
    types = [*tags, IPV4 if packet[0] >> 4 == 4 else IPV6]
    octets = STATIONS + struct.pack("!H", types[0])
    for number in types[1:]:
        octets += struct.pack("!HH", 7, number)
    return octets + packet


def segment(version: int, ports: tuple[int, int]) -> bytes:
    ends = (CLIENT, SERVER) if version == 4 else (CLIENT6, SERVER6)
    return ip(*ends, 6, tcp(ends, ports, (1, 2), 16, 9, b"", b"octets"), 64)


def datagram(version: int, ports: tuple[int, int]) -> bytes:
    ends = (CLIENT, SERVER) if version == 4 else (CLIENT6, SERVER6)
    return ip(*ends, 17, udp(ends, ports, b"octets of more than a header"), 64)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("tags", [(), (0x8100,), (0x88A8,)])
def test_the_commonest_traffic_is_dismissed(version, tags):
    for ports in ((50000, 443), (443, 50000)):
        assert glance(tagged(segment(version, ports), *tags)) == OTHER_PORT
        assert glance(tagged(datagram(version, ports), *tags)) == NOT_TCP
    assert glance(tagged(datagram(version, (50000, 53)), *tags)) == NOT_TCP


@pytest.mark.parametrize("version", [4, 6])
def test_what_may_matter_is_not(version):
    for port in WATCHED:
        for ports in ((50000, port), (port, 50000)):
            assert glance(tagged(segment(version, ports))) == GO_ON
    for port in UDP_PORTS:
        for ports in ((50000, port), (port, 50000)):
            assert glance(tagged(datagram(version, ports))) == GO_ON
    assert glance(tagged(datagram(version, (53, 50000)))) == GO_ON
    assert glance(tagged(segment(version, (50000, 443)), 0x8100, 0x8100)) == GO_ON
    assert glance(segment(version, (50000, 443)), 101) == GO_ON


def test_parts_and_options_are_not():
    packet = bytearray(segment(4, (50000, 443)))
    for at, value in ((6, 0x20), (7, 1), (0, 0x46), (0, 0x44), (0, 0x55)):
        assert glance(tagged(bytes(packet[:at] + bytes([value]) + packet[at + 1 :]))) == GO_ON
    for flags in (0x40, 0x80, 0xC0):
        packet[6] = flags
        assert glance(tagged(bytes(packet))) == OTHER_PORT


ports = st.sampled_from((*WATCHED, *UDP_PORTS, 443)) | st.integers(0, 65535)


@st.composite
def frames(draw):
    """Common frames, perhaps cut, with some octets changed."""
    made = draw(st.sampled_from((segment, datagram)))
    packet = made(draw(st.sampled_from((4, 6))), (draw(ports), draw(ports)))
    octets = bytearray(tagged(packet, *draw(st.lists(st.sampled_from((0x8100, 0x88A8)), max_size=2))))
    for at, value in draw(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=3)):
        octets[at % len(octets)] = value
    return bytes(octets[: draw(st.just(len(octets)) | st.integers(0, len(octets)))])


@settings(max_examples=2000)
@given(frames(), st.sampled_from((1, 1, 1, 0, 101, 113, 228)), st.integers(0, 3))
def test_nothing_is_dismissed_that_is_not_dropped(data, link_type, before):
    verdict = glance(data, link_type, before)
    assert verdict in (GO_ON, OTHER_PORT, NOT_TCP)
    assert verdict in (GO_ON, look(data, link_type))


@settings(max_examples=100)
@given(st.lists(frames(), max_size=12), st.integers(1, 13))
def test_tallies_are_the_references(found, most):
    assert_equal([record(data) for data in found], most)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_no_record_of_a_sample(path):
    for one in Observation([path]):
        assert glance(one.data, one.link_type) in (GO_ON, look(one.data, one.link_type))
