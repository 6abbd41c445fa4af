"""What hosts do, as far as it tells who they are.

In: the flows and sessions tables. Out: columns of what was said, and questions to all flows. No opinion
yet: `tag` climbs the ladder of evidence over these facts.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from op25b_pcap.policy.networks import Ends, ends
from op25b_pcap.tables.columns import (
    Coded,
    Flags,
    beside,
    coded,
    flattened,
    found_among,
    is_filled,
    is_true,
)
from op25b_pcap.tables.everywhere import Asked, Everywhere
from op25b_pcap.wire.domains import registrable
from op25b_pcap.wire.services import RETRIEVAL_SERVICES, SMTP_SERVICES

_EXCHANGER_NAME = re.compile(r"(?i)(mx|mta|inbound|mailin|gateway)[-\w]*\.")
"""How exchangers are commonly called: the first label of their greeting."""
_SAID = ("auth_offered", "auth_mechanism", "banner_text", "client_kind", "result", "received_headers")
_FETCHING = (*RETRIEVAL_SERVICES, "submission", "submissions")


class Conduct(NamedTuple):
    """What is asked of hosts, and what was said in each flow, in order."""

    ends: Ends
    said: pd.DataFrame
    auth_used: Flags
    """In this flow."""
    auth_used_at_host: Asked
    """On port 25, in any flow to it; and whether it offers that."""
    auth_offered_at_host: Asked
    mailbox_at_host: Asked
    """Whether the same subscriber fetches or submits mail there."""
    calls_itself_exchanger: Asked
    """In its greeting, in any flow to it."""
    mx_in_dns: Asked
    """DNS had named it as somebody's exchanger when a flow to it began."""
    exchanges: Asked
    """Of a host and a domain: whose exchanger it was then."""


def conduct(
    flows: pd.DataFrame, smtp_sessions: pd.DataFrame, smtp_transactions: pd.DataFrame, everywhere: Everywhere
) -> Conduct:
    """What the called hosts do."""
    said = beside(flows, _with_traces(smtp_sessions, smtp_transactions), _SAID)
    between = ends(flows)
    service, dst = coded(flows["service"]), between.dst.column
    smtp, used = service.is_in("smtp"), said["auth_mechanism"].notna().to_numpy(bool)
    banner = coded(said["banner_text"])
    names_itself = banner.where([bool(_EXCHANGER_NAME.match(text or "")) for text in banner.values])
    fetched = service.is_in(*_FETCHING) & coded(flows["outcome"]).is_in("connected")
    row, domain = flattened(flows["dst_mx_of"])
    return Conduct(
        between,
        said,
        used,
        everywhere.any("auth_used_at_host", smtp & used, dst),
        everywhere.any("auth_offered_at_host", smtp & is_filled(said["auth_offered"]), dst),
        everywhere.any("mailbox_at_host", fetched, coded(flows["subscriber_key"]), dst),
        everywhere.any("calls_itself_exchanger", smtp & names_itself, dst),
        everywhere.any("mx_in_dns", is_filled(flows["dst_mx_of"]), dst),
        everywhere.any("exchanges", np.ones(len(row), dtype=bool), dst[row], domain),
    )


def _with_traces(smtp_sessions: pd.DataFrame, smtp_transactions: pd.DataFrame) -> pd.DataFrame:
    """The sessions with the most Received: fields that one of their mails opened with."""
    traces = smtp_transactions.groupby("flow_id")[["received_headers"]].max().reset_index()
    return smtp_sessions.assign(**beside(smtp_sessions, traces, ("received_headers",)))


def relays(flows: pd.DataFrame, smtp_transactions: pd.DataFrame, shown: Conduct, inside: Flags) -> Flags:
    """Of each flow whether its host takes a stranger's mail from the inside without asking who it is.

    A domain is a stranger's where the capture's DNS named its exchangers and the host is none
    of them. Where DNS is silent: where the host's own name is of another registrant, and it
    was looked up by that name alone, or the same subscriber also fetches mail there.
    """
    taken = smtp_transactions[is_true(smtp_transactions["accepted"])]
    mail, recipient = flattened(taken["rcpt_to"])
    ids = flows["flow_id"].array.__arrow_array__()
    flow = found_among(taken["flow_id"].array.__arrow_array__(), ids).fill_null(-1).to_numpy()
    row, domain = flow[mail], _domains(recipient)
    handed = coded(flows["service"]).is_in("smtp") & inside & shown.said["result"].notna().to_numpy(bool)
    handed &= ~shown.auth_used
    counts = (row >= 0) & handed[row] & ~domain.is_in("")
    row, domain, dst = row[counts], domain[counts], coded(flows["dst_ip"])
    exchanged = shown.exchanges.table["1"].combine_chunks()
    named = domain.where(pc.is_in(pa.array(domain.known), value_set=exchanged))
    exchanges = shown.exchanges.holds(dst[row], domain)
    by_name = is_filled(flows["dst_names"]) & ~is_filled(flows["dst_mx_of"])
    asked = ~named & (by_name | shown.mailbox_at_host.holds())[row]
    unnamed = flows[["dst_names"]].iloc[row[asked]].reset_index(drop=True)
    unnamed["banner_text"] = shown.said["banner_text"].iloc[row[asked]].array
    unnamed["domain"] = domain[asked].told().to_pylist()
    found = handed & False
    found[row[named & ~exchanges]] = True
    found[row[asked][~_is_own(unnamed)]] = True
    return found


def _domains(addresses: Coded) -> Coded:
    """Of each address the domain; empty where there is none."""
    texts = pa.array(addresses.known, pa.string()).fill_null("")
    return addresses.turned_into(pc.utf8_lower(pc.replace_substring_regex(texts, r"(?s)^.*@", "")))


def _is_own(mails: pd.DataFrame) -> Flags:
    """Whether a mail's domain is of the registrant of its host, by DNS names or the greeting."""
    rows, names = flattened(mails["dst_names"])
    banners = mails["banner_text"].to_numpy(object, na_value="")
    greeted = [str(text).partition(" ")[0] for text in banners]
    looked_up = names.told().to_pylist()
    own = pd.Series([*looked_up, *greeted], index=[*rows, *mails.index], dtype=object).map(registrable)
    same = own == mails["domain"].map(registrable).reindex(own.index)
    return np.asarray(mails.index.isin(same.index[same]), bool)


def onward(flows: pd.DataFrame, inside: Flags, everywhere: Everywhere) -> tuple[Asked, Asked]:
    """Of called hosts how many on the inside hand mail to them; of openers to how many hosts they deliver."""
    smtp = coded(flows["service"]).is_in(*SMTP_SERVICES) & coded(flows["outcome"]).is_in("connected")
    src, dst, payer = (coded(flows[name]) for name in ("src_ip", "dst_ip", "subscriber_key"))
    return (
        everywhere.count("handed_to", payer, {"several": smtp & inside}, dst),
        everywhere.count("delivers_to", dst, {"several": smtp & ~inside}, src),
    )
