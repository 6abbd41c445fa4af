"""Digests and addresses by the kernels, compiled, are those of the standard library."""

from __future__ import annotations

import base64
import hashlib
import socket

import numpy as np
import pytest

from op25b_pcap.assembly.spell import MOST_OCTETS, sheet
from op25b_pcap.compiled import kernels

RNG = np.random.default_rng(7)


@pytest.mark.parametrize("size", [0, 1, 16, 24, 40, 48, MOST_OCTETS])
def test_digests(size):
    messages = RNG.integers(0, 256, (50, size), np.uint8)
    in_hex, named = np.empty((50, 16), np.uint8), np.empty((50, 30), np.uint8)
    kernels().spell_digests(8, messages, in_hex, *sheet())
    kernels().spell_community_ids(messages, named, *sheet())
    for message, one, other in zip(messages, in_hex, named, strict=True):
        digest = hashlib.sha1(message.tobytes()).digest()
        assert one.tobytes().decode() == digest[:8].hex()
        assert other.tobytes() == b"1:" + base64.b64encode(digest)


def test_addresses():
    numbers = np.append(RNG.integers(0, 1 << 32, 500), [0, (1 << 32) - 1, 9 << 24 | 10 << 16 | 99 << 8 | 100])
    text, ends = np.empty(15 * len(numbers) + 1, np.uint8), np.zeros(len(numbers) + 1, np.int32)
    kernels().spell_ipv4(numbers, text, ends)
    spelt = [text[ends[i] : ends[i + 1]].tobytes().decode() for i in range(len(numbers))]
    assert spelt == [socket.inet_ntoa(int(number).to_bytes(4)) for number in numbers]
