"""Which log a stream holds, by its first octets and never by its name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from op25b_pcap.flowlogs import firewall, nfcapd, nfdump, zeek
from op25b_pcap.flowlogs.entry import Entry, Log
from op25b_pcap.flowlogs.lines import BOM

HEAD = 1 << 16
"""Octets, uncompressed, in which most logs show what they are; fewer do if they hold its first lines."""
_ZEEK_KEY = re.compile(rb'"(?:orig_h|id[._]orig_h)"\s*:')
_JOURNAL_KEY = re.compile(rb'"__REALTIME_TIMESTAMP"\s*:')
_ZEEK_LOG = re.compile(rb'"(?:conn_state|trans_depth)"\s*:')
_TEXT = bytes((*b"\t\n\r\x1b", *range(0x20, 0x7F), *range(0x80, 0x100)))
_CONTROLS_ONE_IN = 50
_ACROSS = 1 << 10
"""Octets of which a piece's last may belong to what begins in it: more than the firewall's words take."""

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
    head = head.replace(b"\0", b"").removeprefix(BOM)
    start = head.lstrip()
    if start.startswith(b"#"):
        return "zeek" if _tells_of_zeek(start) else ""
    if start.startswith(b"{") and not _JOURNAL_KEY.search(start):
        return "zeek-json" if _ZEEK_KEY.search(start) and _ZEEK_LOG.search(start) else ""
    if nfdump.columns_of(start.partition(b"\n")[0].decode("utf-8", "replace")):
        return "nfdump-csv"
    return "netfilter" if _is_text(head) and firewall.MARK.search(head) else ""


def kind_within(head: bytes, rest: Iterator[bytes]) -> str:
    """The kind of a log by its `head`, and by what follows where that leaves it open.

    A firewall's lines stand among those of everything else that a machine has to say, and the first may
    come late; a machine that lost its power leaves zero octets behind.
    """
    while not head.strip(b"\0") and (piece := next(rest, b"")):
        head = piece
    if (kind := kind_of(head)) or not _is_text(head.replace(b"\0", b"")):
        return kind
    if head.lstrip(b"\0 \r\n").startswith(b"{") and not _JOURNAL_KEY.search(head):
        return ""  # its lines have their times in forms that are not known
    held = head[-_ACROSS:]
    for piece in rest:
        held = (held + piece).replace(b"\0", b"")
        if b" OUT=" in held and firewall.MARK.search(held):
            return "netfilter"
        held = held[-_ACROSS:]
    return ""


def _is_text(head: bytes) -> bool:
    """Lines have hardly any control characters; of what is compressed a tenth is some."""
    return len(head.translate(None, _TEXT)) * _CONTROLS_ONE_IN <= len(head) and bool(head)


def _tells_of_zeek(head: bytes) -> bool:
    """Whether a header is that of conn.log or smtp.log, also one that was renamed."""
    header = zeek.Header()
    for line in head.splitlines():
        if not line.startswith(b"#"):
            break
        header.read(line)
    return header.tells is not None
