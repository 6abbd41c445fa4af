"""Pieces of which another one holds everything: it has grown, was packed, or was written anew.

Rotation gives files other names and packs them, copies are made in between, and a transfer that broke
is done once more. What such files have in common must not count twice, whichever was read first.

What was found stands in the account of the piece that counts, and is never asked again: a decision is
only made about pieces that count until then, so that no two are held by each other.
"""

from __future__ import annotations

import hashlib
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from operator import attrgetter
from typing import Any, NamedTuple

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
    """What a piece may begin with, when both are unpacked."""

    content: str
    """Its name in the lake."""
    size: int
    digest: str


def outgrown(accounts: Iterable[Account]) -> dict[str, str]:
    """Digests of pieces that another one holds, and where the one that counts lies, or lay."""
    holders = _holders(accounts)
    return {digest: _last(digest, holders).path for digest in holders}


def _holders(accounts: Iterable[Account]) -> dict[str, Account]:
    return {digest: account for account in accounts for digest in account.was}


def _last(digest: str, holders: Mapping[str, Account]) -> Account:
    """Who holds it and is held by nobody."""
    holder = holders[digest]
    while holder.content in holders:
        holder = holders[holder.content]
    return holder


def comparisons(known: Sequence[Account], present: Iterable[Piece]) -> list[tuple[Account, list[Other]]]:
    """Each piece that is to be read once more, and the others that it may begin with.

    They have the same first packet or entry, or lie where it lies if they have none, and it was not
    compared with them before.
    """
    held = outgrown(known)
    near, compared = defaultdict[tuple[str, str], list[Account]](list), defaultdict[str, set[str]](set)
    for account in known:
        compared[account.content].update(account.compared)
        if account.content not in held and account.size:
            near[_near(account)].append(account)
    for group in near.values():
        group.sort(key=_written)
    there, asked = set(present), dict[str, tuple[Account, list[Other]]]()
    for account in sorted(known, key=attrgetter("path")):
        if account.piece not in there or account.content in held or account.content in asked:
            continue
        places = {_near(account), ("", account.path)}
        others = {
            other.content: Other(other.content, *other.unpacked)
            for place in places
            for other in _around(account, near.get(place, []))
            if other.unpacked[0] < account.unpacked[0] and other.content not in compared[account.content]
        }
        if others:
            asked[account.content] = account, [*others.values()]
    return [*asked.values()]


def _near(account: Account) -> tuple[str, str]:
    """What those have in common that are compared: a ring of captures comes to a path again and again."""
    return (account.opens, "") if account.opens else ("", account.path)


def _around(account: Account, group: Sequence[Account]) -> Sequence[Account]:
    at = bisect(group, _written(account), key=_written)
    return group[max(at - _NEAREST, 0) : at + _NEAREST]


def _written(account: Account) -> tuple[int, str]:
    return account.mtime_ns, account.content


def compare(account: Account, others: Sequence[Other], lake: str) -> Account | None:
    """Read a piece once more, to see which others it goes on behind.

    A task of a worker, which leaves its account in the lake as it is then. None if the piece has changed or
    gone.
    """
    try:
        with opened(account.path) as path:
            found = _begins_with(others, unpacked(Disk(path).pieces(_STEP))[1])
            # At last: it may have been replaced while it was read.
            if "://" not in account.path and size_and_time(path) != (account.size, account.mtime_ns):
                return None
    except (OSError, Broken):
        return None
    account = replace(
        account,
        was=sorted({*account.was, *found}),
        compared=sorted({*account.compared, *(other.content for other in others)}),
    )
    write(account, lake)
    return account


def alike(known: Sequence[Account], read: Collection[str] = ()) -> list[Account]:
    """Accounts, as they are now, of pieces that count for others that need not be read again for that.

    Of pieces that unpack to the same that counts which is not packed: where rotation packs, it was there
    before, and what was made of it serves on. Of captures that lie or lay at one path, packed or not, and
    began with the same packet, the fullest counts; of those that hold as much one without damages, and then
    the last, also if it has come back: `read` are names of accounts of what was read now. Who holds one of
    those that unpack to the same stands for all; so he does for one that was torn in the other's place.
    """
    now = {account.name: account for account in known}
    changed = dict[str, Account]()

    def change(account: Account, was: set[str]) -> None:
        changed.pop(account.name, None)  # they are written in this order
        now[account.name] = changed[account.name] = replace(account, was=sorted(was))

    for best, again in _put_back(known, read):
        change(now[best.name], {*now[best.name].was} - {again.content})
    for alike_in, worth in ((_content, _plainness), (_place, _fullness)):
        holders = _holders(now.values())
        for group in _groups(now.values(), alike_in):
            counting = [account for digest, account in group.items() if digest not in holders]
            if not counting:
                continue
            best = max(counting, key=worth)
            others = [_last(digest, holders) for digest in group if digest in holders]
            if others and alike_in is _content:
                best = max(others, key=worth)
            elif best.state == "damaged":  # a whole one may go on in its own way
                best = max([best, *others], key=worth)
            held = {account.content for account in counting} - {best.content}
            if held:
                change(now[best.name], {*now[best.name].was, *held})
                holders |= dict.fromkeys(held, best)
    return [*changed.values()]


def _groups(
    known: Iterable[Account], alike_in: Callable[[Account], Hashable]
) -> Iterable[dict[str, Account]]:
    """Those that count and have something in common, if it is not None, by their digests."""
    groups = defaultdict[Hashable, dict[str, Account]](dict)
    for account in known:
        if account.counts and (key := alike_in(account)) is not None:
            groups[key][account.content] = account
    return groups.values()


def _put_back(known: Sequence[Account], read: Collection[str]) -> Iterator[tuple[Account, Account]]:
    """Who counts for what lies in its place again, and that: what was made of it is there anew."""
    holders = Counter(digest for account in known for digest in account.was)
    for group in _groups(known, _place):
        for best in group.values():
            for again in [group[digest] for digest in best.was if digest in group]:
                is_back = again.name in read and best.name not in read and again.unpacked != best.unpacked
                if is_back and holders[again.content] == 1 and _fullness(again) > _fullness(best):
                    yield best, again


def _content(account: Account) -> Hashable:
    return account.unpacked


def _plainness(account: Account) -> tuple[Any, ...]:
    return account.records, not account.compression, account.size, account.content


def _place(account: Account) -> Hashable:
    # One that begins at no time may have come to its path again, and begun as before.
    has_clock = account.kind == "capture" and account.opens and account.began_ns > 0
    return (unpacked_name(account.path), account.opens) if has_clock else None


def _fullness(account: Account) -> tuple[Any, ...]:
    return account.records, account.state == "done", account.mtime_ns, account.content


def write(account: Account, lake: str) -> None:
    """Leave an account in the lake."""
    work.work_of(files(lake)).write(f"{work.ACCOUNTS}/{account.name}", account.octets())


def _begins_with(others: Sequence[Other], pieces: Iterator[bytes]) -> set[str]:
    """Those whose octets come first."""
    found, octets, held = hashlib.sha256(), 0, set[str]()
    by_size = sorted(others, key=lambda one: -one.size)
    with suppress(Broken):
        while by_size and (piece := next(pieces, b"")):
            at = 0
            while by_size and by_size[-1].size <= octets + len(piece):
                one = by_size.pop()
                found.update(piece[at : one.size - octets])
                at = one.size - octets
                if found.hexdigest() == one.digest:
                    held.add(one.content)
            found.update(piece[at:])
            octets += len(piece)
    return held
