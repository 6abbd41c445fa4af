"""A policy file drafted from what captures show, with the evidence as comments.

In: flows with the roles that an assumed policy gave them, some at a time. Out: TOML text that `policy.load`
takes. Openers are gathered into the blocks that providers hand out, so a draft names too much
rather than too little: every line wants a look.
"""

from __future__ import annotations

import ipaddress
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

import pandas as pd

from op25b_pcap.policy import Policy
from op25b_pcap.tables.columns import coded
from op25b_pcap.wire.services import RETRIEVAL_SERVICES

BLOCK_LENGTH = {4: 24, 6: 56}
"""Prefix lengths that openers are gathered into: the least that is routed (IPv4), and what one
household gets (IPv6, RFC 6177)."""
_HEAD = """\
# Drafted from {flows} attempts on mail ports in {captures} capture(s). A guess with its
# evidence: check every line, then `op25b-pcap policy check` it.
[policy]
name = "draft"
observation_point = "{point}"{why}
"""
_USE = ["dst_ip", "service", "subscriber_key"]


def draft(frames: Iterable[pd.DataFrame], assumed: Policy, captures: int) -> str:
    """The text of the policy file; `frames` are all flows of so many captures."""
    attempts = 0
    openers, relays, mailboxes = [], [], []
    for flows in frames:
        attempts += len(flows)
        from_dynamic = coded(flows["src_role"]).is_in("dynamic")
        by_mailbox = coded(flows["service"]).is_in(*RETRIEVAL_SERVICES)
        to_relay = coded(flows["dst_role"]).is_in("smarthost")
        openers.append(flows.loc[from_dynamic, "src_ip"].value_counts())
        relays.append(flows.loc[to_relay, _USE].drop_duplicates())
        mailboxes.append(flows.loc[by_mailbox & from_dynamic, _USE].drop_duplicates())
    why = {"inside": "        # private sources: before the address translation"}
    head = _HEAD.format(
        flows=attempts,
        captures=captures,
        point=assumed.observation_point,
        why=why.get(assumed.observation_point, "       # inside | outside: which side of the filter?"),
    )
    lines = [
        "",
        "[networks]",
        *_list("dynamic", _blocks(pd.concat(openers))),
        "static = []                       # customers whom the policy exempts",
        "",
        "[servers]",
        *_list("smarthosts", _hosts(pd.concat(relays))),
        "local_mx = []                     # the provider's own inbound servers",
        *_list("mailbox", _hosts(pd.concat(mailboxes)), is_commented=True),
        "routers = []                      # whose ICMP errors are proof",
        "",
        "[elsewhere]",
        "dynamic_pools = []                # other providers' subscribers",
        "mx = []                           # exchangers; those that DNS names need no line here",
    ]
    return head + "\n".join(lines) + "\n"


def _list(key: str, entries: Iterator[tuple[str, str]], *, is_commented: bool = False) -> Iterator[str]:
    """A TOML list, an entry a line with its evidence; entries may be left for the reader to take in."""
    mark = "# " if is_commented else ""
    yield f"{key} = ["
    yield from (f'    {mark}"{value}",  # {evidence}' for value, evidence in entries)
    yield "]"


def _blocks(attempts: pd.Series) -> Iterator[tuple[str, str]]:
    """Out of how many attempts each opener made; one may be named several times."""
    blocks: dict[str, Counter[str]] = defaultdict(Counter)
    for address, count in attempts.items():
        if count:
            blocks[_block(str(address))][str(address)] += count
    for block in sorted(blocks, key=lambda text: _in_order(text.partition("/")[0])):
        yield block, f"{len(blocks[block])} opener(s), {blocks[block].total()} attempt(s)"


def _block(address: str) -> str:
    version = 6 if ":" in address else 4
    return str(ipaddress.ip_network(f"{address}/{BLOCK_LENGTH[version]}", strict=False))


def _hosts(use: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Out of who uses which service where."""
    services: dict[str, set[str]] = defaultdict(set)
    subscribers: dict[str, set[str]] = defaultdict(set)
    for host, service, subscriber in use.itertuples(index=False):
        services[host].add(service)
        subscribers[host].add(subscriber)
    for host in sorted(services, key=_in_order):
        yield host, f"{len(subscribers[host])} subscriber(s) on {', '.join(sorted(services[host]))}"


def _in_order(address: str) -> tuple[int, int]:
    parsed = ipaddress.ip_address(address)
    return parsed.version, int(parsed)
