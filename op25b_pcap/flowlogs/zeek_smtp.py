"""A line of Zeek's smtp.log: the mail transaction, without anything of the message.

Zeek writes a line when a message was answered, when another MAIL follows, or when the connection
ends. Its fields from the message's header are looked at only for whether they are there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from op25b_pcap.flowlogs.entry import Mail
from op25b_pcap.flowlogs.fields import visible

Told = Mapping[str, str | tuple[str, ...]]

COLUMNS = frozenset({"ts", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "trans_depth", "tls"})
"""What a transaction cannot be told without."""
MESSAGE = (
    "date",
    "from",
    "to",
    "cc",
    "reply_to",
    "msg_id",
    "in_reply_to",
    "subject",
    "x_originating_ip",
    "first_received",
    "user_agent",
    "fuids",
)
"""Fields that only a message can have filled: DATA was sent, and accepted with 354."""
OTHERS = ("uid", "helo", "mailfrom", "rcptto", "second_received", "last_reply")
"""What else is looked at."""
MAX_RECIPIENTS = 65_536
"""Recipients of a mail that are kept, as of a dialogue that packets hold."""
MAX_TEXT = 1000
"""Characters kept of a name or a reply: RFC 5321 section 4.5.3.1.5 allows 512 octets."""
# Reply-line and status code: RFC 5321 section 4.2, RFC 3463 section 2.
_REPLY = re.compile(r"([2-5]\d\d)(?:[ -]+([245]\.\d{1,3}\.\d{1,3})(?=\s|\Z))?[ -]*(.*)", re.DOTALL | re.ASCII)


def mail(told: Told) -> Mail:
    """What the line tells of the dialogue."""
    reply = _REPLY.fullmatch(_text(told, "last_reply")[:MAX_TEXT])
    has_message = any(told.get(name) for name in MESSAGE)
    recipients = told.get("rcptto")
    return Mail(
        helo=_visible(_text(told, "helo")) or None,
        mail_from=_path(told, "mailfrom"),
        rcpt_to=tuple(map(_bare, recipients[:MAX_RECIPIENTS])) if isinstance(recipients, tuple) else None,
        code=int(reply[1]) if reply else None,
        enhanced=reply[2] if reply else None,
        text=_visible(reply[3]) if reply else None,
        tls=_text(told, "tls") in ("T", "true"),
        has_message=has_message,
        received=_received(told) if has_message else None,
    )


def _received(told: Told) -> int | None:
    """Zeek keeps two Received: fields: with both there may be more."""
    if told.get("second_received"):
        return None
    return 1 if told.get("first_received") else 0


def _path(told: Told, name: str) -> str | None:
    """Null where it is not set: Zeek leaves it out also for the null reverse-path."""
    text = told.get(name)
    return _bare(text) if isinstance(text, str) and text else None


def _bare(text: str) -> str:
    """Without the angle brackets that old versions keep; `<>` is the null reverse-path."""
    text = _visible(text.strip())
    return text[1:-1] if text.startswith("<") and text.endswith(">") else text


def _visible(text: str) -> str:
    return visible(text[:MAX_TEXT])


def _text(told: Told, name: str) -> str:
    value = told.get(name, "")
    return value if isinstance(value, str) else ""
