"""What hosts do, as far as it tells who they are: facts about each flow's called host.

In: the flows and sessions tables. Out: columns of booleans, one for each flow in their order. No
opinion yet: `tag` climbs the ladder of evidence over these facts.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from op25b_pcap.tables.columns import (
    Coded,
    Flags,
    Indices,
    beside,
    coded,
    flattened,
    found_among,
    is_filled,
    is_true,
)
from op25b_pcap.wire.domains import registrable
from op25b_pcap.wire.services import RETRIEVAL_SERVICES, SMTP_SERVICES

_EXCHANGER_NAME = re.compile(r"(?i)(mx|mta|inbound|mailin|gateway)[-\w]*\.")
"""How exchangers are commonly called: the first label of their greeting."""
_FETCHING = (*RETRIEVAL_SERVICES, "submission", "submissions")


class Conduct(NamedTuple):
    """For each flow, in order."""

    auth_used: Flags
    """In this flow."""
    auth_at_dst: Flags
    """On port 25, in any flow to the called host."""
    mailbox_at_dst: Flags
    """Of the same subscriber."""
    calls_itself_exchanger: Flags
    """In its greeting, in any flow to it."""


def conduct(flows: pd.DataFrame, said: pd.DataFrame) -> Conduct:
    """What the called hosts do; `said` are the flows' sessions, beside them."""
    smtp, dst = coded(flows["service"]).is_in("smtp"), coded(flows["dst_ip"])
    used = said["auth_mechanism"].notna().to_numpy(bool)
    banner = coded(said["banner_text"])
    names_itself = banner.where([bool(_EXCHANGER_NAME.match(text or "")) for text in banner.values])
    return Conduct(
        used,
        dst.anywhere(smtp & (used | is_filled(said["auth_offered"]))),
        _mailbox_at_dst(flows),
        dst.anywhere(smtp & names_itself),
    )


def _mailbox_at_dst(flows: pd.DataFrame) -> Flags:
    """Whether the same subscriber fetches or submits mail at the called host."""
    fetched = coded(flows["service"]).is_in(*_FETCHING) & coded(flows["outcome"]).is_in("connected")
    return coded(flows["subscriber_key"]).anywhere_with(coded(flows["dst_ip"]), fetched)


def relays(
    flows: pd.DataFrame, smtp_sessions: pd.DataFrame, smtp_transactions: pd.DataFrame, inside: Flags
) -> set[str]:
    """Hosts that take mail for strangers' domains from the inside without asking who it is.

    A domain is a stranger's where the capture's DNS named its exchangers and the host is none
    of them. Where DNS is silent: where the host's own name is of another registrant, and it
    was looked up by that name alone, or the same subscriber also fetches mail there.
    """
    taken = smtp_transactions[is_true(smtp_transactions["accepted"])]
    mail, recipient = flattened(taken["rcpt_to"])
    ids = flows["flow_id"].array.__arrow_array__()
    flow = found_among(taken["flow_id"].array.__arrow_array__(), ids).fill_null(-1).to_numpy()
    row, domain = flow[mail], _domains(recipient)
    said = beside(flows, smtp_sessions, ("result", "auth_mechanism", "banner_text"))
    handed = coded(flows["service"]).is_in("smtp") & inside & said["result"].notna().to_numpy(bool)
    handed &= said["auth_mechanism"].isna().to_numpy(bool)
    counts = (row >= 0) & handed[row] & ~domain.is_in("")
    row, domain, dst = row[counts], domain[counts], coded(flows["dst_ip"])
    named, exchanges = _exchanged(flows, dst, row, domain)
    by_name = is_filled(flows["dst_names"]) & ~is_filled(flows["dst_mx_of"])
    asked = ~named & (by_name | _mailbox_at_dst(flows))[row]
    unnamed = flows[["dst_ip", "dst_names"]].iloc[row[asked]].reset_index(drop=True)
    unnamed["banner_text"] = said["banner_text"].iloc[row[asked]].array
    unnamed["domain"] = domain[asked].told().to_pylist()
    strangers = dst[row[named & ~exchanges]].present().to_pylist()
    return {*strangers, *unnamed.loc[~_is_own(unnamed), "dst_ip"]}


def _domains(addresses: Coded) -> Coded:
    """Of each address the domain; empty where there is none."""
    texts = pa.array(addresses.known, pa.string()).fill_null("")
    return addresses.turned_into(pc.utf8_lower(pc.replace_substring_regex(texts, r"(?s)^.*@", "")))


def _exchanged(flows: pd.DataFrame, dst: Coded, row: Indices, domain: Coded) -> tuple[Flags, Flags]:
    """Of mails by the row of their flow: whether DNS named exchangers of the domain, and this host so."""
    of_flow, known = flattened(flows["dst_mx_of"])
    known = known.in_words_of(domain)
    is_there = known.codes >= 0
    theirs = dst[of_flow[is_there]].pairs(known[is_there])
    exchanges = pd.Index(dst[row].pairs(domain)).isin(theirs)
    return np.isin(domain.codes, known.codes), np.asarray(exchanges, bool)


def _is_own(mails: pd.DataFrame) -> Flags:
    """Whether a mail's domain is of the registrant of its host, by DNS names or the greeting."""
    rows, names = flattened(mails["dst_names"])
    banners = mails["banner_text"].to_numpy(object, na_value="")
    greeted = [str(text).partition(" ")[0] for text in banners]
    looked_up = names.told().to_pylist()
    own = pd.Series([*looked_up, *greeted], index=[*rows, *mails.index], dtype=object).map(registrable)
    same = own == mails["domain"].map(registrable).reindex(own.index)
    return np.asarray(mails.index.isin(same.index[same]), bool)


def onward(flows: pd.DataFrame, inside: Flags, at_least: int) -> set[str]:
    """Hosts that several on the inside hand mail to and that deliver to several others."""
    smtp = coded(flows["service"]).is_in(*SMTP_SERVICES) & coded(flows["outcome"]).is_in("connected")
    src, dst, payer = (coded(flows[name]) for name in ("src_ip", "dst_ip", "subscriber_key"))
    given = dst.distinct(payer, smtp & inside) >= at_least
    delivers = src.distinct(dst, smtp & ~inside) >= at_least
    return set(dst[given].present().to_pylist()) & set(src[delivers].present().to_pylist())
