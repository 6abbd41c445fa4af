"""An attempt's entries turned into its row of `flows`: what the logs do not know is null."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from op25b_pcap.flowlogs.attempts import Attempt
from op25b_pcap.flowlogs.entry import Entry
from op25b_pcap.flowlogs.outcome import conn_state, history, is_certain, outcome
from op25b_pcap.wire.addresses import text
from op25b_pcap.wire.community_id import community_id
from op25b_pcap.wire.services import SERVICES


def row(attempt: Attempt) -> dict[str, Any]:
    """The wire, place and fact columns that a log can tell. `capture` is still the log's index."""
    first = attempt.entries[0]
    (src, src_port), (dst, dst_port) = first.src, first.dst
    src_ip = text(src)
    return {
        "flow_id": _flow_id(first),
        "community_id": community_id(src, dst, src_port, dst_port),
        "start_time": first.start_ns,
        "end_time": attempt.last_ns,
        "src_ip": src_ip,
        "dst_ip": text(dst),
        "src_port": src_port,
        "dst_port": dst_port,
        "ip_version": 4 if len(src) == 4 else 6,
        "encapsulation": first.encapsulation,
        "subscriber_key": first.payer or src_ip,
        "outer_src_ip": None,
        "initiator_evidence": _evidence(attempt),
        "service": SERVICES[dst_port],
        **_course(attempt),
        "handshake_rtt_ms": None,
        "answer_ms": None,
        "icmp_type": None,
        "icmp_code": None,
        "icmp_from": None,
        "capture": first.capture,
        "first_packet": first.number,
        "src_ttl": next((each.ttl for each in attempt.entries if each.ttl is not None), None),
        "dst_ttl": None,
        "rst_ttl": None,
    }


def _flow_id(first: Entry) -> str:
    """Named by what its first record says: the same record, however the logs are split."""
    parts = (first.kind, *first.src, *first.dst, first.uid, first.start_ns)
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()


def _evidence(attempt: Attempt) -> str:
    if "S" in attempt.opener:
        return "syn"
    return "syn_ack" if "H" in attempt.called else "port"


def _course(attempt: Attempt) -> dict[str, Any]:
    """The columns that say how it went."""
    entries = attempt.entries
    if len(entries) == 1:  # nearly always, and then there is nothing to sum up
        only = entries[0]
        is_complete, opener, called = only.is_complete, only.sent, only.got
        src_packets, dst_packets = only.sent_packets, only.got_packets
        src_bytes, dst_bytes = only.sent_octets, only.got_octets
    else:
        is_complete = all(each.is_complete for each in entries)
        opener, called = _letters(e.sent for e in entries), _letters(e.got for e in entries)
        src_packets, dst_packets = _sum(e.sent_packets for e in entries), _sum(e.got_packets for e in entries)
        src_bytes, dst_bytes = _total(e.sent_octets for e in entries), _total(e.got_octets for e in entries)
    opener = _without_doubt(opener)
    became = outcome(opener, called, is_complete=is_complete)
    states = _states(entries, opener, called, became, is_complete=is_complete)
    kind = entries[0].kind
    silent_side = not (called or dst_packets) or not (opener or src_packets)
    named = {
        "several_records": len(entries) > 1 and kind != "firewall" and not _is_pair(entries),
        "captured_twice": attempt.has_copies,
        "closed_early": attempt.closed_early,
        "order_unknown": kind == "nfdump" and not is_certain(states["history"] or ""),
        "icmp_unseen": became == "no_answer" and kind != "firewall",
        "one_sided": silent_side
        and became in ("connected", "midstream")
        and kind != "firewall"
        and (src_packets or dst_packets or 0) > 1,
    }
    noted = {name for each in entries for name in each.anomalies}
    return {
        **states,
        "syn_packets": _syns(entries, opener, is_complete=is_complete),
        "src_packets": src_packets,
        "dst_packets": dst_packets,
        "src_bytes": src_bytes,
        "dst_bytes": dst_bytes,
        "outcome": became,
        "anomalies": sorted(noted | {name for name, holds in named.items() if holds}),
    }


def _states(
    entries: list[Entry], opener: str | None, called: str | None, became: str | None, *, is_complete: bool
) -> dict[str, str | None]:
    """Zeek's words: its own of the record that saw most, else what letters alone allow."""
    if entries[0].kind == "zeek":
        most = (
            entries[0]
            if len(entries) == 1
            else max(entries, key=lambda each: len(set(each.sent or "")) + len(set(each.got or "")))
        )
        return {"conn_state": most.conn_state, "history": most.history}
    if not is_complete:
        return {"conn_state": None, "history": None}
    opener, called = opener or "", called or ""
    return {"conn_state": conn_state(opener, called, became), "history": history(opener, called)}


def _syns(entries: list[Entry], opener: str | None, *, is_complete: bool) -> int | None:
    """SYNs of the opener: known where it sent nothing else, or none."""
    if opener is None:
        return None
    if "S" not in opener:
        return 0 if is_complete else None
    if any(
        each.sent_packets is None or set(each.sent or "") not in ({"S"}, set())
        for each in entries
        if each.sent
    ):
        return None
    syns = sum(each.sent_packets or 0 for each in entries if each.sent)
    return syns if syns < 1 << 32 else None


def _is_pair(entries: list[Entry]) -> bool:
    """One record for each direction, as flow records are."""
    return len(entries) == 2 and {each.sides for each in entries} == {(True, False), (False, True)}


def _letters(sides: Iterable[str | None]) -> str | None:
    """All letters of a side; None if no entry tells of it."""
    known = [side for side in sides if side is not None]
    return "".join(known) if known else None


def _without_doubt(opener: str | None) -> str | None:
    """A doubtful ACK of the opener's does not matter where it went on for certain."""
    return opener.replace("?", "") if opener and not {"A", "D", "F"}.isdisjoint(opener) else opener


def _total(counts: Iterable[int | None]) -> int | None:
    """The sum; None if one of them is not known."""
    known = list(counts)
    return None if None in known else sum(count or 0 for count in known)


def _sum(counts: Iterable[int | None]) -> int | None:
    """The sum of what is told, since a record may tell of one side alone; None if nothing is."""
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
