"""The form of a TLS handshake as a listener sees it (`mail.tls`): the name asked for, and the version."""

from __future__ import annotations

from typing import Any

from op25b_pcap.forms.pen import (
    ALERT,
    CLIENT_HELLO,
    CLIENT_SAYS,
    NAMELESS_HELLO,
    SERVER_HELLO,
    SERVER_SAYS,
    SPOILT,
    put,
    put_blank,
)

_CLIENT, _SERVER = 0, 1
_CHANGE_CIPHER_SPEC, _ALERT, _HANDSHAKE, _APPLICATION_DATA = range(20, 24)
_HEADER, _MOST_RECORD = 5, (1 << 14) + 2048
_SERVER_NAME, _SUPPORTED_VERSIONS = 0, 43
_RANDOM = 32
_FATAL = 2
"""The level of an alert behind which its side says nothing more (RFC 8446 section 6)."""
_MOST_NAME = 255


def number(text: Any, at: int, octets: int) -> int:
    """A number in network order; who calls it knows that it is there."""
    value = 0
    for index in range(octets):
        value = value << 8 | int(text[at + index])
    return value


def tls(text: Any, runs: Any, begin: int, end: int, page: Any, pen: Any, blanks: Any) -> bool:
    """Write what both hellos say: the client's comes first. Records are followed until they are encrypted.

    An alert in clear that is no end, an empty record or a hello in pieces has no form.
    """
    left_of_client, left_of_server = 0, 0
    client_told, server_told, client_over, server_over = False, False, False, False
    for run in range(begin, end):
        side = runs[run]["side"]
        if (side == _CLIENT and client_over) or (side == _SERVER and server_over):
            continue
        is_told = client_told if side == _CLIENT else server_told
        if side == _SERVER and not client_told:
            return False
        at, stop = runs[run]["begin"], runs[run]["end"]
        left = left_of_client if side == _CLIENT else left_of_server
        is_over = False
        while at < stop:
            if left:
                step = min(left, stop - at)
                at += step
                left -= step
                continue
            if stop - at < _HEADER:
                return False
            kind, length = text[at], number(text, at + 3, 2)
            if text[at + 1] != 3 or text[at + 2] > 4 or length > _MOST_RECORD or length == 0:
                return False
            if kind == _ALERT and length == 2 and (is_told or side == _SERVER):
                if at + _HEADER + length > stop or text[at + _HEADER] != _FATAL:
                    return False
                put(page, pen, ALERT)
                put(page, pen, CLIENT_SAYS if side == _CLIENT else SERVER_SAYS)
                is_over = True
                break
            if not is_told:
                if kind != _HANDSHAKE or at + _HEADER + length > stop:
                    return False
                body = at + _HEADER
                is_told = (
                    client_hello(text, body, body + length, page, pen, blanks)
                    if side == _CLIENT
                    else server_hello(text, body, body + length, page, pen)
                )
                if not is_told:
                    return False
            elif kind in (_CHANGE_CIPHER_SPEC, _APPLICATION_DATA) or kind == _ALERT:
                is_over = True
                break
            elif kind != _HANDSHAKE:
                return False
            left = length
            at += _HEADER
        if side == _CLIENT:
            left_of_client, client_told, client_over = left, is_told, is_over
        else:
            left_of_server, server_told, server_over = left, is_told, is_over
    return pen[SPOILT] == 0


def extensions_at(text: Any, at: int, end: int, skipped: int, vectors: int) -> int:
    """Where a hello's extensions begin, behind their length; `end` if it has none; -1: it is too short.

    Behind `at` stand a version and a random, then vectors with lengths of one octet and of two.
    """
    at += 2 + _RANDOM
    for index in range(vectors):
        octets = 2 if index == 1 else 1
        if at + octets > end:
            return -1
        at += octets + number(text, at, octets)
    at += skipped
    if at >= end:
        return end if at == end else -1
    if at + 2 > end or at + 2 + number(text, at, 2) > end:
        return -1
    return at + 2


def hello_end(text: Any, at: int, end: int, kind: int) -> int:
    """Where the body of a hello ends that is whole in `at` to `end`; else -1."""
    if end - at < 4 or text[at] != kind:
        return -1
    close = at + 4 + number(text, at + 1, 3)
    return close if close <= end else -1


def client_hello(text: Any, at: int, end: int, page: Any, pen: Any, blanks: Any) -> bool:
    """Write a ClientHello (RFC 8446 section 4.1.2); the name must be in small letters."""
    end = hello_end(text, at, end, 1)
    if end < 0:
        return False
    at = extensions_at(text, at + 4, end, 0, 3)
    if at < 0:
        return False
    if at < end:
        end = at + number(text, at - 2, 2)
    begin, close = 0, 0
    while at < end:
        if end - at < 4:
            return False
        kind, length = number(text, at, 2), number(text, at + 2, 2)
        at += 4
        if length > end - at:
            return False
        if kind == _SERVER_NAME:
            # A list of one name, of type 0 (RFC 6066 section 3).
            if close or length < 6 or number(text, at, 2) != length - 2 or text[at + 2] != 0:
                return False
            begin, close = at + 5, at + length
            if number(text, at + 3, 2) != close - begin or close - begin > _MOST_NAME:
                return False
            for place in range(begin, close):
                if not 0x21 <= text[place] <= 0x7E or 0x41 <= text[place] <= 0x5A:
                    return False
        at += length
    if close:
        put_blank(begin, close, CLIENT_HELLO, page, pen, blanks)
    else:
        put(page, pen, NAMELESS_HELLO)
    return True


def server_hello(text: Any, at: int, end: int, page: Any, pen: Any) -> bool:
    """Write a ServerHello (RFC 8446 section 4.1.3): the version that it chose."""
    end = hello_end(text, at, end, 2)
    if end < at + 6:
        return False
    chosen = number(text, at + 4, 2)
    if not 0x0300 <= chosen <= 0x0304:
        return False
    at = extensions_at(text, at + 4, end, 3, 1)
    if at < 0:
        return False
    if at < end:
        end = at + number(text, at - 2, 2)
    is_chosen = False
    while at < end:
        if end - at < 4:
            return False
        kind, length = number(text, at, 2), number(text, at + 2, 2)
        at += 4
        if length > end - at:
            return False
        if kind == _SUPPORTED_VERSIONS:
            if is_chosen or length != 2:
                return False
            chosen, is_chosen = number(text, at, 2), True
            if not 0x0300 <= chosen <= 0x0304:
                return False
        at += length
    put(page, pen, SERVER_HELLO)
    put(page, pen, chosen & 0xFF)
    return True
