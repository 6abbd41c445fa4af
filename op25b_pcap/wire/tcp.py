"""TCP (RFC 9293 section 3.1): offsets, and the checksum with its pseudo-header."""

from __future__ import annotations

HEADER = 20
PORTS_END, SEQUENCE_END, FLAGS_END, WINDOW_END = 4, 8, 14, 16
ACK, DATA_OFFSET, FLAGS, WINDOW, CHECKSUM = 8, 12, 13, 14, 16
"""Offsets of fields; ports and sequence number end where the next begins."""
PROTOCOL = 6
_CHECKSUM = slice(CHECKSUM, CHECKSUM + 2)


def checksum_ok(src: bytes, dst: bytes, segment: bytes) -> bool | None:
    """Whether the checksum is right; None where the sender left it to its network card.

    Such a packet, captured before the card fills the sum in, holds the sum of the pseudo-header
    alone (Linux), or zero.
    """
    pseudo_header = _sum(src + dst) + PROTOCOL + len(segment)
    if (pseudo_header + _sum(segment)) % 0xFFFF == 0:
        return True
    found = int.from_bytes(segment[_CHECKSUM])
    return None if found == 0 or found == pseudo_header % 0xFFFF else False


def _sum(data: bytes) -> int:
    """The sum of all 16-bit words modulo 2^16 - 1, which is what RFC 1071 adds up to.

    A power of 2^16 is 1 in that modulus, so the octets taken as one number have the same rest.
    """
    return int.from_bytes(data if len(data) % 2 == 0 else data + b"\0") % 0xFFFF
