"""nfdump's CSV to entries: one for each unidirectional flow record of TCP with a mail port.

In: lines with a header of any of nfdump's versions, or a list of columns where the command was
asked for them. Out: entries that tell of one direction each. Flags are the sum of all packets'
flags, octets are those of IP: only what follows from them for certain becomes a letter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import tzinfo

from op25b_pcap.flowlogs.entry import Entry, Log
from op25b_pcap.flowlogs.fields import addresses, count, end_ns, epoch_ns, port, seconds_ns
from op25b_pcap.flowlogs.lines import lines
from op25b_pcap.wire.services import SERVICES

# Names of columns: 1.6 and 1.7 up to 1.7.4, then those of 1.7.5 and later.
_NAMES = {
    "ts": ("ts", "firstSeen"),
    "te": ("te", "lastSeen"),
    "td": ("td", "duration"),
    "pr": ("pr", "proto"),
    "sa": ("sa", "srcAddr"),
    "da": ("da", "dstAddr"),
    "sp": ("sp", "srcPort"),
    "dp": ("dp", "dstPort"),
    "flg": ("flg", "flags"),
    "pkt": ("ipkt", "packets", "inPackets"),
    "byt": ("ibyt", "bytes", "inBytes"),
    "opkt": ("opkt", "outPackets"),
}
_PORTS = frozenset(map(str, SERVICES))
_WORDS = {name: word for word, names in _NAMES.items() for name in names}
NEEDED = frozenset({"ts", "pr", "sa", "da", "sp", "dp"})
"""What a record cannot be told without."""
_ENDS_AT = ("Summary", "flows", "No matching", "Time window", "Total flows", "Sys:")
"""Lines that are no records: what nfdump adds at the end."""
_MOST_HEADERS = 120
"""Octets of the longest IPv4 and TCP headers, 60 each (RFC 791, RFC 9293): what a packet has
beyond is payload."""

Columns = Mapping[str, int]


def columns_of(header: str) -> Columns:
    """Where each column stands that is known; empty if the line is no header of nfdump's."""
    names = [name.strip() for name in header.split(",")]
    found = {_WORDS[name]: at for at, name in reversed(list(enumerate(names))) if name in _WORDS}
    return found if found.keys() >= NEEDED else {}


def csv(
    pieces: Iterator[bytes], log: Log, columns: Sequence[str] = (), zone: tzinfo | None = None
) -> Iterator[Entry]:
    """Entries of CSV; without `columns` a header names them, and each header changes what follows it.

    `zone` is that of its times, if it is not the log's.
    """
    at: Columns = {name: place for place, name in enumerate(columns)}
    for line in lines(pieces, log):
        text = line.octets.decode("utf-8", "replace")
        if header := columns_of(text):
            at = header
            continue
        first = text.lstrip()
        if not at or not first:
            continue
        if not first[0].isdigit():
            if not columns and not first.startswith(_ENDS_AT):
                log.damaged(line.offset, "no flow record of nfdump's")
            continue
        try:
            entry = _entry(text.split(","), at, log, zone or log.zone, line.number)
        except (ValueError, IndexError) as fault:
            if not _is_total(text):
                reason = "a field is missing" if isinstance(fault, IndexError) else str(fault)
                log.damaged(line.offset, f"a flow record of nfdump's: {reason}")
            continue
        if entry is not None:
            yield log.take(entry)


def _is_total(text: str) -> bool:
    """The line under `Summary` has numbers only: flows, bytes, packets and averages."""
    parts = text.split(",")
    return len(parts) == 6 and all(part.strip().isdigit() for part in parts)


def _entry(values: list[str], at: Columns, log: Log, zone: tzinfo, number: int) -> Entry | None:
    ports = values[at["sp"]].strip(), values[at["dp"]].strip()
    if ports[0] not in _PORTS and ports[1] not in _PORTS:
        return None
    field = {name: values[place].strip() for name, place in at.items()}
    if field["pr"].upper() not in ("TCP", "6"):
        return None
    src_port, dst_port = port(ports[0]), port(ports[1])
    start_ns, last_ns = _times(field, zone)
    src, dst = addresses(field["sa"], field["da"])
    packets, octets, back = (_counted(field.get(name, "")) for name in ("pkt", "byt", "opkt"))
    flags = _flags(field.get("flg", ""))
    sent = letters(flags, packets, octets)
    entry = Entry(
        "nfdump",
        log.capture,
        number,
        start_ns,
        last_ns,
        (src, src_port),
        (dst, dst_port),
        sent=sent,
        sent_packets=packets,
        is_complete=not log.sampled and flags is not None,
        anomalies=("sampled",) if log.sampled else (),
    )
    if back:
        both = _of_either(flags, sent)
        entry = entry._replace(sent=both, got=both, got_packets=back, is_complete=False)
    return entry


def _of_either(flags: str | None, sent: str | None) -> str | None:
    """The letters of each side where one record tells of both (`nfdump -b`), and not whose flags these are.

    PSH and FIN come after a handshake, whoever sent them. Neither SYN nor RST: nothing was opened or
    refused while anybody looked. Of all else it is not known what came of it.
    """
    if common := "".join(letter for letter in sent or "" if letter in "DF"):
        return common
    return "" if flags and "A" in flags and not {"S", "R"} & set(flags) else None


def letters(flags: str | None, packets: int | None, octets: int | None) -> str | None:
    """What a direction has sent for certain; None where nothing tells.

    PSH and FIN stand in packets after the handshake. An ACK that stands beside a RST may be its own.
    """
    is_large = bool(packets and octets and octets > packets * _MOST_HEADERS)
    if flags is None:
        return "D" if is_large else None
    told = ""
    if "S" in flags:
        told += "S" if "A" not in flags else "H" if packets == 1 else "Y"
    elif "A" in flags:
        told += "A" if "R" not in flags else "?" if packets != 1 else ""
    if "P" in flags or (is_large and flags != "S"):
        told += "D"
    return told + "".join(letter for letter in "FR" if letter in flags)


def _flags(text: str) -> str | None:
    """The letters of `...AP.SF`, or those of a number; None where there is no such column."""
    if not text:
        return None
    if text.isdigit() or text.startswith("0x"):
        bits = int(text, 0)
        return "".join(letter for bit, letter in enumerate("FSRPAUEC") if bits >> bit & 1)
    if not set(text) <= set("CEUAPRSFX."):
        raise ValueError("no TCP flags")
    return "".join(letter for letter in text if letter in "FSRPA")


def _counted(text: str) -> int | None:
    return count(text) if text else None


def _times(field: Mapping[str, str], zone: tzinfo) -> tuple[int, int]:
    """First and last packet. Some versions cut both to seconds, but not the duration between."""
    start_ns = epoch_ns(field["ts"], zone)
    if "td" in field:
        return start_ns, end_ns(start_ns, _duration(field["td"]))
    last_ns = epoch_ns(field["te"], zone) if "te" in field else start_ns
    return start_ns, end_ns(start_ns, last_ns - start_ns)


def _duration(text: str) -> int:
    """Seconds, or `HH:MM:SS.mmm` of later versions, with days before it."""
    days, _, clock = text.rpartition("d")
    hours, minutes, seconds = (["0", "0", *clock.strip().split(":")])[-3:]
    whole = (count(days.strip() or "0") * 24 + count(hours)) * 3600 + count(minutes) * 60
    return whole * 1_000_000_000 + seconds_ns(seconds)
