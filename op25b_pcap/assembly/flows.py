"""All that waits in a store to flows and sessions, conversation by conversation.

The usual ones go through the kernels of `course` and become columns; the doubtful ones become
packets again, and `flows` reads them as it reads those of the other engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from op25b_pcap.assembly.columns import OF_COURSE, flow_columns
from op25b_pcap.assembly.course import (
    ATTEMPT,
    DOUBTFUL,
    UNREAD,
    USUAL,
    Known,
    Scratch,
    none_known,
    scratch_for,
)
from op25b_pcap.assembly.group import grouped
from op25b_pcap.assembly.left import CAN_READ_AGAIN, Left
from op25b_pcap.assembly.packet import PACKET, chosen
from op25b_pcap.assembly.room import Room
from op25b_pcap.assembly.shelf import Shelf
from op25b_pcap.assembly.skim import IN_HAND
from op25b_pcap.assembly.store import Store, ends
from op25b_pcap.assembly.text import MOST_RUNS_A_PACKET, MOST_RUNS_BESIDE, RUN, Told
from op25b_pcap.assembly.thin import thinned
from op25b_pcap.flows import Flow, flows_of
from op25b_pcap.flows.conversations import CutQuotes, conversation_key
from op25b_pcap.tables import FLOWS
from op25b_pcap.tables.streams import SIDES, Chunk, Passage
from op25b_pcap.tables.table import arrow_type

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from op25b_pcap.scan.kernels import Kernels

_OCTETS_TOGETHER = 32 << 20
"""Octets of payload that are in hand at one time, with one conversation's beyond."""
_CONVERSATIONS_TOGETHER = 1 << 16
_BATCHES_A_TURN = 8
"""So that two of several processes come to their ends together."""
_BATCHES_OF_LARGE = 2
"""The same where most is passed over."""
_WORTH_A_SHARE = 200_000
"""Packets that it takes longer to assemble than to begin a process, and to learn in it what forms mean."""
_WORTH_BRINGING = 1 << 18
"""Packets that lie together before they are looked at: 28 MB."""
_MANY_PACKETS = 2_000
"""Of one conversation, from which on it is worth to leave some out where only its course counts."""
_PORT_BITS = 16


_LARGE_TURN = 128 << 10
"""Octets that a client says in one go from which on what is in the midst of them may be passed over.
Where it is, a dialogue has no form (`forms`), and is read by itself."""
_HEAD = 8 << 10
"""Octets that open such a turn and are kept: a message's Received: fields."""
_NO_HOLES = np.empty((0, 2), np.int64)


class Usual(NamedTuple):
    """Attempts that took usual courses."""

    columns: dict[str, Any]
    """Columns of `flows`."""
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]
    """Which `runs` are whose."""
    kinds: NDArray[np.int64]
    """The same number for attempts that took the same course on the same port."""
    runs: NDArray[Any]
    """Payload in readable order, as `text.RUN` has it."""
    text: NDArray[np.uint8]
    """The octets that the runs are of."""
    holes: NDArray[np.int64] = _NO_HOLES
    """What was passed over, as `text.Told` has it."""
    whole: Callable[[int], list[Chunk]] | None = None
    """What the attempt of that number carried, read once more; as long as it is in hand."""

    def chunks(self, index: int) -> list[Chunk]:
        """What the attempt of that number carried."""
        if self.whole is not None and self.has_holes(index):
            return self.whole(index)
        return [chunk for chunk in self.passing(index) if isinstance(chunk, Chunk)]

    def passing(self, index: int) -> list[Chunk | Passage]:
        """The same, without what was passed over."""
        text, sides, begin, end = self.text, SIDES, self.begins[index], self.ends[index]
        told: list[Chunk | Passage] = [
            Chunk(sides[side], 0, skipped, text[first:last].tobytes())
            for side, first, last, skipped in self.runs[begin:end].tolist()
        ]
        if self.has_holes(index):
            first_hole, last_hole = np.searchsorted(self.holes[:, 0], (begin, end)).tolist()
            for run, octets in self.holes[first_hole:last_hole][::-1].tolist():
                told.insert(run - begin, Passage(told[run - begin].side, octets))
        return told

    def has_holes(self, index: int) -> bool:
        """Whether something of the attempt of that number was passed over."""
        return bool(len(self.holes)) and bool(self.holed(np.array([index]))[0])

    def holed(self, which: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Of which of these attempts something was passed over."""
        return self._have(self.holes[:, 0], which)

    def gapped(self, which: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Of which of these attempts some octets are in no packet."""
        return self._have(np.flatnonzero(self.runs["skipped"]), which)

    def _have(self, runs: NDArray[np.int64], which: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these attempts have one of those runs."""
        begins, ends = (np.searchsorted(runs, at[which]) for at in (self.begins, self.ends))
        told: NDArray[np.bool_] = begins < ends
        return told


class Assembly:
    """Packets in, flows out. Memory holds one full store; what is more lies in a folder for a while."""

    def __init__(
        self, kernels: Kernels, folder: Path, captures: Sequence[Path] = (), *, beside: bool = False
    ) -> None:
        """The folder is there, and is nobody else's.

        `captures` are the files of which runs come, by their index, if they will be there as long as this.
        `beside`: there is a processor to spare.
        """
        self._kernels = kernels
        self._left = Left(captures)
        self._shelf = Shelf(kernels, folder)
        leaves = bool(captures) and CAN_READ_AGAIN
        self.store = Store(kernels, self._shelf, leaves=leaves, beside=beside)
        """Where packets are to be put."""

    def shares(self, most: int) -> list[Callable[[], Iterator[Usual | Flow]]]:
        """The flows of all that was put into the store, in no more shares than are worth it.

        Each may be read in a process of its own.
        """
        self.store.complete()
        if self._shelf.is_empty:
            of = Sorted(self.store, self._kernels)
            count = max(min(most, len(self.store.packets) // _WORTH_A_SHARE), 1)
            return [
                partial(Courses(self._kernels, self._left).flows, of, turn, count) for turn in range(count)
            ]
        self._shelf.put(self.store)
        del self.store
        return [partial(self._of_shelf, turn, most) for turn in range(most)]

    def _of_shelf(self, turn: int, turns: int) -> Iterator[Usual | Flow]:
        courses = Courses(self._kernels, self._left)
        for store in self._shelf.stores(turn, turns):
            yield from courses.flows(Sorted(store, self._kernels))


class Courses:
    """Packets to flows; what was learnt of courses serves for all of them."""

    def __init__(self, kernels: Kernels, left: Left | None = None) -> None:
        self._kernels = kernels
        self.left = left or Left()
        """Where octets are that no store holds."""
        self._known = none_known()
        self._text, self._runs, self._packets = Room(), Room(), Room()
        self._meanings: dict[str, list[Any]] = {name: [] for name in OF_COURSE}

    def __len__(self) -> int:
        """How many of them were met."""
        return int(self._known.counts[0])

    def flows(self, of: Sorted, turn: int = 0, turns: int = 1) -> Iterator[Usual | Flow]:
        """Every flow, as columns and singly; of several turns only what is in that one.

        Columns are good until the next ones are asked for.
        """
        begins, octets, weights = of.begins, of.octets, of.octets
        last = len(begins) - 1
        if not last:
            return
        scratch = scratch_for(int(np.diff(begins).max()))
        may_pass = of.may_pass
        parts = _BATCHES_A_TURN * turns if turns > 1 else 1
        if may_pass is not None:
            captured = of.store.packets["captured"][of.order] * ~may_pass
            octets = np.concatenate([[0], np.cumsum(captured, dtype=np.int64)[begins[1:] - 1]])
            if 2 * octets[-1] < weights[-1]:
                parts = min(parts, _BATCHES_OF_LARGE * turns)
        most_weight = int(weights[-1]) // parts
        most = min(_CONVERSATIONS_TOGETHER, -(-last // parts))
        at, count = 0, 0
        while at < last:
            full = np.searchsorted(octets, octets[at] + _OCTETS_TOGETHER, "right")
            heavy = np.searchsorted(weights, weights[at] + most_weight, "right")
            end = min(max(int(min(full, heavy)) - 1, at + 1), at + most, last)
            if count % turns == turn:
                yield from self._batch(of.part(at, end, self._packets), 0, end - at, scratch)
            at, count = end, count + 1

    def _batch(
        self, of: Sorted, at: int, end: int, scratch: Scratch, *, passes: bool = True
    ) -> Iterator[Usual | Flow]:
        """Conversations `at` to `end`; if it `passes` packets, not all is kept of those that may be."""
        which = slice(int(of.begins[at]), int(of.begins[end]))
        passed = of.may_pass[which] if passes and of.may_pass is not None else None
        if passed is not None and not passed.any():
            passed = None
        lay = of.store.packets["at"][of.order[which]] if passed is not None else None
        attempts, runs, text, holes = self._told(of, at, end, scratch, passed, self._text, self._runs)
        for index in np.flatnonzero(attempts["verdict"] == DOUBTFUL).tolist():
            self._take_whole(of, at + index, at, lay)
            yield from of.one_by_one(at + index)
        usual = np.flatnonzero(attempts["verdict"] == USUAL)
        if len(usual):
            self._learn(of, attempts["course"][usual], at + usual, at, lay)
            whole = partial(self._whole, of, at + usual, scratch, at, lay)
            yield self._usual(of.store, attempts[usual], runs, text, holes, whole)
        for index in np.flatnonzero(attempts["verdict"] == UNREAD).tolist():
            self._lay_back(of, at + index, at, lay)
            yield from self._batch(of, at + index, at + index + 1, scratch, passes=False)

    def _told(
        self,
        of: Sorted,
        at: int,
        end: int,
        scratch: Scratch,
        passed: NDArray[np.bool_] | None,
        in_text: Room,
        in_runs: Room,
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.uint8], NDArray[np.int64]]:
        """What the kernel tells: attempts, and in these rooms runs and text; and holes."""
        store, which, tails = of.store, of.order[of.begins[at] : of.begins[end]], of.tails
        if passed is not None:
            tails[which[passed]] = store.packets["tail"][which[passed]]
        store.fetched = self.left.fetch(store.packets, which if passed is None else which[~passed])
        attempts = np.zeros(end - at, ATTEMPT)
        runs = in_runs.of(_most_runs(len(which), end - at) * RUN.itemsize).view(RUN)
        text = in_text.of(int(of.octets[end] - of.octets[at]))
        holes = np.empty((len(which) if passed is not None else 0, 2), np.int64)
        told = Told(attempts, runs, text, holes)
        used_runs, used, used_holes = self._follow(of, at, end, scratch, self._known, told)
        if passed is not None:
            tails[which[passed]] = IN_HAND
        return attempts, runs[:used_runs], text[:used], holes[:used_holes]

    def _follow(
        self, of: Sorted, at: int, end: int, scratch: Scratch, known: Known, told: Told
    ) -> tuple[int, int, int]:
        """What `courses_of` gives of conversations whose octets are in hand."""
        store = of.store
        used: tuple[int, int, int] = self._kernels.courses_of(
            store.packets,
            store.octets,
            store.fetched,
            of.order,
            of.begins[at : end + 1],
            of.is_quoted[at:end],
            of.tails,
            of.places,
            scratch,
            known,
            told,
        )
        return used

    def _usual(
        self,
        store: Store,
        attempts: NDArray[Any],
        runs: NDArray[Any],
        text: NDArray[np.uint8],
        holes: NDArray[np.int64],
        whole: Callable[[int], list[Chunk]],
    ) -> Usual:
        meanings = {
            name: pa.array(told, arrow_type(FLOWS[name].type)) for name, told in self._meanings.items()
        }
        columns = flow_columns(attempts, store, meanings, self._kernels)
        kinds = attempts["course"] << _PORT_BITS | columns["dst_port"]
        return Usual(columns, attempts["runs"], attempts["runs_end"], kinds, runs, text, holes, whole)

    def _lay_back(self, of: Sorted, index: int, at: int, lay: NDArray[np.int64] | None) -> None:
        """Let a conversation's packets lie where they `lay` before those from number `at` on were skimmed."""
        if lay is not None:
            begin, end, first = of.begins[index], of.begins[index + 1], of.begins[at]
            of.store.packets["at"][of.order[begin:end]] = lay[begin - first : end - first]

    def _take_whole(self, of: Sorted, index: int, at: int, lay: NDArray[np.int64] | None) -> None:
        """Have all octets of a conversation in hand, and of no other, if some were passed over."""
        if lay is not None:
            self._lay_back(of, index, at, lay)
            which = of.order[of.begins[index] : of.begins[index + 1]]
            of.store.fetched = self.left.fetch(of.store.packets, which)

    def _whole(
        self,
        of: Sorted,
        conversations: NDArray[np.int64],
        scratch: Scratch,
        at: int,
        lay: NDArray[np.int64] | None,
        index: int,
    ) -> list[Chunk]:
        """What one of these conversations carried, without holes."""
        number = int(conversations[index])
        self._lay_back(of, number, at, lay)
        attempts, runs, text, _ = self._told(of, number, number + 1, scratch, None, Room(), Room())
        return Usual({}, attempts["runs"], attempts["runs_end"], attempts["course"], runs, text).chunks(0)

    def _learn(
        self,
        of: Sorted,
        courses: NDArray[np.int64],
        conversations: NDArray[np.int64],
        at: int,
        lay: NDArray[np.int64] | None,
    ) -> None:
        """What the courses mean that were not met before: `flows` says it of the shortest of each."""
        known = len(self._meanings["outcome"])
        if self._known.counts[0] == known:
            return
        packets = of.begins[conversations + 1] - of.begins[conversations]
        by_length = np.argsort(packets, kind="stable")
        numbers, shortest = np.unique(courses[by_length], return_index=True)
        for number, index in zip(numbers.tolist(), conversations[by_length[shortest]].tolist(), strict=True):
            if number < known:
                continue
            (flow,) = self._example(of, number, index, at, lay)
            for name, told in self._meanings.items():
                told.append(flow.row[name])

    def _example(
        self, of: Sorted, number: int, index: int, at: int, lay: NDArray[np.int64] | None
    ) -> Iterator[Flow]:
        """A conversation that took the course of that number: in few packets, if it then still takes it."""
        if of.begins[index + 1] - of.begins[index] > _MANY_PACKETS:
            self._lay_back(of, index, at, lay)
            thin = of.thinned(index)
            if lay is not None:
                thin.store.fetched = self.left.fetch(thin.store.packets, thin.order)
            if (self._course(thin) == self._known.courses[number]).all():
                return thin.one_by_one(0)
        self._take_whole(of, index, at, lay)
        return of.one_by_one(index)

    def _course(self, of: Sorted) -> NDArray[np.uint8]:
        """The course of the only conversation, as `Known` has it; zeros if it is no usual one."""
        known, count = none_known(), len(of.order)
        text = np.empty(int(of.octets[-1]), np.uint8)
        told = Told(np.zeros(1, ATTEMPT), np.empty(_most_runs(count, 1), RUN), text, _NO_HOLES)
        self._follow(of, 0, 1, scratch_for(count), known, told)
        course: NDArray[np.uint8] = known.courses[0]
        return course


def _most_runs(packets: int, conversations: int) -> int:
    return MOST_RUNS_A_PACKET * packets + MOST_RUNS_BESIDE * conversations


class Sorted:
    """A store's packets by conversation and time."""

    def __init__(self, store: Store, kernels: Kernels) -> None:
        self.store = store
        self._kernels = kernels
        found = grouped(store.packets, kernels)
        self.order, self.begins = found.order, found.begins
        """Conversation number i is `order[begins[i] : begins[i + 1]]`."""
        self.octets = found.octets
        """Octets of payload before each conversation, no less."""
        self._cut: CutQuotes | None = None
        self.is_quoted = np.zeros(len(self.begins) - 1, bool)
        """Whether ICMP errors that name no ports may be about it."""
        if found.has_cut_quotes:
            self._cut, between = store.cut_quotes()
            firsts = chosen(store.packets, self.order[self.begins[:-1]])
            self.is_quoted |= [ends(packet) in between for packet in firsts]
        kinds: dict[tuple[str, str], int] = {}
        numbers = [kinds.setdefault((at.place, at.encapsulation), len(kinds)) for at in store.wheres]
        self.places = np.array(numbers, np.int64)
        """By the number of a place: the same for the same interface and encapsulation."""
        self.may_pass = self._may_pass()
        """Of packets, by their order, which need not be read; None: all are."""

    @cached_property
    def tails(self) -> NDArray[np.int64]:
        """Of each packet that all octets are in hand, until its tail stands there (`skim.tail_of`)."""
        return np.full(len(self.store.packets), IN_HAND, np.int64)

    def part(self, begin: int, end: int, room: Room) -> Sorted:
        """Conversations from one number to another by themselves, good until the next in this room.

        Their packets lie one behind the other, if they are not very many: most are far from each other
        in a store, and to wait for one after the other costs more than to bring all together.
        """
        first, last = self.begins[begin], self.begins[end]
        part = copy(self)
        part.__dict__.pop("tails", None)
        part.order = self.order[first:last]
        if last - first <= _WORTH_BRINGING:
            packets = chosen(self.store.packets, part.order, room.of(int(last - first) * PACKET.itemsize))
            part.store, part.order = self.store.holding(packets), np.arange(last - first)
        part.begins, part.octets = (
            edges[begin : end + 1] - edges[begin] for edges in (self.begins, self.octets)
        )
        part.is_quoted = self.is_quoted[begin:end]
        if self.may_pass is not None:
            part.may_pass = self.may_pass[first:last]
        return part

    def _may_pass(self) -> NDArray[np.bool_] | None:
        """Which packets are in the midst of a long turn of a client, and need not be read."""
        passed = np.zeros(len(self.order), bool)
        some = self._kernels.pass_over(
            self.store.packets, self.order, self.begins, self.octets, _LARGE_TURN, _HEAD, passed
        )
        return passed if some else None

    def one_by_one(self, index: int) -> Iterator[Flow]:
        """The flows of a conversation, as `flows` reads them."""
        which = self.order[self.begins[index] : self.begins[index + 1]].tolist()
        quotes = self._cut.between(conversation_key(self.store.packet(which[0]))) if self._cut else ()
        return flows_of(map(self.store.packet, which), quotes)

    def thinned(self, index: int) -> Sorted:
        """A conversation by itself, in few packets (`thin`)."""
        which = self.order[self.begins[index] : self.begins[index + 1]]
        thin = copy(self)
        thin.__dict__.pop("tails", None)
        packets = thinned(chosen(self.store.packets, which))
        thin.store, thin.order = self.store.holding(packets), np.arange(len(packets))
        thin.begins = np.array([0, len(packets)])
        thin.octets = np.append(0, packets["captured"].astype(np.int64).sum())
        thin.is_quoted = self.is_quoted[index : index + 1]
        return thin
