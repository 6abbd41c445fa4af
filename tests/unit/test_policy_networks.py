"""Which lists an address stands in: the longest prefix, against Python's own arithmetic."""

from __future__ import annotations

import ipaddress

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from op25b_pcap.policy import prefix
from op25b_pcap.policy.networks import Addresses, Hosts, Networks
from op25b_pcap.tables.columns import coded


def labels(lists: dict[str, list[str]], *addresses: str) -> list[set[str]]:
    networks = Networks({kind: [prefix(text) for text in texts] for kind, texts in lists.items()})
    found = networks.of(Addresses(coded(pa.array(addresses, pa.string()))))
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


def test_hosts_are_prefixes_of_one_address_each():
    texts = ["192.0.2.25", "2001:db8::25"]
    hosts = Hosts(pa.array(texts))
    assert list(hosts) == [hosts[0], hosts[1]] == [ipaddress.ip_network(text) for text in texts]
    assert list(hosts[1:]) == [ipaddress.ip_network("2001:db8::25/128")]
    networks = Networks({"host": hosts, "net": [prefix("192.0.2.0/24")], "same": [prefix("2001:db8::25")]})
    found = networks.of(Addresses(coded(pa.array([*texts, "192.0.2.26", None]))))
    assert found.within("host").tolist() == [True, True, False, False]
    assert found.within("net").tolist() == [False, False, True, False]
    assert found.within("same").tolist() == [False, True, False, False]


def test_neighbours():
    texts = [
        "192.0.2.1",
        "192.0.2.200",
        "192.0.3.1",
        "2001:db8:1::1",
        "2001:db8:1:2::3",
        "2001:db8:2::1",
        None,
    ]
    codes = Addresses(coded(pa.array(texts))).neighbours().codes.tolist()
    assert [codes.index(code) for code in codes] == [0, 0, 2, 3, 3, 5, 6]


def _prefixes(version: int) -> st.SearchStrategy[str]:
    of, width = (ipaddress.IPv4Address, 32) if version == 4 else (ipaddress.IPv6Address, 128)
    return st.builds(
        lambda bits, length: f"{of(bits >> width - length << width - length)}/{length}",
        st.integers(0, 2**width - 1),
        st.integers(0, width),
    )


def _is_on_the_wire(text: str) -> bool:
    """Whether a policy may name it: mapped addresses are none."""
    network = ipaddress.ip_network(text)
    return network.version == 4 or not network.subnet_of(ipaddress.IPv6Network("::ffff:0:0/96"))


_LISTS = st.lists((_prefixes(4) | _prefixes(6)).filter(_is_on_the_wire), max_size=6)


@given(st.dictionaries(st.sampled_from("abc"), _LISTS), st.data())
def test_any_lists_agree_with_a_search_through_all(lists, data):
    edges = [str(end) for texts in lists.values() for text in texts for end in _ends(text)]
    near = st.sampled_from(edges) if edges else st.nothing()
    address = data.draw(st.one_of(near, st.ip_addresses().map(str)))
    candidates = [
        (ipaddress.ip_network(text).prefixlen, kind)
        for kind, texts in lists.items()
        for text in texts
        if ipaddress.ip_address(address) in ipaddress.ip_network(text)
    ]
    longest = max((length for length, _ in candidates), default=None)
    assert labels(lists, address) == [{kind for length, kind in candidates if length == longest}]


def _ends(text: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    network = ipaddress.ip_network(text)
    around = (int(network[0]) - 1, int(network[0]), int(network[-1]), int(network[-1]) + 1)
    return [type(network[0])(value) for value in around if 0 <= value < 2**network.max_prefixlen]
