"""Records to packets: the engines, and their account of what became of every record."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

SKIPPED: dict[str, str] = {
    "unsupported_link_type": "no engine reads this kind of link layer",
    "no_ip": "the frame carries no IP: ARP, LLDP, spanning tree, control of a line, …",
    "not_tcp": "IP, but neither TCP, nor an ICMP error about TCP, nor an answer of DNS",
    "other_port": "TCP, or an ICMP error about it, on ports that nobody watches",
    "encrypted": "what is inside cannot be seen: ESP, MACsec, DTLS, protected 802.11",
    "fragment": "a part of an IP packet whose ports came in another, or were never captured",
    "truncated": "the capture holds too few octets of the packet",
    "malformed": "the packet itself is too short, or a length in it cannot be true",
    "too_deep": "more headers within each other than anybody nests in earnest",
}
"""Why a record became no packet, by the word that stands in `run.json`."""


@dataclass(slots=True)
class Tally:
    """Every record that was read is decoded, or skipped for exactly one reason."""

    read: int = 0
    decoded: int = 0
    """Records that became a packet; a frame that aggregates several became several."""
    skipped: Counter[str] = field(default_factory=Counter)
