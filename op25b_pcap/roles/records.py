"""The records of a DNS response that name hosts: aliases, exchangers and addresses.

dnspython reads any message, in a tenth of a millisecond; a resolver's clients are told millions.
So what is usual is read here, some twenty times faster: one question, plain host names, pointers that
go back. Whatever is not, a cut message first of all, is dnspython's, which is not even imported
before. Both say the same of every message that the quick reader takes.
"""

from __future__ import annotations

from string import ascii_letters, digits
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple

from op25b_pcap.wire.addresses import text

if TYPE_CHECKING:
    import dns.name

# RFC 1035 section 3.2.2, RFC 3596; meta records are not data (RFC 6891, RFC 8945).
A, CNAME, MX, AAAA, OPT, TSIG = 1, 5, 15, 28, 41, 250
_IN = 1
_ADDRESS_OCTETS = {A: 4, AAAA: 16}
_HEADER = Struct("!6H")
_RECORD = Struct("!HHIH")
_TYPE_AND_CLASS, _PREFERENCE = 4, 2
_QR_OPCODE, _ANSWER_TO_QUERY = 0xF800, 0x8000
_POINTER, _LONGEST_LABEL, _LONGEST_NAME = 0xC0, 63, 253
_MOST_LABELS = 16
"""So there are no more pointers, since those to a pointer are none of ours: dnspython follows 16."""
_PLAIN = f"{ascii_letters}{digits}-_".encode()
"""Octets of labels that zone files do not escape, and no dot."""


class Record(NamedTuple):
    """A record of class IN: a CNAME of the answers, an MX or an address of those or of the additions."""

    kind: int
    owner: str
    """A name as tables show it: lower case, without the root's dot, escaped as in zone files."""
    data: str
    """The alias's target, the exchanger, or the address."""


class _Unusual(Exception):
    """Perhaps nothing is wrong."""


def records(message: bytes) -> list[Record]:
    """What a response says; of anything else, or of what cannot be parsed, nothing."""
    try:
        return _quickly(message)
    except (_Unusual, IndexError):
        return _thoroughly(message)


def _quickly(message: bytes) -> list[Record]:
    """Raises _Unusual or IndexError where dnspython is to be asked."""
    if len(message) < _HEADER.size:
        raise _Unusual
    _, flags, questions, answers, authorities, additions = _HEADER.unpack_from(message)
    if flags & _QR_OPCODE != _ANSWER_TO_QUERY or questions != 1:
        raise _Unusual
    known: dict[int, tuple[str, int]] = {}
    _, at = _name(message, _HEADER.size, known)
    at += _TYPE_AND_CLASS
    has_options, found = False, []
    for number in range(answers + authorities + additions):
        owner, at = _name(message, at, known)
        data = at + _RECORD.size
        if data > len(message):
            raise _Unusual
        kind, class_, _, length = _RECORD.unpack_from(message, at)
        at = data + length
        if at > len(message) or kind == TSIG:
            raise _Unusual
        if kind == OPT:
            if owner or has_options or number < answers + authorities:
                raise _Unusual
            has_options = True
            continue
        if class_ != _IN or answers <= number < answers + authorities:
            continue
        if kind in _ADDRESS_OCTETS:
            if length != _ADDRESS_OCTETS[kind]:
                raise _Unusual
            found.append(Record(kind, owner, text(message[data:at])))
        elif kind == MX or (kind == CNAME and number < answers):
            target, end = _name(message, data + (_PREFERENCE if kind == MX else 0), known)
            if end != at:
                raise _Unusual
            found.append(Record(kind, owner, target))
    aliases = [record.owner for record in found if record.kind == CNAME]
    if len(set(aliases)) < len(aliases):  # one of each, RFC 2181 section 10.1
        raise _Unusual
    return found


def _name(message: bytes, at: int, known: dict[int, tuple[str, int]]) -> tuple[str, int]:
    """The name that stands there (RFC 1035 section 4.1.4), and where the message goes on.

    `known` are names by their place. What a pointer points to has ended before the pointer's part of
    the name begins; so each goes back, and what has been read is not read as something else.
    """
    begin = start = at
    limit, end, rest = len(message), 0, ""
    labels: list[bytes] = []
    while length := message[at]:
        if length < _POINTER:
            if length > _LONGEST_LABEL:
                raise _Unusual
            labels.append(message[at + 1 : at + 1 + length])
            at += 1 + length
            continue
        target = (length & ~_POINTER) << 8 | message[at + 1]
        at += 2
        end = end or at
        if target >= start or at > limit or len(labels) >= _MOST_LABELS:
            raise _Unusual
        if target in known:
            rest, limit = known[target]
            if limit > start:
                raise _Unusual
            break
        if not 0 < message[target] <= _LONGEST_LABEL:
            raise _Unusual
        limit, at, start = start, target, target
    else:
        at += 1
        end = end or at
        if at > limit:
            raise _Unusual
    if b"".join(labels).translate(None, _PLAIN):
        raise _Unusual
    name = b".".join(labels).decode().lower()
    if rest:
        name = f"{name}.{rest}" if name else rest
    if len(name) > _LONGEST_NAME or name.count(".") >= _MOST_LABELS:
        raise _Unusual
    if message[begin] < _POINTER:
        known[begin] = name, end
    return name, end


def _thoroughly(message: bytes) -> list[Record]:
    import dns.exception
    import dns.flags
    import dns.message

    try:
        parsed = dns.message.from_wire(message, ignore_trailing=True, continue_on_error=True)
    except (dns.exception.DNSException, ValueError, IndexError, OverflowError):
        return []
    if not parsed.flags & dns.flags.QR:
        return []
    found = []
    for section, kinds in ((parsed.answer, (CNAME, MX, A, AAAA)), (parsed.additional, (MX, A, AAAA))):
        for records_ in section:
            if records_.rdclass == _IN and records_.rdtype in kinds:
                found += [
                    Record(int(records_.rdtype), _text(records_.name), _data(record)) for record in records_
                ]
    return found


def _data(record: Any) -> str:
    if record.rdtype == MX:
        return _text(record.exchange)
    return _text(record.target) if record.rdtype == CNAME else str(record.address)


def _text(name: dns.name.Name) -> str:
    return name.canonicalize().to_text(omit_final_dot=True).removesuffix(".")
