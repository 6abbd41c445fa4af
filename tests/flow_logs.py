"""Flow logs for tests, as Zeek, nfdump and Linux firewalls write them, and what is read of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from op25b_pcap.flowlogs import Entry, Flow, Log, entries, flows, kind_of, together

HOME, FRIEND, STRANGER, SMARTHOST = "203.0.113.3", "198.51.100.200", "198.51.100.25", "192.0.2.25"
START = 1_763_968_411
"""2025-11-24 07:13:31 UTC."""
WRITTEN_NS = (START + 3600) * 1_000_000_000

_CONN = (
    "ts uid id.orig_h id.orig_p id.resp_h id.resp_p proto service duration orig_bytes resp_bytes "
    "conn_state local_orig local_resp missed_bytes history orig_pkts orig_ip_bytes resp_pkts "
    "resp_ip_bytes tunnel_parents"
)
_SMTP = (
    "ts uid id.orig_h id.orig_p id.resp_h id.resp_p trans_depth helo mailfrom rcptto date from to "
    "subject first_received second_received last_reply path user_agent tls fuids"
)
CONN, SMTP = _CONN.split(), _SMTP.split()
_STRINGS = {"uid", "proto", "service", "conn_state", "history", "id.orig_h", "id.resp_h"}
NFDUMP_16 = (
    "ts,te,td,sa,da,sp,dp,pr,flg,fwd,stos,ipkt,ibyt,opkt,obyt,in,out,sas,das,smk,dmk,dtos,dir,nh,nhb,"
    "svln,dvln,ismc,odmc,idmc,osmc,mpls1,mpls2,mpls3,mpls4,mpls5,mpls6,mpls7,mpls8,mpls9,mpls10,cl,sl,"
    "al,ra,eng,exid,tr"
)
NFDUMP_17 = "firstSeen,duration,proto,srcAddr,srcPort,dstAddr,dstPort,packets,bytes,flows"


class Read(NamedTuple):
    flows: list[Flow]
    damages: list[tuple[int, str]]
    log: Log

    @property
    def rows(self) -> list[dict[str, Any]]:
        return sorted((flow.row for flow in self.flows), key=lambda row: (row["start_time"], row["src_port"]))


def read(*logs: bytes, kind: str = "", **known: Any) -> Read:
    """All logs of one observation; each is recognised by its content."""
    damages: list[tuple[int, str]] = []
    found: list[Iterable[Entry]] = []
    for index, octets in enumerate(logs):
        log = Log(index, lambda *damage: damages.append(damage), **{"written_ns": WRITTEN_NS, **known})
        found.append(entries(iter([octets]), kind or kind_of(octets), log))
    return Read(list(flows(together(*found))), damages, log)


def conn(src_port: int = 40001, dst: str = STRANGER, dst_port: int = 25, **more: Any) -> dict[str, str]:
    """A record of conn.log, as it is written: an unanswered SYN unless told otherwise."""
    record = {
        "ts": f"{START}.050001",
        "uid": f"C{src_port}",
        "id.orig_h": HOME,
        "id.orig_p": src_port,
        "id.resp_h": dst,
        "id.resp_p": dst_port,
        "proto": "tcp",
        "conn_state": "S0",
        "history": "S",
        "missed_bytes": 0,
        "orig_pkts": 1,
        "orig_ip_bytes": 60,
        "resp_pkts": 0,
        "resp_ip_bytes": 0,
    }
    record |= {name.replace("__", "."): value for name, value in more.items()}
    return {name: str(value) for name, value in record.items() if value is not None}


def talk(src_port: int = 40001, **more: Any) -> dict[str, str]:
    """A record of conn.log of a connection that carried something and was closed."""
    told = {"duration": "2.500000", "orig_bytes": 900, "resp_bytes": 700, "conn_state": "SF"}
    told |= {"history": "ShAdDafF", "orig_pkts": 12, "resp_pkts": 10}
    return conn(src_port, **(told | more))


def mail(src_port: int = 40001, **more: Any) -> dict[str, str]:
    """A record of smtp.log: one message, taken."""
    record = {
        "ts": f"{START}.500000",
        "uid": f"C{src_port}",
        "id.orig_h": HOME,
        "id.orig_p": src_port,
        "id.resp_h": STRANGER,
        "id.resp_p": 25,
        "trans_depth": 1,
        "helo": "home.example.net",
        "mailfrom": "alice@example.net",
        "rcptto": "bob@example.org",
        "subject": "a secret",
        "from": "Alice <alice@example.net>",
        "last_reply": "250 2.0.0 Ok: queued as 4711",
        "path": f"{STRANGER},{HOME}",
        "tls": "F",
    }
    record |= {name.replace("__", "."): value for name, value in more.items()}
    return {name: str(value) for name, value in record.items() if value is not None}


def tsv(records: Iterable[Mapping[str, str]], columns: Iterable[str], separator: str = "\t") -> bytes:
    """A log in Zeek's own format."""
    columns = list(columns)
    path = "smtp" if "trans_depth" in columns else "conn"
    head = [f"#separator \\x{ord(separator):02x}"]
    comments = [("set_separator", ","), ("empty_field", "(empty)"), ("unset_field", "-"), ("path", path)]
    head += [f"#{word}{separator}{value}" for word, value in comments]
    head.append(separator.join(["#fields", *columns]))
    body = [separator.join(record.get(name, "-") for name in columns) for record in records]
    return "\n".join([*head, *body, f"#close{separator}2025-11-24-08-00-00", ""]).encode()


def json_lines(records: Iterable[Mapping[str, str]], *, nested: bool = False) -> bytes:
    """The same records as JSON."""
    return b"".join(json.dumps(_object(record, nested=nested)).encode() + b"\n" for record in records)


def _object(record: Mapping[str, str], *, nested: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in record.items():
        if name in ("rcptto", "tunnel_parents", "path"):
            told: Any = value.split(",")
        elif name == "tls":
            told = value == "T"
        elif name in _STRINGS or not value.replace(".", "", 1).isdigit():
            told = value
        else:
            told = float(value) if "." in value else int(value)
        if nested and name.startswith("id."):
            found.setdefault("id", {})[name.removeprefix("id.")] = told
        else:
            found[name] = told
    return found


class Record(NamedTuple):
    """A unidirectional flow record."""

    src: str
    src_port: int
    dst: str
    dst_port: int
    flags: str
    at: float = 0.0
    lasted: float = 0.0
    packets: int = 1
    octets: int = 60
    proto: str = "TCP"


def request(flags: str, at: float = 0.0, **more: Any) -> Record:
    return Record(HOME, 40001, STRANGER, 25, flags, at, **more)


def reply(flags: str, at: float = 0.01, **more: Any) -> Record:
    return Record(STRANGER, 25, HOME, 40001, flags, at, **more)


def flags_text(flags: str) -> str:
    return "".join(letter if letter in flags else "." for letter in "CEUAPRSF")


def nfdump_16(*records: Record) -> bytes:
    """`nfdump -o csv` of 1.6 and early 1.7."""
    lines = [NFDUMP_16]
    for r in records:
        told = {"ts": _local(r.at), "te": _local(r.at + r.lasted), "td": f"{r.lasted:.3f}", "sa": r.src}
        told |= {"da": r.dst, "sp": r.src_port, "dp": r.dst_port, "pr": r.proto, "flg": flags_text(r.flags)}
        told |= {"ipkt": r.packets, "ibyt": r.octets}
        lines.append(",".join(str(told.get(name, 0)) for name in NFDUMP_16.split(",")))
    total = f"{len(records)},1,1,0,0,1"
    return "\n".join([*lines, "Summary", "flows,bytes,packets,avg_bps,avg_pps,avg_bpp", total, ""]).encode()


def nfdump_17(*records: Record, flags: bool = True) -> bytes:
    """`nfdump -o csv` of 1.7.5 and later, with `%flg` added to its columns or without."""
    lines = [NFDUMP_17 + (",flags" if flags else "")]
    for r in records:
        told = [f"{_local(r.at)}.{round(r.at % 1 * 1000):03}", f"00:00:{r.lasted:06.3f}", r.proto, r.src]
        told += [r.src_port, r.dst, r.dst_port, r.packets, r.octets, 1, *([flags_text(r.flags)] * flags)]
        lines.append(",".join(map(str, told)))
    return "\n".join([*lines, ""]).encode()


def _local(at: float) -> str:
    return datetime.fromtimestamp(START + int(at), UTC).strftime("%Y-%m-%d %H:%M:%S")


def packet(flags: str = "SYN", prefix: str = "OP25B-DROP: ", **more: Any) -> str:
    """What the kernel writes of one packet."""
    told = {"SRC": HOME, "DST": STRANGER, "SPT": 48945, "DPT": 25, "ID": 4711} | more
    version = "TC=0 HOPLIMIT=63 FLOWLBL=7" if ":" in told["SRC"] else f"TOS=0x00 TTL=63 ID={told['ID']} DF"
    return (
        f"{prefix}IN=ppp0 OUT=eth1 MAC= SRC={told['SRC']} DST={told['DST']} LEN=60 {version} PROTO=TCP "
        f"SPT={told['SPT']} DPT={told['DPT']} WINDOW=64240 RES=0x00 {flags} URGP=0 "
    )


def syslog(*stamped: tuple[str, str]) -> bytes:
    """Lines of RFC 3164: time and message."""
    return "".join(f"{time} gw kernel: {message}\n" for time, message in stamped).encode()
