"""DNS (RFC 1035 section 4): the records of responses that name hosts, as far as they are usual.

One question, plain host names, pointers that go back: a kernel, as those of `scan`. A message with
anything else, a cut one first of all, is told to be unusual, and somebody else's.
"""

from __future__ import annotations

from typing import Any

from op25b_pcap.wire.words import u16

HEADER = 12
_FLAGS, _QUESTIONS, _ANSWERS, _AUTHORITIES, _ADDITIONS = 2, 4, 6, 8, 10
"""Offsets in it; after the name of a question come type and class, of a record also TTL and length."""
_QUESTION, _RECORD = 4, 10
_CLASS, _LENGTH = 2, 8
_PREFERENCE = 2
# Types: RFC 1035 section 3.2.2, RFC 3596; meta records are not data (RFC 6891, RFC 8945).
A, CNAME, MX, AAAA, OPT, TSIG = 1, 5, 15, 28, 41, 250
IN = 1
_QR_OPCODE, _ANSWER_TO_QUERY = 0xF800, 0x8000
_POINTER, _LONGEST_LABEL, _LONGEST_NAME = 0xC0, 63, 253
_MOST_LABELS = 16
"""So there are no more pointers, since those to a pointer are none of ours."""
_MOST_ALIASES = 16
_LONGEST = 0xFFFF
"""Octets of a message."""

MESSAGE, KIND, OWNER, DATA, END = range(5)
"""Cells of a row: the message's number, the type, where in the text the owner's name and the data, a
name or an address as it came, begin, and where the data ends."""
CELLS = 5
UNUSUAL = 0
"""The kind of a row that stands for a whole message."""
_DOT, _HYPHEN, _UNDERSCORE = b".-_"
_0, _9, _UPPER_A, _UPPER_Z, _LOWER_A, _LOWER_Z = b"09AZaz"
_TO_LOWER = _LOWER_A - _UPPER_A


def read_messages(octets: bytes, ends: Any, first: int, rows: Any, text: Any) -> tuple[int, int]:
    """Read messages that end there, one behind the other, from number `first` on.

    Gives the number of the message that there was no more room for, and how many rows are filled:
    for each CNAME of the answers, each MX and each address of these or of the additions. Names are
    in lower case, without the root's dot. There is room for any message if `text` has 4 MiB and there
    are 7,000 rows.
    """
    count, used, begin = 0, 0, 0
    if first:
        begin = ends[first - 1]
    for number in range(first, len(ends)):
        end = ends[number]
        most = min(end - begin, _LONGEST) // _RECORD + 1
        if count + most > len(rows) or used + most * 2 * (_LONGEST_NAME + 1) > len(text):
            return number, count
        known, told = -1, used
        if end - begin <= _LONGEST:
            known, told = _read(octets, begin, end, number, rows, count, text, used)
        if known < 0:
            rows[count, MESSAGE], rows[count, KIND] = number, UNUSUAL
            known, told = count + 1, used
        count, used, begin = known, told, end
    return len(ends), count


def _read(
    octets: bytes, begin: int, end: int, number: int, rows: Any, count: int, text: Any, used: int
) -> tuple[int, int]:
    """How many rows and octets of text are filled behind a message; -1 rows if it is not usual."""
    if end - begin < HEADER:
        return -1, used
    if u16(octets, begin + _FLAGS) & _QR_OPCODE != _ANSWER_TO_QUERY or u16(octets, begin + _QUESTIONS) != 1:
        return -1, used
    answers = u16(octets, begin + _ANSWERS)
    authorities = answers + u16(octets, begin + _AUTHORITIES)
    at, _ = _name(octets, begin + HEADER, begin, end, text, used)
    if at < 0 or at + _QUESTION > end:
        return -1, used
    at += _QUESTION
    first, aliases, has_options = count, 0, False
    for index in range(authorities + u16(octets, begin + _ADDITIONS)):
        owner = used
        at, used = _name(octets, at, begin, end, text, used)
        if at < 0 or at + _RECORD > end:
            return -1, used
        kind, class_ = u16(octets, at), u16(octets, at + _CLASS)
        data, length = at + _RECORD, u16(octets, at + _LENGTH)
        at = data + length
        if at > end or kind == TSIG:
            return -1, used
        if kind == OPT:
            if used > owner or has_options or index < authorities:
                return -1, used
            has_options = True
            continue
        told = used
        if class_ != IN or answers <= index < authorities:
            used = owner
            continue
        if kind in (A, AAAA):
            if length != (4 if kind == A else 16):
                return -1, used
            for place in range(data, at):
                text[used] = octets[place]
                used += 1
        elif kind == MX or (kind == CNAME and index < answers):
            after, used = _name(octets, data + (_PREFERENCE if kind == MX else 0), begin, end, text, used)
            if after != at:
                return -1, used
        else:
            used = owner
            continue
        if kind == CNAME:
            aliases += 1
            if aliases > _MOST_ALIASES or _is_alias(rows, first, count, text, owner, told):
                return -1, used
        rows[count, MESSAGE], rows[count, KIND] = number, kind
        rows[count, OWNER], rows[count, DATA], rows[count, END] = owner, told, used
        count += 1
    return count, used


def _is_alias(rows: Any, first: int, count: int, text: Any, owner: int, end: int) -> bool:
    """Whether a name has a CNAME already: it may have one (RFC 2181 section 10.1)."""
    for row in range(first, count):
        other = rows[row, OWNER]
        if rows[row, KIND] == CNAME and rows[row, DATA] - other == end - owner:
            at = 0
            while at < end - owner and text[other + at] == text[owner + at]:
                at += 1
            if at == end - owner:
                return True
    return False


def _name(octets: bytes, at: int, begin: int, end: int, text: Any, used: int) -> tuple[int, int]:
    """Write the name that stands there (section 4.1.4); gives where the message goes on, or -1.

    What a pointer points to has ended before the pointer's part of the name begins; so each goes
    back, and what has been read is not read as something else.
    """
    first, after, labels = used, -1, 0
    start, limit = at, end
    while True:
        if at >= end:
            return -1, used
        length = octets[at] * 1
        if length == 0:
            at += 1
            break
        if length < _POINTER:
            labels += 1
            if length > _LONGEST_LABEL or labels > _MOST_LABELS or at + length >= end:
                return -1, used
            if used + length + 1 - first > _LONGEST_NAME + (used == first):
                return -1, used
            if used > first:
                text[used] = _DOT
                used += 1
            for place in range(at + 1, at + 1 + length):
                octet = octets[place] * 1
                if _UPPER_A <= octet <= _UPPER_Z:
                    octet += _TO_LOWER
                is_letter = _LOWER_A <= octet <= _LOWER_Z
                if not is_letter and not _0 <= octet <= _9 and octet != _HYPHEN and octet != _UNDERSCORE:
                    return -1, used
                text[used] = octet
                used += 1
            at += 1 + length
            continue
        if at + 1 >= end:
            return -1, used
        target = begin + (length - _POINTER) * 256 + octets[at + 1]
        at += 2
        if after < 0:
            after = at
        if target >= start or at > limit or octets[target] == 0 or octets[target] > _LONGEST_LABEL:
            return -1, used
        limit, at, start = start, target, target
    if at > limit:
        return -1, used
    return (at if after < 0 else after), used
