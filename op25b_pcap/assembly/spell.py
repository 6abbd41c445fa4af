"""Kernels that spell what names flows: digests and addresses as text, for millions at once.

SHA-1 is FIPS 180-4; what is digested fits one block here. Rows of octets go in, rows of characters
come out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

BLOCK = 64
"""Octets of a block of SHA-1."""
MOST_OCTETS = BLOCK - 9
"""Octets of a message that fits: behind it stand a bit and its length."""
DIGEST = 20
_WORD = 0xFFFFFFFF
_STATE = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0)
_ROUNDS = (0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xCA62C1D6)
_HEX = b"0123456789abcdef"
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def rotated(word: int, bits: int) -> int:
    """A word of 32 bits, turned to the left."""
    return (word << bits | word >> 32 - bits) & _WORD


def sha1(message: Any, schedule: Any, digest: Any) -> None:
    """The digest of a short message; `schedule` is room for 80 words."""
    size = len(message)
    for index in range(16):
        word = 0
        for at in range(4 * index, 4 * index + 4):
            octet = 0
            if at < size:
                octet += message[at]
            elif at == size:
                octet = 0x80
            word = word << 8 | octet
        schedule[index] = word
    schedule[15] = 8 * size
    for index in range(16, 80):
        schedule[index] = rotated(
            schedule[index - 3] ^ schedule[index - 8] ^ schedule[index - 14] ^ schedule[index - 16], 1
        )
    a, b, c, d, e = _STATE
    for index in range(80):
        if index < 20:
            mixed = b & c | (b ^ _WORD) & d
        elif 40 <= index < 60:
            mixed = b & c | b & d | c & d
        else:
            mixed = b ^ c ^ d
        turned = (rotated(a, 5) + mixed + e + _ROUNDS[index // 20] + schedule[index]) & _WORD
        a, b, c, d, e = turned, a, rotated(b, 30), c, d
    for index, word in enumerate((a, b, c, d, e)):
        total = (word + _STATE[index]) & _WORD
        for at in range(4):
            digest[4 * index + at] = total >> 24 - 8 * at & 0xFF


def sheet() -> tuple[Any, Any]:
    """Room for a block's schedule and its digest, and one octet more."""
    return np.zeros(80, np.int64), np.zeros(DIGEST + 1, np.uint8)


def spell_digests(octets: int, messages: Any, text: Any, schedule: Any, digest: Any) -> None:
    """For each row of `messages` the first octets of its digest in hexadecimal."""
    for row in range(len(messages)):
        sha1(messages[row], schedule, digest)
        for index in range(octets):
            text[row, 2 * index] = _HEX[digest[index] >> 4]
            text[row, 2 * index + 1] = _HEX[digest[index] & 15]


def spell_community_ids(messages: Any, text: Any, schedule: Any, digest: Any) -> None:
    """For each row of `messages` its Community ID: version, colon, the digest in base64 (RFC 4648)."""
    for row in range(len(messages)):
        sha1(messages[row], schedule, digest)
        text[row, 0], text[row, 1] = 0x31, 0x3A
        for group in range(7):
            at = 3 * group
            bits = np.int64(digest[at]) << 16 | np.int64(digest[at + 1]) << 8 | np.int64(digest[at + 2])
            for index in range(4):
                text[row, 2 + 4 * group + index] = _BASE64[bits >> 18 - 6 * index & 63]
        text[row, 29] = 0x3D


def spell_ipv4(addresses: Any, text: Any, ends: Any) -> None:
    """Dotted addresses one after the other in `text`; `ends` says where each ends."""
    used = 0
    for row in range(len(addresses)):
        for shift in (24, 16, 8, 0):
            octet = addresses[row] >> shift & 0xFF
            if octet >= 100:
                text[used] = 48 + octet // 100
                used += 1
            if octet >= 10:
                text[used] = 48 + octet // 10 % 10
                used += 1
            text[used] = 48 + octet % 10
            text[used + 1] = 46
            used += 2
        used -= 1
        ends[row + 1] = used
