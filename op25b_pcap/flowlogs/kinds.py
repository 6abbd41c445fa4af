"""Which log a stream holds, by its first octets and never by its name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from op25b_pcap.flowlogs import firewall, nfcapd, nfdump, zeek
from op25b_pcap.flowlogs.entry import Entry, Log

HEAD = 1 << 16
"""Octets, uncompressed, in which a log shows what it is; fewer do if they hold its first lines."""
_ZEEK_KEY = re.compile(rb'"(?:orig_h|id\.orig_h)"\s*:')
_ZEEK_LOG = re.compile(rb'"(?:conn_state|trans_depth)"\s*:')

Reader = Callable[[Iterator[bytes], Log], Iterator[Entry]]
READERS: dict[str, Reader] = {
    "zeek": zeek.tsv,
    "zeek-json": zeek.json_lines,
    "nfdump-csv": nfdump.csv,
    "nfcapd": nfcapd.nfcapd,
    "netfilter": firewall.netfilter,
}


def kind_of(head: bytes) -> str:
    """The kind of a log that begins with `head`; empty if it is none that is known."""
    if head.startswith(nfcapd.MAGICS):
        return "nfcapd"
    if b"\0" in head:
        return ""
    start = head.lstrip()
    if start.startswith(b"#"):
        return "zeek" if _tells_of_zeek(start) else ""
    if start.startswith(b"{"):
        return "zeek-json" if _ZEEK_KEY.search(start) and _ZEEK_LOG.search(start) else ""
    if nfdump.columns_of(start.partition(b"\n")[0].decode("utf-8", "replace")):
        return "nfdump-csv"
    return "netfilter" if firewall.MARK.search(head) else ""


def _tells_of_zeek(head: bytes) -> bool:
    """Whether a header is that of conn.log or smtp.log, also one that was renamed."""
    header = zeek.Header()
    for line in head.splitlines():
        if not line.startswith(b"#"):
            break
        header.read(line)
    return header.tells is not None
