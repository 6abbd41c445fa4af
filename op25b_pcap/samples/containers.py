"""Capture files written by struct: pcap, the same in gzip, and pcapng.

Times are integer nanoseconds; pcap keeps microseconds, pcapng (by its `if_tsresol` option)
nanoseconds. The same frames give the same octets, always.
"""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Callable, Sequence

Frame = tuple[int, bytes]
"""Nanoseconds since 1970 (UTC), and the octets."""
_ETHERNET = 1
_SNAPLEN = 262_144


def pcap(frames: Sequence[Frame]) -> bytes:
    """A classic pcap file (draft-ietf-opsawg-pcap)."""
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, _SNAPLEN, _ETHERNET)
    records = (
        struct.pack("<IIII", *divmod(time_ns // 1000, 1_000_000), len(octets), len(octets)) + octets
        for time_ns, octets in frames
    )
    return header + b"".join(records)


def pcap_gz(frames: Sequence[Frame]) -> bytes:
    """A gzip stream of it; without name and time of compression in its header."""
    stream = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0) as file:
        file.write(pcap(frames))
    return stream.getvalue()


def pcapng(frames: Sequence[Frame]) -> bytes:
    """A pcapng file: one section, one interface (draft-ietf-opsawg-pcapng)."""
    section = _block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    nanoseconds = struct.pack("<HHB3xHH", 9, 1, 9, 0, 0)  # if_tsresol = 10^-9, end of options
    interface = _block(1, struct.pack("<HHI", _ETHERNET, 0, _SNAPLEN) + nanoseconds)
    packets = (
        _block(6, struct.pack("<IIIII", 0, *divmod(time_ns, 1 << 32), len(octets), len(octets)) + octets)
        for time_ns, octets in frames
    )
    return section + interface + b"".join(packets)


def _block(kind: int, body: bytes) -> bytes:
    body += b"\0" * (-len(body) % 4)
    length = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + length + body + length


CONTAINERS: dict[str, Callable[[Sequence[Frame]], bytes]] = {
    "pcap": pcap,
    "pcap.gz": pcap_gz,
    "pcapng": pcapng,
}
"""By the ending of the file's name."""
