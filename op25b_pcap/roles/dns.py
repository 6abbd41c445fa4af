"""What DNS answers in the capture say of addresses: host names, and whose mail exchanger.

In: DNS responses, over UDP as they come or over TCP as a stream. Out: of each address the host
names that were said to have it, and the domains whose MX named one of these, each with the earliest
time at which it was known. The order in which answers come does not matter.
"""

from __future__ import annotations

import socket
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from op25b_pcap.roles.records import Reader, Records, Thorough, may_matter, records
from op25b_pcap.tables.packets import DnsMessage
from op25b_pcap.tables.streams import Chunk, Side
from op25b_pcap.wire.addresses import text
from op25b_pcap.wire.dns import CNAME, MX

MAX_ANSWERS = 1 << 20
"""Names of addresses, and exchangers of domains, that are remembered; the first ones stay."""
MOST_NAMED = 16
"""Names and domains that are told of an address, those known first: each of its flows tells them again,
and there are exchangers of a hundred thousand domains."""
_MOST_UNREAD = 32 << 20
"""Octets of messages that are kept unread."""
_MESSAGE_OCTETS = 128
"""What a message takes beside its octets."""
_Message = tuple[bytes, int, bytes]
"""Its octets, when it came, and to whom."""
_MAX_ALIASES = 16
"""CNAMEs that are followed within one message; resolvers give up earlier."""
_MOST_TOLD = 256
"""What is learnt from one message: a name each alias of it, with each of its addresses or exchangers."""


Known = Mapping[str, Sequence[tuple[int, str]]]
"""Of addresses the texts known of them, each with its time, by which they are in order."""


class Said(NamedTuple):
    """What is known of addresses; those of which nothing is known are not there."""

    names: Known
    domains: Known


class Answers:
    """What was learnt from all DNS answers so far."""

    def __init__(self, reader: Reader | None = None, called: Iterable[str] | None = None) -> None:
        """`reader`: the compiled one, where there are kernels.

        `called`: the only addresses that matter, if they are known before the messages.
        """
        self._reader, self._thorough = reader, Thorough()
        self._called = None if called is None else frozenset(map(_packed, called))
        self._names: dict[tuple[str, str], int] = {}
        """(address, host name) and the time of the earliest answer that says so."""
        self._exchangers: dict[tuple[str, str], int] = {}
        """(host name, domain) likewise."""
        self._asked: dict[tuple[str, str], int] = {}
        """(client, domain) whose exchangers it was told."""
        self._unread: list[_Message] = []
        self._unread_octets = 0

    @property
    def have_heard(self) -> bool:
        """Whether there was anything to learn from."""
        return bool(self._unread or self._names or self._exchangers or self._asked)

    def add(self, message: DnsMessage) -> None:
        """Learn from one response over UDP."""
        self._hear(message.payload, message.time_ns, message.client)

    def add_stream(self, chunks: Iterable[Chunk], client: str) -> None:
        """Learn from a connection to port 53: messages behind their lengths (RFC 1035 4.2.2)."""
        for time_ns, payload in _framed(chunks):
            self._hear(payload, time_ns, _packed(client))

    def _hear(self, payload: bytes, time_ns: int, client: bytes) -> None:
        """Keep a message until it is known which addresses matter: most answers are of no mail host."""
        self._unread.append((payload, time_ns, client))
        self._unread_octets += len(payload) + _MESSAGE_OCTETS
        if self._unread_octets > _MOST_UNREAD:
            self._read()

    def _read(self) -> None:
        """Learn from what was kept; of addresses only those that were called, if that is known."""
        unread, self._unread, self._unread_octets = self._unread, [], 0
        if self._reader is None and self._called is not None:  # to look first is faster than to read all
            unread = [message for message in unread if may_matter(message[0], self._called)]
        payloads = [payload for payload, _, _ in unread]
        for said in records(payloads, self._called, self._reader, self._thorough):
            self._learn(said, unread)

    def lookups(self) -> Mapping[str, int]:
        """How many domains' exchangers each client was told."""
        self._read()
        return Counter(client for client, _ in self._asked)

    def _learn(self, said: Records, messages: Sequence[_Message]) -> None:
        aliases: dict[int, dict[str, list[str]]] = {}
        for message, kind, owner, target in zip(*said, strict=True):
            if kind == CNAME:
                aliases.setdefault(message, {}).setdefault(target, []).append(owner)
        named: dict[tuple[int, str], list[str]] = {}
        told = Counter[int]()
        for message, kind, owner, data in zip(*said, strict=True):
            if kind == CNAME or told[message] >= _MOST_TOLD:
                continue
            _, time_ns, client = messages[message]
            names = named.get((message, owner))
            if names is None:
                names = list(_with_aliases(owner, aliases[message])) if message in aliases else [owner]
                named[message, owner] = names
            told[message] += len(names)
            for name in names:
                if kind == MX:
                    self._note(self._asked, text(client), name, time_ns)
                    self._note(self._exchangers, data, name, time_ns)
                else:
                    self._note(self._names, data, name, time_ns)

    def _note(self, known: dict[tuple[str, str], int], one: str, other: str, time_ns: int) -> None:
        key = one, other
        if key in known:
            known[key] = min(known[key], time_ns)
        elif len(known) < MAX_ANSWERS and one and other:  # "." as exchanger: RFC 7505, no mail here
            known[key] = time_ns

    def told(self) -> dict[str, dict[tuple[str, str], int]]:
        """All of it, for `take` of another."""
        self._read()
        return self._known()

    def take(self, told: Mapping[str, Mapping[tuple[str, str], int]]) -> None:
        """Learn what another has learnt."""
        for name, known in self._known().items():
            for (one, other), time_ns in told.get(name, {}).items():
                self._note(known, one, other, time_ns)

    def _known(self) -> dict[str, dict[tuple[str, str], int]]:
        return {"names": self._names, "exchangers": self._exchangers, "asked": self._asked}

    def said(self, called: Iterable[str]) -> Said:
        """What is known of the addresses that were called."""
        called = frozenset(called)
        if self._unread:
            if self._called is None:
                self._called = frozenset(map(_packed, called))
            self._read()
        names: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for (address, host), time_ns in self._names.items():
            if address in called:
                names[address].append((time_ns, host))
        hosts = {host for known in names.values() for _, host in known}
        of_host: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for (host, domain), time_ns in self._exchangers.items():
            if host in hosts:
                of_host[host].append((time_ns, domain))
        of_host = {host: _first(known) for host, known in of_host.items()}
        domains: dict[str, dict[str, int]] = defaultdict(dict)
        for address, known in names.items():
            for named_ns, host in known:
                for exchanger_ns, domain in of_host.get(host, ()):
                    both_ns = max(named_ns, exchanger_ns)
                    domains[address][domain] = min(domains[address].get(domain, both_ns), both_ns)
        return Said(
            {address: _first(known) for address, known in names.items()},
            {
                address: _first((ns, domain) for domain, ns in known.items())
                for address, known in domains.items()
            },
        )


def _first(known: Iterable[tuple[int, str]]) -> list[tuple[int, str]]:
    return sorted(known)[:MOST_NAMED]


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
        while len(held) >= 2 and len(held) >= 2 + int.from_bytes(held[:2]):
            end = 2 + int.from_bytes(held[:2])
            yield chunk.time_ns, held[2:end]
            held = held[end:]
