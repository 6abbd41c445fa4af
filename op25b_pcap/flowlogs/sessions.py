"""The session rows of an attempt: Zeek's mail transactions, or that nothing was said.

An attempt of which the log knows no dialogue, and not that there was none, has no row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from op25b_pcap.flowlogs.entry import Entry, Mail
from op25b_pcap.tables.sessions import RETRIEVAL_SESSIONS, SHARED, SMTP_SESSIONS, Sessions
from op25b_pcap.wire.services import RETRIEVAL_SERVICES

_NEVER_OPEN = ("no_answer", "refused", "half_open")
_CLOSING = 221
"""RFC 5321 section 4.2.3: the reply to QUIT."""
_SILENT_SMTP = dict.fromkeys(SMTP_SESSIONS.names) | {
    "tls": "none",
    "transactions": 0,
    "messages_accepted": 0,
    "recipients_accepted": 0,
    "recipients_rejected": 0,
    "message_bytes": 0,
    "quit": False,
    "client_kind": "unknown",
    "result": "no_dialogue",
    "anomalies": [],
}
_SILENT_RETRIEVAL = dict.fromkeys(RETRIEVAL_SESSIONS.names) | {"tls": "none", "commands": 0, "anomalies": []}


def sessions(row: Mapping[str, Any], mails: Sequence[Entry]) -> Sessions:
    """The rows of one flow; all empty where the log knows nothing of a dialogue."""
    shared = {name: row[name] for name in SHARED}
    if mails:
        told = [entry.mail for entry in mails if entry.mail is not None]
        transactions = [mail for mail in told if _is_transaction(mail)]
        return Sessions(
            {**dict.fromkeys(SMTP_SESSIONS.names), **shared, **_dialogue(told)},
            None,
            [_transaction(row["flow_id"], index, mail) for index, mail in enumerate(transactions, 1)],
        )
    if not _is_silent(row):
        return Sessions(None, None, [])
    if row["service"] in RETRIEVAL_SERVICES:
        return Sessions(None, {**_SILENT_RETRIEVAL, **shared}, [])
    return Sessions({**_SILENT_SMTP, **shared}, None, [])


def _is_silent(row: Mapping[str, Any]) -> bool:
    """Whether nothing can have been said: it was never open, or no octet was carried."""
    carried_none = row["src_bytes"] == 0 and row["dst_bytes"] == 0
    return row["outcome"] in _NEVER_OPEN or (row["outcome"] == "connected" and carried_none)


def _is_transaction(mail: Mail) -> bool:
    """Whether the line is of a mail: Zeek writes one also for a session that only begins TLS."""
    return mail.mail_from is not None or mail.rcpt_to is not None or mail.has_message or not mail.tls


def _accepted(mail: Mail) -> bool | None:
    """Whether the server took the message; None where the last reply may be to another command.

    After the message's header, which 354 asked for, a reply is that to its end.
    """
    if mail.code is None:
        return None
    if mail.code >= 400:
        return False
    return True if mail.has_message and 200 <= mail.code < 300 and mail.code != _CLOSING else None


def _dialogue(mails: Sequence[Mail]) -> dict[str, Any]:
    """The columns of `smtp_sessions`. Zeek has the recipients, but not the reply to each of them."""
    last = mails[-1]
    taken = [_accepted(mail) for mail in mails]
    tls = any(mail.tls for mail in mails)
    one_each = all(taken) and all(len(mail.rcpt_to or ()) == 1 for mail in mails)
    return {
        "helo": next((mail.helo for mail in reversed(mails) if mail.helo), None),
        "starttls_accepted": True if tls else None,
        "tls": "starttls" if tls else "none",
        "transactions": sum(map(_is_transaction, mails)),
        "messages_accepted": taken.count(True),
        "recipients_accepted": len(mails) if one_each else None,
        "last_reply_code": last.code,
        "last_enhanced_code": last.enhanced,
        "last_reply_text": last.text,
        "quit": True if any(mail.code == _CLOSING for mail in mails) else None,
        "client_kind": "mta" if any(mail.received for mail in mails) else "unknown",
        "result": _result(taken, last, tls=tls),
        "anomalies": [],
    }


def _result(taken: Sequence[bool | None], last: Mail, *, tls: bool) -> str:
    """The word of the column, by the ladder of the mail stage."""
    if True in taken:
        return "delivered"
    if tls or last.code is None:
        return "opaque"
    return "rejected" if False in taken else "aborted"


def _transaction(flow_id: str, index: int, mail: Mail) -> dict[str, Any]:
    accepted = _accepted(mail)
    recipients = None if mail.rcpt_to is None else list(mail.rcpt_to)
    return {
        "flow_id": flow_id,
        "transaction_index": index,
        "mail_from": mail.mail_from,
        "rcpt_to": recipients,
        "rcpt_reply_codes": [None] * len(recipients or ()),
        "declared_size": None,
        "body": None,
        "smtputf8": None,
        "data_command": None,
        "message_bytes": None,
        "received_headers": mail.received,
        "reply_code": mail.code if accepted is not None else None,
        "enhanced_code": mail.enhanced if accepted is not None else None,
        "accepted": accepted,
    }
