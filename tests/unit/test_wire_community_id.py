"""Community ID v1 against the TCP vectors published with its specification."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from op25b_pcap.wire.community_id import community_id


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (("128.232.110.120", 34855), ("66.35.250.204", 80), "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
        (
            ("2001:470:e5bf:dead:4957:2174:e82c:4887", 63943),
            ("2607:f8b0:400c:c03::1a", 25),
            "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=",
        ),
    ],
)
def test_published_vectors_in_both_directions(one, other, expected):
    a, b = ip_address(one[0]).packed, ip_address(other[0]).packed
    assert community_id(a, b, one[1], other[1]) == expected
    assert community_id(b, a, other[1], one[1]) == expected
