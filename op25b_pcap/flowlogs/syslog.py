"""The time in front of a syslog line, in whatever form, and the message behind it.

RFC 3164 leaves out the year and the zone: the year is the latest in which the line is not later
than its file, give or take a day for the zone and the clocks; the zone is what the caller says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, NamedTuple

from op25b_pcap.flowlogs.entry import Log
from op25b_pcap.flowlogs.fields import iso_ns, seconds_ns, since_1970

_NS = 1_000_000_000
_SLACK = timedelta(days=1)
_LEAP_YEARS_APART = 8
"""From 1896 to 1904, and from 2096 to 2104: so far back is 29 February, at most."""
_MONTH_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}

# PRI and, in RFC 5424, VERSION; or facility and level, as `dmesg -x` writes them.
_PRIORITY = re.compile(r"<\d{1,3}>(?:1 )?|[a-z0-9]{3,8} *:[a-z]{3,7} *: ", re.ASCII)
_CLOCK = r"(\d\d:\d\d:\d\d)"
_DAY = r"([A-Z][a-z]{2}) {1,2}(\d{1,2})"
_STAMP_ISO = re.compile(r"\[?(\d{4}-\d\d-\d\d[T ][\d:]{8}(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)\]?:? ", re.ASCII)
# syslog-ng can be told to write the year, too.
_STAMP_3164 = re.compile(rf"{_DAY} (?:(\d{{4}}) )?{_CLOCK}(?:\.(\d{{1,9}}))? ", re.ASCII)
# `dmesg -T`, and OpenWrt's `logread` without the brackets, write what ctime(3) does.
_STAMP_CTIME = re.compile(rf"\[?[A-Z][a-z]{{2}} {_DAY} {_CLOCK} (\d{{4}})\]? ?", re.ASCII)
_STAMP_UPTIME = re.compile(r"\[ {0,12}(\d{1,10}\.\d{1,9})\] ?", re.ASCII)
# `journalctl -o short-unix` and `-o short-full`.
_STAMP_UNIX = re.compile(r"(\d{9,10}\.\d{1,9}) ", re.ASCII)
_STAMP_FULL = re.compile(
    rf"[A-Z][a-z]{{2}} (\d{{4}}-\d\d-\d\d) {_CLOCK} ([A-Z]{{2,6}}|[+-]\d{{2,4}}) ", re.ASCII
)


class Stamp(NamedTuple):
    """When a line was written."""

    time_ns: int
    since_boot: bool
    """It counts from the kernel's start, not from 1970."""
    end: int
    """Where the time ends in the line."""
    has_host: bool
    """The next is the name of a host. The kernel's own log has none."""


def stamp(text: str, log: Log) -> Stamp:
    """The time of a line. Raises ValueError where there is none."""
    priority = _PRIORITY.match(text)
    at = priority.end() if priority else 0
    if match := _STAMP_ISO.match(text, at):
        is_dmesg = "," in match[1] or match[0].startswith("[")  # `dmesg --time-format iso`
        return Stamp(iso_ns(match[1], log.zone), False, match.end(), not is_dmesg)
    if match := _STAMP_3164.match(text, at):
        month, day, year, clock, fraction = match.groups()
        if year:
            second = since_1970(_moment(int(year), month, int(day), clock, log.zone))
        else:
            second = _in_latest_year(month, int(day), clock, log.written_ns, log.zone)
        return Stamp(second * _NS + int((fraction or "").ljust(9, "0")), False, match.end(), True)
    if match := _STAMP_UPTIME.match(text, at):
        return Stamp(seconds_ns(match[1]), True, match.end(), False)
    if match := _STAMP_CTIME.match(text, at):
        month, day, clock, written = match.groups()
        moment = _moment(int(written), month, int(day), clock, log.zone)
        return Stamp(since_1970(moment) * _NS, False, match.end(), not match[0].startswith("["))
    if match := _STAMP_UNIX.match(text, at):
        return Stamp(seconds_ns(match[1]), False, match.end(), True)
    if match := _STAMP_FULL.match(text, at):
        return Stamp(_in_named_zone(*match.groups(), log.zone) * _NS, False, match.end(), True)
    raise ValueError("no time")


def from_journal(told: Mapping[str, Any]) -> tuple[int, str]:
    """Time and message of a line of `journalctl -o json`. Raises ValueError or KeyError."""
    message = told["MESSAGE"]
    if isinstance(message, list):  # the octets of what is no UTF-8
        message = bytes(message).decode("utf-8", "replace")
    microseconds = str(told["__REALTIME_TIMESTAMP"])
    if not isinstance(message, str) or not microseconds.isdigit():
        raise ValueError("not understood")
    return seconds_ns(f"{microseconds[:-6] or 0}.{microseconds[-6:].rjust(6, '0')}"), message


@lru_cache(maxsize=4096)
def _in_named_zone(date: str, clock: str, name: str, zone: tzinfo) -> int:
    """Seconds since 1970. Short names are ambiguous: only those of UTC and of the known zone count."""
    if name[0] in "+-":
        return since_1970(datetime.fromisoformat(f"{date}T{clock}{name.ljust(5, '0')}"))
    moment = datetime.fromisoformat(f"{date}T{clock}")
    for one in (UTC, zone):
        for fold in (0, 1):
            here = moment.replace(tzinfo=one, fold=fold)
            if name in (here.tzname(), "GMT" if one is UTC else ""):
                return since_1970(here)
    raise ValueError("the name of a zone that is not known")


@lru_cache(maxsize=4096)
def _in_latest_year(month: str, day: int, clock: str, written_ns: int | None, zone: tzinfo) -> int:
    """Seconds since 1970."""
    if written_ns is None:
        raise ValueError("a time without a year, and the file's own date is not known")
    latest = datetime.fromtimestamp(written_ns // _NS, UTC) + _SLACK
    for year in range(latest.year, latest.year - _LEAP_YEARS_APART - 1, -1):
        try:
            moment = _moment(year, month, day, clock, zone)
        except ValueError:
            if (month, day) == ("Feb", 29):
                continue
            raise
        if moment <= latest:
            return max(since_1970(moment), 0)
    raise ValueError("no such day")


def _moment(year: int, month: str, day: int, clock: str, zone: tzinfo) -> datetime:
    if month not in _MONTHS:
        raise ValueError("no such month")
    hour, minute, second = map(int, clock.split(":"))
    return datetime(year, _MONTHS[month], day, hour, minute, second, tzinfo=zone)
