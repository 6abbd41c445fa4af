from __future__ import annotations

import random

import lz4.frame
import pytest

from op25b_pcap.capture.blocks import HEAD, lz4_parts

NOISE = random.Random(1).randbytes(300_000)
CONTENT = NOISE + b"MAIL FROM:<>\r\n" * 30_000 + bytes(400_000) + NOISE


def parts(frame: bytes) -> list[bytes]:
    """The frame cut where its parts end, and what follows the last of them."""
    walk, found, at = lz4_parts(frame[:HEAD]), [], 0
    length = next(walk)
    while length:
        found.append(frame[at : at + length])
        at += length
        try:
            length = walk.send((frame[at:] + bytes(HEAD))[:HEAD])
        except StopIteration:
            length = 0
    return [*found, frame[at:]]


@pytest.mark.parametrize("block_size", [4, 5, 6, 7])
@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize("sized", [False, True])
def test_a_part_of_lz4_is_a_header_or_a_block(block_size, checksum, sized):
    frame = lz4.frame.compress(CONTENT, block_size=block_size, block_checksum=checksum, store_size=sized)
    header, *blocks, end = parts(frame)
    unpacker = lz4.frame.LZ4FrameDecompressor()
    assert unpacker.decompress(header) == b""
    plain = [unpacker.decompress(block, 1 << 23) for block in (*blocks, end)]
    assert all(len(block) <= (1 + checksum) << 8 + 2 * block_size for block in plain)
    assert b"".join(plain) == CONTENT
    assert len(end) == 4 + 4 * checksum
    assert unpacker.eof


@pytest.mark.parametrize("head", [b"\x50\x2a\x4d\x18", b"\x28\xb5\x2f\xfd", b"\x02\x21\x4c\x18"])
def test_what_is_no_frame_has_no_parts(head):
    assert list(lz4_parts(head + bytes(HEAD))) == []


@pytest.mark.parametrize("size", [0, 255, (1 << 16) + 1])
def test_a_length_that_no_full_block_has_ends_the_parts(size):
    walk = lz4_parts(b"\x04\x22\x4d\x18\x60\x40" + bytes(HEAD))
    assert next(walk) == 7
    with pytest.raises(StopIteration):
        walk.send(size.to_bytes(4, "little") + bytes(HEAD))
