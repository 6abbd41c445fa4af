"""A policy assumed from what the captures show, where nobody wrote one.

Subscribers are the private, shared (CGN) and unique-local sources: then the capture was taken
before the address translation, inside of every filter (but for those in a tunnel, which may
stand beside others on a provider's line). Where there are none, they are the
openers of mail flows that are not servers to other openers. Smarthosts are hosts that behave
as such. Everything that follows from it is marked so: no finding is proven.
"""

from __future__ import annotations

import heapq
import ipaddress
from collections import defaultdict

import numpy as np
import pandas as pd
import pyarrow as pa

from op25b_pcap.policy import Policy, Prefix, prefix
from op25b_pcap.policy.networks import Networks
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


def private() -> Networks:
    """The list `private` alone."""
    return Networks({"private": [prefix(text) for text in PRIVATE]})


def assumed_policy(
    flows: pd.DataFrame, smtp_sessions: pd.DataFrame, smtp_transactions: pd.DataFrame
) -> Policy:
    """Draw a policy from the facts; `assumed` is set in it."""
    at_home = private().of(coded(flows["src_ip"])).within("private") & flows["outer_src_ip"].isna().to_numpy(
        bool
    )
    if at_home.any():
        dynamic: tuple[Prefix, ...] = tuple(prefix(text) for text in PRIVATE)
        point = "inside"
    else:
        dynamic = tuple(ipaddress.ip_network(address) for address in sorted(_subscribers(flows)))
        point = "unknown"
    subscribers = Networks({"dynamic": dynamic})
    inside = subscribers.of(coded(flows["src_ip"])).within("dynamic")
    found = relays(flows, smtp_sessions, smtp_transactions, inside) - _exchangers(flows)
    found |= onward(flows, inside, SEVERAL)
    hosts = coded(pa.array(sorted(found), pa.string()))
    strangers = ~subscribers.of(hosts).within("dynamic")
    smarthosts = tuple(ipaddress.ip_network(hosts.values[code]) for code in hosts.codes[strangers])
    return Policy("assumed", point, {"dynamic": dynamic, "smarthosts": smarthosts}, assumed=True)


def _exchangers(flows: pd.DataFrame) -> set[str]:
    """Hosts that DNS named as somebody's exchanger: they may take mail for whom they like."""
    return set(flows.loc[is_filled(flows["dst_mx_of"]), "dst_ip"])


def _subscribers(flows: pd.DataFrame) -> set[str]:
    """Openers that are not themselves mail servers to others of them.

    Two hosts may call each other: the one with more callers is taken for the server first, and
    its own calls (to a home server, say) then make no server of whom it calls. Exchangers that
    DNS named are servers from the start. Whoever is called from much farther away than it is
    itself is called from outside: that makes no server of it, and no subscriber of the caller.
    """
    openers = set(flows["src_ip"])
    reached = coded(flows["outcome"]).is_in("connected") & coded(flows["service"]).is_in(*SMTP_SERVICES)
    calls = flows.loc[reached, ["src_ip", "dst_ip"]].drop_duplicates()
    calls = calls[calls["dst_ip"].isin(openers) & (calls["src_ip"] != calls["dst_ip"])]
    hops = _hops(flows)
    away, near = (hops.reindex(calls[end].to_numpy(object)).to_numpy() for end in ("src_ip", "dst_ip"))
    from_outside = away - near >= FARTHER_HOPS
    outside = set(calls.loc[from_outside, "src_ip"]) - set(calls.loc[~from_outside, "src_ip"])
    outside -= set(flows.loc[~flows["dst_ip"].isin(openers), "src_ip"])
    return openers - outside - _servers(calls[~from_outside], _exchangers(flows) & openers)


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
