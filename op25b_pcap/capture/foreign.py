"""What a file is that is no pcap and no pcapng, as far as its first octets tell."""

from __future__ import annotations

from op25b_pcap.capture.compression import compression_of

_MAGICS = (
    (b"snoop\0\0\0", "a snoop capture"),
    (b"btsnoop\0", "a Bluetooth snoop log"),
    (b"RTSS", "a Microsoft Network Monitor capture"),
    (b"GMBU", "a Microsoft Network Monitor capture"),
    (b"TRSNIFF data    \x1a", "a Sniffer capture"),
    (b"XCP\0", "a NetXRay capture"),
    (b"\x05VNF", "a Visual Networks capture"),
    (b"ObserverPktBuffer", "a Network Instruments Observer capture"),
    (b"iptrace ", "an AIX iptrace capture"),
    (b"PK\x03\x04", "a zip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x1f\x9d", "a file of `compress`"),
    (b"\x1f\xa0", "a file of `compress`"),
    (b"\x02\x21\x4c\x18", "an LZ4 file of the old format without frames"),
    (b"\x7fELF", "an ELF program"),
    (b"MZ", "a Windows program"),
    (b"%PDF", "a PDF document"),
    (b"PAR1", "a Parquet table"),
    (b"SQLite format 3\0", "an SQLite database"),
)
_TAR_MAGIC = slice(257, 262)
HEAD = 262
"""Octets that are looked at."""
_TEXT = frozenset(range(0x20, 0x7F)) | frozenset(b"\t\r\n")


def resemblance(head: bytes) -> str:
    """What a file that begins with `head` looks like, with its article; empty if like nothing known."""
    for magic, kind in _MAGICS:
        if head.startswith(magic):
            return kind
    if head[_TAR_MAGIC] == b"ustar":
        return "a tar archive"
    if (compression := compression_of(head)) is not None:
        return f"a {compression.name} stream within another"
    if _TEXT.issuperset(head):
        return "text"
    return "zeros only" if not head.strip(b"\0") else ""
