"""Log lines of Linux firewalls (nftables, iptables, ulogd) to entries: one packet each.

In: lines of syslog, journal or kernel log; those without `PROTO=TCP` are passed over. Out: an
entry for each packet with a mail port. What was done with the packet only the rule's prefix can
tell: where it has a word for it, that is believed; where not, what came of the attempt is not known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from op25b_pcap.flowlogs.entry import Entry, Log, concerns_mail
from op25b_pcap.flowlogs.fields import addresses, count, port
from op25b_pcap.flowlogs.lines import Line, lines
from op25b_pcap.flowlogs.syslog import Stamp, from_journal, stamp
from op25b_pcap.wire.services import SERVICES

MARK = re.compile(rb"IN=\S{0,32} OUT=\S{0,32} (?:[^\n]{0,400} )?SRC=[0-9A-Fa-f.:]+ DST=[0-9A-Fa-f.:]+ ")
"""What the kernel's own formatter writes (net/netfilter/nf_log_syslog.c), and ulogd after it."""
_MAIL_PORT = re.compile(rb"[SD]PT=(?:%s)(?!\d)" % b"|".join(b"%d" % port for port in SERVICES))
_IN_NUMBERS = re.compile(rb'\{.*"MESSAGE"\s*:\s*\[')
"""The journal writes so what holds control characters, or is no UTF-8."""
_START = re.compile(r"IN=\S{0,32} OUT=")
_UPTIME = r"(?:\[ {0,12}\d+\.\d+\] ?)?"
_BEHIND_TAG = re.compile(
    r"(?:\S+ ){0,2}(?:kernel|ulogd2?)(?:\[\d+\])?(?:: ?| \S+ \S+ (?:-|\[[^\]]*\]) ?)" + _UPTIME
)
"""Host, perhaps facility and level, and tag (RFC 3164), or those and what else RFC 5424 has, and the
kernel's own time."""
_BEHIND_HOST = re.compile(
    r"(?:\S+ \S+ (?:\d+|-) \S+ (?:-|\[[^\]]*\]) +|\S*[^\s:] +(?:[^\s\[]+\[\d+\]: ?|[^\s:]+: (?=.*\S))?)?"
    + _UPTIME
)
"""What RFC 5424 has; or the host, and what is a tag for certain, or has something behind it: ulogd's own
files have none, there the rule's prefix follows the host."""

# Words of rules' prefixes: those of UFW, firewalld, Shorewall, fail2ban and OpenWrt are among them.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
"""`LOGDROP`, `fw_DROPPED` and `InputDrop` have words of their own; `dropbear` is another word."""
_DROPS = re.compile(r"drop(?:s|ped|ping)?|den(?:y|ied|ies)|block(?:s|ed|ing)?|discard(?:s|ed)?|ban(?:ned)?")
_REJECTS = re.compile(r"reject(?:s|ed|ing)?|refuse[sd]?")
_PASSES = re.compile(r"accept(?:s|ed)?|allow(?:s|ed)?|permit(?:s|ted)?|pass(?:es|ed)?|audit(?:ed)?")
_OP25B = re.compile(r"(?i)op25b")
"""The name of the measure says what it does: Outbound Port 25 Blocking."""
_VERDICTS = ((_DROPS, "filter_dropped"), (_REJECTS, "filter_rejected"), (_PASSES, "filter_passed"))
_FLAGS = {"SYN": "S", "ACK": "A", "RST": "R"}


def netfilter(pieces: Iterator[bytes], log: Log) -> Iterator[Entry]:
    """Entries of all lines about TCP and mail."""
    for line in lines(pieces, log):
        is_about_mail = b"PROTO=TCP" in line.octets and _MAIL_PORT.search(line.octets)
        if not is_about_mail and not _IN_NUMBERS.match(line.octets):
            continue
        try:
            entry = _entry(line, log)
        except (ValueError, TypeError, KeyError, RecursionError) as fault:
            is_odd = isinstance(fault, TypeError | RecursionError | json.JSONDecodeError)
            reason = f"no {fault.args[0]}=" if isinstance(fault, KeyError) else str(fault)
            reason = "no JSON object of the journal's" if is_odd else reason
            log.damaged(line.offset, f"a line of a firewall: {reason}")
            continue
        if entry is not None:
            yield log.take(entry)


def _entry(line: Line, log: Log) -> Entry | None:
    text = line.octets.decode("utf-8", "replace")
    when: Stamp | None = None
    if text.startswith("{"):
        time_ns, text = from_journal(json.loads(text))
        when = Stamp(time_ns, False, 0, False)
    start = _START.search(text)
    if start is None:
        return None
    tokens = text[start.start() :].split()
    field: dict[str, str] = {}
    for token in tokens:
        name, is_one, value = token.partition("=")
        if is_one:
            field.setdefault(name, value)  # an ICMP error quotes another packet further on
    if field.get("PROTO") != "TCP" or "SPT" not in field:
        return None
    src_port, dst_port = port(field["SPT"]), port(field["DPT"])
    if not concerns_mail(src_port, dst_port):
        return None
    if "URGP" not in field:  # it follows the flags, which cannot be trusted without it
        raise ValueError("it is cut")
    when = when or stamp(text, log)
    verdict = (
        "" if start.start() < when.end else _verdict(text[when.end : start.start()], has_host=when.has_host)
    )
    src, dst = addresses(field["SRC"], field["DST"])
    ttl = field.get("TTL") or field.get("HOPLIMIT")
    named = [verdict, "time_since_boot" if when.since_boot else ""]
    return Entry(
        "firewall",
        log.capture,
        line.number,
        when.time_ns,
        when.time_ns,
        (src, src_port),
        (dst, dst_port),
        sent=_letters(tokens),
        sent_packets=1,
        is_complete=verdict == "filter_dropped",
        ttl=min(count(ttl), 255) if ttl else None,
        anomalies=tuple(name for name in named if name),
    )


def _verdict(before: str, *, has_host: bool) -> str:
    """What the prefix says was done with the packet; empty if nothing, or more than one thing."""
    behind = _BEHIND_TAG.match(before)
    if behind is None and has_host:
        behind = _BEHIND_HOST.match(before)
    prefix = before[behind.end() :] if behind else before
    said = [word.lower().removeprefix("log").removesuffix("log") for word in _WORD.findall(prefix)]
    told = [name for words, name in _VERDICTS if any(map(words.fullmatch, said))]
    if not told and _OP25B.search(prefix):
        return "filter_dropped"
    return told[0] if len(told) == 1 else ""


def _letters(tokens: list[str]) -> str:
    """The letter of one packet by its flags, which stand between WINDOW= and URGP=.

    A lone packet from the middle of a connection, or of none, proves no connection: it has no letter.
    """
    places = {token.partition("=")[0]: at for at, token in reversed(list(enumerate(tokens)))}
    flags = "".join(_FLAGS.get(token, "") for token in tokens[places.get("WINDOW", 0) : places["URGP"]])
    if "R" in flags:
        return "R"
    if "S" in flags:
        return "H" if "A" in flags else "S"
    return ""
