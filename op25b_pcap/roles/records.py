"""The records of DNS responses that name hosts: aliases, exchangers and addresses.

dnspython reads any message, in a tenth of a millisecond; a resolver's clients are told millions.
So what is usual is `wire.dns`'s, and dnspython, which is not even imported before, reads the rest.
Both say the same of every message that the former takes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from op25b_pcap.roles.messages import octets_of
from op25b_pcap.wire.addresses import text
from op25b_pcap.wire.dns import (
    AAAA,
    CELLS,
    CNAME,
    DATA,
    END,
    IN,
    KIND,
    MESSAGE,
    MX,
    UNUSUAL,
    A,
    read_messages,
)

if TYPE_CHECKING:
    import dns.name
    from numpy.typing import NDArray

Reader = Callable[..., Any]
"""`wire.dns.read_messages`, as it stands or compiled."""
MOST_THOROUGH = 1 << 20
"""Octets of messages that dnspython is given. The worst that a message can hold takes it 20 s a megabyte,
and of ten thousand that name exchangers hardly one is unusual."""
_ROWS, _TEXT = 16 << 10, 4 << 20
"""Room for some thousands of usual messages, and for any one."""
# TYPE and CLASS of a record; then its TTL and the length of its data (RFC 1035 section 3.2.1). At
# every place, since what only looks like a record may hide one.
_EXCHANGER = b"\0\x0f\0\x01"
_ADDRESS = re.compile(rb"(?=\0(?:\x01\0\x01.{4}\0\x04(.{4})|\x1c\0\x01.{4}\0\x10(.{16})))", re.DOTALL)


class Records(NamedTuple):
    """Columns of class IN's records: CNAMEs of the answers, MXs and addresses of these or the additions."""

    message: list[int]
    """The number of the message that each is of."""
    kind: list[int]
    owner: list[str]
    """A name as tables show it: lower case, without the root's dot, escaped as in zone files."""
    data: list[str]
    """The alias's target, the exchanger, or the address."""


class Thorough:
    """dnspython, as long as it is worth its time: the first unusual messages are read."""

    def __init__(self) -> None:
        self._left = MOST_THOROUGH

    def __call__(self, message: bytes) -> list[tuple[int, str, str]]:
        """What `thoroughly` reads, or nothing any more."""
        self._left -= len(message)
        return thoroughly(message) if self._left >= 0 else []


def records(
    messages: pa.Array,
    called: frozenset[bytes] | None = None,
    reader: Reader | None = None,
    thorough: Callable[[bytes], list[tuple[int, str, str]]] | None = None,
) -> Iterator[Records]:
    """What messages say that name exchangers, or one of these addresses, some messages after the other.

    They are a column of `MESSAGES`. `called` None: any address. `thorough` reads what is unusual.
    """
    thorough = thorough or Thorough()
    for rows, said in _read(messages, reader or read_messages):
        chosen = _of_interest(rows, said, called)
        is_usual = chosen[:, KIND] != UNUSUAL
        found = _columns(chosen[is_usual], said)
        for number in chosen[~is_usual, MESSAGE].tolist():
            message = messages[number].as_py()
            if called is None or may_matter(message, called):
                for kind, owner, data in thorough(message):
                    found.message.append(number)
                    found.kind.append(kind)
                    found.owner.append(owner)
                    found.data.append(data)
        yield found


def _read(messages: pa.Array, reader: Reader) -> Iterator[tuple[NDArray[np.int64], bytes]]:
    """Rows, and the text that they are of, some messages after the other."""
    octets, ends = octets_of(messages)
    rows, room = np.empty((_ROWS, CELLS), np.int64), np.empty(_TEXT, np.uint8)
    first = 0
    while first < len(ends):
        first, count = reader(octets, ends, first, rows, room)
        used = int(rows[:count, END].max(initial=0, where=rows[:count, KIND] != UNUSUAL))
        yield rows[:count], room[:used].tobytes()


def _of_interest(rows: NDArray[np.int64], said: bytes, called: frozenset[bytes] | None) -> NDArray[np.int64]:
    """Rows of the messages with an exchanger, or an address that was called; and of unusual ones."""
    kinds = rows[:, KIND]
    matters = (kinds == MX) | (kinds == UNUSUAL)
    is_address = (kinds == A) | (kinds == AAAA)
    if called is None:
        matters |= is_address
    else:
        ends = rows[is_address][:, (DATA, END)].tolist()
        matters[is_address] = [said[begin:end] in called for begin, end in ends]
    found: NDArray[np.int64] = rows[np.isin(rows[:, MESSAGE], rows[matters, MESSAGE])]
    return found


def _columns(rows: NDArray[np.int64], said: bytes) -> Records:
    """The records that rows tell of."""
    message, kind, owner, data, end = (rows[:, cell].tolist() for cell in range(CELLS))
    names = said.decode("latin-1")  # an octet a character
    return Records(
        message,
        kind,
        [names[begin:end] for begin, end in zip(owner, data, strict=True)],
        [
            names[begin:end] if kind in (MX, CNAME) else _address(said[begin:end])
            for kind, begin, end in zip(kind, data, end, strict=True)
        ],
    )


_address = lru_cache(maxsize=1 << 16)(text)


def name_exchangers(messages: pa.Array) -> pa.Array:
    """Of each message whether there may be an MX record."""
    return pc.match_substring(messages, _EXCHANGER)


def may_matter(message: bytes, called: frozenset[bytes]) -> bool:
    """Whether there may be an MX record, or the address of a host that was called."""
    return _EXCHANGER in message or not called.isdisjoint(_addresses(message))


def _addresses(message: bytes) -> Iterator[bytes]:
    """The addresses of all A and AAAA records, and perhaps other octets."""
    for found in _ADDRESS.finditer(message):
        yield found[1] or found[2]


def thoroughly(message: bytes) -> list[tuple[int, str, str]]:
    """Kind, owner and data of what dnspython reads in a response.

    Of anything else, or of what cannot be parsed, nothing.
    """
    import dns.exception
    import dns.flags
    import dns.message

    _load_types()
    try:
        parsed = dns.message.from_wire(message, ignore_trailing=True, continue_on_error=True)
    except (dns.exception.DNSException, ValueError, IndexError, OverflowError):
        return []
    if not parsed.flags & dns.flags.QR:
        return []
    found = []
    for section, kinds in ((parsed.answer, (CNAME, MX, A, AAAA)), (parsed.additional, (MX, A, AAAA))):
        for records_ in section:
            if records_.rdclass == IN and records_.rdtype in kinds:
                found += [(int(records_.rdtype), _text(records_.name), _data(record)) for record in records_]
    return found


@cache
def _load_types() -> None:
    """Have dnspython know the types: what it has met first in another class it takes for unknown in ours."""
    import dns.rdata

    for kind in (A, AAAA, CNAME, MX):
        dns.rdata.get_rdata_class(IN, kind)  # type: ignore[no-untyped-call]


def _data(record: Any) -> str:
    if record.rdtype == MX:
        return _text(record.exchange)
    return _text(record.target) if record.rdtype == CNAME else str(record.address)


def _text(name: dns.name.Name) -> str:
    return name.canonicalize().to_text(omit_final_dot=True).removesuffix(".")
