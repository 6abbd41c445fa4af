"""The way of a batch on one page: pieces -> layers -> flows and sessions -> one lake of tables.

Each stage asks the workshop what is there and does the rest; so a run that was killed goes on where
it was, and a run over a grown inbox reads only what is new.
"""

from __future__ import annotations

import fcntl
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from op25b_pcap.batch import work
from op25b_pcap.batch.account import Account, Piece, account_of
from op25b_pcap.batch.assembling import assemble, is_assembled
from op25b_pcap.batch.crew import Crew, Deadly, survived
from op25b_pcap.batch.files import Files, files
from op25b_pcap.batch.inbox import pieces
from op25b_pcap.batch.joining import join, joined_name, signature
from op25b_pcap.batch.outcome import Outcome
from op25b_pcap.batch.outgrown import alike, compare, comparisons, outgrown, write
from op25b_pcap.batch.ranges import ranges
from op25b_pcap.batch.scanning import scan
from op25b_pcap.batch.tables import sweep
from op25b_pcap.batch.watching import Watching
from op25b_pcap.capture.names import path_order
from op25b_pcap.clock import Clock
from op25b_pcap.faults import UsageFault
from op25b_pcap.flowlogs import Hints

if TYPE_CHECKING:
    from op25b_pcap.batch.judging import Gathered
    from op25b_pcap.policy import Policy
    from op25b_pcap.reports.envelope import Envelope


def batch(
    inbox: str,
    lake: str,
    crew: Crew,
    policy: Policy | None = None,
    envelope: Envelope = "domain",
    watching: Watching | None = None,
    hints: Hints | None = None,
) -> Outcome:
    """Bring a lake up to date with an inbox. Logs that were read with other `hints` are read anew."""
    watching, clock, hints = watching or Watching(), Clock(), hints or Hints()
    lake = lake.removeprefix("file://")
    lake = lake if "://" in lake else str(Path(lake).absolute())
    place = files(lake)
    if place.is_local and Path(lake, "flows.parquet").exists():
        raise UsageFault(f"{lake} is a folder of reports: a lake needs one of its own")
    workshop = work.work_of(place)
    with _alone(place):
        workshop.sweep()
        sweep(place)
        present = pieces(inbox, lake)
        known = _known(workshop)
        scanning = _scanning(present, known, lake, crew, watching, hints)
        # To load what judges takes as long as many a piece: workers read them meanwhile.
        from op25b_pcap.batch.judging import Gathered, conclude

        read = _scanned(scanning, known, watching)
        there = {*present, *(account.piece for account in read)}
        _compared(known, there, {account.name for account in read}, lake, crew, watching)
        accounts = _in_order(known, there, hints)
        clock.lap("scan")
        joined = _joined(accounts, lake, crew, watching)
        results = _assembled(accounts, joined, lake, crew, watching)
        clock.lap("assemble")
        left = [account for account in read if not account.is_known]
        gathered = Gathered(accounts, joined, results, _listed([*known, *left], accounts, there))
        outcome = conclude(place, gathered, policy, envelope, clock, crew, watching)
        _tidy(workshop, gathered, known)
    return replace(outcome, pieces=[account for account in outcome.pieces if account.piece in there])


def _known(workshop: Files) -> list[Account]:
    """Accounts of earlier runs. A piece of which nothing is left is read again, if it is there."""
    below = workshop.below(work.ACCOUNTS)
    known = [_account(below, name) for name in below.names(".json")]
    held, there = outgrown(known), {*workshop.names()}
    lost = "what was read of it is in the lake no more"
    return [
        replace(account, mtime_ns=0, state="unreadable", reason=lost)
        if account.counts and account.content not in held and not there.issuperset(_made_of(account))
        else account
        for account in known
    ]


def _made_of(account: Account) -> Iterator[str]:
    """What lies in the workshop of a piece that counts."""
    if account.kind != "capture":
        yield from [work.entries(account.content, account.hints)] * bool(account.layers)
    else:
        yield from (work.layer(account.content, number) for number in range(len(account.layers)))
        yield from [work.aside(account.content)] * bool(account.aside)
        yield from [work.heard(account.content)] * bool(account.heard)
        yield from [work.answers(account.content)] * account.answers


def _account(below: Files, name: str) -> Account:
    try:
        return account_of(below.read(name))
    except (ValueError, TypeError):
        # What else is known of the piece is not to be lost without a word: it may have gone.
        reason = "it is damaged; without it the piece that it tells of is read again, if that is still there"
        raise UsageFault(f"{below.root}/{name} cannot be read: {reason}") from None


def _scanning(
    present: Sequence[Piece],
    known: Sequence[Account],
    lake: str,
    crew: Crew,
    watching: Watching,
    hints: Hints,
) -> Iterator[Account]:
    """Have what is new read."""
    done = {account.piece for account in known if account.is_read_as(hints.words)}
    new = [piece for piece in present if piece not in done]
    new.sort(key=lambda piece: -piece.size)  # a large one at the end would keep others waiting
    watching.begins("scan", len(new), sum(piece.size for piece in new))
    beside = len(new) == 1 and crew.workers > 1  # a worker takes one processor
    tasks = [(piece, lake, beside, hints) for piece in new]
    reason = "it has ended every process that read it"
    return (
        Account(*new[number], state="unreadable", reason=reason) if isinstance(made, Deadly) else made
        for number, made in crew.results(scan, tasks)
    )


def _scanned(scanning: Iterable[Account], known: list[Account], watching: Watching) -> list[Account]:
    """Take what is to be known of pieces up in `known`; gives all that were read now."""
    read: list[Account] = []
    by_name = {account.name: account for account in known}
    for account in scanning:
        watching.scanned(account)
        read.append(account)
        if account.is_known:
            by_name[account.name] = account  # one that was touched is the same
    known[:] = by_name.values()
    return read


def _compared(
    known: list[Account],
    present: Collection[Piece],
    read: Collection[str],
    lake: str,
    crew: Crew,
    watching: Watching,
) -> None:
    """Find out which of the pieces another one holds; what is found may bring others near."""
    by_name = {account.name: account for account in sorted(known, key=_path_order)}
    there = set(present)
    while True:
        for account in alike([*by_name.values()], read):
            write(account, lake)
            by_name[account.name] = account
        asked = comparisons([*by_name.values()], there)
        if not asked:
            break
        watching.begins("compare", len(asked))
        for number, made in crew.results(compare, [(*one, lake) for one in asked]):
            account, _ = asked[number]
            watching.compared()
            if isinstance(made, Deadly) or made is None:
                there.discard(account.piece)
            else:
                by_name[account.name] = made
    known[:] = by_name.values()


def _in_order(known: Sequence[Account], there: Collection[Piece], hints: Hints) -> list[Account]:
    """Each content that counts once, in the order in which the pieces began.

    Of several pieces of one content that which is there; one that has gone may be a log that was read
    with other hints.
    """
    held, first = outgrown(known), dict[str, Account]()

    def rank(account: Account) -> Any:
        return not account.is_read_as(hints.words), account.piece not in there, _path_order(account)

    for account in sorted(known, key=rank):
        if account.counts and account.content not in held:
            first.setdefault(account.content, account)
    return sorted(first.values(), key=lambda account: (account.began_ns, _path_order(account)))


def _path_order(account: Account) -> Any:
    return path_order(Path(account.path)), account.sha256


def _joined(accounts: Sequence[Account], lake: str, crew: Crew, watching: Watching) -> Account | None:
    """What became of fragments, if there are any."""
    torn = [account for account in accounts if account.aside]
    if not torn:
        return None
    contents = [account.content for account in torn]
    try:
        return account_of(work.work_of(files(lake)).read(joined_name(signature(contents))))
    except FileNotFoundError:
        watching.begins("join", 1)
        ((_, account),) = crew.results(join, [(contents, lake)])
        return survived(account, "joining fragments")


def _assembled(
    accounts: Sequence[Account], joined: Account | None, lake: str, crew: Crew, watching: Watching
) -> list[str]:
    """Assemble what is missing; gives the names of all results."""
    workshop = work.work_of(files(lake))
    wanted = ranges(accounts, joined, are_packed=work.is_packed(workshop))
    there = set(workshop.names(".flows.arrow"))
    missing = [range_ for range_ in wanted if not is_assembled(range_, there)]
    missing.sort(key=lambda range_: -range_.octets)
    watching.begins("assemble", len(missing))
    for _, flows in crew.results(assemble, [(range_, range_.earlier(there), lake) for range_ in missing]):
        watching.assembled(survived(flows, "assembling"))
    return [range_.name for range_ in wanted]


def _listed(known: Sequence[Account], accounts: Sequence[Account], there: Collection[Piece]) -> list[Account]:
    """All pieces that count, and those that are there, each with its state in the lake.

    One that could not be read is told of until something else lies in its place.
    """
    own = {account.name for account in accounts}
    first = {account.content: account.path for account in accounts}
    held, paths = outgrown(known), {piece.path for piece in there}
    listed = []
    for account in sorted(known, key=_path_order):
        is_listed = account.piece in there or account.name in own
        if not account.counts:
            is_listed |= account.path not in paths and account.size > 0
        elif account.content in held:
            path = held[account.content]
            account = _held(account, path, is_there=path in paths)
        elif account.name not in own:
            account = replace(account, state="duplicate", reason=f"the same as {first[account.content]}")
        listed += [account] * is_listed
    return listed


def _held(account: Account, path: str, *, is_there: bool) -> Account:
    """What is to be said of a piece in whose place another one counts, which lies, or lay, at a path."""
    which = path if is_there else f"{path}, read before it went,"
    reason = f"{'its state of before' if path == account.path else which} counts in its place"
    if account.state == "damaged":  # it is all the same
        return replace(account, reason=f"{account.reason}; {reason}")
    return replace(account, state="duplicate", reason=reason)


def _tidy(workshop: Files, gathered: Gathered, known: Sequence[Account]) -> None:
    """Take away what no later run will ask for: of logs it may ask for what they said with other hints."""
    contents = {account.content for account in gathered.counted}
    entries = {work.entries(account.content, account.hints) for account in known}
    results = {*gathered.results}
    for name in workshop.names():
        folder, _, rest = name.partition("/")
        is_stale = (
            (folder == "content" and rest.partition("/")[0] not in contents)
            or ("/entries" in name and name not in entries)
            or (folder == "joined" and rest.removesuffix(".json") not in contents)
            or (folder == "found" and f"found/{rest.partition('.')[0]}" not in results)
            or folder == work.TOLD
        )
        if is_stale:
            workshop.remove(name)


@contextmanager
def _alone(lake: Files) -> Iterator[None]:
    """One run at a time on a lake of this machine. Raises UsageFault."""
    if not lake.is_local:
        yield
        return
    folder = Path(lake.root) / ".work"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)  # it holds octets of mail
        lock = (folder / "lock").open("w")
    except OSError as fault:
        raise UsageFault(f"cannot write to {lake.root}: {fault.strerror or fault}") from fault
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageFault(f"another batch is at work on {lake.root}") from None
        yield
