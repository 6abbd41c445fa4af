"""The streams of one flow to its rows: which protocol is spoken there, and what it says.

In: a row of `flows` and both sides' octets in readable order. Out: its row of `smtp_sessions`
or `retrieval_sessions`, and its transactions. Every flow on a mail port has one row, also where
nothing was said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from op25b_pcap.mail.imap import Imap
from op25b_pcap.mail.pop3 import Pop3
from op25b_pcap.mail.smtp.dialogue import Dialogue
from op25b_pcap.mail.smtp.manner import client_kind, result
from op25b_pcap.tables.sessions import SHARED, Sessions
from op25b_pcap.tables.streams import CLIENT, SERVER, Chunk, Passage
from op25b_pcap.wire.services import IMAP_SERVICES, RETRIEVAL_SERVICES

READ = (*SHARED, "conn_state", "initiator_evidence", "src_packets", "dst_packets")
"""Columns of a flow that are read here."""
_TLS_SERVICES = ("submissions", "pop3s", "imaps")
_SUBMISSION = ("submission", "submissions", "smtp-alt")
OVER = frozenset({"SF", "RSTO", "RSTR", "RSTOS0", "RSTRH", "SH", "SHR"})
"""States in which the connection was seen to end, by Zeek's words."""

_LOOK_AT = 1_024
"""Octets of each side that tell the protocol: more than any greeting or first command has."""
_SMTP_GREETING = re.compile(rb"220[ -][^\n]*\n")
_SMTP_CLIENT = re.compile(rb"(?:EHLO|HELO)[ \r\n]|\Z", re.IGNORECASE)


def read(flow_row: Mapping[str, Any], chunks: Sequence[Chunk]) -> Sessions:
    """Read the session of one flow."""
    if not chunks:
        return _silence(flow_row)
    return _session(flow_row, chunks)


def skimmed(flow_row: Mapping[str, Any], told: Sequence[Chunk | Passage]) -> Sessions | None:
    """Read an SMTP session of which some octets were passed over; None: they are needed."""
    if flow_row["service"] in RETRIEVAL_SERVICES:
        return None
    dialogue = _dialogue(flow_row)
    return _smtp_rows(flow_row, dialogue) if _play(dialogue, told) else None


def _session(flow_row: Mapping[str, Any], chunks: Sequence[Chunk]) -> Sessions:
    service = flow_row["service"]
    if service in RETRIEVAL_SERVICES and not _speaks_smtp(chunks):
        return Sessions(None, _retrieval(flow_row, chunks), [])
    return _smtp(flow_row, chunks)


def _silence(flow_row: Mapping[str, Any]) -> Sessions:
    """A flow that carried nothing: of these there may be millions, and they are all alike."""
    told = tuple((name, flow_row[name]) for name in ("service", "conn_state", "initiator_evidence"))
    counted = tuple((name, bool(flow_row[name])) for name in ("src_packets", "dst_packets"))
    smtp, retrieval, _ = _blank(told + counted)
    shared = {name: flow_row[name] for name in SHARED}
    return Sessions(smtp and {**smtp, **shared}, retrieval and {**retrieval, **shared}, [])


@lru_cache(maxsize=1024)
def _blank(known: tuple[tuple[str, Any], ...]) -> Sessions:
    """The rows of a silent flow of which only this is known."""
    return _session({**dict.fromkeys(SHARED), **dict(known)}, ())


def _smtp(flow_row: Mapping[str, Any], chunks: Sequence[Chunk]) -> Sessions:
    dialogue = _dialogue(flow_row)
    _play(dialogue, chunks)
    return _smtp_rows(flow_row, dialogue)


def _dialogue(flow_row: Mapping[str, Any]) -> Dialogue:
    return Dialogue(from_start=_from_start(flow_row), tls_port=flow_row["service"] in _TLS_SERVICES)


def _smtp_rows(flow_row: Mapping[str, Any], dialogue: Dialogue) -> Sessions:
    service = flow_row["service"]
    on_tls_port = service in _TLS_SERVICES
    dialogue.close(is_over=flow_row["conn_state"] in OVER)
    session, last = dialogue.session, dialogue.last_reply
    last_code = last.code if last else None
    spoken = dialogue.has_spoken or last is not None
    unheard = dialogue.has_spoken and last is None and not flow_row["dst_packets"]
    anomalies = dialogue.anomalies
    if unheard:
        anomalies.add("server_unseen")
    if spoken and not flow_row["src_packets"]:
        anomalies.add("client_unseen")
    if spoken and on_tls_port:
        anomalies.add("clear_text")
    if service in RETRIEVAL_SERVICES:
        anomalies.add("other_port")
    submits = service in _SUBMISSION
    row = session.columns(last)
    for name in SHARED:
        row[name] = flow_row[name]
    row["tls"] = dialogue.tls
    row["tls_version"] = dialogue.handshake.version
    row["tls_sni"] = dialogue.handshake.sni
    row["client_kind"] = client_kind(session, anomalies, submits=submits, hidden=dialogue.is_hidden)
    row["result"] = result(session, last_code, tls=dialogue.tls, spoken=spoken, unheard=unheard)
    row["anomalies"] = sorted(anomalies)
    transactions = [
        {"flow_id": flow_row["flow_id"], **transaction.columns(index)}
        for index, transaction in enumerate(session.transactions, 1)
    ]
    return Sessions(row, None, transactions)


def _retrieval(flow_row: Mapping[str, Any], chunks: Sequence[Chunk]) -> dict[str, Any]:
    service = flow_row["service"]
    protocol = Imap if service in IMAP_SERVICES else Pop3
    dialogue = protocol(from_start=_from_start(flow_row), tls_port=service in _TLS_SERVICES)
    _play(dialogue, chunks)
    dialogue.close()
    return {**{name: flow_row[name] for name in SHARED}, **dialogue.columns()}


def _play(dialogue: Dialogue | Pop3 | Imap, told: Sequence[Chunk | Passage]) -> bool:
    """Tell a dialogue all that was said; False: it needs what was passed over."""
    for each in told:
        if isinstance(each, Passage):
            if not isinstance(dialogue, Dialogue) or not dialogue.pass_over(*each):
                return False
            continue
        side, _, skipped, data = each
        if skipped:
            dialogue.gap(side, skipped)
        if data:
            dialogue.receive(side, data)
            if dialogue.is_done:
                break
    return True


def _from_start(flow_row: Mapping[str, Any]) -> bool:
    """Whether the opening was seen, so that nothing can have been said before."""
    return bool(flow_row["initiator_evidence"] != "port")


def _speaks_smtp(chunks: Sequence[Chunk]) -> bool:
    """Whether a session on a port for fetching mail is SMTP: 220, and EHLO or nothing yet."""
    head = {CLIENT: b"", SERVER: b""}
    for side, _, skipped, data in chunks:
        if skipped or all(len(octets) >= _LOOK_AT for octets in head.values()):
            break
        head[side] = (head[side] + data)[:_LOOK_AT]
        if not b"220".startswith(head[SERVER][:3]):
            return False
    greets = _SMTP_GREETING.match(head[SERVER]) is not None
    return greets and _SMTP_CLIENT.match(head[CLIENT]) is not None
