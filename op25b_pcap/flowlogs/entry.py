"""What one record of a log tells, in one form for all kinds of logs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import NamedTuple

from op25b_pcap.wire.services import SERVICES

Socket = tuple[bytes, int]
Key = tuple[str, Socket, Socket]


class Hints(NamedTuple):
    """What logs do not say of themselves, and who has them read may know."""

    zone: str = "UTC"
    """IANA's name of the zone of clocks, where lines do not name one."""
    sampled: bool = False
    """Exporters of flow records looked at some packets only."""

    @property
    def words(self) -> str:
        """The same as text; empty if it is as usual."""
        told = [f"zone {self.zone}"] if self.zone != "UTC" else []
        return ", ".join([*told, *["sampled"] * self.sampled])


@dataclass(slots=True)
class Log:
    """One log: what its lines do not say but its reader must know, and the account of what was read."""

    capture: int
    """Index of the log among the inputs."""
    damaged: Callable[[int, str], None]
    """Is told the offset and the reason of every damage."""
    written_ns: int | None = None
    """When the file was last written: it tells the year where lines have none (RFC 3164)."""
    zone: tzinfo = UTC
    """Zone of the clock where lines do not name one."""
    sampled: bool = False
    """The exporter looked at some packets only, so that what it has not seen proves nothing."""
    records: int = 0
    """Lines or records read so far."""
    first_time_ns: int | None = None
    """Earliest time of a record that concerns mail."""
    last_time_ns: int | None = None
    """Latest time of such a record."""

    def take(self, entry: Entry) -> Entry:
        """Account for an entry."""
        if self.first_time_ns is None or entry.start_ns < self.first_time_ns:
            self.first_time_ns = entry.start_ns
        if self.last_time_ns is None or entry.end_ns > self.last_time_ns:
            self.last_time_ns = entry.end_ns
        return entry


class Mail(NamedTuple):
    """What a line of Zeek's smtp.log tells of the dialogue; nothing of the message itself."""

    helo: str | None
    mail_from: str | None
    rcpt_to: tuple[str, ...] | None
    code: int | None
    """Code of the last reply."""
    enhanced: str | None
    text: str | None
    tls: bool
    has_message: bool
    """Fields of the message's header were seen, so DATA was sent."""
    received: int | None
    """How many Received: fields it has; None where that is not known."""


class Entry(NamedTuple):
    """One record. Counts and letters that it does not tell are None.

    Letters name what one side is known to have sent, as in Zeek's `history` but always in upper
    case: S a SYN, H a SYN-ACK, A an acknowledgement alone, D data, F a FIN, R a RST. Beside these
    stand Y, a SYN of unknown kind, because the flags of many packets are one sum; and `?`, an ACK
    that may have been that of a RST.
    """

    kind: str
    """Kind of log: records of different kinds tell of the same attempt twice, and are not joined."""
    capture: int
    number: int
    """1-based line or record."""
    start_ns: int
    end_ns: int
    src: Socket
    """Who sent, or opened, as far as the record itself knows."""
    dst: Socket
    sent: str | None = None
    """Letters of `src`."""
    got: str | None = None
    """Letters of `dst`."""
    sent_packets: int | None = None
    got_packets: int | None = None
    sent_octets: int | None = None
    """Octets of payload."""
    got_octets: int | None = None
    is_complete: bool = True
    """What it does not name has not happened, as far as its writer could see."""
    conn_state: str | None = None
    history: str | None = None
    uid: str = ""
    ttl: int | None = None
    """TTL of `src`'s packet."""
    encapsulation: str | None = None
    payer: str = ""
    """The tunnel that hides who pays; empty if there is none."""
    anomalies: tuple[str, ...] = ()
    mail: Mail | None = None

    @property
    def key(self) -> Key:
        """What records of one conversation have in common, in either direction."""
        return (self.kind, self.src, self.dst) if self.src <= self.dst else (self.kind, self.dst, self.src)

    @property
    def sides(self) -> tuple[bool, bool]:
        """Whether it tells anything of what `src` sent, and of what `dst` did."""
        return (
            self.sent is not None or self.sent_packets is not None,
            self.got is not None or self.got_packets is not None,
        )

    def flipped(self) -> Entry:
        """The same, told from the other side."""
        history = (
            self.history and (self.history[1:] if self.history[0] == "^" else "^" + self.history).swapcase()
        )
        return self._replace(
            src=self.dst,
            dst=self.src,
            sent=self.got,
            got=self.sent,
            sent_packets=self.got_packets,
            got_packets=self.sent_packets,
            sent_octets=self.got_octets,
            got_octets=self.sent_octets,
            conn_state=_FLIPPED.get(self.conn_state or ""),
            history=history,
            ttl=None,
        )


_FLIPPED = {"SF": "SF", "OTH": "OTH", "S1": "S1", "S2": "S3", "S3": "S2", "RSTO": "RSTR", "RSTR": "RSTO"}
"""Zeek's states with the ends exchanged; the rest begin with a SYN and are never exchanged."""


def concerns_mail(src_port: int, dst_port: int) -> bool:
    """Whether one end is on a watched mail port."""
    return dst_port in SERVICES or src_port in SERVICES
