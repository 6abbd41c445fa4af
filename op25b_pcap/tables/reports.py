"""The tables that count: subscribers, summary, timeline; and what became of the pieces of a lake."""

from __future__ import annotations

from op25b_pcap.tables.flows import FLOWS
from op25b_pcap.tables.table import Column, Table

PROFILES = ("bot_like", "home_server_like", "mail_client_like", "unknown")


def _of_flows(*names: str) -> tuple[Column, ...]:
    return tuple(FLOWS[name] for name in names)


SUBSCRIBERS = Table(
    "subscribers",
    "one row per subscriber_key, most recipients first",
    (
        *_of_flows("subscriber_key", "src_role"),
        Column("first_seen", "timestamp", "start of its first attempt"),
        Column("last_seen", "timestamp", "end of its last attempt"),
        Column("flows", "uint64", "attempts on mail ports"),
        Column("blocked", "uint64", "of these, with finding `blocked`"),
        Column("leaked", "uint64", "of these, with finding `leak`"),
        Column("intercepted", "uint64", "of these, with finding `intercepted`"),
        Column("disrupted", "uint64", "of these, with finding `disrupted`"),
        Column("distinct_destinations", "uint64", "different dst_ip"),
        Column("distinct_mx", "uint64", "different dst_ip on the path direct_to_mx"),
        Column("messages_accepted", "uint64", "messages that servers took from it"),
        Column("recipients", "uint64", "RCPT TO commands it sent and that were answered, accepted or not"),
        Column("peak_attempts_per_minute", "uint64", "most attempts within one clock minute"),
        Column("profile", "string", "what its manner resembles", words=PROFILES),
        Column("reasons", "list<string>", "named facts behind the profile"),
    ),
)

SUMMARY = Table(
    "summary",
    "flows counted by what they are and what became of them",
    (
        *_of_flows(
            "service",
            "ip_version",
            "src_role",
            "dst_role",
            "traffic_class",
            "policy_action",
            "outcome",
            "finding",
        ),
        Column("flows", "uint64", "attempts"),
        Column("subscribers", "uint64", "different subscriber_key among them"),
        Column("messages", "uint64", "messages accepted in them"),
    ),
)

TIMELINE = Table(
    "timeline",
    "attempts per clock minute (UTC) of their start",
    (
        Column("minute", "timestamp", "begin of the minute"),
        *_of_flows("finding", "traffic_class"),
        Column("flows", "uint64", "attempts"),
    ),
)

MANIFEST = Table(
    "manifest",
    "one row per piece of the inbox",
    (
        Column(
            "capture", "string", "as `flows.capture` names it; null if nothing of it counts", nullable=True
        ),
        Column("path", "string", "where it lies, or lay"),
        Column("size", "uint64", "octets as it lies there"),
        Column(
            "sha256", "string", "hex digest of these octets; null if they could not be read", nullable=True
        ),
        Column("first_time", "timestamp", "earliest packet; null if there is none", nullable=True),
        Column("last_time", "timestamp", "latest packet", nullable=True),
        Column("packets", "uint64", "packet records, or lines of a log"),
        Column(
            "state",
            "string",
            "done; damaged: what could be read counts; duplicate: another piece counts in its place; "
            "unfinished: left for the next run; unreadable; foreign: neither capture nor flow log",
            words=("done", "damaged", "duplicate", "unfinished", "unreadable", "foreign"),
        ),
        Column("reason", "string", "why it is not simply done; null if it is", nullable=True),
    ),
)
"""What only a lake has."""
