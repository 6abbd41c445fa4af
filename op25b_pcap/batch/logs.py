"""Flow logs among the pieces: their entries set down by conversation, and taken up again.

Entries of all logs that tell of one conversation stand in one part, so that what belongs together
meets, wherever logs were cut and whichever of them (Zeek's conn.log and smtp.log) told it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from op25b_pcap.batch import work
from op25b_pcap.batch.account import Account, digest_of_first
from op25b_pcap.capture.compression import unpacked
from op25b_pcap.capture.digest import Passing
from op25b_pcap.capture.disk import Disk, digest_of
from op25b_pcap.capture.octets import Broken
from op25b_pcap.capture.reading import DAMAGES_LISTED, format_of
from op25b_pcap.faults import UsageFault
from op25b_pcap.flowlogs import HEAD, Entry, Hints, Log, kind_of, kind_within
from op25b_pcap.flowlogs import entries as entries_of
from op25b_pcap.flowlogs.entry import Mail

PARTS = 16
_SCHEMA = pa.schema({"entry": pa.string()})
_STEP = 1 << 18
_ENTRIES, _CHARACTERS = 4096, 4 << 20
"""Entries of a part that are held before they are written, and of how many characters, about."""

_SOCKETS = tuple(map(Entry._fields.index, ("src", "dst")))
_ANOMALIES, _MAIL = map(Entry._fields.index, ("anomalies", "mail"))


def kind(path: Path) -> str:
    """The kind of flow log that a file holds; empty if it is none. Raises OSError."""
    path.stat()
    head = b""
    try:
        _, pieces = unpacked(Disk(path).pieces(_STEP))
        while len(head) < HEAD and (piece := next(pieces, b"")):
            head += piece
            if format_of(head):
                return ""
        return kind_within(head, pieces)
    except Broken:
        return kind_of(head)


def hints_of(zone: str, *, sampled: bool) -> Hints:
    """What the caller knows of logs. Raises UsageFault."""
    try:
        _zone(zone)
    except (KeyError, ValueError, OSError):  # OSError: it is a folder of zones
        reason = f"no zone has the name {zone!r}: say one of IANA's, such as Asia/Tokyo"
        raise UsageFault(f"--log-zone: {reason}") from None
    return Hints(zone, sampled)


def _zone(name: str) -> tzinfo:
    """UTC is known also where a machine has no list of zones."""
    return UTC if name == "UTC" else ZoneInfo(name)


def read(account: Account, path: Path, folder: Path, hints: Hints) -> dict[str, Path]:
    """Read a log of a kind; gives what was written, by its place in the workshop."""
    disk = Disk(path, digest=digest_of(path, beside=False))
    raw = disk.pieces(_STEP)
    damages: list[tuple[int, str]] = []

    def damaged(offset: int, reason: str) -> None:
        if len(damages) < DAMAGES_LISTED:
            damages.append((offset, reason))

    account.compression, pieces = unpacked(raw)
    packed = Passing(pieces) if account.compression else None
    account.hints = hints.words
    log = Log(0, damaged, account.mtime_ns, _zone(hints.zone), hints.sampled)
    file = folder / "entries.arrow"
    parts, account.opens = _set_down(entries_of(packed or pieces, account.kind, log), file)
    try:
        for _ in raw:  # what a damage has left over belongs to size and hash
            pass
        account.sha256 = disk.sha256() or ""
    except Broken as fault:
        damaged(disk.size, str(fault))
    account.size, account.damages = disk.size, damages
    if packed:
        account.unpacks_to = packed.octets, packed.hex()
    account.records, account.format = log.records, account.kind
    account.first_time_ns, account.last_time_ns = log.first_time_ns, log.last_time_ns
    account.began_ns = -1 if log.first_time_ns is None else log.first_time_ns
    account.layers = [parts] if parts else []
    return {work.entries(account.content, account.hints): file} if parts else {}


def taken_up(path: Path, batches: Sequence[int], capture: int) -> Iterator[Entry]:
    """Entries in some batches of a file, in rough order of their ends."""
    with pa.OSFile(str(path)) as file:
        reader = pa.ipc.open_file(file)
        for number in batches:
            for text in reader.get_batch(number)["entry"].to_pylist():
                yield _entry(text)._replace(capture=capture)


def _set_down(found: Iterator[Entry], path: Path) -> tuple[list[int], str]:
    """Write entries; gives the part of each batch, and what tells the first entry."""
    held: list[list[str]] = [[] for _ in range(PARTS)]
    characters = [0] * PARTS
    parts: list[int] = []
    opens = ""
    with pa.ipc.new_file(str(path), _SCHEMA, options=work.SQUEEZED) as writer:

        def write(part: int) -> None:
            writer.write_batch(pa.record_batch([pa.array(held[part], pa.string())], schema=_SCHEMA))
            held[part].clear()
            characters[part] = 0
            parts.append(part)

        for entry in found:
            part, text = _part(entry), _text(entry)
            # Without what hints change.
            opens = opens or digest_of_first(f"{entry.kind} {entry.number} {entry.key}".encode())
            held[part].append(text)
            characters[part] += len(text)
            if len(held[part]) == _ENTRIES or characters[part] > _CHARACTERS:
                write(part)
        for part in range(PARTS):
            if held[part]:
                write(part)
    return parts, opens


def _part(entry: Entry) -> int:
    return hashlib.blake2b(repr(entry.key).encode(), digest_size=1).digest()[0] % PARTS


def _text(entry: Entry) -> str:
    """An entry as JSON, its fields in their order."""
    told: list[Any] = [*entry]
    for place in _SOCKETS:
        address, port = told[place]
        told[place] = address.hex(), port
    return json.dumps(told)


def _entry(text: str) -> Entry:
    told: list[Any] | dict[str, Any] = json.loads(text)
    if isinstance(told, dict):  # in lakes of earlier versions
        told["mail"] = told["mail"] and [*told["mail"].values()]
        told = [told[name] for name in Entry._fields]
    for place in _SOCKETS:
        address, port = told[place]
        told[place] = bytes.fromhex(address), port
    told[_ANOMALIES] = tuple(told[_ANOMALIES])
    if told[_MAIL] is not None:
        mail = Mail(*told[_MAIL])
        told[_MAIL] = mail._replace(rcpt_to=None if mail.rcpt_to is None else tuple(mail.rcpt_to))
    return Entry(*told)
