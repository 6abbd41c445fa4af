"""Conversations of all pieces to flows and sessions, one range of their digests after the other.

Tasks of workers. A range gets all its packets out of the layers of all pieces, whose order is that
in which they began, so that the pieces read as the one capture that they were cut from. What an
earlier run has found is mended where something has come; the rest of it stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from op25b_pcap.assembly.flows import Sorted
from op25b_pcap.assembly.packet import PACKET
from op25b_pcap.assembly.store import Store
from op25b_pcap.batch import bench, logs, work
from op25b_pcap.batch.files import Files, files
from op25b_pcap.batch.mending import Earlier, Held, held_by, mending
from op25b_pcap.batch.ranges import Laid, Range
from op25b_pcap.batch.taking import Source, Wanted, taken
from op25b_pcap.circles import seldom_sought
from op25b_pcap.compiled import kernels
from op25b_pcap.facts import CAPTURE, Found, gathered, in_time, kept, logged, merged
from op25b_pcap.flowlogs import Entry, together
from op25b_pcap.flowlogs import flows as flows_of_logs
from op25b_pcap.roles.dns import Answers
from op25b_pcap.tables import FLOWS, RETRIEVAL_SESSIONS, SMTP_SESSIONS, SMTP_TRANSACTIONS

_TABLES = (SMTP_SESSIONS.name, SMTP_TRANSACTIONS.name, RETRIEVAL_SESSIONS.name, FLOWS.name)
"""The last one written stands for all."""
ANSWERS = ".answers.arrow"
"""How the names of files end that hold what connections to name servers taught in a range."""
_SOCKETS = "sockets"
"""What is beside the tables, where lakes are not of a version that had no such thing."""
_CAPTURES, _LAYERS = "captures", "layers"
"""Notes beside results: the pieces by the captures' indices, and the layers that went in."""


def is_assembled(range_: Range, workshop_names: set[str]) -> bool:
    """Whether this was done before."""
    return place(range_.name, _TABLES[-1]) in workshop_names


def assemble(range_: Range, earlier: str, lake: str) -> int:
    """Assemble a range, out of earlier results where there are any; gives the number of flows."""
    workshop = work.work_of(files(lake))
    answers = Answers(kernels().read_messages)
    with ExitStack() as stack:
        stack.enter_context(seldom_sought())
        folder = stack.enter_context(workshop.scratch())

        @cache
        def source(laid: Laid) -> Source:
            return Source(laid, stack.enter_context(workshop.opened(laid.name)))

        if range_.kind == "packets":
            made = _mended(range_, source, earlier, workshop, answers)
            found, held = made or _whole(range_, source, answers)
            work.write_sockets(held, folder / _SOCKETS)
            workshop.put(folder / _SOCKETS, place(range_.name, _SOCKETS))
        else:
            found = logged(flows_of_logs(together(*_entries(map(source, range_.layers), range_))))
        found = in_time(found)
        if work.write_answers(answers, folder / "answers"):
            workshop.put(folder / "answers", range_.name + ANSWERS)
        notes: dict[str, Sequence[Any]] = {
            _CAPTURES: range_.order,
            _LAYERS: [layer.name for layer in range_.layers],
        }
        for name in _TABLES:
            table = work.with_notes(found[name], notes)
            work.write_table(table, folder / name, work.compression(workshop))
            workshop.put(folder / name, place(range_.name, name))
    return len(found[FLOWS.name])


def places_of_captures(order: Sequence[str], results: pa.Schema) -> pa.Array:
    """By the captures' indices in results their places in another order; null for those not there."""
    return _places(work.note(results, _CAPTURES), order)


def answers_in(name: str, workshop: Files, into: Answers) -> None:
    """Learn what connections to name servers taught in the range of that name, which taught something."""
    with workshop.opened(name + ANSWERS) as path:
        work.read_answers(path, into)


def place(name: str, table: str) -> str:
    """Where a table lies that was found in the range of that name."""
    return f"{name}.{table}.arrow"


def _earlier(name: str, workshop: Files) -> Earlier:
    """Results by their name. Raises FileNotFoundError."""
    found = {}
    for table in _TABLES:
        with workshop.opened(place(name, table)) as path:
            found[table] = work.read_table(path)
    captures, layers = (work.note(found[FLOWS.name].schema, note) for note in (_CAPTURES, _LAYERS))
    try:
        with workshop.opened(place(name, _SOCKETS)) as path:
            held = work.read_sockets(path)
    except FileNotFoundError:
        held = None
    return Earlier({n: t.replace_schema_metadata(None) for n, t in found.items()}, captures, layers, held)


def _places(captures: Sequence[str], order: Sequence[str]) -> pa.Array:
    known = {content: number for number, content in enumerate(order)}
    return pa.array([known.get(content) for content in captures], pa.int64())


def _placed(found: Found, captures: Sequence[str], order: Sequence[str]) -> Found:
    """The same with captures by their place in another order; null for those that are not there."""
    flows = found[FLOWS.name]
    index = flows.schema.get_field_index(CAPTURE)
    placed = _places(captures, order).take(flows[CAPTURE].combine_chunks())
    return {**found, FLOWS.name: flows.set_column(index, CAPTURE, placed)}


def _mended(
    range_: Range, source: Callable[[Laid], Source], earlier: str, workshop: Files, answers: Answers
) -> tuple[Found, Held] | None:
    """Earlier results with what has changed assembled anew; None if that cannot be."""
    if not earlier:
        return None
    try:
        known = _earlier(earlier, workshop)
        what = mending(known, range_, source)
    except FileNotFoundError:
        return None
    if what is None:
        return None
    touched = [source(laid) for laid in range_.layers if what.is_to_be_opened(laid.name)]
    store, _ = _store(touched, range_, what.is_touched)
    fresh = _found(Sorted(store, kernels()), touched, answers)
    flows = known.found[FLOWS.name]
    stays = pc.invert(pc.is_in(flows["community_id"], pa.array(what.ids(), pa.string())))
    old = _placed(kept(known.found, stays.combine_chunks()), known.captures, range_.order)
    return merged([old, fresh]), what.held or {}


def _whole(range_: Range, source: Callable[[Laid], Source], answers: Answers) -> tuple[Found, Held]:
    """What all packets of a range show."""
    sources = [source(laid) for laid in range_.layers]
    store, counts = _store(sources, range_)
    of = Sorted(store, kernels())
    return _found(of, sources, answers), held_by(of, counts)


def _store(
    sources: Sequence[Source], range_: Range, wanted: Wanted | None = None
) -> tuple[Store, dict[str, int]]:
    """Packets of a range out of some layers, and how many are from each of these, in their order.

    A layer is let go when its packets have been copied: to hold thousands of them costs memory.
    """
    room = sum(sum(laid.sizes) for laid, _ in sources)
    store = Store(kernels(), packets=room // PACKET.itemsize, octets=room, rooms=bench.rooms())
    counts = {}
    for name, parts in taken(sources, range_, wanted):
        before = len(store.packets)
        for one in parts:
            store.extend(*one)
        counts[name] = len(store.packets) - before
    return store, counts


def _found(of: Sorted, sources: Sequence[Source], answers: Answers) -> Found:
    """What the packets show that are out of these layers."""
    with bench.courses([path for _, path in sources]) as courses:
        return gathered(courses.flows(of), answers)


def _entries(sources: Iterable[Source], range_: Range) -> Iterator[Iterator[Entry]]:
    known = {content: number for number, content in enumerate(range_.order)}
    for laid, path in sources:
        batches = [number for number, part in enumerate(laid.sizes) if part == range_.begin]
        yield logs.taken_up(path, batches, known[laid.contents[0]])
