"""Where the blocks of an LZ4 frame end.

In: the head of a frame, then of each part that follows. Out: how many octets the part has. A
decompressor that is fed part by part unpacks one block at a time and no more, whatever comes
after it. No more lengths are given where the frame ends, or is none, or is damaged, or has a
block too small to be worth it.

The same would do for zstd, but there it saves nothing: its decompressor is called for less than
its smaller blocks cost to find.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

HEAD = 19
"""Octets that a head must have: the longest header is that of an LZ4 frame."""
Parts = Callable[[bytes], Generator[int, bytes, None]]

_LZ4 = b"\x04\x22\x4d\x18"
_LEAST = 256
"""Octets that every full block has: the smallest holds 64 KiB, and LZ4 packs 255 into one at best.
Where blocks are smaller, to find their ends costs more than it saves."""


def lz4_parts(head: bytes) -> Generator[int, bytes, None]:
    """Header and blocks of an LZ4 frame (LZ4 Frame Format 1.6), without its end mark.

    The checksum of a block counts as the beginning of the next part: a block that is stored as it
    was has been given out before its checksum can be found wrong. So a part may give two blocks, one
    that waited for its checksum and one that need not; the second has then nothing that can fail.
    """
    if not head.startswith(_LZ4):
        return
    flags, most = head[4], 1 << 8 + 2 * (head[5] >> 4 & 7)
    checksum, content, dictionary = 4 * (flags >> 4 & 1), 8 * (flags >> 3 & 1), 4 * (flags & 1)
    head = yield len(_LZ4) + 3 + content + dictionary
    before = 0
    while True:
        size = int.from_bytes(head[before : before + 4], "little") & 0x7FFFFFFF
        if not _LEAST <= size <= most:
            return
        head = yield before + 4 + size
        before = checksum
