"""How many rows a policy takes as an access list, counted address by address."""

from __future__ import annotations

from ipaddress import IPv4Network, collapse_addresses

from hypothesis import given
from hypothesis import strategies as st

from op25b_pcap.policy import Policy, acl_rows

LENGTH = 8
"""Blocks are no smaller: 256 of them are all there is."""


@st.composite
def networks(draw: st.DrawFn) -> IPv4Network:
    length = draw(st.integers(1, LENGTH))
    return IPv4Network((draw(st.integers(0, (1 << length) - 1)) << (32 - length), length))


def least(network: IPv4Network) -> set[int]:
    """The smallest blocks in it."""
    return {int(block.network_address) for block in network.subnets(new_prefix=LENGTH)}


@given(st.lists(networks(), max_size=6), st.lists(networks(), max_size=8), st.sets(networks(), max_size=3))
def test_static_customers_are_taken_out(dynamic, static, smarthosts):
    static = [one for one in static if one not in dynamic]
    blocks = list(collapse_addresses(dynamic))
    left = set().union(*map(least, blocks))
    for hole in static:
        if any(block.supernet_of(hole) for block in blocks):
            left -= least(hole)
    denied = len(list(collapse_addresses([IPv4Network((begin, LENGTH)) for begin in left])))
    permitted = len(list(collapse_addresses(smarthosts)))
    lists = {"dynamic": dynamic, "static": static, "smarthosts": [*smarthosts]}
    assert acl_rows(Policy("p", "inside", lists)) == denied * (permitted + 1)


def test_a_hundred_thousand_static_customers():
    """Each with every other would take hours."""
    static = [IPv4Network((10 << 24 | 64 * n, 32)) for n in range(100_000)]
    rows = acl_rows(Policy("p", "inside", {"dynamic": [IPv4Network("10.0.0.0/8")], "static": static}))
    assert rows > 500_000
