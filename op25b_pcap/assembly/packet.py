"""A TCP segment, or an ICMP error that quotes one, as a record of fixed size.

For those who cannot afford an object each: it says what `TcpSegment` and `IcmpError` of
`tables.packets` say. Octets lie in the store that holds the record; `where` is that store's number
for everything else about the place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SEGMENT, ERROR = range(2)
"""Kinds of packet."""

PACKET = np.dtype(
    [
        ("conversation", "i8"),  # a digest of both sockets and, where it counts, of the tunnel
        ("time_ns", "i8"),
        ("number", "i8"),
        ("src_high", "i8"),  # 0 in IPv4
        ("src_low", "i8"),
        ("dst_high", "i8"),
        ("dst_low", "i8"),
        # In the store's octets: options and payload, or the address of the reporter. Less than 0: they
        # were left where they lie, `~at` is a `lying`.
        ("at", "i8"),
        ("captured", "i4"),  # octets of payload that are there; of an error, octets of quoted TCP that tell
        ("length", "i4"),  # octets of payload that were sent
        ("seq", "u4"),
        ("ack", "u4"),
        ("where", "i4"),
        ("capture", "i4"),
        ("window", "i4"),  # -1: not captured
        ("ip_id", "i4"),  # -1: IPv6 has none
        ("src_port", "u2"),
        ("dst_port", "u2"),
        ("flags", "u1"),
        ("ttl", "u1"),
        ("version", "u1"),
        ("checksum", "u1"),  # a word of `scan.row`
        ("options", "u1"),  # octets of options, or of the reporter's address
        ("kind", "u1"),
        ("icmp_type", "u1"),  # of a segment with a tail: the first octet of its payload
        ("icmp_code", "u1"),
        ("tail", "u4"),  # of payload that may be passed over (`skim.tail_of`)
    ],
    align=True,
)

_WORDS = PACKET.itemsize // 8
_OFFSET_BITS = 44
_FARTHEST = 1 << 43
_MOST_FILES = 1 << 19


def lying(file: int, offset: int) -> int:
    """A place in a file, so that those of several stand in one order, far from each other.

    -1 for what is too far, in too many files, or, with a negative offset, in none.
    """
    return file << _OFFSET_BITS | offset if 0 <= offset < _FARTHEST and file < _MOST_FILES else -1


def file_and_offset(places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What `lying` was made of."""
    return places >> _OFFSET_BITS, places & ((1 << _OFFSET_BITS) - 1)


def carried(packets: NDArray[Any]) -> NDArray[np.int64]:
    """Octets that lie in the store for each packet."""
    payload = np.where(packets["kind"] == SEGMENT, packets["captured"], 0)
    octets: NDArray[np.int64] = np.where(packets["at"] < 0, 0, packets["options"] + payload.astype(np.int64))
    return octets


def chosen(
    packets: NDArray[Any], which: NDArray[np.int64], room: NDArray[np.uint8] | None = None
) -> NDArray[Any]:
    """Packets by their numbers, in that room: NumPy copies rows of words twenty times faster than records."""
    to = None if room is None else room.view(np.int64).reshape(len(which), _WORDS)
    # They are numbers of packets that are there: to wrap them costs less than to doubt them.
    return in_words(packets).take(which, axis=0, out=to, mode="wrap").view(PACKET).reshape(len(which))


def in_words(packets: NDArray[Any]) -> NDArray[np.int64]:
    """The same memory, a row of words for each packet."""
    return packets.view(np.int64).reshape(len(packets), _WORDS)
