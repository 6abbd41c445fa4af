"""Rows of the tables for tests: each names only the columns it is about, the rest is valid filler."""

from __future__ import annotations

import itertools

from op25b_pcap.facts import Facts
from op25b_pcap.opinion import opinion
from op25b_pcap.policy import Policy, prefix
from op25b_pcap.tables import FLOWS, RETRIEVAL_SESSIONS, SMTP_SESSIONS, SMTP_TRANSACTIONS
from op25b_pcap.wire.services import SERVICES

START = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
_numbers = itertools.count(1)


def flow(src: str, dst: str, port: int = 25, outcome: str = "connected", **more: object) -> dict:
    """A row of `flows` as the wire tells it: an attempt that was answered, or not."""
    answered = outcome == "connected"
    number = next(_numbers)
    row = {
        "flow_id": f"{number:016x}",
        "community_id": "1:",
        "start_time": START + number * SECOND,
        "end_time": START + number * SECOND + (SECOND if answered else 7 * SECOND),
        "src_ip": src,
        "dst_ip": dst,
        "src_port": 40000 + number,
        "dst_port": port,
        "ip_version": 6 if ":" in src else 4,
        "encapsulation": "",
        "subscriber_key": more.get("outer_src_ip") or src,
        "initiator_evidence": "syn",
        "service": SERVICES[port],
        "conn_state": "SF" if answered else "S0",
        "history": "",
        "syn_packets": 1 if answered else 4,
        "src_packets": 4,
        "dst_packets": 4 if answered else 0,
        "src_bytes": 100 if answered else 0,
        "dst_bytes": 100 if answered else 0,
        "handshake_rtt_ms": 10.0 if answered else None,
        "outcome": outcome,
        "anomalies": [],
        "capture": "test.pcap",
        "first_packet": number,
        "src_ttl": 63,
        "dst_ttl": 52 if answered else None,
        "answer_ms": 10.0 if answered else None,
        "watched_s": 60.0,
        "dst_mx_of": [],
        "dst_names": [],
    }
    return row | more


def session(flow_row: dict, **more: object) -> dict:
    """The row of `smtp_sessions` of a flow."""
    shared = ("flow_id", "start_time", "src_ip", "src_port", "dst_ip", "dst_port", "service")
    row = {name: flow_row[name] for name in shared} | {
        "tls": "none",
        "transactions": 0,
        "messages_accepted": 0,
        "recipients_accepted": 0,
        "recipients_rejected": 0,
        "message_bytes": 0,
        "quit": True,
        "client_kind": "unknown",
        "result": "aborted",
        "anomalies": [],
    }
    return row | more


def mail(flow_row: dict, *to: str, accepted: bool = True) -> dict:
    """The row of `smtp_transactions` of a flow's first mail."""
    return {
        "flow_id": flow_row["flow_id"],
        "transaction_index": 1,
        "rcpt_to": list(to),
        "rcpt_reply_codes": [250] * len(to),
        "smtputf8": False,
        "accepted": accepted,
    }


def policy(point: str = "inside", actions: dict[str, str] | None = None, **lists: list[str]) -> Policy:
    """A policy in code; every list is one of its KINDS."""
    kinds = {"dynamic": ["203.0.113.0/24", "2001:db8:100::/40"], "static": ["203.0.113.248/29"]}
    kinds |= {"smarthosts": ["192.0.2.25"], "local_mx": ["192.0.2.30"], "mailbox": ["192.0.2.110"]}
    kinds |= {"routers": ["192.0.2.1"], "dynamic_pools": ["198.51.100.128/25"]} | lists
    prefixes = {kind: tuple(prefix(text) for text in texts) for kind, texts in kinds.items()}
    return Policy("test", point, prefixes, actions or {})


def judged(
    flows: list[dict],
    by: Policy,
    sessions: list[dict] | None = None,
    retrieved: list[dict] | None = None,
) -> list[dict]:
    """The rows with roles and findings, as plain dictionaries."""
    judged, _ = opinion(facts(flows, sessions or (), (), retrieved or ()), by)
    return FLOWS.arrow(judged.facts.flows).to_pylist()


def facts(
    flows: list[dict], sessions: list[dict] = (), transactions: list[dict] = (), retrieved: list[dict] = ()
) -> Facts:
    """The rows as the tables of facts."""
    return Facts(
        FLOWS.frame(flows),
        SMTP_SESSIONS.frame(list(sessions)),
        SMTP_TRANSACTIONS.frame(list(transactions)),
        RETRIEVAL_SESSIONS.frame(list(retrieved)),
    )
