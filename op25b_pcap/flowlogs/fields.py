"""Values as logs write them: addresses, ports, counts and times. What is none raises ValueError."""

from __future__ import annotations

import re
import socket
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

_NS = 1_000_000_000
_LATEST_NS = 9_183_110_400 * _NS
"""The year 2261. The tables hold times up to April 2262, and there is reckoning beyond them."""
_MILLISECONDS_FROM = 100_000_000_000
"""A number of seconds this large would be in the year 5138; it is one of milliseconds."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"(\d{1,19})(?:\.(\d{1,27}))?(?:[eE]([+-]?\d{1,3}))?", re.ASCII)
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9})\d{0,9})?(Z|[+-]\d\d:?\d\d)?", re.ASCII
)
_DIGITS = 20
"""Of a number that is worth looking at."""
_MOST = 1 << 44
"""Packets or octets of one record: 16 TiB. More is damage, and so the sum of all that are held fits."""


@lru_cache(maxsize=65_536)
def address(text: str) -> bytes:
    """4 or 16 octets."""
    try:
        return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except (OSError, ValueError):  # ValueError: a zero octet, or no ASCII
        raise ValueError("no IP address") from None


def addresses(src: str, dst: str) -> tuple[bytes, bytes]:
    """Those of both ends of a packet."""
    both = address(src), address(dst)
    if len(both[0]) != len(both[1]):
        raise ValueError("an IPv4 address and an IPv6 address")
    return both


def visible(text: str) -> str:
    """As a terminal can show it."""
    return (
        text
        if text.isprintable()
        else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    )


def count(text: str) -> int:
    """A whole number of things in one record."""
    if len(text) > _DIGITS or not (text.isdecimal() and text.isascii()) or (value := int(text)) > _MOST:
        raise ValueError("no number")
    return value


def port(text: str) -> int:
    """A port; 0 is one that some tools write for none."""
    value = count(text)
    if value > 0xFFFF:
        raise ValueError("no port")
    return value


def seconds_ns(text: str) -> int:
    """Nanoseconds of a decimal number of seconds, digit by digit: no float rounds it."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ValueError("no number of seconds")
    return _in_range(_number_ns(match))


def end_ns(start_ns: int, duration_ns: int) -> int:
    """When it was over."""
    if not start_ns <= start_ns + duration_ns <= _LATEST_NS:
        raise ValueError("it ends before it begins, or after 2261")
    return start_ns + duration_ns


def epoch_ns(text: str, zone: tzinfo = UTC) -> int:
    """A time as seconds, or milliseconds, since 1970, or as ISO 8601; `zone` where that names none."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return iso_ns(text, zone)
    time_ns = _number_ns(match)
    return _in_range(time_ns if time_ns < _MILLISECONDS_FROM * _NS else time_ns // 1000)


def _number_ns(match: re.Match[str]) -> int:
    whole, fraction, exponent = match.groups()
    if exponent is None:
        return int(whole) * _NS + int((fraction or "")[:9].ljust(9, "0"))
    shift = 9 + int(exponent) - len(fraction or "")
    digits, power = int(whole + (fraction or "")), int("1" + "0" * abs(shift))
    return digits * power if shift >= 0 else digits // power


def iso_ns(text: str, zone: tzinfo) -> int:
    """A time of ISO 8601 (RFC 3339, or with a space); `zone` where it names none."""
    match = _ISO.fullmatch(text)
    if match is None:
        raise ValueError("no time")
    date, clock, fraction, offset = match.groups()
    return _in_range(_second(date, clock, offset or "", zone) * _NS + int((fraction or "").ljust(9, "0")))


@lru_cache(maxsize=4096)
def _second(date: str, clock: str, offset: str, zone: tzinfo) -> int:
    """Seconds since 1970; lines of one second share the work."""
    moment = datetime.fromisoformat(f"{date}T{clock}{offset}")
    return since_1970(moment if moment.tzinfo else moment.replace(tzinfo=zone))


def since_1970(moment: datetime) -> int:
    """Whole seconds since 1970 (UTC)."""
    return (moment - _EPOCH) // timedelta(seconds=1)


def _in_range(time_ns: int) -> int:
    if not 0 <= time_ns <= _LATEST_NS:
        raise ValueError("no time between 1970 and 2261")
    return time_ns
