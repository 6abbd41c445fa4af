"""Who sends: the `subscribers` table, with a profile and the named facts behind it.

A profile is a resemblance, no accusation; its bounds stand here with their reasons. Ranked
by recipients, as the quota of draft-akagiri-op25b-dynamicip section 4.4.3 counts.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from op25b_pcap.tables.columns import of_lists
from op25b_pcap.tables.reports import SUBSCRIBERS
from op25b_pcap.tables.table import to_frame

MANY_EXCHANGERS = 5
"""A person's own server writes to a few correspondents; a list of victims has many domains."""
MANY_HELO_NAMES = 2
"""A server has one name; a bot invents them."""
FAST_ATTEMPTS_PER_MINUTE = 10
"""Faster than a person writes to strangers."""
REFUSED_SHARE = 0.5
REFUSED_AT_LEAST = 3
"""Half of the recipients unknown: a bought or guessed list. Below three, chance."""
MANY_HOURS = 3
"""Clock hours in which it called strangers' exchangers: a person stops, or asks, when mail fails."""
LOOKUPS_PER_MESSAGE = 3
"""Exchangers asked for, for each message that got through: a server asks once for what it sends."""
BOT_REASONS = 2
"""No single fact makes a bot."""


def subscribers(flows: pd.DataFrame, smtp_sessions: pd.DataFrame) -> pd.DataFrame:
    """One row per subscriber_key, most recipients first."""
    sessions = smtp_sessions[
        ["flow_id", "helo", "client_kind", "messages_accepted", "recipients_accepted", "recipients_rejected"]
    ]
    joined = flows.merge(sessions, on="flow_id", how="left")
    direct = joined["traffic_class"].isin(["direct_to_mx", "third_party_relay"])
    joined = joined.assign(
        blocked=joined["finding"] == "blocked",
        leaked=joined["finding"] == "leak",
        exchanger=joined["dst_ip"].where(joined["traffic_class"] == "direct_to_mx"),
        direct_helo=joined["helo"].where(direct),
        direct_hour=joined["start_time"].dt.floor("h").where(direct),
        retrieves=joined["traffic_class"].isin(["retrieval", "submission"])
        & (joined["outcome"] == "connected"),
        is_mta=(joined["client_kind"] == "mta").fillna(False),
        is_mua=(joined["client_kind"] == "mua").fillna(False),
        is_bot=(joined["client_kind"] == "bot").fillna(False),
    )
    grouped = joined.groupby("subscriber_key", sort=True)
    counted = grouped.agg(
        src_role=("src_role", "first"),
        first_seen=("start_time", "min"),
        last_seen=("end_time", "max"),
        flows=("flow_id", "size"),
        blocked=("blocked", "sum"),
        leaked=("leaked", "sum"),
        distinct_destinations=("dst_ip", "nunique"),
        distinct_mx=("exchanger", "nunique"),
        messages_accepted=("messages_accepted", "sum"),
        accepted=("recipients_accepted", "sum"),
        rejected=("recipients_rejected", "sum"),
        helo_names=("direct_helo", "nunique"),
        hours=("direct_hour", "nunique"),
        lookups=("src_mx_lookups", "max"),
        retrieves=("retrieves", "any"),
        mta=("is_mta", "any"),
        mua=("is_mua", "any"),
        bot=("is_bot", "any"),
    )
    for name in ("messages_accepted", "accepted", "rejected", "lookups"):
        counted[name] = counted[name].fillna(0)
    counted["recipients"] = counted["accepted"] + counted["rejected"]
    counted["peak_attempts_per_minute"] = _peak_per_minute(flows)
    counted["receives"] = counted.index.isin(_receivers(flows))
    counted["profile"], counted["reasons"] = _profiles(counted)
    counted = counted.reset_index().sort_values(
        ["recipients", "flows", "subscriber_key"], ascending=[False, False, True], kind="stable"
    )
    return to_frame(SUBSCRIBERS.arrow(counted))


def _peak_per_minute(flows: pd.DataFrame) -> pd.Series:
    minutes = flows[["subscriber_key"]].assign(minute=flows["start_time"].dt.floor("min"))
    return minutes.groupby(["subscriber_key", "minute"]).size().groupby("subscriber_key").max()


def _receivers(flows: pd.DataFrame) -> pd.Series:
    """Addresses that others hand mail to on port 25."""
    reached = (flows["service"] == "smtp") & (flows["outcome"] == "connected")
    return flows.loc[reached, "dst_ip"].drop_duplicates()


def _profiles(counted: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """The profile of each subscriber and its reasons, by columns."""
    attempted = counted["recipients"]
    bot_facts = {
        "many_exchangers": counted["distinct_mx"] >= MANY_EXCHANGERS,
        "many_helo_names": counted["helo_names"] >= MANY_HELO_NAMES,
        "fast": counted["peak_attempts_per_minute"] >= FAST_ATTEMPTS_PER_MINUTE,
        "recipients_refused": (counted["rejected"] >= REFUSED_AT_LEAST)
        & (counted["rejected"] >= REFUSED_SHARE * attempted),
        "many_lookups": (counted["lookups"] >= MANY_EXCHANGERS)
        & (counted["lookups"] >= LOOKUPS_PER_MESSAGE * counted["messages_accepted"]),
        "recurs": (counted["hours"] >= MANY_HOURS) & (counted["distinct_mx"] >= MANY_EXCHANGERS),
        "bot_dialogue": counted["bot"],
    }
    server_facts = {"relays_mail": counted["mta"], "receives_mail": counted["receives"]}
    client_facts = {"fetches_or_submits": counted["retrieves"], "client_dialogue": counted["mua"]}
    bot_count = sum(fact.astype(int) for fact in bot_facts.values())
    # A server, the provider's or a stranger's, has many exchangers by profession.
    is_subscriber = counted["src_role"].isin(["dynamic", "static"])
    profile = pd.Series("unknown", index=counted.index)
    profile = profile.mask(counted["retrieves"] | counted["mua"], "mail_client_like")
    profile = profile.mask(counted["mta"] | counted["receives"], "home_server_like")
    profile = profile.mask((bot_count >= BOT_REASONS) & is_subscriber, "bot_like")
    profile = profile.where(is_subscriber, "unknown")
    shown = {"bot_like": bot_facts, "home_server_like": server_facts, "mail_client_like": client_facts}
    named = {
        name: holds & (profile == word) for word, facts in shown.items() for name, holds in facts.items()
    }
    holds = np.column_stack([column.to_numpy(bool) for column in named.values()])
    reasons = of_lists(holds, list(named), counted.index)
    return profile, reasons
