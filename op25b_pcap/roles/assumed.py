"""A policy assumed from what the captures show, where nobody wrote one.

Subscribers are the private, shared (CGN) and unique-local sources: then the capture was taken
before the address translation, inside of every filter (but for those in a tunnel, which may
stand beside others on a provider's line). Where there are none, they are the
openers of mail flows that are not servers to other openers. Smarthosts are hosts that behave
as such. Everything that follows from it is marked so: no finding is proven.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from op25b_pcap.policy import Policy, Prefix, prefix
from op25b_pcap.policy.networks import Addresses, Hosts, Networks
from op25b_pcap.roles.behaviour import Conduct, onward, relays
from op25b_pcap.tables.columns import coded, numbers
from op25b_pcap.tables.everywhere import Everywhere, Known, Values, Way
from op25b_pcap.wire.hops import FARTHER_HOPS, passed
from op25b_pcap.wire.services import SMTP_SERVICES

PRIVATE = (
    "10.0.0.0/8",  # RFC 1918
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",  # RFC 6598, behind a carrier's NAT
    "192.0.0.0/29",  # RFC 7335, the inside of DS-Lite
    "fc00::/7",  # RFC 4193
)
"""Addresses that never cross a provider's border: who sends from them is on the inside."""
SEVERAL = 3
"""Clients and addressees that make a relay: two might be a home server and its neighbour."""


@lru_cache(maxsize=1)
def private() -> Networks:
    """The list `private` alone."""
    return Networks({"private": [prefix(text) for text in PRIVATE]})


@dataclass(frozen=True)
class _Inside:
    """Who is on the inside, and where the captures were taken."""

    dynamic: Sequence[Prefix]
    point: str

    @cached_property
    def networks(self) -> Networks:
        """The list `dynamic` alone."""
        return Networks({"dynamic": self.dynamic})


def assumed_policy(
    flows: pd.DataFrame, smtp_transactions: pd.DataFrame, shown: Conduct, everywhere: Everywhere
) -> Way[Policy]:
    """Draw a policy from the facts; `assumed` is set in it."""
    src, dst = shown.ends.src, shown.ends.dst.column
    at_home = private().of(src).within("private") & flows["outer_src_ip"].isna().to_numpy(bool)
    reached = coded(flows["outcome"]).is_in("connected") & coded(flows["service"]).is_in(*SMTP_SERVICES)
    is_home = everywhere.any("at_home", at_home)
    told: Values = {
        "hops": ("min", passed(numbers(flows["src_ttl"]))),
        "calls": ("max", reached.view(np.uint8)),
    }
    openers = everywhere.each("openers", told, src.column)
    yield None
    inside = _at_home()
    if not is_home.at_all():
        to_opener, calls = openers.holds(dst), openers.numbers(name="calls") > 0
        everywhere.any("calls_opener", reached & to_opener, src.column, dst)
        everywhere.any("calls_others", calls & ~to_opener, src.column)
        inside = yield _callers
    is_inside = inside.networks.of(src).within("dynamic")
    everywhere.any("relays", relays(flows, smtp_transactions, shown, is_inside), dst)
    onward(flows, is_inside, everywhere)
    policy: Policy = yield partial(_policy, inside)
    return policy


def _policy(inside: _Inside, known: Known) -> Policy:
    """Smarthosts are relays that nobody's DNS names, and hosts that several hand mail to and that pass it on.

    Exchangers that DNS named may take mail for whom they like.
    """
    found = {*_keys(known["relays"])} - {*_keys(known["mx_in_dns"])}
    given, delivers = (
        _keys(known[name].filter(pc.field("several") >= SEVERAL)) for name in ("handed_to", "delivers_to")
    )
    found |= {*given} & {*delivers}
    hosts = Addresses(coded(pa.array(sorted(found), pa.string())))
    is_inside = inside.networks.of(hosts).within("dynamic")
    smarthosts = Hosts(hosts.column[~is_inside].present())
    prefixes = {"dynamic": inside.dynamic, "smarthosts": smarthosts}
    return Policy("assumed", inside.point, prefixes, assumed=True)


@lru_cache(maxsize=1)
def _at_home() -> _Inside:
    return _Inside(tuple(prefix(text) for text in PRIVATE), "inside")


def _callers(known: Known) -> _Inside:
    return _Inside(_subscribers(known), "unknown")


def _subscribers(known: Known) -> Hosts:
    """Openers that are not themselves mail servers to others of them, in order of their text.

    Two hosts may call each other: the one with more callers is taken for the server first, and
    its own calls (to a home server, say) then make no server of whom it calls. Exchangers that
    DNS named are servers from the start. Whoever is called from much farther away than it is
    itself is called from outside: that makes no server of it, and no subscriber of the caller.
    """
    calls = known["calls_opener"].rename_columns(["src_ip", "dst_ip"]).to_pandas()
    calls = calls[calls["src_ip"] != calls["dst_ip"]]
    hops = known["openers"].to_pandas().set_index("0")["hops"]
    away, near = (hops.reindex(calls[end]).to_numpy() for end in ("src_ip", "dst_ip"))
    from_outside = (away - near >= FARTHER_HOPS) & np.isfinite(away)
    outside = set(calls.loc[from_outside, "src_ip"]) - set(calls.loc[~from_outside, "src_ip"])
    outside.difference_update(_keys(known["calls_others"]))
    openers = known["openers"]["0"].combine_chunks()
    named = openers.filter(pc.is_in(openers, value_set=known["mx_in_dns"]["0"].combine_chunks()))
    gone = outside | _servers(calls[~from_outside], named.to_pylist())
    stayed = openers.filter(pc.invert(pc.is_in(openers, value_set=pa.array(gone, pa.string()))))
    return Hosts(stayed.take(pc.array_sort_indices(stayed)))


def _keys(table: pa.Table) -> Iterable[str]:
    texts: list[str] = table["0"].to_pylist()
    return texts


def _servers(calls: pd.DataFrame, known: Collection[str]) -> set[str]:
    """Of hosts that call each other those that are servers to the rest."""
    callers: dict[str, set[str]] = defaultdict(set)
    called: dict[str, set[str]] = defaultdict(set)
    for src, dst in calls.itertuples(index=False):
        callers[dst].add(src)
        called[src].add(dst)
    servers: set[str] = set()
    queue = [(-len(sources), host) for host, sources in callers.items()]
    heapq.heapify(queue)

    def is_server(host: str) -> None:
        servers.add(host)
        for other in called[host]:
            callers[other].discard(host)
            heapq.heappush(queue, (-len(callers[other]), other))

    for host in sorted(known):
        is_server(host)
    while queue:
        count, host = heapq.heappop(queue)
        if host not in servers and -count == len(callers[host]) and count:
            is_server(host)
    return servers
