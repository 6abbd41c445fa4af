"""Octets left in captures come back as they are, however they lie; what is gone was not captured."""

from __future__ import annotations

import random

import numpy as np
import pytest

from op25b_pcap.assembly.left import Left
from op25b_pcap.assembly.packet import PACKET, carried, file_and_offset, lying

OPTIONS = 12


def stretches(path, capture, rng):
    """A file, and packets that stand in it with more or less between them."""
    packets, wanted, octets = [], [], bytearray()
    for _ in range(60):
        octets += rng.randbytes(rng.choice([0, 16, 4_095, 4_097, 20_000]))
        payload = rng.randrange(1, 1_500)
        packet = np.zeros((), PACKET)
        packet["at"], packet["capture"] = ~lying(capture, len(octets)), capture
        packet["options"], packet["captured"] = OPTIONS, payload
        wanted.append(rng.randbytes(OPTIONS + payload))
        octets += wanted[-1]
        packets.append(packet)
    path.write_bytes(octets)
    return packets, wanted


@pytest.fixture
def laid(tmp_path):
    rng = random.Random(25)
    paths = [tmp_path / "a.pcap", tmp_path / "b.pcap"]
    packets, wanted = [], []
    for capture, path in enumerate(paths):
        more, octets = stretches(path, capture, rng)
        packets += more
        wanted += octets
    order = list(range(len(packets)))
    rng.shuffle(order)
    return paths, np.array([packets[n] for n in order], PACKET), [wanted[n] for n in order]


def told(packets, fetched):
    ends = packets["options"].astype(int) + packets["captured"]
    return [
        fetched[~at : ~at + end].tobytes()
        for at, end in zip(packets["at"].tolist(), ends.tolist(), strict=True)
    ]


def test_every_packet_gets_its_octets(laid):
    paths, packets, wanted = laid
    assert not carried(packets).any()
    fetched = Left(paths).fetch(packets, np.arange(len(packets)))
    assert told(packets, fetched) == wanted


def test_only_those_that_are_asked_for(laid):
    paths, packets, wanted = laid
    which = np.arange(0, len(packets), 3)
    before = packets["at"].copy()
    fetched = Left(paths).fetch(packets, which)
    assert told(packets[which], fetched) == wanted[::3]
    others = np.setdiff1d(np.arange(len(packets)), which)
    assert (packets["at"][others] == before[others]).all()


def test_nothing_was_left():
    packets = np.zeros(3, PACKET)
    assert not len(Left().fetch(packets, np.arange(3)))
    assert not packets["at"].any()


def test_a_file_that_became_shorter_or_went(laid):
    paths, packets, wanted = laid
    captures, begins = file_and_offset(~packets["at"])
    ends = begins + packets["options"] + packets["captured"]
    half = paths[0].stat().st_size // 2
    with paths[0].open("r+b") as file:
        file.truncate(half)
    paths[1].unlink()
    fetched = Left(paths).fetch(packets, np.arange(len(packets)))
    is_there = (captures == 0) & (ends <= half)
    assert 0 < is_there.sum() < len(packets)
    assert (packets["captured"][~is_there] == 0).all()
    assert told(packets[is_there], fetched) == [w for w, there in zip(wanted, is_there, strict=True) if there]
