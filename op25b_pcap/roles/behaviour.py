"""What hosts do, as far as it tells who they are: facts about each flow's called host.

In: the flows and sessions tables. Out: one row for each flow, in their order, with columns of
booleans. No opinion yet: `tag` climbs the ladder of evidence over these facts.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from op25b_pcap.tables.columns import Flags, beside, coded, flattened, is_filled, is_true
from op25b_pcap.wire.domains import registrable
from op25b_pcap.wire.services import RETRIEVAL_SERVICES, SMTP_SERVICES

_EXCHANGER_NAME = re.compile(r"(?i)(mx|mta|inbound|mailin|gateway)[-\w]*\.")
"""How exchangers are commonly called: the first label of their greeting."""
_FETCHING = (*RETRIEVAL_SERVICES, "submission", "submissions")


def conduct(flows: pd.DataFrame, smtp_sessions: pd.DataFrame) -> dict[str, Flags]:
    """For each flow, in order: `auth_used` in this flow, `auth_at_dst` on port 25 in any flow,
    `mailbox_at_dst` for the same subscriber, `calls_itself_exchanger` in its greeting,
    `is_exchanger` by DNS in any flow.
    """
    said = beside(flows, smtp_sessions, ("auth_offered", "auth_mechanism", "banner_text"))
    service, dst = coded(flows["service"]), coded(flows["dst_ip"])
    smtp, reached = service.is_in("smtp"), coded(flows["outcome"]).is_in("connected")
    used = said["auth_mechanism"].notna().to_numpy(bool)
    banner = coded(said["banner_text"])
    names_itself = banner.where([bool(_EXCHANGER_NAME.match(text or "")) for text in banner.values])
    pair = coded(flows["subscriber_key"]).paired(dst)
    return {
        "auth_used": used,
        "auth_at_dst": dst.anywhere(smtp & (used | is_filled(said["auth_offered"]))),
        "mailbox_at_dst": pair.anywhere(service.is_in(*_FETCHING) & reached),
        "calls_itself_exchanger": dst.anywhere(smtp & names_itself),
        "is_exchanger": dst.anywhere(is_filled(flows["dst_mx_of"])),
    }


def relays(
    flows: pd.DataFrame, smtp_sessions: pd.DataFrame, smtp_transactions: pd.DataFrame, inside: Flags
) -> set[str]:
    """Hosts that take mail for strangers' domains from the inside without asking who it is.

    A domain is a stranger's where the capture's DNS named its exchangers and the host is none
    of them. Where DNS is silent: where the host's own name is of another registrant, and it
    was looked up by that name alone, or the same subscriber also fetches mail there.
    """
    hosts = flows.assign(mailbox=conduct(flows, smtp_sessions)["mailbox_at_dst"])
    hosts = hosts[coded(flows["service"]).is_in("smtp") & inside]
    sessions = smtp_sessions.loc[smtp_sessions["auth_mechanism"].isna(), ["flow_id", "banner_text"]]
    taken = smtp_transactions.loc[is_true(smtp_transactions["accepted"]), ["flow_id", "rcpt_to"]]
    mails = taken.merge(hosts, on="flow_id").merge(sessions, on="flow_id").explode("rcpt_to")
    mails["domain"] = (
        mails["rcpt_to"].fillna("").astype(str).str.replace(r"(?s)^.*@", "", regex=True).str.lower()
    )
    mails = mails[mails["domain"] != ""].reset_index(drop=True)
    exchangers = flows[["dst_ip", "dst_mx_of"]].explode("dst_mx_of").dropna().drop_duplicates()
    exchanges = pd.Series(_pairs(mails, "dst_ip", "domain")).isin(_pairs(exchangers, "dst_ip", "dst_mx_of"))
    named = mails["domain"].isin(exchangers["dst_mx_of"])
    rows, names = flattened(mails["dst_names"])
    banners = mails["banner_text"].to_numpy(object, na_value="")
    greeted = [str(text).partition(" ")[0] for text in banners]
    looked_up = [names.values[code] for code in names.codes]
    own = pd.Series([*looked_up, *greeted], index=[*rows, *mails.index], dtype=object).map(registrable)
    same = own == mails["domain"].map(registrable).reindex(own.index)
    is_own = mails.index.isin(same.index[same])
    by_name = is_filled(mails["dst_names"]) & ~is_filled(mails["dst_mx_of"])
    unnamed_stranger = ~named & ~is_own & (by_name | mails["mailbox"])
    return set(mails.loc[(named & ~exchanges) | unnamed_stranger, "dst_ip"])


def _pairs(frame: pd.DataFrame, one: str, other: str) -> list[tuple[str, str]]:
    return list(zip(frame[one], frame[other], strict=True))


def onward(flows: pd.DataFrame, inside: Flags, at_least: int) -> set[str]:
    """Hosts that several on the inside hand mail to and that deliver to several others."""
    smtp = coded(flows["service"]).is_in(*SMTP_SERVICES) & coded(flows["outcome"]).is_in("connected")
    src, dst, payer = (coded(flows[name]) for name in ("src_ip", "dst_ip", "subscriber_key"))
    given = dst.distinct(payer, smtp & inside) >= at_least
    delivers = src.distinct(dst, smtp & ~inside) >= at_least
    return {dst.values[code] for code in np.unique(dst.codes[given])} & {
        src.values[code] for code in np.unique(src.codes[delivers])
    }
