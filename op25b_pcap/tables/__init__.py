"""The documented tables: the only thing that the stages share."""

from op25b_pcap.tables.flows import FLOWS
from op25b_pcap.tables.reports import MANIFEST, SUBSCRIBERS, SUMMARY, TIMELINE
from op25b_pcap.tables.sessions import RETRIEVAL_SESSIONS, SMTP_SESSIONS, SMTP_TRANSACTIONS
from op25b_pcap.tables.table import Table

__all__ = [
    "DOCUMENTED",
    "FLOWS",
    "MANIFEST",
    "RETRIEVAL_SESSIONS",
    "SMTP_SESSIONS",
    "SMTP_TRANSACTIONS",
    "SUBSCRIBERS",
    "SUMMARY",
    "TABLES",
    "TIMELINE",
]

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        FLOWS,
        SMTP_SESSIONS,
        SMTP_TRANSACTIONS,
        RETRIEVAL_SESSIONS,
        SUBSCRIBERS,
        SUMMARY,
        TIMELINE,
    )
}
"""All tables of an output folder, by name."""
DOCUMENTED: dict[str, Table] = {**TABLES, MANIFEST.name: MANIFEST}
"""And of a lake."""
