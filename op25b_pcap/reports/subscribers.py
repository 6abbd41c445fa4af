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
    Flags,
    beside,
    coded,
    coded_times,
    first_that_holds,
    nanoseconds,
    numbers,
    of_lists,
)
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


_SAID = ("helo", "client_kind", "messages_accepted", "recipients_accepted", "recipients_rejected")

_RANKED = [("recipients", "descending"), ("flows", "descending"), ("subscriber_key", "ascending")]

Counts = dict[str, npt.NDArray[Any]]
"""A number, or a flag, for each subscriber."""


def subscribers(flows: pd.DataFrame, smtp_sessions: pd.DataFrame) -> pd.DataFrame:
    """One row per subscriber_key, most recipients first."""
    payer = coded(flows["subscriber_key"]).compact()
    counted = _counted(flows, payer) | _mailed(flows, smtp_sessions, payer)
    counted["recipients"] = counted["accepted"] + counted["rejected"]
    first = np.empty(len(payer.known), dtype=np.int64)
    first[payer.codes[::-1]] = np.arange(len(flows))[::-1]
    role = coded(flows["src_role"])[first]
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


def _counted(flows: pd.DataFrame, payer: Coded) -> Counts:
    """What its attempts tell of each subscriber."""
    rows, dst = len(payer.known), coded(flows["dst_ip"])
    traffic_class, finding = coded(flows["traffic_class"]), coded(flows["finding"])
    reached, service = coded(flows["outcome"]).is_in("connected"), coded(flows["service"])
    to_mx, everywhere = traffic_class.is_in("direct_to_mx"), np.ones(len(flows), dtype=bool)
    fetched = traffic_class.is_in("retrieval", "submission") & reached
    receivers = dst[service.is_in("smtp") & reached].present()
    hours = coded_times(flows["start_time"], HOUR_NS)
    return {
        "first_seen": _extreme(np.minimum, nanoseconds(flows["start_time"]), payer),
        "last_seen": _extreme(np.maximum, nanoseconds(flows["end_time"]), payer),
        "flows": np.bincount(payer.codes, minlength=rows),
        "blocked": np.bincount(payer.codes[finding.is_in("blocked")], minlength=rows),
        "leaked": np.bincount(payer.codes[finding.is_in("leak")], minlength=rows),
        "distinct_destinations": payer.count(dst, everywhere),
        "distinct_mx": payer.count(dst, to_mx),
        "hours": payer.count(hours, _direct(traffic_class)),
        "peak_attempts_per_minute": _peak(payer, coded_times(flows["start_time"], MINUTE_NS)),
        "lookups": _extreme(np.maximum, np.nan_to_num(numbers(flows["src_mx_lookups"])), payer),
        "fetches": np.bincount(payer.codes[fetched], minlength=rows) > 0,
        "receives": np.asarray(pc.is_in(payer.known, value_set=receivers), dtype=bool),
    }


def _mailed(flows: pd.DataFrame, smtp_sessions: pd.DataFrame, payer: Coded) -> Counts:
    """What its sessions tell of each subscriber."""
    rows, said = len(payer.known), beside(flows, smtp_sessions, _SAID)
    helo, kind = coded(said["helo"]), coded(said["client_kind"])
    named = _direct(coded(flows["traffic_class"])) & ~helo.is_in(None)
    messages, accepted, rejected = (
        np.bincount(payer.codes, np.nan_to_num(numbers(said[name])), rows).astype(np.int64)
        for name in ("messages_accepted", "recipients_accepted", "recipients_rejected")
    )
    return {
        "messages_accepted": messages,
        "accepted": accepted,
        "rejected": rejected,
        "helo_names": payer.count(helo, named),
        **{
            word: np.bincount(payer.codes[kind.is_in(word)], minlength=rows) > 0
            for word in ("mta", "mua", "bot")
        },
    }


def _direct(traffic_class: Coded) -> Flags:
    """Attempts past the provider's relay."""
    return traffic_class.is_in("direct_to_mx", "third_party_relay")


def _extreme(of: np.ufunc, values: npt.NDArray[Any], payer: Coded) -> npt.NDArray[Any]:
    """The least or greatest of each subscriber's values."""
    found = np.empty(len(payer.known), dtype=values.dtype)
    found[payer.codes] = values  # any of its own to begin with
    of.at(found, payer.codes, values)
    return found


def _peak(payer: Coded, minutes: Coded) -> npt.NDArray[np.int64]:
    """The most attempts of each subscriber within one minute."""
    whose, attempts = payer.tally(minutes)
    return _extreme(np.maximum, attempts, Coded(payer.known, whose))


def _profiles(counted: Counts, role: Coded) -> tuple[Coded, pd.Series]:
    """The profile of each subscriber and its reasons, by columns."""
    rejected, messages = counted["rejected"], counted["messages_accepted"]
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
        "bot_dialogue": counted["bot"],
    }
    server_facts = {"relays_mail": counted["mta"], "receives_mail": counted["receives"]}
    client_facts = {"fetches_or_submits": counted["fetches"], "client_dialogue": counted["mua"]}
    # A server, the provider's or a stranger's, has many exchangers by profession.
    is_subscriber = role.is_in("dynamic", "static")
    profile = first_that_holds(
        len(role),
        (~is_subscriber, "unknown"),
        (np.sum(list(bot_facts.values()), axis=0) >= BOT_REASONS, "bot_like"),
        (counted["mta"] | counted["receives"], "home_server_like"),
        (counted["fetches"] | counted["mua"], "mail_client_like"),
        otherwise="unknown",
    )
    shown = {"bot_like": bot_facts, "home_server_like": server_facts, "mail_client_like": client_facts}
    reasons = {
        name: holds & profile.is_in(word) for word, facts in shown.items() for name, holds in facts.items()
    }
    return profile, of_lists(reasons)
