"""Entries of logs to connection attempts.

In: entries of any number of logs, in rough order of their ends. Out: `Attempt`s, each once. As in
the flows stage everything is decided within one conversation's entries alone, so the result does
not depend on how the logs were cut. Sequence numbers, which tell attempts on the same sockets
apart, no log has; so an unanswered SYN is the same attempt as the one before it within the silence
of a back-off, and a SYN after an answer is a new one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from op25b_pcap.flowlogs.entry import Entry, Key, Socket
from op25b_pcap.wire.services import SERVICES
from op25b_pcap.wire.silences import CLOSED_NS, OPEN_NS, SECOND_NS, UNANSWERED_NS

_LATE_NS = 300 * SECOND_NS
"""How much longer than a silence what follows it may last to be joined: a record is written at its
end. Exporters cut long flows, by nfdump's own advice every 300 s."""
_DISORDER_NS = 300 * SECOND_NS
"""How far the ends of entries may be out of order: Zeek writes a silent connection 5 minutes after
its last packet (tcp_inactivity_timeout)."""
_REORDERED_NS = 1 * SECOND_NS
"""An answer that seems to come this much before the SYN: clocks, and times cut to seconds."""
_COPY_NS = 200_000_000
"""Records of one direction that begin and end so close to each other tell of the same packets, seen
by two exporters or two rules."""
_COPIES = 8
"""How many entries back a copy is looked for."""
MAX_HELD = 1 << 18
"""Entries held; then the oldest conversation is closed early. At 1.1 kB each, some 300 MB."""
_HEAVY, _RECIPIENT = 512, 64
"""Characters of recipients that weigh as much as an entry, and how many each recipient is worth besides.
Zeek keeps a thousand characters."""
_SWEEP_EVERY = 16_384
"""Entries between two searches for finished conversations; more where more are open."""


@dataclass(slots=True)
class Attempt:
    """The entries of one attempt in order of time, all told from the opener's side."""

    entries: list[Entry] = field(default_factory=list)
    """Those of which another is a copy are left out."""
    mails: list[Entry] = field(default_factory=list)
    """Lines of Zeek's smtp.log."""
    has_copies: bool = False
    closed_early: bool = False
    opener: set[str] = field(default_factory=set)
    """Letters of the opener."""
    called: set[str] = field(default_factory=set)
    last_ns: int = 0

    @property
    def start_ns(self) -> int:
        """Begin of its first entry."""
        return self.entries[0].start_ns

    def add(self, entry: Entry) -> None:
        """Take the next entry in."""
        place = self._place_of_copied(entry) if self.entries else None
        if place is None:
            self.entries.append(entry)
        else:
            self.has_copies = True
            self.entries[place] = _with_copy(self.entries[place], entry)
        self.opener.update(entry.sent or "")
        self.called.update(entry.got or "")
        self.last_ns = max(self.last_ns, entry.end_ns)

    def takes(self, entry: Entry) -> bool:
        """Whether the entry, which begins later, tells of the same attempt."""
        silence = _silence(self.opener, self.called)
        if entry.start_ns - self.last_ns > silence or entry.end_ns - self.last_ns > silence + _LATE_NS:
            return False
        if "S" not in (entry.sent or "") or (self.opener <= {"S"} and not self.called):
            return True
        if "S" not in self.opener and entry.start_ns - self.start_ns <= _REORDERED_NS:
            return True
        return self._place_of_copied(entry) is not None

    def _place_of_copied(self, entry: Entry) -> int | None:
        """Which of the latest entries tells of the same packets; None if none does."""
        last = len(self.entries) - 1
        places = range(last, max(last - _COPIES, -1), -1)
        return next((place for place in places if _is_copy(entry, self.entries[place])), None)


def _is_copy(entry: Entry, other: Entry) -> bool:
    """Whether both tell of the same packets, by the side that they are about and their times."""
    return (
        entry.sides == other.sides
        and any(entry.sides)  # else they may be the two directions
        and abs(entry.start_ns - other.start_ns) <= _COPY_NS
        and abs(entry.end_ns - other.end_ns) <= _COPY_NS
    )


def _with_copy(entry: Entry, copy: Entry) -> Entry:
    """The entry with what its copy knows besides: one rule logs a packet, a later one drops it."""
    if entry.anomalies == copy.anomalies:
        return entry
    named = tuple(sorted({*entry.anomalies, *copy.anomalies}))
    return entry._replace(anomalies=named, is_complete=entry.is_complete or copy.is_complete)


def _silence(opener: set[str], called: set[str]) -> int:
    """After how much silence nothing more belongs to an attempt."""
    if opener <= {"S"} and opener and not called:
        return UNANSWERED_NS
    return CLOSED_NS if "R" in opener | called or "F" in opener & called else OPEN_NS


@dataclass(slots=True)
class _Conversation:
    """All entries between two sockets so far, and what they lately show: there may be very many."""

    entries: list[Entry] = field(default_factory=list)
    last_ns: int = 0
    one: str = ""
    """Letters of the first entry's `src`."""
    other: str = ""

    def add(self, entry: Entry) -> None:
        self.entries.append(entry)
        one, other = entry.sent or "", entry.got or ""
        if len(self.entries) == 1:  # nearly always the only one
            self.last_ns = entry.end_ns
            self.one, self.other = _union("", one), _union("", other)
            return
        self.last_ns = max(self.last_ns, entry.end_ns)
        if not {"S", "Y"}.isdisjoint(one + other) and self._silence() == CLOSED_NS:
            self.one = self.other = ""  # another attempt has begun
        if entry.src != self.entries[0].src:
            one, other = other, one
        self.one, self.other = _union(self.one, one), _union(self.other, other)

    def _silence(self) -> int:
        sides = (self.one, self.other) if self.one else (self.other, self.one)
        return _silence(*map(set, sides))

    def is_over(self, now_ns: int) -> bool:
        """Whether nothing more can belong to it."""
        return now_ns - self.last_ns > self._silence() + _LATE_NS + _DISORDER_NS


@lru_cache(maxsize=4096)
def _union(letters: str, more: str) -> str:
    """All letters once, in one order, so that few different texts are held."""
    return "".join(sorted({*letters, *more}))


def attempts(entries: Iterable[Entry]) -> Iterator[Attempt]:
    """All attempts in the entries of one observation, each when it is over."""
    open_: OrderedDict[Key, _Conversation] = OrderedDict()
    now_ns, held, next_sweep = 0, 0, _SWEEP_EVERY
    for number, entry in enumerate(entries, 1):
        now_ns = max(now_ns, entry.end_ns)
        conversation = open_.get(entry.key)
        if conversation is None:
            open_[entry.key] = conversation = _Conversation()
        conversation.add(entry)
        held += _weight(entry)
        while held > MAX_HELD:
            _, oldest = open_.popitem(last=False)
            held -= sum(map(_weight, oldest.entries))
            for attempt in split(oldest.entries):
                attempt.closed_early = True
                yield attempt
        if number >= next_sweep:
            for key in [key for key, each in open_.items() if each.is_over(now_ns)]:
                over = open_.pop(key).entries
                held -= sum(map(_weight, over))
                yield from split(over)
            next_sweep = number + max(_SWEEP_EVERY, len(open_))
    for conversation in open_.values():
        yield from split(conversation.entries)


def _weight(entry: Entry) -> int:
    """How much memory an entry takes, in entries."""
    if entry.mail is None:
        return 1
    return 2 + sum(_RECIPIENT + len(each) for each in entry.mail.rcpt_to or ()) // _HEAVY


def split(conversation: Sequence[Entry]) -> list[Attempt]:
    """The attempts in all entries of one conversation, whatever their order."""
    if len(conversation) == 1 and conversation[0].mail is None:
        alone = Attempt()
        alone.add(_oriented(conversation[0], conversation[0].src))
        return [alone] if alone.entries[0].dst[1] in SERVICES else []
    entries = sorted(conversation, key=_order)
    first = entries[0].src
    found: list[Attempt] = []
    latest: dict[str, Attempt] = {}
    by_uid: dict[str, Attempt] = {}
    for entry in (_oriented(entry, first) for entry in entries if entry.mail is None):
        attempt = latest.get(entry.payer)
        if attempt is None or not attempt.takes(entry):
            latest[entry.payer] = attempt = Attempt()
            found.append(attempt)
        attempt.add(entry)
        by_uid[entry.uid] = attempt
    for entry in (_oriented(entry, first) for entry in entries if entry.mail is not None):
        attempt = by_uid.get(entry.uid)
        if attempt is None:  # the connection's own line stands in no log that was read
            by_uid[entry.uid] = attempt = Attempt()
            found.append(attempt)
        if not attempt.entries:
            attempt.add(entry)
        attempt.mails.append(entry)
        attempt.last_ns = max(attempt.last_ns, entry.end_ns)
    return [attempt for attempt in found if attempt.entries[0].dst[1] in SERVICES]


def _order(entry: Entry) -> tuple[int, bool, int, int, int]:
    """In time; of what begins together the SYN first."""
    opens = "S" in (entry.sent or "") or "Y" in (entry.sent or "")
    return entry.start_ns, not opens, entry.end_ns, entry.capture, entry.number


def _oriented(entry: Entry, first: Socket) -> Entry:
    """The entry told from the opener's side.

    A SYN tells who that is, or a SYN-ACK; else the called side is the one on a mail port; if both
    are, `first` opened.
    """
    sent, got = entry.sent or "", entry.got or ""
    if "S" in sent or "H" in got:
        is_opener = True
    elif "S" in got or "H" in sent:
        is_opener = False
    elif (entry.src[1] in SERVICES) != (entry.dst[1] in SERVICES):
        is_opener = entry.dst[1] in SERVICES
    else:
        is_opener = entry.src == first
    entry = entry if is_opener else entry.flipped()
    if entry.sent and "Y" in entry.sent:  # the opener's other packets had the ACK
        entry = entry._replace(sent=entry.sent.replace("Y", "S?" if "R" in entry.sent else "SA"))
    if entry.got:  # whose SYN is a SYN-ACK, and whose RST may have an ACK
        entry = entry._replace(got=entry.got.replace("Y", "H").replace("?", ""))
    return entry
