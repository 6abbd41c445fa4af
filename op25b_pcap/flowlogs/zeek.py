"""Zeek's conn.log and smtp.log, as TSV or as JSON lines, to entries.

In: lines. Out: an entry for each TCP connection on a mail port, and one for each mail
transaction. Columns are found by their names, in whatever order. Logs of other protocols in the
same stream are passed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from op25b_pcap.flowlogs.entry import Entry, Log, concerns_mail
from op25b_pcap.flowlogs.fields import addresses, count, end_ns, epoch_ns, port, seconds_ns, visible
from op25b_pcap.flowlogs.lines import Line, lines
from op25b_pcap.flowlogs.zeek_smtp import COLUMNS as SMTP_COLUMNS
from op25b_pcap.flowlogs.zeek_smtp import mail
from op25b_pcap.wire.services import SERVICES

Told = Mapping[str, str | tuple[str, ...]]
"""The fields of a record that are set: a text, or those of a set or vector."""

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
            yield from _entries(line, log, header.told, header.tells)


def json_lines(pieces: Iterator[bytes], log: Log) -> Iterator[Entry]:
    """Entries of a log of one JSON object a line."""
    for line in lines(pieces, log):
        text = line.octets.strip()
        if not text:
            continue
        if not (text.startswith(b"{") and text.endswith(b"}")):
            log.damaged(line.offset, "no JSON object")
        elif _JSON_PORT.search(text):
            yield from _entries(line, log, _from_json, None)


class Header:
    """What the comment lines of a TSV log say."""

    def __init__(self) -> None:
        self._separator = "\t"
        self._set_separator, self._empty, self._unset = ",", "(empty)", "-"
        self._names: list[str] = []
        self._ports: list[int] = []
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
            self._names = [_PLAIN.get(name, name) for name in rest.split(self._separator)]
            self._ports = [at for at, name in enumerate(self._names) if name in ("id.orig_p", "id.resp_p")]
            self.tells = log_of(self._names)

    def told(self, octets: bytes) -> Told | None:
        """The fields of a line; None if no port is one of mail.

        Raises ValueError if it has more or fewer fields than the header names.
        """
        values = octets.decode("utf-8", "replace").split(self._separator)
        if len(values) != len(self._names):
            raise ValueError("another number of fields than the header names")
        if not any(values[at] in _PORTS for at in self._ports):
            return None
        told: dict[str, str | tuple[str, ...]] = {}
        for name, value in zip(self._names, values, strict=True):
            if value == self._unset:
                continue
            if name in _SETS:
                parts = value.split(self._set_separator) if value != self._empty else []
                told[name] = tuple(_unescaped(part) for part in parts)
            else:
                told[name] = "" if value == self._empty else _unescaped(value)
        return told


_SETS = ("rcptto", "tunnel_parents", "fuids")


def log_of(names: list[str] | Mapping[str, Any]) -> str | None:
    """Whether a record with these fields is of conn.log or of smtp.log; None of another."""
    if CONN_COLUMNS.issubset(names) and not CONN_MARKS.isdisjoint(names):
        return "conn"
    return "smtp" if SMTP_COLUMNS.issubset(names) else None


def _from_json(octets: bytes) -> Told:
    """The fields of a JSON object; a nested record's are named as in TSV (`id.orig_h`)."""
    try:
        found = json.loads(octets, parse_float=str, parse_int=str)
    except RecursionError:
        raise ValueError("no JSON object") from None
    told: dict[str, str | tuple[str, ...]] = {}
    for name, value in found.items():
        name = _PLAIN.get(name, name)
        if isinstance(value, dict):
            told |= {
                f"{name}.{inner}": _sound(text) for inner, text in value.items() if isinstance(text, str)
            }
        elif isinstance(value, list):
            told[name] = tuple(_sound(part) for part in value if isinstance(part, str))
        elif isinstance(value, str | bool):
            told[name] = _sound(value) if isinstance(value, str) else str(value).lower()
    return told


def _sound(text: str) -> str:
    r"""Without halves of characters, which JSON may name (`\ud800`, RFC 8259 section 8.2)."""
    return text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def _entries(
    line: Line, log: Log, read: Callable[[bytes], Told | None], tells: str | None
) -> Iterator[Entry]:
    """The entry of a line, if it concerns mail; a line that cannot be read costs itself."""
    try:
        told = read(line.octets)
        entry = None if told is None else _entry(told, tells or log_of(told), log, line.number)
    except (ValueError, KeyError, TypeError) as fault:
        reason = f"no field {fault}" if isinstance(fault, KeyError) else str(fault) or "not understood"
        log.damaged(line.offset, f"a line of Zeek's: {reason}")
        return
    if entry is not None:
        yield log.take(entry)


def _entry(told: Told, tells: str | None, log: Log, number: int) -> Entry | None:
    if tells is None or _text(told, "proto") not in ("tcp", "", "6"):
        return None
    orig_h, orig_p, resp_h, resp_p = (_text(told, name) for name in _ENDS)
    src_port, dst_port = port(orig_p), port(resp_p)
    if not concerns_mail(src_port, dst_port):
        return None
    uid = _text(told, "uid")
    if len(uid) > _MAX_NAME:
        raise ValueError("a uid that is too long")
    start_ns = epoch_ns(_text(told, "ts"))
    src, dst = addresses(orig_h, resp_h)
    entry = Entry(
        "zeek",
        log.capture,
        number,
        start_ns,
        start_ns,
        (src, src_port),
        (dst, dst_port),
        uid=uid,
    )
    if tells == "smtp":
        return entry._replace(
            sent="AD", got="D" if "last_reply" in told else "", is_complete=False, mail=mail(told)
        )
    return _connection(entry, told)


def _connection(entry: Entry, told: Told) -> Entry:
    """The entry with what conn.log tells."""
    last_ns = end_ns(entry.start_ns, seconds_ns(_text(told, "duration") or "0"))
    orig_bytes, resp_bytes, orig_pkts, resp_pkts, missed = (
        _count(told, name) for name in ("orig_bytes", "resp_bytes", "orig_pkts", "resp_pkts", "missed_bytes")
    )
    state, history = _text(told, "conn_state") or None, _text(told, "history") or None
    if state is not None and state not in _BY_STATE:
        raise ValueError("an unknown conn_state")
    if history is not None and not (
        len(history) <= _MAX_HISTORY and history.isascii() and history.replace("^", "").isalpha()
    ):
        raise ValueError("an unknown history")
    sent, got = _letters(state, history, orig_bytes, resp_bytes)
    odd = {_ODD[letter] for letter in (history or "").upper() if letter in _ODD}
    if missed:
        odd.add("gap")
    parents = told.get("tunnel_parents", ())
    payer = visible("/".join(sorted(parents)) if isinstance(parents, tuple) else parents)
    if len(payer) > _MAX_NAME:
        raise ValueError("too many tunnels")
    return entry._replace(
        end_ns=last_ns,
        sent=sent,
        got=got,
        sent_packets=orig_pkts,
        got_packets=resp_pkts,
        sent_octets=orig_bytes,
        got_octets=resp_bytes,
        is_complete=sent is not None,
        conn_state=state,
        history=history,
        encapsulation=_vlans(told) if not parents else None,
        payer=payer,
        anomalies=tuple(sorted(odd)),
    )


def _letters(
    state: str | None, history: str | None, orig_bytes: int | None, resp_bytes: int | None
) -> tuple[str | None, str | None]:
    """What both sides have sent, by the history or else by the state."""
    if history is not None:
        return (
            "".join(_LETTERS.get(letter, "") for letter in history if letter.isupper()),
            "".join(_LETTERS.get(letter.upper(), "") for letter in history if letter.islower()),
        )
    if state is None:
        return None, None
    sent, got = _BY_STATE[state]
    return sent + ("D" if orig_bytes else ""), got + ("D" if resp_bytes else "")


def _vlans(told: Told) -> str | None:
    """The tags, where Zeek was told to log them; of other layers it says nothing."""
    tags = [_text(told, name) for name in ("vlan", "inner_vlan")]
    return "/".join(f"vlan:{count(tag)}" for tag in tags if tag) or None


def _count(told: Told, name: str) -> int | None:
    text = _text(told, name)
    return count(text) if text else None


def _text(told: Told, name: str) -> str:
    """A field; empty where it is not set."""
    value = told.get(name, "")
    return value if isinstance(value, str) else ""


def _unescaped(text: str) -> str:
    """The octets that Zeek writes as a backslash, x and two digits, because they would disturb its format."""
    if "\\x" not in text:
        return text
    octets = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)
    try:
        return octets.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:  # there are other letters beside the escaped ones
        return octets
