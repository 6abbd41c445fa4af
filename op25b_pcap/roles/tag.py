"""The roles stage: who is who, which way the mail goes, and which of the four cases it is.

In: flows with the wire's facts, the session tables, a policy. Out: the same rows with the role
columns filled. The ladder of evidence for a called host, best rung first, is `_dst_role`: what
the policy says, what DNS says, what the dialogue shows, how hosts behave, the port, and last
the assumption that a stranger on port 25 is somebody's mail exchanger.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa

from op25b_pcap.policy import Policy
from op25b_pcap.policy.networks import Membership, Networks
from op25b_pcap.roles.assumed import private
from op25b_pcap.roles.behaviour import conduct
from op25b_pcap.tables.columns import (
    Coded,
    Flags,
    beside,
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


def tag(
    flows: pd.DataFrame, smtp_sessions: pd.DataFrame, smtp_transactions: pd.DataFrame, policy: Policy
) -> pd.DataFrame:
    """`flows` with its role columns; no row is added, dropped or moved."""
    known = Networks(policy.prefixes)
    src, dst = known.of(coded(flows["src_ip"])), known.of(coded(flows["dst_ip"]))
    facts = conduct(flows, smtp_sessions)
    src_role = _src_role(flows, src, known, facts)
    dst_role, evidence = _dst_role(flows, dst, facts, policy)
    own_src = src.within(*_OWN_SERVERS) | src_role.is_in(*_ACCESS)
    own_dst = dst.within(*_OWN_SERVERS) | dst_role.is_in(*_ACCESS)
    direction = _direction(own_src, own_dst, src_role, dst_role, policy)
    service = coded(flows["service"])
    traffic_class = _traffic_class(service, src_role, dst_role, (own_src, own_dst), direction)
    words = {
        "src_role": src_role,
        "dst_role": dst_role,
        "dst_role_evidence": evidence,
        "direction": direction,
        "traffic_class": traffic_class,
    }
    return flows.assign(
        **{name: of_words(column, flows.index) for name, column in words.items()},
        op25b_case=_case(_handed_by(flows, smtp_sessions, smtp_transactions), src_role, traffic_class),
    )


def _src_role(flows: pd.DataFrame, src: Membership, known: Networks, facts: dict[str, Flags]) -> Coded:
    """The opener's role. Where a tunnel hides who pays, its outer address is asked next."""
    outer, ends = known.of(coded(flows["outer_src_ip"])), coded(flows["src_ip"])
    exchangers = flows.loc[facts["is_exchanger"], "dst_ip"].unique()
    return first_that_holds(
        len(flows),
        *((src.within(kind), role) for kind, role in _OWN_ROLES),
        *((outer.within(kind), role) for kind, role in _OWN_ROLES if role in _ACCESS),
        (private().of(ends).within("private"), "dynamic"),
        (src.within("mx") | ends.is_in(*exchangers), "mx"),
        otherwise="unknown",
    )


def _dst_role(
    flows: pd.DataFrame, dst: Membership, fact: dict[str, Flags], policy: Policy
) -> tuple[Coded, Coded]:
    """The called host's role, and the rung of the ladder that it stands on."""
    service = coded(flows["service"])
    smtp, retrieval = service.is_in("smtp"), service.is_in(*RETRIEVAL_SERVICES)
    mx_in_dns = is_filled(flows["dst_mx_of"])
    pool, listed = dst.within("dynamic_pools"), "policy"
    drawn = {"smarthost": "behaviour"} if policy.assumed else {}
    own = "assumed" if policy.assumed else "policy"
    rungs: list[tuple[Flags, str, str]] = [
        (dst.within("mailbox") & retrieval, "mailbox_server", own),
        (retrieval & policy.assumed, "mailbox_server", "port"),
        *((dst.within(kind), role, drawn.get(role, own)) for kind, role in _OWN_ROLES),
        (private().of(coded(flows["dst_ip"])).within("private"), "dynamic", "assumed"),
        (pool & smtp, "third_party_relay", listed),
        (pool & retrieval, "mailbox_server", listed),
        (pool, "submission_server", listed),
        (dst.within("mx") & smtp, "mx", listed),
        (retrieval, "mailbox_server", "port"),
        (~smtp, "submission_server", "port"),
        # Nobody logs in to hand mail to an exchanger: whoever does, submits it.
        (mx_in_dns & ~fact["auth_used"], "mx", "dns_mx"),
        (fact["auth_at_dst"], "third_party_relay", "dialogue"),
        (fact["calls_itself_exchanger"], "mx", "dialogue"),
        (fact["mailbox_at_dst"], "third_party_relay", "behaviour"),
    ]
    roles = first_that_holds(len(flows), *((holds, role) for holds, role, _ in rungs), otherwise="mx")
    evidence = first_that_holds(len(flows), *((holds, rung) for holds, _, rung in rungs), otherwise="assumed")
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


def _handed_by(
    flows: pd.DataFrame, smtp_sessions: pd.DataFrame, smtp_transactions: pd.DataFrame
) -> tuple[Flags, Flags]:
    """Whether a client hands the mail over, and whether a server does.

    Where the manner of the dialogue does not tell, the mail does: no server has had it in its
    hands yet if it opens without a Received: field (RFC 5321 section 4.4).
    """
    kind = coded(beside(flows, smtp_sessions, ("client_kind",))["client_kind"])
    traces = smtp_transactions.groupby("flow_id")[["received_headers"]].max().reset_index()
    untraced = numbers(beside(flows, traces, ("received_headers",))["received_headers"]) == 0
    return kind.is_in("mua") | (kind.is_in("unknown") & untraced), kind.is_in("mta")


def _case(handed_by: tuple[Flags, Flags], src_role: Coded, traffic_class: Coded) -> pd.Series:
    """The four cases of a dynamic subscriber; 1 and 2 differ by who talks to the smarthost."""
    by_client, by_server = handed_by
    conditions = [
        ~src_role.is_in("dynamic"),
        traffic_class.is_in("smarthost") & by_client,
        traffic_class.is_in("smarthost") & by_server,
        traffic_class.is_in("direct_to_mx"),
        traffic_class.is_in("third_party_relay", "submission"),
    ]
    case = np.select(conditions, [0, 1, 2, 3, 4], default=0)
    return pd.Series(pa.array(case, pa.uint8(), mask=case == 0), dtype=pd.ArrowDtype(pa.uint8()))
