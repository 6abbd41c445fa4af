"""What may stand before an SMTP dialogue on the same connection: a proxy's words.

In: the first octets of one side. Out: how many of them are a preamble, and its name. Spam tools
reach port 25 through open HTTP and SOCKS proxies; load balancers put the client's address into
a PROXY header. The dialogue begins behind it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from op25b_pcap.tables.streams import CLIENT, SERVER, Side

MAX_PREAMBLE = 8_192
"""Octets after which it is none: as long as web servers let a header be."""

_CONNECT = re.compile(rb"CONNECT [^\r\n]++\r?\n(?:[^\r\n]++\r?\n)*+\r?\n")  # RFC 9110 section 9.3.6
_CONNECTED = re.compile(rb"HTTP/1\.[01] 2[^\r\n]*+\r?\n(?:[^\r\n]++\r?\n)*+\r?\n")
_PROXY = re.compile(rb"PROXY [^\r\n]++\r\n")  # HAProxy, proxy-protocol.txt, version 1


def _whole(pattern: re.Pattern[bytes], data: bytes) -> int | None:
    match = pattern.match(data)
    return match.end() if match else None


def _socks4(data: bytes) -> int | None:
    """Request of SOCKS 4 and 4a: port, address, user, and a name where the address is 0.0.0.x."""
    end = data.find(b"\0", 8) + 1
    if end and data[4:7] == b"\0\0\0" and data[7]:
        end = data.find(b"\0", end) + 1
    return end or None


def _socks5(data: bytes) -> int | None:
    """Methods, user and password where they were asked for (RFC 1929), request (RFC 1928)."""
    at = 2 + data[1]
    if data[at] == 1:
        at += 2 + data[at + 1]
        at += 1 + data[at]
    return _socks5_address(data, at + 3)


def _socks5_answer(data: bytes) -> int | None:
    at = 2 if data[2] == 5 else 4
    return _socks5_address(data, at + 3)


def _socks5_address(data: bytes, at: int) -> int | None:
    """Behind an address (IPv4, name, IPv6) and a port."""
    return at + {1: 5, 3: 2 + data[at + 1], 4: 17}.get(data[at], 1) + 2


_PREAMBLES: dict[Side, tuple[tuple[str, bytes, Callable[[bytes], int | None]], ...]] = {
    CLIENT: (
        ("http_connect", b"CONNECT ", lambda data: _whole(_CONNECT, data)),
        ("socks", b"\x04\x01", _socks4),
        ("socks", b"\x05", _socks5),
        ("proxy_header", b"PROXY ", lambda data: _whole(_PROXY, data)),
    ),
    SERVER: (
        ("http_connect", b"HTTP/1.", lambda data: _whole(_CONNECTED, data)),
        ("socks", b"\0\x5a", lambda data: 8),
        ("socks", b"\x05", _socks5_answer),
    ),
}


_FIRST_OCTETS = {side: {opening[0] for _, opening, _ in known} for side, known in _PREAMBLES.items()}


def preamble(side: Side, data: bytes) -> tuple[str, int] | None:
    """Name and length of the preamble that a side's octets open with, or ("", 0).

    None: more octets must come to tell.
    """
    if data and data[0] not in _FIRST_OCTETS[side]:
        return "", 0
    for name, opening, length in _PREAMBLES[side]:
        head = data[: len(opening)]
        if not data or not opening.startswith(head):
            continue
        try:
            end = length(data) if head == opening else None
        except IndexError:
            end = None
        if end is not None and end <= len(data):
            return name, end
        return None if len(data) < MAX_PREAMBLE else ("", 0)
    return "", 0
