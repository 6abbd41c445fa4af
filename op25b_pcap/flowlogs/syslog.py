"""The time in front of a syslog line, in whatever form, and the message behind it.

RFC 3164 leaves out the year and the zone: the year is the latest in which the line is not later
than its file, give or take a day for the zone and the clocks; the zone is what the caller says.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple

from op25b_pcap.flowlogs.entry import Log
from op25b_pcap.flowlogs.fields import iso_ns, seconds_ns, since_1970

_NS = 1_000_000_000
_SLACK = timedelta(days=1)
_LEAP_YEARS_APART = 8
"""From 1896 to 1904, and from 2096 to 2104: so far back is 29 February, at most."""
_MONTH_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}

# PRI and, in RFC 5424, VERSION.
_PRIORITY = re.compile(r"<\d{1,3}>(?:1 )?", re.ASCII)
_STAMP_ISO = re.compile(r"\[?(\d{4}-\d\d-\d\d[T ][\d:]{8}(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)\]?:? ", re.ASCII)
_STAMP_3164 = re.compile(r"([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d\d:\d\d:\d\d)(?:\.(\d{1,9}))? ", re.ASCII)
# `dmesg -T` writes what ctime(3) does.
_STAMP_CTIME = re.compile(
    r"\[[A-Z][a-z]{2} ([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d\d:\d\d:\d\d) (\d{4})\] ?", re.ASCII
)
_STAMP_UPTIME = re.compile(r"\[ {0,12}(\d{1,10}\.\d{1,9})\] ?", re.ASCII)
# `journalctl -o short-unix`.
_STAMP_UNIX = re.compile(r"(\d{9,10}\.\d{1,9}) ", re.ASCII)


class Stamp(NamedTuple):
    """When a line was written."""

    time_ns: int
    since_boot: bool
    """It counts from the kernel's start, not from 1970."""
    end: int
    """Where the time ends in the line."""


def stamp(text: str, log: Log) -> Stamp:
    """The time of a line. Raises ValueError where there is none."""
    priority = _PRIORITY.match(text)
    at = priority.end() if priority else 0
    if match := _STAMP_ISO.match(text, at):
        return Stamp(iso_ns(match[1], log.zone), False, match.end())
    if match := _STAMP_3164.match(text, at):
        month, day, clock, fraction = match.groups()
        second = _in_latest_year(month, int(day), clock, log.written_ns, log.zone)
        return Stamp(second * _NS + int((fraction or "").ljust(9, "0")), False, match.end())
    if match := _STAMP_UPTIME.match(text, at):
        return Stamp(seconds_ns(match[1]), True, match.end())
    if match := _STAMP_CTIME.match(text, at):
        month, day, clock, year = match.groups()
        moment = _moment(int(year), month, int(day), clock, log.zone)
        return Stamp(since_1970(moment) * _NS, False, match.end())
    if match := _STAMP_UNIX.match(text, at):
        return Stamp(seconds_ns(match[1]), False, match.end())
    raise ValueError("no time")


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
