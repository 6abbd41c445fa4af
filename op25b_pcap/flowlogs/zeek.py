"""Zeek's conn.log and smtp.log, as TSV or as JSON lines, to entries.

In: lines. Out: an entry for each TCP connection on a mail port, and one for each mail
transaction. Columns are found by their names, in whatever order. Logs of other protocols in the
same stream are passed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from op25b_pcap.flowlogs.entry import Entry, Log, Socket, concerns_mail
from op25b_pcap.flowlogs.fields import addresses, count, end_ns, epoch_ns, port, seconds_ns, visible
from op25b_pcap.flowlogs.lines import Line, lines
from op25b_pcap.flowlogs.zeek_smtp import COLUMNS as SMTP_COLUMNS
from op25b_pcap.flowlogs.zeek_smtp import MESSAGE, mail
from op25b_pcap.flowlogs.zeek_smtp import OTHERS as SMTP_OTHERS
from op25b_pcap.wire.services import SERVICES

Told = Mapping[str, Any]
"""The fields of a record that are set: a text, or a tuple of those of a set; that only of `_LISTS`."""

_ENDS = ("id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p")
CONN_COLUMNS = frozenset({"ts", *_ENDS, "proto"})
"""What a connection cannot be told without."""
CONN_MARKS = frozenset({"conn_state", "orig_pkts", "orig_bytes", "missed_bytes"})
"""Columns that only conn.log has."""
_PLAIN = {name.replace(".", "_"): name for name in _ENDS}
"""As they are named where `Log::default_scope_sep` is `_`."""
_PORTS = frozenset(map(str, SERVICES))
_ESCAPED = re.compile(r"\\x([0-9a-fA-F]{2})")
_JSON_PORT = re.compile(
    rb'"(?:id[._])?(?:orig|resp)_p"\s*:\s*(?:%s)\b' % b"|".join(b"%d" % p for p in SERVICES)
)

_CONN = ("uid", "duration", "resp_bytes", "resp_pkts", "history", "tunnel_parents", "vlan", "inner_vlan")
"""What else of conn.log is looked at."""
_WANTED = frozenset({*CONN_COLUMNS, *CONN_MARKS, *_CONN, *SMTP_COLUMNS, *MESSAGE, *SMTP_OTHERS})
_NAMES = {**{name: name for name in _WANTED}, **_PLAIN}
_JSON = json.JSONDecoder(parse_float=str, parse_int=str)

# Zeek's history letters and what they show (Conn::Info): a gap, and a retransmission, is of data;
# FIN and RST at once is a RST. A zero window (W) is no proof of an ACK: one that was there is named (A).
_LETTERS = dict(zip("SHADTGFRI", "SHADDDFRR", strict=True))
# Where there is no history: what each state tells for sure of both sides (conn/main.zeek).
_BY_STATE = {
    "S0": ("S", ""),
    "S1": ("S?", "H"),
    "SF": ("SF", "HF"),
    "REJ": ("S", "R"),
    "S2": ("SF", "H"),
    "S3": ("S", "HF"),
    "RSTO": ("S?R", "H"),
    "RSTR": ("S?", "HR"),
    "RSTOS0": ("SR", ""),
    "RSTRH": ("", "HR"),
    "SH": ("SF", ""),
    "SHR": ("", "HF"),
    "OTH": ("", ""),
}
_ODD = {"C": "bad_checksum", "G": "gap", "Q": "flag_combination", "I": "flag_combination"}
_MAX_NAME = 256
"""Characters of a uid (Zeek's have 18), or of the uids of all tunnels around a connection."""
_MAX_HISTORY = 1024


def tsv(pieces: Iterator[bytes], log: Log) -> Iterator[Entry]:
    """Entries of a log in Zeek's own format; each header changes what follows it."""
    header = Header()
    for line in lines(pieces, log):
        if line.octets.startswith(b"#"):
            header.read(line.octets)
        elif line.octets and header.tells:
            entry = _read(line, log, header.told, header.tells)
            if entry is not None:
                yield log.take(entry)


def json_lines(pieces: Iterator[bytes], log: Log) -> Iterator[Entry]:
    """Entries of a log of one JSON object a line."""
    for line in lines(pieces, log):
        text = line.octets.strip()
        if not text:
            continue
        if not (text.startswith(b"{") and text.endswith(b"}")):
            log.damaged(line.offset, "no JSON object")
        elif _JSON_PORT.search(text):
            entry = _read(line, log, _from_json, None)
            if entry is not None:
                yield log.take(entry)


class Header:
    """What the comment lines of a TSV log say."""

    def __init__(self) -> None:
        self._separator = "\t"
        self._set_separator, self._empty, self._unset = ",", "(empty)", "-"
        self._count = 0
        self._ports: list[int] = []
        self._wanted: list[tuple[str, int]] = []
        self.tells: str | None = None
        """`conn`, `smtp`, or None for another log."""

    def read(self, octets: bytes) -> None:
        """Take a comment line in."""
        text = octets.decode("utf-8", "replace")
        if text.startswith("#separator "):
            self._separator = _unescaped(text.removeprefix("#separator ").strip()) or "\t"
            return
        word, _, rest = text[1:].partition(self._separator)
        if word == "set_separator":
            self._set_separator = _unescaped(rest) or ","
        elif word == "empty_field":
            self._empty = rest
        elif word == "unset_field":
            self._unset = rest
        elif word == "fields":
            names = [_PLAIN.get(name, name) for name in rest.split(self._separator)]
            self._ports = [at for at, name in enumerate(names) if name in ("id.orig_p", "id.resp_p")]
            self._count = len(names)
            self.tells = log_of(names)
            self._wanted = [(name, at) for at, name in enumerate(names) if name in _WANTED]

    def told(self, octets: bytes) -> Told | None:
        """The fields of a line; None if no port is one of mail.

        Raises ValueError if it has more or fewer fields than the header names.
        """
        text = octets.decode("utf-8", "replace")
        values = text.split(self._separator)
        if len(values) != self._count:
            raise ValueError("another number of fields than the header names")
        for at in self._ports:
            if values[at] in _PORTS:
                break
        else:
            return None
        told: dict[str, str | tuple[str, ...]] = {}
        unset, empty = self._unset, self._empty
        is_escaped = "\\x" in text
        for name, at in self._wanted:
            value = values[at]
            if value == unset:
                continue
            if name in _SETS:
                parts = value.split(self._set_separator) if value != empty else []
                told[name] = tuple(_unescaped(part) for part in parts)
            elif value == empty:
                told[name] = ""
            else:
                told[name] = _unescaped(value) if is_escaped else value
        return told


_SETS = ("rcptto", "tunnel_parents", "fuids")
_LISTS = frozenset({*_SETS, *MESSAGE})


def log_of(names: list[str] | Mapping[str, Any]) -> str | None:
    """Whether a record with these fields is of conn.log or of smtp.log; None of another."""
    if CONN_COLUMNS.issubset(names) and not CONN_MARKS.isdisjoint(names):
        return "conn"
    return "smtp" if SMTP_COLUMNS.issubset(names) else None


def _from_json(octets: bytes) -> Told:
    """The fields of a JSON object; a nested record's are named as in TSV (`id.orig_h`)."""
    try:
        found = _JSON.decode(octets.decode("utf-8", "surrogatepass").strip())
    except RecursionError:
        raise ValueError("no JSON object") from None
    told: dict[str, str | tuple[str, ...]] = {}
    for name, value in found.items():
        if type(value) is dict:
            for inner, text in value.items():
                if isinstance(text, str) and (known := _NAMES.get(f"{name}.{inner}")):
                    told[known] = _sound(text)
        elif known := _NAMES.get(name):
            if type(value) is str:
                told[known] = value if value.isascii() else _sound(value)
            elif type(value) is list:
                parts = tuple(_sound(part) for part in value if isinstance(part, str))
                told[known] = parts if known in _LISTS else ""
            elif type(value) is bool:
                told[known] = str(value).lower()
    return told


def _sound(text: str) -> str:
    r"""Without halves of characters, which JSON may name (`\ud800`, RFC 8259 section 8.2)."""
    return text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def _read(line: Line, log: Log, read: Callable[[bytes], Told | None], tells: str | None) -> Entry | None:
    """The entry of a line, if it concerns mail; a line that cannot be read costs itself."""
    try:
        told = read(line.octets)
        return None if told is None else _entry(told, tells or log_of(told), log, line.number)
    except (ValueError, KeyError, TypeError) as fault:
        reason = f"no field {fault}" if isinstance(fault, KeyError) else str(fault) or "not understood"
        log.damaged(line.offset, f"a line of Zeek's: {reason}")
        return None


def _entry(told: Told, tells: str | None, log: Log, number: int) -> Entry | None:
    get = told.get
    if tells is None or get("proto", "") not in ("tcp", "", "6"):
        return None
    src_port, dst_port = port(get("id.orig_p", "")), port(get("id.resp_p", ""))
    if not concerns_mail(src_port, dst_port):
        return None
    uid = get("uid", "")
    if len(uid) > _MAX_NAME:
        raise ValueError("a uid that is too long")
    start_ns = epoch_ns(get("ts", ""))
    src, dst = addresses(get("id.orig_h", ""), get("id.resp_h", ""))
    ends = "zeek", log.capture, number, start_ns
    if tells == "conn":
        return _connection(ends, (src, src_port), (dst, dst_port), uid, told)
    return Entry(
        *ends,
        start_ns,
        (src, src_port),
        (dst, dst_port),
        sent="AD",
        got="D" if "last_reply" in told else "",
        is_complete=False,
        uid=uid,
        mail=mail(told),
    )


def _connection(begin: tuple[str, int, int, int], src: Socket, dst: Socket, uid: str, told: Told) -> Entry:
    """What a line of conn.log tells; `begin` are the first fields of an entry."""
    get = told.get
    last_ns = end_ns(begin[3], seconds_ns(get("duration", "") or "0"))
    orig_bytes, resp_bytes = _count(get("orig_bytes")), _count(get("resp_bytes"))
    orig_pkts, resp_pkts, missed = (
        _count(get("orig_pkts")),
        _count(get("resp_pkts")),
        _count(get("missed_bytes")),
    )
    state, history = get("conn_state", "") or None, get("history", "") or None
    if state is not None and state not in _BY_STATE:
        raise ValueError("an unknown conn_state")
    sent, got, odd = _shown(history) if history else (*_by_state(state, orig_bytes, resp_bytes), ())
    if missed:
        odd = tuple(sorted({*odd, "gap"}))
    payer = ""
    if parents := get("tunnel_parents"):
        payer = visible("/".join(sorted(parents)) if isinstance(parents, tuple) else parents)
        if len(payer) > _MAX_NAME:
            raise ValueError("too many tunnels")
    return Entry(
        *begin,
        last_ns,
        src,
        dst,
        sent,
        got,
        orig_pkts,
        resp_pkts,
        orig_bytes,
        resp_bytes,
        is_complete=sent is not None,
        conn_state=state,
        history=history,
        uid=uid,
        encapsulation=_vlans(told) if not parents else None,
        payer=payer,
        anomalies=odd,
    )


@lru_cache(maxsize=4096)
def _shown(history: str) -> tuple[str, str, tuple[str, ...]]:
    """What both sides have sent by the history, and its oddities. Raises ValueError."""
    if not (len(history) <= _MAX_HISTORY and history.isascii() and history.replace("^", "").isalpha()):
        raise ValueError("an unknown history")
    sent = "".join(_LETTERS.get(letter, "") for letter in history if letter.isupper())
    got = "".join(_LETTERS.get(letter.upper(), "") for letter in history if letter.islower())
    return sent, got, tuple(sorted({_ODD[letter] for letter in history.upper() if letter in _ODD}))


def _by_state(
    state: str | None, orig_bytes: int | None, resp_bytes: int | None
) -> tuple[str | None, str | None]:
    """What both sides have sent where there is no history."""
    if state is None:
        return None, None
    sent, got = _BY_STATE[state]
    return sent + ("D" if orig_bytes else ""), got + ("D" if resp_bytes else "")


def _vlans(told: Told) -> str | None:
    """The tags, where Zeek was told to log them; of other layers it says nothing."""
    if "vlan" not in told and "inner_vlan" not in told:
        return None
    tags = [told.get(name, "") for name in ("vlan", "inner_vlan")]
    return "/".join(f"vlan:{count(tag)}" for tag in tags if tag) or None


def _count(text: str | None) -> int | None:
    return count(text) if text else None


def _unescaped(text: str) -> str:
    """The octets that Zeek writes as a backslash, x and two digits, because they would disturb its format."""
    if "\\x" not in text:
        return text
    octets = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)
    try:
        return octets.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:  # there are other letters beside the escaped ones
        return octets
