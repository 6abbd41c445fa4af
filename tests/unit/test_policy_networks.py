"""Which lists an address stands in: the longest prefix, against Python's own arithmetic."""

from __future__ import annotations

import ipaddress

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from op25b_pcap.policy import prefix
from op25b_pcap.policy.networks import Networks
from op25b_pcap.tables.columns import coded


def labels(lists: dict[str, list[str]], *addresses: str) -> list[set[str]]:
    networks = Networks({kind: [prefix(text) for text in texts] for kind, texts in lists.items()})
    found = networks.of(coded(pa.array(addresses, pa.string())))
    return [{kind for kind in lists if found.within(kind)[at]} for at in range(len(addresses))]


def test_the_longest_prefix_wins():
    lists = {"dynamic": ["203.0.113.0/24"], "static": ["203.0.113.248/29"], "server": ["203.0.113.250"]}
    addresses = ("203.0.112.255", "203.0.113.0", "203.0.113.247", "203.0.113.248", "203.0.113.250")
    assert labels(lists, *addresses) == [set(), {"dynamic"}, {"dynamic"}, {"static"}, {"server"}]
    assert labels(lists, "203.0.113.251", "203.0.113.255", "203.0.114.0") == [{"static"}, {"static"}, set()]


def test_the_same_prefix_may_stand_in_two_lists():
    assert labels({"a": ["192.0.2.25"], "b": ["192.0.2.25/32"]}, "192.0.2.25") == [{"a", "b"}]


def test_the_families_are_apart():
    lists = {"all4": ["0.0.0.0/0"], "all6": ["::/0"]}
    edges = (
        "0.0.0.0",
        "255.255.255.255",
        "::",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "::ffff:192.0.2.1",
    )
    assert labels(lists, *edges) == [{"all4"}, {"all4"}, {"all6"}, {"all6"}, {"all6"}]


def test_no_lists_and_no_addresses():
    assert labels({"a": []}, "192.0.2.1") == [set()]
    assert labels({"a": ["192.0.2.1"]}) == []


_prefixes = st.builds(
    lambda bits, length: (
        f"{ipaddress.ip_address((bits >> 32 - length << 32 - length) & 0xFFFFFFFF)}/{length}"
    ),
    st.integers(0, 2**32 - 1),
    st.integers(0, 32),
)


@given(st.dictionaries(st.sampled_from("abc"), st.lists(_prefixes, max_size=6)), st.data())
def test_any_lists_agree_with_a_search_through_all(lists, data):
    edges = [str(end) for texts in lists.values() for text in texts for end in _ends(text)]
    near = st.sampled_from(edges) if edges else st.nothing()
    address = data.draw(st.one_of(near, st.ip_addresses(v=4).map(str)))
    candidates = [
        (ipaddress.ip_network(text).prefixlen, kind)
        for kind, texts in lists.items()
        for text in texts
        if ipaddress.ip_address(address) in ipaddress.ip_network(text)
    ]
    longest = max((length for length, _ in candidates), default=None)
    assert labels(lists, address) == [{kind for length, kind in candidates if length == longest}]


def _ends(text: str) -> list[ipaddress.IPv4Address]:
    network = ipaddress.ip_network(text)
    around = (int(network[0]) - 1, int(network[0]), int(network[-1]), int(network[-1]) + 1)
    return [ipaddress.IPv4Address(value) for value in around if 0 <= value < 2**32]
