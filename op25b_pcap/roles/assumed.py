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
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from op25b_pcap.policy import Policy, Prefix, prefix
from op25b_pcap.policy.networks import Addresses, Hosts, Networks
from op25b_pcap.roles.behaviour import onward, relays
from op25b_pcap.tables.columns import coded, is_filled, numbers
from op25b_pcap.wire.hops import INITIAL_TTLS
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
FARTHER_HOPS = 3
"""Routers between a provider's edge and its neighbours, at the least that is not chance."""


@lru_cache(maxsize=1)
def private() -> Networks:
    """The list `private` alone."""
    return Networks({"private": [prefix(text) for text in PRIVATE]})


def assumed_policy(
    flows: pd.DataFrame, smtp_sessions: pd.DataFrame, smtp_transactions: pd.DataFrame
) -> Policy:
    """Draw a policy from the facts; `assumed` is set in it."""
    src = Addresses(coded(flows["src_ip"]))
    at_home = private().of(src).within("private") & flows["outer_src_ip"].isna().to_numpy(bool)
    dynamic: Sequence[Prefix]
    if at_home.any():
        dynamic, point = tuple(prefix(text) for text in PRIVATE), "inside"
    else:
        dynamic, point = _subscribers(flows), "unknown"
    subscribers = Networks({"dynamic": dynamic})
    inside = subscribers.of(src).within("dynamic")
    found = relays(flows, smtp_sessions, smtp_transactions, inside) - _exchangers(flows)
    found |= onward(flows, inside, SEVERAL)
    hosts = Addresses(coded(pa.array(sorted(found), pa.string())))
    smarthosts = Hosts(hosts.column[~subscribers.of(hosts).within("dynamic")].present())
    return Policy("assumed", point, {"dynamic": dynamic, "smarthosts": smarthosts}, assumed=True)


def _exchangers(flows: pd.DataFrame) -> set[str]:
    """Hosts that DNS named as somebody's exchanger: they may take mail for whom they like."""
    return set(coded(flows["dst_ip"])[is_filled(flows["dst_mx_of"])].present().to_pylist())


def _subscribers(flows: pd.DataFrame) -> Hosts:
    """Openers that are not themselves mail servers to others of them, in order of their text.

    Two hosts may call each other: the one with more callers is taken for the server first, and
    its own calls (to a home server, say) then make no server of whom it calls. Exchangers that
    DNS named are servers from the start. Whoever is called from much farther away than it is
    itself is called from outside: that makes no server of it, and no subscriber of the caller.
    """
    src, dst = coded(flows["src_ip"]), coded(flows["dst_ip"])
    openers = src.present()
    to_opener = dst.where(pc.is_in(dst.known, value_set=openers))
    reached = coded(flows["outcome"]).is_in("connected") & coded(flows["service"]).is_in(*SMTP_SERVICES)
    calls = flows.loc[reached & to_opener, ["src_ip", "dst_ip"]].drop_duplicates().astype(object)
    calls = calls[calls["src_ip"] != calls["dst_ip"]]
    hops = _hops(flows[src.is_in(*calls["src_ip"], *calls["dst_ip"])])
    away, near = (hops.reindex(calls[end]).to_numpy() for end in ("src_ip", "dst_ip"))
    from_outside = away - near >= FARTHER_HOPS
    outside = set(calls.loc[from_outside, "src_ip"]) - set(calls.loc[~from_outside, "src_ip"])
    outside -= set(src[~to_opener & src.is_in(*outside)].present().to_pylist())
    named = set(dst[to_opener & is_filled(flows["dst_mx_of"])].present().to_pylist())
    gone = outside | _servers(calls[~from_outside], named)
    stayed = openers.filter(pc.invert(pc.is_in(openers, value_set=pa.array(gone, pa.string()))))
    return Hosts(stayed.take(pc.array_sort_indices(stayed)))


def _hops(flows: pd.DataFrame) -> pd.Series:
    """How many routers each opener's packets have passed, by the TTLs that hosts begin with."""
    ttl = numbers(flows["src_ttl"])
    begun = np.array(INITIAL_TTLS)[np.searchsorted(INITIAL_TTLS, np.nan_to_num(ttl, nan=255))]
    return pd.Series(begun - ttl).groupby(flows["src_ip"].to_numpy(object)).min()


def _servers(calls: pd.DataFrame, known: set[str]) -> set[str]:
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
