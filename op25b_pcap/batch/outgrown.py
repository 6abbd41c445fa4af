"""Pieces of which another one holds everything: it has grown, was packed, or was written anew.

Rotation gives files other names and packs them, copies are made in between, and a transfer that broke
is done once more. What such files have in common must not count twice, whichever was read first.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from heapq import nlargest
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from op25b_pcap.batch import work
from op25b_pcap.batch.account import Account, Piece
from op25b_pcap.batch.files import files
from op25b_pcap.batch.inbox import opened, size_and_time
from op25b_pcap.capture.compression import unpacked
from op25b_pcap.capture.disk import Disk
from op25b_pcap.capture.octets import Broken

_STEP = 1 << 20
_MOST_COMPARED = 100
"""Others that a piece is compared with, the last ones: captures without a clock may all begin at one time."""


class Other(NamedTuple):
    """What a piece may begin with, or pack."""

    size: int
    sha256: str
    is_packed: bool


def outgrown(accounts: Sequence[Account]) -> dict[str, str]:
    """Digests of pieces that another one holds, and where that one lies, or lay."""
    held = {digest for account in accounts for digest in account.was}
    # Of several the last one stands, by its path: one that is not held itself, if it can be.
    in_order = sorted(accounts, key=lambda account: (account.sha256 not in held, account.path))
    return {digest: account.path for account in in_order for digest in account.was}


def written_anew(accounts: Iterable[Account]) -> set[str]:
    """Names of accounts in whose place another one counts: of one path, with one time of its first packet.

    Of such the fullest counts; of those that hold as much one without damages, and then the last.
    """
    best: dict[tuple[str, int], str] = {}
    found = set[str]()
    for account in sorted(accounts, key=_worth, reverse=True):
        if account.began_ns >= 0:
            which = account.path, account.began_ns
            found.update({account.name} - {best.setdefault(which, account.name)})
    return found


def _worth(account: Account) -> tuple[int, bool, int, str]:
    return account.records, account.state == "done", account.mtime_ns, account.sha256


def comparisons(known: Sequence[Account], present: Iterable[Piece]) -> list[tuple[Account, list[Other]]]:
    """Each piece that is to be read once more, and the others that it may hold.

    They lie where it lies, or begin when it begins, and it was not compared with them before. Of those
    that another one holds that one is enough.
    """
    held = outgrown(known)
    at, began = defaultdict[str, list[Account]](list), defaultdict[int, list[Account]](list)
    compared = defaultdict[str, set[str]](set)
    for account in known:
        compared[account.sha256].update(account.compared)
        if account.sha256 not in held and account.size:
            # A ring of captures comes to a path again and again; what has a time is found by that.
            if account.began_ns < 0 or account.kind != "capture":
                at[account.path].append(account)
            if account.counts and account.began_ns >= 0:
                began[account.began_ns].append(account)
    for group in (*at.values(), *began.values()):
        group[:] = nlargest(_MOST_COMPARED, group, key=attrgetter("mtime_ns"))
    there, asked = set(present), list[tuple[Account, list[Other]]]()
    for account in sorted(known, key=attrgetter("path")):
        near = [*at.get(account.path, ()), *(began.get(account.began_ns, ()) if account.counts else ())]
        # Of several pieces of one content the first is read: `compared` is by content.
        if account.piece in there and (
            others := {
                other.sha256: Other(other.size, other.sha256, bool(other.compression))
                for other in near
                if _may_hold(account, other) and other.sha256 not in compared[account.sha256]
            }
        ):
            compared[account.sha256].update(others)
            asked.append((account, list(others.values())))
    return asked


def _may_hold(account: Account, other: Account) -> bool:
    is_packed, other_is = bool(account.compression), bool(other.compression)
    if is_packed != other_is:
        return is_packed
    return account.size > other.size


def compare(account: Account, others: Sequence[Other], lake: str) -> Account:
    """Read a piece once more, to see which others it begins with, or what it packs does.

    A task of a worker, which leaves the account in the lake. Unchanged if the piece has changed or gone:
    nothing is known then.
    """
    try:
        with opened(account.path) as path:
            if "://" not in account.path and size_and_time(path) != (account.size, account.mtime_ns):
                return account
            found = _held(path, account, others)
    except OSError:
        return account
    compared = {*account.compared, *(other.sha256 for other in others)}
    account = replace(account, was=sorted({*account.was, *found}), compared=sorted(compared))
    work.work_of(files(lake)).write(f"{work.ACCOUNTS}/{account.name}", account.octets())
    return account


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
