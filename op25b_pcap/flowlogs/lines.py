"""Pieces of octets to lines, in bounded memory and linear time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from op25b_pcap.capture.octets import Broken
from op25b_pcap.flowlogs.entry import Log

MAX_LINE = 1 << 20
"""Octets of a line: Zeek keeps a thousand recipients, of 256 octets at most (RFC 5321)."""


class Line(NamedTuple):
    """One line without its end."""

    offset: int
    """Octets of the log before it."""
    number: int
    """1-based."""
    octets: bytes


def lines(pieces: Iterator[bytes], log: Log) -> Iterator[Line]:
    """All lines; one that is too long, or the rest of a stream that breaks, is a damage."""
    held: list[bytes] = []
    length = offset = number = 0
    try:
        for piece in pieces:
            at = 0
            while (end := piece.find(b"\n", at)) >= 0:
                length += end - at
                number += 1
                log.records = number
                if length > MAX_LINE:
                    log.damaged(offset, "a line that is too long")
                else:
                    held.append(piece[at:end])
                    yield Line(offset, number, b"".join(held).rstrip(b"\r"))
                held.clear()
                offset += length + 1
                at, length = end + 1, 0
            length += len(piece) - at
            if length <= MAX_LINE:
                held.append(piece[at:])
            else:
                held.clear()
    except Broken as fault:
        log.damaged(offset, str(fault))
        return
    if length > MAX_LINE:
        log.damaged(offset, "a line that is too long")
    elif length:
        log.records = number + 1
        yield Line(offset, number + 1, b"".join(held).rstrip(b"\r"))
