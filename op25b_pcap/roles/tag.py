"""The roles stage: who is who, which way the mail goes, and which of the four cases it is.

In: flows with the wire's facts, what hosts do, a policy. Out: the same rows with the role
columns filled. The ladder of evidence for a called host, best rung first, is `_dst_role`: what
the policy says, what DNS says, what the dialogue shows, how hosts behave, the port, and last
the assumption that a stranger on port 25 is somebody's mail exchanger.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from op25b_pcap.policy import Policy
from op25b_pcap.policy.networks import Membership
from op25b_pcap.roles.assumed import private
from op25b_pcap.roles.behaviour import Conduct
from op25b_pcap.tables.columns import (
    Coded,
    Flags,
    Indices,
    alike,
    coded,
    first_that_holds,
    is_filled,
    numbers,
    of_words,
)
from op25b_pcap.wire.services import RETRIEVAL_SERVICES

_OWN_ROLES = (
    ("smarthosts", "smarthost"),
    ("local_mx", "local_mx"),
    ("mailbox", "mailbox_server"),
    ("routers", "router"),
    ("static", "static"),
    ("dynamic", "dynamic"),
)
"""Lists of the policy and the role they give; who stands in several has the first."""
_ACCESS = ("dynamic", "static")
_OWN_SERVERS = ("smarthosts", "local_mx", "mailbox", "routers")


class _Facts(NamedTuple):
    """What roles are drawn from, for each flow."""

    service: Coded
    src: Membership
    dst: Membership
    outer: Membership
    """Of the outer address on the opener's side."""
    src_is_private: Flags
    dst_is_private: Flags
    dst_mx_in_dns: Flags
    src_mx_in_dns: Flags
    """Of the opener, by any flow to it."""
    by_client: Flags
    """A client hands the mail over."""
    by_server: Flags
    auth_used: Flags
    auth_used_at_dst: Flags
    auth_offered_at_dst: Flags
    mailbox_at_dst: Flags
    calls_itself_exchanger: Flags

    def of(self, rows: Indices) -> _Facts:
        """The same of some flows."""
        return self._replace(**{name: column[rows] for name, column in self._asdict().items()})


def tag(flows: pd.DataFrame, shown: Conduct, policy: Policy) -> pd.DataFrame:
    """`flows` with its role columns; no row is added, dropped or moved."""
    of_all = _facts(flows, shown, policy)
    kinds = alike(len(flows), of_all)
    facts = of_all.of(kinds.examples)
    src_role = _src_role(facts)
    dst_role, evidence = _dst_role(facts, policy)
    own_src = facts.src.within(*_OWN_SERVERS) | src_role.is_in(*_ACCESS)
    own_dst = facts.dst.within(*_OWN_SERVERS) | dst_role.is_in(*_ACCESS)
    direction = _direction(own_src, own_dst, src_role, dst_role, policy)
    traffic_class = _traffic_class(facts.service, src_role, dst_role, (own_src, own_dst), direction)
    columns = {
        "src_role": of_words(src_role),
        "dst_role": of_words(dst_role),
        "dst_role_evidence": of_words(evidence),
        "direction": of_words(direction),
        "traffic_class": of_words(traffic_class),
        "op25b_case": _case(facts, src_role, traffic_class),
    }
    return flows.assign(**{name: kinds.told(column, flows.index) for name, column in columns.items()})


def _facts(flows: pd.DataFrame, shown: Conduct, policy: Policy) -> _Facts:
    src, dst, outer = shown.ends
    known, at_home = policy.networks, private()
    return _Facts(
        coded(flows["service"]),
        known.of(src),
        known.of(dst),
        known.of(outer),
        at_home.of(src).within("private"),
        at_home.of(dst).within("private"),
        is_filled(flows["dst_mx_of"]),
        shown.mx_in_dns.holds(src.column),
        *_handed_by(shown.said),
        shown.auth_used,
        shown.auth_used_at_host.holds(),
        shown.auth_offered_at_host.holds(),
        shown.mailbox_at_host.holds(),
        shown.calls_itself_exchanger.holds(),
    )


def _src_role(facts: _Facts) -> Coded:
    """The opener's role. Where a tunnel hides who pays, its outer address is asked next."""
    return first_that_holds(
        len(facts.service),
        *((facts.src.within(kind), role) for kind, role in _OWN_ROLES),
        *((facts.outer.within(kind), role) for kind, role in _OWN_ROLES if role in _ACCESS),
        (facts.src_is_private, "dynamic"),
        (facts.src.within("mx") | facts.src_mx_in_dns, "mx"),
        otherwise="unknown",
    )


def _dst_role(facts: _Facts, policy: Policy) -> tuple[Coded, Coded]:
    """The called host's role, and the rung of the ladder that it stands on."""
    service, dst = facts.service, facts.dst
    smtp, retrieval = service.is_in("smtp"), service.is_in(*RETRIEVAL_SERVICES)
    pool, listed = dst.within("dynamic_pools"), "policy"
    drawn = {"smarthost": "behaviour"} if policy.assumed else {}
    own = "assumed" if policy.assumed else "policy"
    rungs: list[tuple[Flags, str, str]] = [
        (dst.within("mailbox") & retrieval, "mailbox_server", own),
        (retrieval & policy.assumed, "mailbox_server", "port"),
        *((dst.within(kind), role, drawn.get(role, own)) for kind, role in _OWN_ROLES),
        (facts.dst_is_private, "dynamic", "assumed"),
        (pool & smtp, "third_party_relay", listed),
        (pool & retrieval, "mailbox_server", listed),
        (pool, "submission_server", listed),
        (dst.within("mx") & smtp, "mx", listed),
        (retrieval, "mailbox_server", "port"),
        (~smtp, "submission_server", "port"),
        # Nobody logs in to hand mail to an exchanger: whoever does, submits it.
        (facts.dst_mx_in_dns & ~facts.auth_used, "mx", "dns_mx"),
        (facts.auth_used_at_dst, "third_party_relay", "dialogue"),
        (facts.calls_itself_exchanger, "mx", "dialogue"),
        (facts.auth_offered_at_dst, "third_party_relay", "dialogue"),
        (facts.mailbox_at_dst, "third_party_relay", "behaviour"),
    ]
    roles = first_that_holds(len(service), *((holds, role) for holds, role, _ in rungs), otherwise="mx")
    evidence = first_that_holds(
        len(service), *((holds, rung) for holds, _, rung in rungs), otherwise="assumed"
    )
    return roles, evidence


def _direction(own_src: Flags, own_dst: Flags, src_role: Coded, dst_role: Coded, policy: Policy) -> Coded:
    """Seen from the access network; between the provider's own servers it is internal."""
    from_access, to_access = src_role.is_in(*_ACCESS), dst_role.is_in(*_ACCESS)
    return first_that_holds(
        len(src_role),
        (from_access & to_access, "internal"),
        (from_access, "outbound"),
        (to_access, "inbound"),
        (own_src & own_dst, "internal"),
        (own_src, "outbound"),
        (own_dst, "inbound"),
        otherwise="unknown" if policy.assumed else "transit",
    )


def _traffic_class(
    service: Coded, src_role: Coded, dst_role: Coded, own: tuple[Flags, Flags], direction: Coded
) -> Coded:
    """Which path of mail it is: the first line that holds."""
    smtp, retrieval = service.is_in("smtp"), service.is_in(*RETRIEVAL_SERVICES)
    from_access, to_access = src_role.is_in(*_ACCESS), dst_role.is_in(*_ACCESS)
    own_src, own_dst = own
    from_dynamic, own_server = src_role.is_in("dynamic"), own_src & ~from_access
    return first_that_holds(
        len(service),
        (retrieval, "retrieval"),
        (dst_role.is_in("smarthost") & ~own_server, "smarthost"),
        (smtp & own_dst & ~to_access & from_dynamic, "local_mx"),
        (smtp & to_access & from_access, "internal"),
        (smtp & to_access, "inbound_smtp"),
        (smtp & own_src & ~from_dynamic, "server_to_server"),
        (smtp & own_dst, "server_to_server"),
        (smtp & from_dynamic & dst_role.is_in("mx"), "direct_to_mx"),
        (smtp & from_dynamic & dst_role.is_in("third_party_relay"), "third_party_relay"),
        (~smtp & (own_src | own_dst), "submission"),
        (direction.is_in("transit"), "transit"),
        otherwise="unknown",
    )


def _handed_by(said: pd.DataFrame) -> tuple[Flags, Flags]:
    """Whether a client hands the mail over, and whether a server does.

    Where the manner of the dialogue does not tell, the mail does: no server has had it in its
    hands yet if it opens without a Received: field (RFC 5321 section 4.4).
    """
    kind, untraced = coded(said["client_kind"]), numbers(said["received_headers"]) == 0
    return kind.is_in("mua") | (kind.is_in("unknown") & untraced), kind.is_in("mta")


def _case(facts: _Facts, src_role: Coded, traffic_class: Coded) -> pd.Series:
    """The four cases of a dynamic subscriber; 1 and 2 differ by who talks to the smarthost.

    To submit at another server of the own provider is none of them.
    """
    conditions = [
        ~src_role.is_in("dynamic") | facts.dst.within(*_OWN_SERVERS) & ~traffic_class.is_in("smarthost"),
        traffic_class.is_in("smarthost") & facts.by_client,
        traffic_class.is_in("smarthost") & facts.by_server,
        traffic_class.is_in("direct_to_mx"),
        traffic_class.is_in("third_party_relay", "submission"),
    ]
    case = np.select(conditions, [0, 1, 2, 3, 4], default=0)
    return pd.Series(pa.array(case, pa.uint8(), mask=case == 0), dtype=pd.ArrowDtype(pa.uint8()))
