"""The session tables: what was said in the mail dialogues, one row a flow or a transaction."""

from __future__ import annotations

from typing import Any, NamedTuple

from op25b_pcap.tables.flows import WIRE_COLUMNS
from op25b_pcap.tables.table import Column, Table

SHARED = ("flow_id", "start_time", "src_ip", "src_port", "dst_ip", "dst_port", "service")
"""Columns that a session has from its flow as they are."""
_FLOW = tuple(next(c for c in WIRE_COLUMNS if c.name == name) for name in SHARED)

TLS_MODES = ("none", "starttls", "implicit")
CLIENT_KINDS = ("mua", "mta", "bot", "unknown")
RESULTS = ("delivered", "rejected", "opaque", "aborted", "no_dialogue")

_TLS = (
    Column("tls", "string", "how TLS began, if it did", words=TLS_MODES),
    Column("tls_version", "string", "version the server chose: TLSv1.2, TLSv1.3, …", nullable=True),
    Column("tls_sni", "string", "server name in the ClientHello (RFC 6066)", nullable=True),
)

SMTP_SESSIONS = Table(
    "smtp_sessions",
    "one row per flow that carried SMTP or tried to; null means not seen",
    (
        *_FLOW,
        Column("banner_code", "uint16", "reply code of the greeting", nullable=True),
        Column("banner_text", "string", "text of the greeting", nullable=True),
        Column(
            "helo_verb", "string", "verb of the last greeting command", nullable=True, words=("HELO", "EHLO")
        ),
        Column("helo", "string", "its argument, the client's name for itself", nullable=True),
        Column("extensions", "list<string>", "EHLO keywords as the server offered them", nullable=True),
        Column("starttls_offered", "bool", "STARTTLS stood among the extensions", nullable=True),
        Column("starttls_accepted", "bool", "the server answered STARTTLS with 220", nullable=True),
        *_TLS,
        Column("auth_offered", "list<string>", "SASL mechanisms offered (RFC 4954)", nullable=True),
        Column("auth_mechanism", "string", "SASL mechanism the client chose", nullable=True),
        Column("auth_succeeded", "bool", "the server answered AUTH with 235", nullable=True),
        Column("transactions", "uint32", "mail transactions begun (MAIL FROM), as far as seen"),
        Column(
            "messages_accepted", "uint32", "messages the server took (250 at the end of data), as far as seen"
        ),
        Column("recipients_accepted", "uint32", "RCPT TO answered with 2xx, as far as seen", nullable=True),
        Column(
            "recipients_rejected", "uint32", "RCPT TO answered with 4xx or 5xx, as far as seen", nullable=True
        ),
        Column(
            "message_bytes", "uint64", "octets of message data seen, before dot-unstuffing", nullable=True
        ),
        Column("last_reply_code", "uint16", "code of the last complete reply", nullable=True),
        Column("last_enhanced_code", "string", "its enhanced status code (RFC 3463)", nullable=True),
        Column("last_reply_text", "string", "its text, addresses masked as `--envelope` says", nullable=True),
        Column("quit", "bool", "the client was seen to say QUIT", nullable=True),
        Column("client_kind", "string", "what the client's manner shows it to be", words=CLIENT_KINDS),
        Column("result", "string", "how the session ended for the mail", words=RESULTS),
        Column("anomalies", "list<string>", "named oddities of the dialogue"),
    ),
)

SMTP_TRANSACTIONS = Table(
    "smtp_transactions",
    "one row per MAIL FROM; null means not seen",
    (
        Column("flow_id", "string", "the flow that carried it"),
        Column("transaction_index", "uint32", "1-based within the flow"),
        Column(
            "mail_from",
            "string",
            "reverse-path as `--envelope` says; empty is the null reverse-path <>",
            nullable=True,
        ),
        Column(
            "rcpt_to",
            "list<string>",
            "forward-paths in order, repeats kept, as `--envelope` says",
            nullable=True,
        ),
        Column("rcpt_reply_codes", "list<uint16>", "the reply to each RCPT TO; null where not seen"),
        Column("declared_size", "uint64", "SIZE parameter of MAIL FROM (RFC 1870)", nullable=True),
        Column(
            "body",
            "string",
            "BODY parameter (RFC 6152, RFC 3030)",
            nullable=True,
            words=("7BIT", "8BITMIME", "BINARYMIME"),
        ),
        Column("smtputf8", "bool", "SMTPUTF8 parameter (RFC 6531)", nullable=True),
        Column("data_command", "string", "how the message was sent", nullable=True, words=("DATA", "BDAT")),
        Column(
            "message_bytes", "uint64", "octets of message data sent, before dot-unstuffing", nullable=True
        ),
        Column("received_headers", "uint16", "Received: fields that open the message", nullable=True),
        Column("reply_code", "uint16", "reply that ended the transaction", nullable=True),
        Column("enhanced_code", "string", "its enhanced status code", nullable=True),
        Column(
            "accepted",
            "bool",
            "the server took the message; null where its reply was not seen",
            nullable=True,
        ),
    ),
)

RETRIEVAL_SESSIONS = Table(
    "retrieval_sessions",
    "one row per POP or IMAP flow; null means not seen",
    (
        *_FLOW,
        Column("greeting", "string", "first line of the server", nullable=True),
        *_TLS,
        Column("auth_mechanism", "string", "USER, APOP, LOGIN or the SASL mechanism", nullable=True),
        Column("auth_succeeded", "bool", "the server accepted it", nullable=True),
        Column("commands", "uint32", "commands of the client, seen in clear"),
        Column("anomalies", "list<string>", "named oddities of the dialogue"),
    ),
)


class Sessions(NamedTuple):
    """The rows of one flow; of the first two one at most is there."""

    smtp: dict[str, Any] | None
    retrieval: dict[str, Any] | None
    transactions: list[dict[str, Any]]

    def rows(self) -> dict[Table, list[dict[str, Any]]]:
        """The same by table."""
        return {
            SMTP_SESSIONS: [self.smtp] if self.smtp else [],
            SMTP_TRANSACTIONS: self.transactions,
            RETRIEVAL_SESSIONS: [self.retrieval] if self.retrieval else [],
        }
