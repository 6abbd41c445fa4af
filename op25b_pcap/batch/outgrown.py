"""Pieces of which another one holds everything: it has grown, was packed, or was written anew.

Rotation gives files other names and packs them, copies are made in between, and a transfer that broke
is done once more. What such files have in common must not count twice, whichever was read first.

What was found stands in the account of the piece that counts, and is never asked again: a decision is
only made about pieces that count until then, so that no two are held by each other.
"""

from __future__ import annotations

import hashlib
from bisect import bisect
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from op25b_pcap.batch import work
from op25b_pcap.batch.account import Account, Piece
from op25b_pcap.batch.files import files
from op25b_pcap.batch.inbox import opened, size_and_time
from op25b_pcap.capture.compression import unpacked
from op25b_pcap.capture.disk import Disk
from op25b_pcap.capture.names import unpacked_name
from op25b_pcap.capture.octets import Broken

_STEP = 1 << 20
_NEAREST = 50
"""Others that a piece is compared with, so many written before it and as many after: of captures without a
clock all may begin with one packet."""


class Other(NamedTuple):
    """What a piece may begin with, or pack."""

    size: int
    sha256: str
    is_packed: bool


def outgrown(accounts: Iterable[Account]) -> dict[str, str]:
    """Digests of pieces that another one holds, and where the one that counts lies, or lay."""
    holders = {digest: account for account in accounts for digest in account.was}
    return {digest: _last(digest, holders).path for digest in holders}


def _last(digest: str, holders: dict[str, Account]) -> Account:
    """Who holds it and is held by nobody."""
    holder = holders[digest]
    while holder.sha256 in holders:
        holder = holders[holder.sha256]
    return holder


def comparisons(known: Sequence[Account], present: Iterable[Piece]) -> list[tuple[Account, list[Other]]]:
    """Each piece that is to be read once more, and the others that it may hold.

    They begin with the same packet or entry, or lie where it lies if they have none, and it was not
    compared with them before.
    """
    held = outgrown(known)
    near, compared = defaultdict[tuple[str, str], list[Account]](list), defaultdict[str, set[str]](set)
    for account in known:
        compared[account.sha256].update(account.compared)
        if account.sha256 not in held and account.size:
            near[_near(account)].append(account)
    for group in near.values():
        group.sort(key=_written)
    there, asked = set(present), list[tuple[Account, list[Other]]]()
    for account in sorted(known, key=attrgetter("path")):
        if account.piece not in there or account.sha256 in held:
            continue
        others = {
            other.sha256: Other(other.size, other.sha256, bool(other.compression))
            for place in {_near(account), ("", account.path)}
            for other in _around(account, near.get(place, []))
            if _may_hold(account, other) and other.sha256 not in compared[account.sha256]
        }
        if others:  # of several pieces of one content the first is read: `compared` is by content
            compared[account.sha256].update(others)
            asked.append((account, list(others.values())))
    return asked


def _near(account: Account) -> tuple[str, str]:
    """What those have in common that are compared: a ring of captures comes to a path again and again."""
    return (account.opens, "") if account.opens else ("", account.path)


def _around(account: Account, group: Sequence[Account]) -> Sequence[Account]:
    at = bisect(group, _written(account), key=_written)
    return group[max(at - _NEAREST, 0) : at + _NEAREST]


def _written(account: Account) -> tuple[int, str]:
    return account.mtime_ns, account.sha256


def _may_hold(account: Account, other: Account) -> bool:
    is_packed, other_is = bool(account.compression), bool(other.compression)
    if is_packed != other_is:
        return is_packed
    return account.size > other.size


def compare(account: Account, others: Sequence[Other], lake: str) -> Account | None:
    """Read a piece once more, to see which others it begins with, or what it packs does.

    A task of a worker, which leaves its account in the lake as it is then. None if the piece has changed or
    gone.
    """
    try:
        with opened(account.path) as path:
            if "://" not in account.path and size_and_time(path) != (account.size, account.mtime_ns):
                return None
            found = _held(path, account, others)
    except OSError:
        return None
    compared = {*account.compared, *(other.sha256 for other in others)}
    account = replace(account, was=sorted({*account.was, *found}), compared=sorted(compared))
    write(account, lake)
    return account


def at_one_place(known: Sequence[Account]) -> list[Account]:
    """Accounts as they are now of captures that count for all that lay at one path, packed or not, and
    began with the same packet.

    Of such the fullest counts; of those that hold as much one without damages, and then the last.
    """
    held, changed = {*outgrown(known)}, []
    groups = defaultdict[tuple[str, str], dict[str, Account]](dict)
    for account in known:
        # One that begins at no time may have come to its path again, and begun as before.
        if account.kind == "capture" and account.opens and account.began_ns > 0 and account.counts:
            groups[unpacked_name(account.path), account.opens][account.sha256] = account
    for group in groups.values():
        digests = group.keys() - held
        if len(digests) > 1:
            best = max((group[digest] for digest in digests), key=_worth)
            held |= digests - {best.sha256}
            changed.append(replace(best, was=sorted({*best.was, *digests} - {best.sha256})))
    return changed


def _worth(account: Account) -> tuple[int, bool, int, str]:
    return account.records, account.state == "done", account.mtime_ns, account.sha256


def write(account: Account, lake: str) -> None:
    """Leave an account in the lake."""
    work.work_of(files(lake)).write(f"{work.ACCOUNTS}/{account.name}", account.octets())


def _held(path: Path, account: Account, others: Sequence[Other]) -> set[str]:
    less = [one for one in others if one.size < account.size]
    found = _begins_with(less, Disk(path).pieces(_STEP))
    if account.compression:
        plain = [one for one in others if not one.is_packed]
        found |= _begins_with(plain, unpacked(Disk(path).pieces(_STEP))[1])
    return found


def _begins_with(others: Sequence[Other], pieces: Iterator[bytes]) -> set[str]:
    """The digests of those whose octets come first."""
    found, octets, held = hashlib.sha256(), 0, set[str]()
    by_size = sorted(others, key=lambda one: -one.size)
    with suppress(Broken):
        while by_size and (piece := next(pieces, b"")):
            at = 0
            while by_size and by_size[-1].size <= octets + len(piece):
                one = by_size.pop()
                found.update(piece[at : one.size - octets])
                at = one.size - octets
                if found.hexdigest() == one.sha256:
                    held.add(one.sha256)
            found.update(piece[at:])
            octets += len(piece)
    return held
