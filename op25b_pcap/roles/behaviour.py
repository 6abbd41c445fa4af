"""What hosts do, as far as it tells who they are: facts about each flow's called host.

In: the flows and sessions tables. Out: one row for each flow, in their order, with columns of
booleans. No opinion yet: `tag` climbs the ladder of evidence over these facts.
"""

from __future__ import annotations

import re

import pandas as pd

from op25b_pcap.tables.columns import Flags, Words, is_filled, is_in
from op25b_pcap.wire.domains import registrable
from op25b_pcap.wire.services import RETRIEVAL_SERVICES, SMTP_SERVICES

_EXCHANGER_NAME = re.compile(r"(?i)(mx|mta|inbound|mailin|gateway)[-\w]*\.")
"""How exchangers are commonly called: the first label of their greeting."""


def conduct(flows: pd.DataFrame, smtp_sessions: pd.DataFrame) -> pd.DataFrame:
    """For each flow, in order: `auth_used` in this flow, `auth_at_dst` on port 25 in any flow,
    `mailbox_at_dst` for the same subscriber, `calls_itself_exchanger` in its greeting,
    `is_exchanger` by DNS in any flow.
    """
    sessions = flows[["flow_id"]].merge(
        smtp_sessions[["flow_id", "auth_offered", "auth_mechanism", "banner_text"]],
        on="flow_id",
        how="left",
    )
    smtp = is_in(flows["service"], ("smtp",))
    reached = is_in(flows["outcome"], ("connected",))
    used = sessions["auth_mechanism"].notna().to_numpy()
    offered = is_filled(sessions["auth_offered"])
    dst = flows["dst_ip"].to_numpy(object)
    pair = pd.Series(_pairs(flows, "subscriber_key", "dst_ip"))
    fetches = is_in(flows["service"], (*RETRIEVAL_SERVICES, "submission", "submissions")) & reached
    banners = sessions["banner_text"].fillna("").astype(str).str.match(_EXCHANGER_NAME).to_numpy(bool)
    return pd.DataFrame(
        {
            "auth_used": used,
            "auth_at_dst": _anywhere(dst, smtp & (used | offered)),
            "mailbox_at_dst": pair.isin(set(pair[fetches])).to_numpy(),
            "calls_itself_exchanger": _anywhere(dst, smtp & banners),
            "is_exchanger": _anywhere(dst, is_filled(flows["dst_mx_of"])),
        },
        index=flows.index,
    )


def _anywhere(hosts: Words, holds: Flags) -> Flags:
    """Whether it holds for any flow to the same host."""
    return is_in(pd.Series(hosts), set(hosts[holds]))


def relays(
    flows: pd.DataFrame, smtp_sessions: pd.DataFrame, smtp_transactions: pd.DataFrame, inside: Flags
) -> set[str]:
    """Hosts that take mail for strangers' domains from the inside without asking who it is.

    A domain is a stranger's where the capture's DNS named its exchangers and the host is none
    of them. Where DNS is silent: where the host's own name is of another registrant, and it
    was looked up by that name alone, or the same subscriber also fetches mail there.
    """
    hosts = flows.assign(mailbox=conduct(flows, smtp_sessions)["mailbox_at_dst"])
    hosts = hosts[is_in(flows["service"], ("smtp",)) & inside]
    sessions = smtp_sessions.loc[smtp_sessions["auth_mechanism"].isna(), ["flow_id", "banner_text"]]
    taken = smtp_transactions.loc[smtp_transactions["accepted"].fillna(False), ["flow_id", "rcpt_to"]]
    mails = taken.merge(hosts, on="flow_id").merge(sessions, on="flow_id").explode("rcpt_to")
    mails["domain"] = (
        mails["rcpt_to"].fillna("").astype(str).str.replace(r"(?s)^.*@", "", regex=True).str.lower()
    )
    mails = mails[mails["domain"] != ""].reset_index(drop=True)
    exchangers = flows[["dst_ip", "dst_mx_of"]].explode("dst_mx_of").dropna().drop_duplicates()
    exchanges = pd.Series(_pairs(mails, "dst_ip", "domain")).isin(_pairs(exchangers, "dst_ip", "dst_mx_of"))
    named = mails["domain"].isin(exchangers["dst_mx_of"])
    names = mails[["dst_names"]].explode("dst_names")["dst_names"]
    greeted = mails["banner_text"].fillna("").astype(str).str.split(" ").str[0]
    own = pd.concat([names.dropna().astype(str), greeted]).map(registrable)
    same = own == mails["domain"].map(registrable).reindex(own.index)
    is_own = mails.index.isin(same.index[same])
    by_name = is_filled(mails["dst_names"]) & ~is_filled(mails["dst_mx_of"])
    unnamed_stranger = ~named & ~is_own & (by_name | mails["mailbox"])
    return set(mails.loc[(named & ~exchanges) | unnamed_stranger, "dst_ip"])


def _pairs(frame: pd.DataFrame, one: str, other: str) -> list[tuple[str, str]]:
    return list(zip(frame[one], frame[other], strict=True))


def onward(flows: pd.DataFrame, inside: Flags, at_least: int) -> set[str]:
    """Hosts that several on the inside hand mail to and that deliver to several others."""
    smtp = is_in(flows["service"], SMTP_SERVICES) & is_in(flows["outcome"], ("connected",))
    given = flows[smtp & inside].groupby("dst_ip")["subscriber_key"].nunique()
    delivers = flows[smtp & ~inside].groupby("src_ip")["dst_ip"].nunique()
    both = given.index[given >= at_least].intersection(delivers.index[delivers >= at_least])
    return set(both)
