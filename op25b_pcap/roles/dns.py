"""What DNS answers in the capture say of addresses: host names, and whose mail exchanger.

In: DNS responses, over UDP as they come or over TCP as a stream. Out: of each address the host
names that were said to have it, and the domains whose MX named one of these, each with the earliest
time at which it was known. The order in which answers come does not matter.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from op25b_pcap.capture.aside import Kept, batches
from op25b_pcap.roles.messages import MESSAGES, Messages
from op25b_pcap.roles.records import Reader, Records, Thorough, may_matter, records
from op25b_pcap.tables.columns import Flags, Indices
from op25b_pcap.tables.packets import DnsMessage
from op25b_pcap.tables.streams import Chunk, Side
from op25b_pcap.wire.addresses import text
from op25b_pcap.wire.dns import CNAME, HEADER, MX

MAX_ANSWERS = 1 << 20
"""Names of addresses, and exchangers of domains, that are remembered; the first ones stay."""
MOST_NAMED = 16
"""Names and domains that are told of an address, those known first: each of its flows tells them again,
and there are exchangers of a hundred thousand domains."""
_MOST_UNREAD = 32 << 20
"""Octets of messages that are held unread."""
_BATCH_OCTETS = 1 << 10
"""What some messages in columns take beside them."""
_MAX_ALIASES = 16
"""CNAMEs that are followed within one message; resolvers give up earlier."""
_MOST_TOLD = 256
"""What is learnt from one message: a name each alias of it, with each of its addresses or exchangers."""
_TOGETHER = 1 << 16
"""Rows that are taken in before it is looked which of them say the same."""

FACT = pa.schema({"one": pa.string(), "other": pa.string(), "time_ns": pa.int64()})
"""What was learnt: two texts that belong together, and the earliest time at which somebody said so."""
KNOWN = pa.schema({"address": pa.string(), "time_ns": pa.int64(), "text": pa.string()})
"""What is known of addresses: the texts of each stand together, by the time at which they were known."""
LOOKUPS = pa.schema({"client": pa.string(), "domains": pa.int64()})


class Said(NamedTuple):
    """What is known of addresses, as `KNOWN`: no more than the first texts of each."""

    names: pa.Table
    domains: pa.Table


class Answers:
    """What was learnt from all DNS answers so far."""

    def __init__(
        self, reader: Reader | None = None, called: pa.Array | None = None, folder: Path | None = None
    ) -> None:
        """`reader`: the compiled one, where there are kernels.

        `called`: the only addresses that matter, if they are known before the messages. If not, messages
        wait in a file of that folder, if there is one, until they are.
        """
        self._reader, self._thorough = reader, Thorough()
        self._kept = None if folder is None else Kept(folder / "messages.arrow", MESSAGES)
        self._called = None if called is None else _all_packed(called)
        self._names = _Facts()
        """Addresses and host names."""
        self._exchangers = _Facts()
        """Host names and domains."""
        self._asked = _Facts()
        """Clients and the domains whose exchangers they were told."""
        self._unread: list[pa.RecordBatch] = []
        self._unread_octets = 0
        self._streamed: list[pa.RecordBatch] = []
        """What is to be heard of connections."""

    @cached_property
    def _of_streams(self) -> Messages:
        """Where messages of connections wait until there are some."""
        return Messages(self._streamed.append)

    def _hear_streams(self, *, are_over: bool = False) -> None:
        if are_over and "_of_streams" in vars(self):
            self._of_streams.close()
        while self._streamed:
            self.hear(self._streamed.pop(0))

    @property
    def have_heard(self) -> bool:
        """Whether there was anything to learn from."""
        self._hear_streams(are_over=True)
        return bool(self._unread) or any(self._facts().values())

    def add_stream(self, chunks: Iterable[Chunk], client: str) -> None:
        """Learn from a connection to port 53: messages behind their lengths (RFC 1035 4.2.2)."""
        asked = _packed(client)
        for time_ns, payload in _framed(chunks):
            self._of_streams.add(DnsMessage(time_ns, asked, payload))
            self._hear_streams()

    def hear(self, messages: pa.RecordBatch) -> None:
        """Keep `MESSAGES` until it is known which addresses matter: most answers are of no mail host."""
        if not len(messages):
            return
        self._unread.append(messages)
        self._unread_octets += messages.nbytes + _BATCH_OCTETS
        if self._unread_octets > _MOST_UNREAD:
            if self._kept is None or self._called is not None:
                self._read()
            else:
                self._put_away(self._kept)

    def _put_away(self, kept: Kept) -> None:
        """Have all but what came last in a file."""
        *earlier, last = self._unread
        for messages in earlier:
            kept.put(messages)
        self._unread, self._unread_octets = [last], last.nbytes + _BATCH_OCTETS

    def _read(self) -> None:
        """Learn from what was kept; of addresses only those that were called, if that is known."""
        self._hear_streams(are_over=True)
        unread, self._unread, self._unread_octets = self._unread, [], 0
        if self._kept is not None:
            kept, self._kept = self._kept, None
            kept.close()
            for messages in batches(kept.path) if kept.count else ():
                self._read_all(messages)
        for messages in unread:
            self._read_all(messages)

    def _read_all(self, messages: pa.RecordBatch) -> None:
        if self._reader is None and self._called is not None:  # to look first is faster than to read all
            matter = [may_matter(message, self._called) for message in messages["payload"].to_pylist()]
            messages = messages.filter(pa.array(matter, pa.bool_()))
        for said in records(messages["payload"], self._called, self._reader, self._thorough):
            self._learn(said, messages)

    def _learn(self, said: Records, messages: pa.RecordBatch) -> None:
        """Take up what messages say; of one that follows an alias, behind those that follow none."""
        message, kind = np.array(said.message, np.int64), np.array(said.kind, np.int64)
        follows = np.isin(message, message[kind == CNAME])
        named, renamed = np.flatnonzero(~follows & _are_told(message)), np.flatnonzero(follows)
        owner, data = pa.array(said.owner, pa.string()), pa.array(said.data, pa.string())
        self._take_up(messages, message[named], kind[named], owner.take(named), data.take(named))
        if len(renamed):
            rows, names = _with_all_names(said, renamed.tolist())
            self._take_up(messages, message[rows], kind[rows], pa.array(names, pa.string()), data.take(rows))

    def _take_up(
        self, messages: pa.RecordBatch, message: Indices, kind: Indices, owner: pa.Array, data: pa.Array
    ) -> None:
        time_ns = messages["time_ns"].take(message)
        names, exchanges = np.flatnonzero(kind != MX), np.flatnonzero(kind == MX)
        self._names.add(data.take(names), owner.take(names), time_ns.take(names))
        owner, data, time_ns = (column.take(exchanges) for column in (owner, data, time_ns))
        clients = [*map(_text, messages["client"].take(message[exchanges]).to_pylist())]
        self._asked.add(pa.array(clients, pa.string()), owner, time_ns)
        self._exchangers.add(data, owner, time_ns)

    def told(self) -> dict[str, pa.Table]:
        """All of it, as `FACT`, for `take` of another."""
        self._read()
        # In one piece: of a slice, a pipe would be given all that it is a slice of.
        return {name: facts.all().combine_chunks() for name, facts in self._facts().items()}

    def take(self, told: Mapping[str, pa.Table]) -> None:
        """Learn what another has learnt."""
        for name, facts in self._facts().items():
            if name in told:
                facts.add(*told[name].columns)

    def _facts(self) -> dict[str, _Facts]:
        return {"names": self._names, "exchangers": self._exchangers, "asked": self._asked}

    def lookups(self) -> pa.Table:
        """How many domains' exchangers each client was told, as `LOOKUPS`."""
        self._read()
        return _counted(self._asked.all())

    def said(self, called: pa.Array) -> Said:
        """What is known of the addresses that were called."""
        self._hear_streams(are_over=True)
        if self._unread and self._called is None:
            self._called = _all_packed(called)
        self._read()
        names = _in_order(_among(self._names.all(), called))
        exchangers = _in_order(_among(self._exchangers.all(), pc.unique(names["other"])))
        domains = _in_order(_joined(names, _first(exchangers)))
        return Said(_known(_first(names)), _known(_first(domains)))


class _Facts:
    """Facts of one kind, each once; as many as are remembered."""

    def __init__(self) -> None:
        self._tables = [FACT.empty_table()]
        self._rows = self._enough = 0

    def __bool__(self) -> bool:
        return self._rows > 0

    def add(self, one: pa.Array, other: pa.Array, time_ns: pa.Array) -> None:
        """Take columns of facts up."""
        if len(one):
            self._tables.append(pa.table([one, other, time_ns], FACT))
            self._rows += len(one)
            if self._rows > self._enough + _TOGETHER:
                self.all()

    def all(self) -> pa.Table:
        """All of them, in the order in which they were learnt first."""
        if len(self._tables) > 1:
            whole = pa.concat_tables(self._tables)
            # "." as exchanger says that there is no mail (RFC 7505).
            is_full = pc.and_(pc.not_equal(whole["one"], ""), pc.not_equal(whole["other"], ""))
            self._tables = [_earliest(whole.filter(is_full)).slice(0, MAX_ANSWERS)]
            self._rows = len(self._tables[0])
            self._enough = 2 * self._rows
        return self._tables[0]


def _are_told(message: Indices) -> Flags:
    """Which rows, in order of their messages, are among the first of theirs."""
    _, first, which = np.unique(message, return_index=True, return_inverse=True)
    told: Flags = np.arange(len(message)) - first[which] < _MOST_TOLD
    return told


def _with_all_names(said: Records, rows: Iterable[int]) -> tuple[Indices, list[str]]:
    """Rows, some of them several times, each with another name of its owner: aliases are names, too."""
    aliases: dict[int, dict[str, list[str]]] = {}
    owned: dict[tuple[int, str], list[str]] = {}
    told = Counter[int]()
    found: list[int] = []
    names: list[str] = []
    for row in rows:
        if said.kind[row] == CNAME:
            of_message = aliases.setdefault(said.message[row], {})
            of_message.setdefault(said.data[row], []).append(said.owner[row])
    for row in rows:
        message, owner = said.message[row], said.owner[row]
        if said.kind[row] == CNAME or told[message] >= _MOST_TOLD:
            continue
        if (message, owner) not in owned:
            owned[message, owner] = [*_with_aliases(owner, aliases[message])]
        found += [row] * len(owned[message, owner])
        names += owned[message, owner]
        told[message] += len(owned[message, owner])
    return np.array(found, np.int64), names


def _earliest(facts: pa.Table) -> pa.Table:
    """Each fact once."""
    # Not in threads, so that they stay in order.
    grouped = facts.group_by(["one", "other"], use_threads=False).aggregate([("time_ns", "min")])
    return grouped.select(["one", "other", "time_ns_min"]).rename_columns(FACT.names)


def _among(facts: pa.Table, ones: pa.Array | pa.ChunkedArray) -> pa.Table:
    return facts.filter(pc.is_in(facts["one"], value_set=ones))


def _in_order(facts: pa.Table) -> pa.Table:
    """What is known of each `one` together, by the time at which it was known."""
    return facts.sort_by([(name, "ascending") for name in ("one", "time_ns", "other")])


def _first(facts: pa.Table) -> pa.Table:
    """Of facts in order no more of each `one` than is told."""
    _, at = _numbered(facts["one"])
    return facts.filter(np.arange(len(at)) - np.searchsorted(at, at) < MOST_NAMED)


def _numbered(column: pa.ChunkedArray) -> tuple[pa.Array, Indices]:
    """The values of a column in which the same ones stand together, and of each row the number of its own."""
    encoded = column.combine_chunks().dictionary_encode()
    return encoded.dictionary, encoded.indices.to_numpy()


def _joined(names: pa.Table, exchangers: pa.Table) -> pa.Table:
    """Of addresses, as they are named in order, the domains of their hosts: those known first."""
    hosts, of_host = _numbered(exchangers["one"])
    at = pc.index_in(names["other"], value_set=hosts)
    names, at = names.filter(at.is_valid()), at.drop_null().to_numpy()
    begins, ends = (np.searchsorted(of_host, at, side) for side in ("left", "right"))
    edges = np.append(0, np.cumsum(ends - begins))
    found, row = [FACT.empty_table()], 0
    while row < len(at):  # there are addresses of a million names
        last = max(int(np.searchsorted(edges, edges[row] + _TOGETHER, "right")) - 1, row + 1)
        counts = (ends - begins)[row:last]
        mine = np.repeat(np.arange(row, last), counts)
        theirs = np.arange(len(mine)) + np.repeat(begins[row:last] - edges[row:last] + edges[row], counts)
        address, named_ns = names["one"].take(mine), names["time_ns"].take(mine)
        domain, told_ns = exchangers["other"].take(theirs), exchangers["time_ns"].take(theirs)
        both = pa.table([address, domain, pc.max_element_wise(named_ns, told_ns)], FACT)
        found.append(_first(_in_order(_earliest(both))))
        row = last
    return _earliest(pa.concat_tables(found))


def _known(facts: pa.Table) -> pa.Table:
    return facts.select(["one", "time_ns", "other"]).rename_columns(KNOWN.names)


def _counted(facts: pa.Table) -> pa.Table:
    grouped = facts.group_by("one", use_threads=False).aggregate([("other", "count")])
    return grouped.select(["one", "other_count"]).rename_columns(LOOKUPS.names).cast(LOOKUPS)


def _all_packed(addresses: pa.Array) -> frozenset[bytes]:
    return frozenset(map(_packed, addresses.to_pylist()))


_text = lru_cache(maxsize=1 << 16)(text)


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def _with_aliases(name: str, aliases: Mapping[str, list[str]]) -> Iterator[str]:
    """The name, and the names that the same message calls aliases of it."""
    seen = [name]
    for current in seen:
        yield current
        seen += [alias for alias in aliases.get(current, ()) if alias not in seen][: _MAX_ALIASES - len(seen)]


def _framed(chunks: Iterable[Chunk]) -> Iterator[tuple[int, bytes]]:
    """The server's messages with the times at which they were complete; none after a gap."""
    held = b""
    for chunk in chunks:
        if chunk.side is Side.CLIENT:
            continue
        if chunk.skipped:
            return
        held += chunk.data
        at = 0
        while len(held) >= at + 2 and len(held) >= (end := at + 2 + int.from_bytes(held[at : at + 2])):
            if end - at - 2 >= HEADER:
                yield chunk.time_ns, held[at + 2 : end]
            at = end
        held = held[at:]
