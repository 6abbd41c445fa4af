"""Datagrams that are no tunnel, though their port says so: dropped as Scapy's engine drops them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from op25b_pcap.samples.frames import ip, udp
from op25b_pcap.wire.layers import UDP_PORTS
from tests.encapsulations import CLIENT, IP4, IP6, SERVER, frame, record
from tests.scans import assert_equal

INSIDE = (IP4, IP6, frame(0x0800, IP4), frame(0x86DD, IP6), b"\0\x21" + IP4)


def over(port: int, payload: bytes, *, back: bool = False) -> bytes:
    """A packet with a datagram to a port, or from it."""
    ports = (port, 50000) if back else (50000, port)
    return ip(CLIENT, SERVER, 17, udp((CLIENT, SERVER), ports, payload), 64)


@st.composite
def payloads(draw):
    """Octets as of a cipher, of a header that is nearly right, or in front of mail."""
    head = bytearray(draw(st.binary(max_size=24)))
    for at in draw(st.lists(st.integers(0, 23), max_size=8)):
        if at < len(head):
            head[at] = draw(st.sampled_from((0, 1, 3, 4, 8, 0x30, 0x45, 0x60, 0x80, 0xFF)))
    return bytes(head) + draw(st.sampled_from(INSIDE) | st.binary(max_size=60))


@st.composite
def strays(draw):
    """Records of datagrams to and from ports of tunnels, some of them cut."""
    packet = over(draw(st.sampled_from(sorted(UDP_PORTS))), draw(payloads()), back=draw(st.booleans()))
    size = draw(st.just(len(packet)) | st.integers(28, len(packet)))
    return record(packet[:size], 101, draw(st.sampled_from((len(packet), size))))


@settings(max_examples=1500)
@given(st.lists(strays(), min_size=1, max_size=8))
def test_strays_and_mail_in_tunnels(records):
    assert_equal(records)


@pytest.mark.parametrize("port", sorted(UDP_PORTS))
def test_a_cipher_seldom_needs_scapy(port):
    """Only what might be a wireless frame goes on, or an early version of a protocol; nothing is kept."""
    rng = random.Random(port)
    packets = [over(port, rng.randbytes(80), back=bool(n % 2)) for n in range(400)]
    made = assert_equal([record(packet, 101) for packet in packets])
    assert not made.packets
    assert made.by_scapy < (80 if port == 5247 else 40)
