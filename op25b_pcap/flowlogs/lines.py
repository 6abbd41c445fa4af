"""Pieces of octets to lines, in bounded memory and linear time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from op25b_pcap.capture.octets import Broken
from op25b_pcap.flowlogs.entry import Log

MAX_LINE = 1 << 20
"""Octets of a line: Zeek keeps a thousand recipients, of 256 octets at most (RFC 5321)."""


BOM = b"\xef\xbb\xbf"
"""What some editors write before the first letter of UTF-8."""


class Line(NamedTuple):
    """One line without its end."""

    offset: int
    """Octets of the log before it."""
    number: int
    """1-based."""
    octets: bytes


def lines(pieces: Iterator[bytes], log: Log) -> Iterator[Line]:
    """All lines; one that is too long, or the rest of a stream that breaks, is a damage.

    Zero octets, which a file system leaves where the power went, are no part of them.
    """
    held: list[bytes] = []
    length = kept = offset = number = 0
    try:
        for piece in pieces:
            is_noisy = b"\0" in piece
            *ended, rest = piece.split(b"\n")
            for part in ended:
                length += len(part)
                if is_noisy:
                    part = part.replace(b"\0", b"")
                if not number:
                    part = part.removeprefix(BOM)
                kept += len(part)
                number += 1
                log.records = number
                if kept > MAX_LINE:
                    log.damaged(offset, "a line that is too long")
                else:
                    if held:
                        held.append(part)
                        part = b"".join(held)
                    yield Line(offset, number, part.rstrip(b"\r"))
                if held:
                    held.clear()
                offset += length + 1
                length = kept = 0
            length += len(rest)
            rest = rest.replace(b"\0", b"")
            kept += len(rest)
            if kept > MAX_LINE:
                held.clear()
            elif rest:
                held.append(rest)
    except Broken as fault:
        log.damaged(offset, str(fault))
        return
    if kept > MAX_LINE:
        log.damaged(offset, "a line that is too long")
    elif kept:
        log.records = number + 1
        yield Line(offset, number + 1, b"".join(held).rstrip(b"\r"))
