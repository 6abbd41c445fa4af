"""Registrants' domains, by the list whichever way it is loaded."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from publicsuffixlist import PSLFILE, PublicSuffixList

from op25b_pcap.wire.domains import registrable


@pytest.mark.parametrize(
    ("name", "registrant"),
    [
        ("mx1.example.co.jp", "example.co.jp"),
        ("MX.Example.COM.", "example.com"),
        ("co.jp", None),
        ("mx.xn--85x722f.xn--55qx5d.cn", "xn--85x722f.xn--55qx5d.cn"),
        ("mx.食狮.公司.cn", "食狮.公司.cn"),
        ("[192.0.2.1]", None),
        ("localhost", None),
    ],
)
def test_a_name_is_of_its_registrant(name, registrant):
    assert registrable(name) == registrant


def test_every_rule_is_kept_encoded_or_not():
    whole = PublicSuffixList()
    lines = Path(PSLFILE).read_text("utf-8").splitlines()
    rules = [line.split()[0].lstrip("!").replace("*.", "x.") for line in lines if line and line[0] != "/"]
    for rule, prefix in product(rules, ("", "a.", "b.a.")):
        for name in (prefix + rule, (prefix + rule).encode("idna").decode()):
            assert registrable(name) == (whole.privatesuffix(name) if "." in name else None)
