"""Who sends: the `subscribers` table, with a profile and the named facts behind it.

A profile is a resemblance, no accusation; its bounds stand here with their reasons. Ranked
by recipients, as the quota of draft-akagiri-op25b-dynamicip section 4.4.3 counts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from op25b_pcap.tables.columns import (
    Coded,
    beside,
    coded,
    coded_times,
    first_that_holds,
    nanoseconds,
    numbers,
    of_lists,
)
from op25b_pcap.tables.everywhere import Everywhere, Known, Values
from op25b_pcap.tables.reports import SUBSCRIBERS
from op25b_pcap.tables.table import to_frame

HOUR_NS, MINUTE_NS = 3_600_000_000_000, 60_000_000_000
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


_MAILED = ("messages_accepted", "recipients_accepted", "recipients_rejected")
_SAID = ("helo", "client_kind", *_MAILED)
_TEXTS = ("0", "src_role")
_COUNTED = {
    "distinct_destinations": ("called_by_payer", "all"),
    "distinct_mx": ("called_by_payer", "directly"),
    "helo_names": ("helo_names", "different"),
    "hours": ("hours", "different"),
    "peak_attempts_per_minute": ("attempts_per_minute", "value"),
}
"""Numbers of a subscriber, the question that they answer, and their name there."""
OF_RULES = frozenset({"called_by_payer"})
"""What rules have asked before, and is counted, too; all else is told when a shard is judged."""

_RANKED = [("recipients", "descending"), ("flows", "descending"), ("subscriber_key", "ascending")]

Counts = dict[str, npt.NDArray[Any]]
"""A number, or a flag, for each subscriber."""


def tell_subscribers(flows: pd.DataFrame, smtp_sessions: pd.DataFrame, everywhere: Everywhere) -> None:
    """What attempts tell of each subscriber_key; they are in order of time."""
    payer, dst, service = (coded(flows[name]) for name in ("subscriber_key", "dst_ip", "service"))
    traffic_class, finding = coded(flows["traffic_class"]), coded(flows["finding"])
    reached = coded(flows["outcome"]).is_in("connected")
    fetched = traffic_class.is_in("retrieval", "submission") & reached
    lookups = np.nan_to_num(numbers(flows["src_mx_lookups"]))
    said = beside(flows, smtp_sessions, _SAID)
    helo, kind = coded(said["helo"]), coded(said["client_kind"])
    values: Values = {
        "first_seen": ("min", nanoseconds(flows["start_time"])),
        "last_seen": ("max", nanoseconds(flows["end_time"])),
        "src_role": ("first", coded(flows["src_role"])),
        "flows": ("sum", np.ones(len(flows))),
        "blocked": ("sum", finding.is_in("blocked")),
        "leaked": ("sum", finding.is_in("leak")),
        "intercepted": ("sum", finding.is_in("intercepted")),
        "disrupted": ("sum", finding.is_in("disrupted")),
        **{name: ("sum", np.nan_to_num(numbers(said[name]))) for name in _MAILED},
        "lookups": ("max", lookups),
        "fetches": ("max", fetched.view(np.uint8)),
        **{word: ("max", kind.is_in(word).view(np.uint8)) for word in ("mta", "mua", "bot")},
    }
    everywhere.each("subscribers", values, payer)
    direct = traffic_class.is_in("direct_to_mx", "third_party_relay")
    everywhere.count("helo_names", helo, {"different": direct & ~helo.is_in(None)}, payer)
    everywhere.count("hours", coded_times(flows["start_time"], HOUR_NS), {"different": direct}, payer)
    everywhere.most("attempts_per_minute", coded_times(flows["start_time"], MINUTE_NS), payer)
    everywhere.any("receives", service.is_in("smtp") & reached, dst)


def subscribers(known: Known) -> pd.DataFrame:
    """One row per subscriber_key, most recipients first, out of what all attempts have told."""
    whole, everywhere = known["subscribers"], Everywhere(known)
    payer = Coded(whole["0"].combine_chunks(), np.arange(len(whole)))
    counted: Counts = {name: whole[name].to_numpy() for name in whole.column_names if name not in _TEXTS}
    for name, (question, number) in _COUNTED.items():
        counted[name] = everywhere.asked(question, payer).of_values(number)
    counted["receives"] = everywhere.asked("receives", payer).holds()
    counted["recipients"] = counted["recipients_accepted"] + counted["recipients_rejected"]
    role = coded(whole["src_role"])
    profile, reasons = _profiles(counted, role)
    columns = {
        "subscriber_key": payer.known,
        "src_role": role.told(),
        "profile": profile.told(),
        "reasons": pa.array(reasons),
        **{name: pa.array(column) for name, column in counted.items() if name in SUBSCRIBERS.names},
    }
    table = pa.table(columns)
    del counted, columns
    return to_frame(SUBSCRIBERS.arrow(to_frame(table.take(pc.sort_indices(table, _RANKED)))))


def _profiles(counted: Counts, role: Coded) -> tuple[Coded, pd.Series]:
    """The profile of each subscriber and its reasons, by columns."""
    rejected, messages = counted["recipients_rejected"], counted["messages_accepted"]
    many_exchangers = counted["distinct_mx"] >= MANY_EXCHANGERS
    bot_facts = {
        "many_exchangers": many_exchangers,
        "many_helo_names": counted["helo_names"] >= MANY_HELO_NAMES,
        "fast": counted["peak_attempts_per_minute"] >= FAST_ATTEMPTS_PER_MINUTE,
        "recipients_refused": (rejected >= REFUSED_AT_LEAST)
        & (rejected >= REFUSED_SHARE * counted["recipients"]),
        "many_lookups": (counted["lookups"] >= MANY_EXCHANGERS)
        & (counted["lookups"] >= LOOKUPS_PER_MESSAGE * messages),
        "recurs": (counted["hours"] >= MANY_HOURS) & many_exchangers,
        "bot_dialogue": counted["bot"] > 0,
    }
    server_facts = {"relays_mail": counted["mta"] > 0, "receives_mail": counted["receives"]}
    client_facts = {"fetches_or_submits": counted["fetches"] > 0, "client_dialogue": counted["mua"] > 0}
    # A server, the provider's or a stranger's, has many exchangers by profession.
    is_subscriber = role.is_in("dynamic", "static")
    profile = first_that_holds(
        len(role),
        (~is_subscriber, "unknown"),
        (np.sum(list(bot_facts.values()), axis=0) >= BOT_REASONS, "bot_like"),
        (np.logical_or(*server_facts.values()), "home_server_like"),
        (np.logical_or(*client_facts.values()), "mail_client_like"),
        otherwise="unknown",
    )
    shown = {"bot_like": bot_facts, "home_server_like": server_facts, "mail_client_like": client_facts}
    reasons = {
        name: holds & profile.is_in(word) for word, facts in shown.items() for name, holds in facts.items()
    }
    return profile, of_lists(reasons)
