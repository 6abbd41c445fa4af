"""How much of the envelope addresses is written: `full`, `domain` or `none`.

Envelope addresses fall under the secrecy of communications (in Japan by the
Telecommunications Business Act, article 4), so the default keeps domains only. Server replies
often repeat the address; they are masked likewise.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from op25b_pcap.tables import RETRIEVAL_SESSIONS, SMTP_SESSIONS, SMTP_TRANSACTIONS

Envelope = Literal["full", "domain", "none"]
ENVELOPES: tuple[Envelope, ...] = get_args(Envelope)

_IN_BRACKETS = r"<[^<>]*@([^<>@]*)>"
_ADDRESS_IN_TEXT = r"""("[^"]*"|[^\s<>"(),:;@\[\]]+)@([^\s<>"'(),;]+)"""
_WITH_TEXT = (SMTP_SESSIONS.name, RETRIEVAL_SESSIONS.name)
_FREE_TEXT = ("banner_text", "helo", "last_reply_text", "greeting")


def masked(table: str, envelope: Envelope, frame: pd.DataFrame) -> pd.DataFrame:
    """The table of that name with the addresses in it as far as they may be written."""
    if table == SMTP_TRANSACTIONS.name:
        return mask_transactions(frame, envelope)
    return mask_text(frame, envelope) if table in _WITH_TEXT else frame


def mask_transactions(frame: pd.DataFrame, envelope: Envelope) -> pd.DataFrame:
    """`smtp_transactions` with `mail_from` and `rcpt_to` as far as they may be written."""
    if envelope == "full" or frame.empty:
        return frame
    recipients = pa.chunked_array(frame["rcpt_to"].array.__arrow_array__())
    senders = pa.chunked_array(frame["mail_from"].array.__arrow_array__())
    if envelope == "none":
        # The null reverse-path is nobody's address.
        null = pa.scalar(None, pa.string())
        senders = pc.if_else(pc.equal(senders, ""), senders, null)
        recipients = pa.chunked_array([pa.nulls(len(frame), recipients.type)])
    else:
        senders = _domain(senders)
        recipients = pa.chunked_array([_within_lists(chunk) for chunk in recipients.chunks])
    return frame.assign(mail_from=_column(senders), rcpt_to=_column(recipients))


def mask_text(frame: pd.DataFrame, envelope: Envelope) -> pd.DataFrame:
    """A session table with the addresses in its free text masked."""
    if envelope == "full" or frame.empty:
        return frame
    masked = {}
    for name in _FREE_TEXT:
        if name in frame:
            texts = pa.chunked_array(frame[name].array.__arrow_array__())
            for address, domain, nothing in (
                (_IN_BRACKETS, r"<@\1>", "<@>"),
                (_ADDRESS_IN_TEXT, r"@\2", "@"),
            ):
                kept = domain if envelope == "domain" else nothing
                texts = pc.replace_substring_regex(texts, address, kept)
            masked[name] = _column(texts)
    return frame.assign(**masked)


def _domain(addresses: Any) -> Any:
    """`@example.com` of each address; an address without a domain keeps nothing but `@`."""
    bare = pc.equal(addresses, "")
    domain = pc.replace_substring_regex(addresses, r"(?s)^.*@", "@")
    has_domain = pc.match_substring(addresses, "@")
    return pc.if_else(bare, addresses, pc.if_else(has_domain, domain, "@"))


def _within_lists(lists: Any) -> Any:
    masked = _domain(lists.flatten())
    offsets = pa.concat_arrays(
        [pa.array([0], pa.int32()), pc.cumulative_sum(pc.fill_null(pc.list_value_length(lists), 0))]
    )
    return pa.ListArray.from_arrays(offsets, masked, mask=lists.is_null() if lists.null_count else None)


def _column(values: Any) -> Any:
    return pd.array(values, dtype=pd.ArrowDtype(values.type))
