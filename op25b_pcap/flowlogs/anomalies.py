"""The named oddities that only the rows of logs have; others are those of packets."""

from __future__ import annotations

ANOMALIES: dict[str, str] = {
    "several_records": "the log tells of it in several records, joined by sockets and times",
    "closed_early": "too many were open at once: what the log tells later is another attempt",
    "order_unknown": "flow records sum up flags: the letters of `history` are known, their order is assumed",
    "sampled": "the exporter looked at some packets only: what it has not seen may have been there",
    "icmp_unseen": "no answer, but the log does not join ICMP errors to attempts: there may have been one",
    "time_since_boot": "the log knows the time since the kernel's start only: its clock begins in 1970",
    "filter_dropped": "a firewall's rule is named as one that drops, and it logged this attempt",
    "filter_rejected": "a firewall's rule is named as one that rejects: how it answered is not known",
    "filter_passed": "a firewall's rule is named as one that lets pass: what followed is not known",
}
