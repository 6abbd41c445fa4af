"""The end of data as the kernel finds it, beside a search that looks at every octet."""

from __future__ import annotations

import random

import pytest

from op25b_pcap.forms import message
from op25b_pcap.forms.message import end_of_data

ODD = [b".", b"\r\n.", b"\r\n..", b"\n.\r\n", b".\r\n", b"\r\n.\n", b"\r\n.\r", b"\r\n.x", b"\r\n.\r\n"]


def one_by_one(text, at, stop):
    for dot in range(at, stop - 1):
        if text[dot] != ord(".") or (dot > at and text[dot - 1] != ord("\n")):
            continue
        if text[dot + 1] == ord("\n"):
            return -2
        if text[dot + 1] == ord("\r"):
            if dot == at + 1 or (dot > at + 1 and text[dot - 2] != ord("\r")):
                return -2
            if dot + 2 < stop and text[dot + 2] == ord("\n"):
                return dot
    return -1


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("before", [*range(6), *range(250, 262), *range(508, 516)])
def test_wherever_it_stands(odd, before):
    for behind in (b"", b"x", b"x" * 300, b"\r\n.\r\n"):
        text = b"x" * before + odd + behind
        assert end_of_data(text, 0, len(text)) == one_by_one(text, 0, len(text))


def test_of_any_octets(monkeypatch):
    monkeypatch.setattr(message, "_TOGETHER", 4)
    rng = random.Random(1)
    for _ in range(20_000):
        text = bytes(rng.choices(b"\r\n.\r\n.ab", k=rng.randrange(14)))
        at = rng.randrange(len(text) + 1)
        stop = rng.randrange(at, len(text) + 1)
        assert end_of_data(text, at, stop) == one_by_one(text, at, stop), (text, at, stop)
