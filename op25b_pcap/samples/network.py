"""A wire with a clock: hosts talk, and every packet that passes the point of capture is kept.

A `Connection` is told as a story — `opened().say("S: 220 …").closed()` — and keeps the facts
(addresses, how many SYNs) that the expectations are made of. Hosts behave as Linux does: SYN
options, timestamps, back-off. Chance (sequence numbers, ports, identifications) is drawn from
the network's own seeded source, so that the same story makes the same octets.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Self

import dns.message
import dns.rrset

from op25b_pcap.samples import frames, tls
from op25b_pcap.samples.containers import Frame
from op25b_pcap.samples.frames import ACK, FIN, PSH, RST, SYN

SECOND = 1_000_000_000
LINUX_BACK_OFF_S = (0, 1, 3, 7, 15, 31, 63)
"""When Linux sends the SYN of one attempt (tcp_syn_retries = 6, RFC 6298)."""
_DOMAIN = 53
_INITIAL_WINDOW, _SCALED_WINDOW = 64240, 502
_TIMESTAMP_OCTETS = 12
_BACK_TO_BACK_S = 0.00003

Line = Callable[[bytes, bool], bytes]
"""How a packet, sent upstream or not, stands on the subscriber's line."""


@dataclass(frozen=True)
class Host:
    """A host as the point of capture sees it."""

    address: str
    ttl: int = 64
    """What is left of its TTL or Hop Limit there."""
    away_s: float = 0.011
    """Time from the point of capture to the host and back."""
    is_inside: bool = False
    """On the subscriber's side of the point of capture."""


@dataclass
class Network:
    """One point of capture, from a moment on."""

    start_ns: int
    random: Random
    line: Line = frames.ethernet
    hears_downstream: bool = True
    captured: list[Frame] = field(default_factory=list)
    cuts_ns: list[int] = field(default_factory=list)
    """When the capture went on in a new file."""

    def connect(
        self, client: Host, server: Host, port: int, at_s: float = 0.0, mss: int = 1460
    ) -> Connection:
        """A connection that will begin some seconds after the capture."""
        return Connection(self, client, server, port, self.start_ns + round(at_s * SECOND), mss)

    def look_up(
        self, client: Host, resolver: Host, name: str, kind: str, *answers: str, at_s: float = 0.0
    ) -> None:
        """A DNS question over UDP and its answer."""
        query = dns.message.make_query(name, kind, id=self.random.getrandbits(16))
        response = dns.message.make_response(query, recursion_available=True)
        response.answer.append(dns.rrset.from_text(f"{name}.", 3600, "IN", kind, *answers))
        port = self.ephemeral_port()
        asked_ns = self.start_ns + round(at_s * SECOND)
        self._datagram(asked_ns, (client, resolver), (port, _DOMAIN), query.to_wire())
        answered_ns = asked_ns + round(self.trip_s(resolver) * SECOND)
        self._datagram(answered_ns, (resolver, client), (_DOMAIN, port), response.to_wire())

    def cut(self, time_ns: int) -> None:
        """From that moment on, the capture goes on in another file."""
        self.cuts_ns.append(time_ns)

    def pieces(self) -> list[list[Frame]]:
        """What was captured, in order of time, one list a file."""
        in_order = sorted(self.captured, key=lambda frame: frame[0])
        bounds = [0, *sorted(self.cuts_ns), 1 << 63]
        return [
            [frame for frame in in_order if since <= frame[0] < until] for since, until in pairwise(bounds)
        ]

    def pass_by(self, time_ns: int, packet: bytes, upstream: bool) -> None:
        """Keep a packet, if this point of capture hears its direction."""
        if upstream or self.hears_downstream:
            self.captured.append((time_ns, self.line(packet, upstream)))

    def _datagram(self, time_ns: int, hosts: tuple[Host, Host], ports: tuple[int, int], data: bytes) -> None:
        sender, receiver = hosts
        ends = (sender.address, receiver.address)
        datagram = frames.udp(ends, ports, data)
        packet = frames.ip(*ends, frames.UDP, datagram, sender.ttl, self.random.getrandbits(16))
        self.pass_by(time_ns, packet, sender.is_inside)

    def ephemeral_port(self) -> int:
        """A port for a client."""
        return self.random.randrange(32768, 60999)  # Linux' ip_local_port_range

    def trip_s(self, host: Host) -> float:
        """One trip to the host and back; queues on the way make each a little different."""
        return host.away_s * (1 + self.random.random() / 10)


class End:
    """One end of a connection: its numbers and its clocks."""

    def __init__(self, host: Host, port: int, random: Random) -> None:
        self.host = host
        self.port = port
        self.isn = random.getrandbits(32)
        self.next = self.isn + 1
        self.identification = random.getrandbits(16)
        self.uptime_ms = random.getrandbits(31)
        self.last_timestamp = 0


class Connection:
    """One TCP connection attempt; every method is something that happens next."""

    def __init__(
        self, network: Network, client: Host, server: Host, port: int, start_ns: int, mss: int
    ) -> None:
        self.network = network
        self.client = End(client, network.ephemeral_port(), network.random)
        self.server = End(server, port, network.random)
        self.now_ns = start_ns
        self.syn_packets = 0
        self._mss = mss
        self._start_ns = start_ns
        self._last_sender: End | None = None

    def opened(self) -> Self:
        """SYN, SYN-ACK, ACK."""
        self._syn()
        self._send(self.server, SYN | ACK)
        self._send(self.client, ACK)
        return self

    def unanswered(self, back_off_s: tuple[int, ...] = LINUX_BACK_OFF_S) -> Self:
        """The same SYN again and again, and nothing comes back."""
        for after_s in back_off_s:
            self.now_ns = self._start_ns + after_s * SECOND
            self._syn()
        return self

    def refused(self, ttl: int, away_s: float) -> Self:
        """A RST answers the SYN in the called host's name, from so near and with that TTL."""
        self._syn()
        self.now_ns += round(away_s * SECOND)
        ends, ports = self._names(self.server)
        segment = frames.tcp(ends, ports, (0, self.client.next % 2**32), RST | ACK, 0)
        packet = frames.ip(*ends, frames.TCP, segment, ttl)
        self.network.pass_by(self.now_ns, packet, self.server.host.is_inside)
        return self

    def prohibited(self, router: Host) -> Self:
        """A router answers the SYN: administratively prohibited."""
        quoted = frames.forwarded(self._syn())
        self.now_ns += round(router.away_s * SECOND)
        client = self.client.host.address
        type_, code = (1, 1) if ":" in client else (3, 13)
        error = frames.icmp_error(router.address, client, type_, code, quoted, router.ttl)
        self.network.pass_by(self.now_ns, error, router.is_inside)
        return self

    def say(self, dialogue: str) -> Self:
        """Lines that begin with `C: ` or `S: `, as RFCs print dialogues.

        Neighbouring lines of one side travel together.
        """
        turns: list[tuple[End, list[str]]] = []
        for line in filter(None, map(str.strip, dialogue.splitlines())):
            end = {"C:": self.client, "S:": self.server}[line[:2]]
            if not turns or turns[-1][0] is not end:
                turns.append((end, []))
            turns[-1][1].append(line[3:])
        for end, lines in turns:
            self._data(end, "".join(f"{line}\r\n" for line in lines).encode())
        return self

    def tls(self, server_name: str, *octets: int) -> Self:
        """A TLS handshake, then encrypted records of so many octets by turns, the server's first."""
        random = self.network.random
        self._data(self.client, tls.client_hello(server_name, random))
        self._data(self.server, tls.server_hello(random))
        self._data(self.client, tls.client_finished(random))
        for turn, length in enumerate(octets):
            if length:
                self._data(self.client if turn % 2 else self.server, tls.opaque(length, random))
        return self

    def paused(self, seconds: float) -> Self:
        """Nothing happens for a while."""
        self.now_ns += round(seconds * SECOND)
        return self

    def closed(self) -> Self:
        """Both sides close, the server first."""
        self._send(self.server, FIN | ACK)
        self._send(self.client, FIN | ACK)
        self._send(self.server, ACK)
        return self

    def reset(self) -> Self:
        """The client drops the connection."""
        self._send(self.client, RST | ACK)
        return self

    def _syn(self) -> bytes:
        self.syn_packets += 1
        return self._send(self.client, SYN)

    def _data(self, end: End, data: bytes) -> None:
        size = self._mss - _TIMESTAMP_OCTETS
        for start in range(0, len(data), size):
            is_last = start + size >= len(data)
            self._send(end, ACK | (PSH if is_last else 0), data[start : start + size])

    def _send(self, end: End, flags: int, data: bytes = b"") -> bytes:
        """One segment passes the point of capture; returns its packet."""
        turned = self._last_sender is not None and self._last_sender is not end
        wait_s = self.network.trip_s(end.host) if turned else _BACK_TO_BACK_S
        self.now_ns += round(wait_s * SECOND)
        self._last_sender = end
        other = self.client if end is self.server else self.server
        ends, ports = self._names(end)
        sequence = end.isn if flags & SYN else end.next
        numbers = (sequence % 2**32, other.next % 2**32 if flags & ACK else 0)
        window = _INITIAL_WINDOW if flags & SYN else _SCALED_WINDOW
        segment = frames.tcp(ends, ports, numbers, flags, window, self._options(end, other, flags), data)
        # Linux numbers a SYN-ACK 0: it keeps no state for it yet.
        identification = 0 if flags & SYN and flags & ACK else end.identification
        packet = frames.ip(*ends, frames.TCP, segment, end.host.ttl, identification)
        self.network.pass_by(self.now_ns, packet, end.host.is_inside)
        end.identification = (end.identification + 1) % 2**16
        end.next += len(data) + bool(flags & FIN)
        return packet

    def _names(self, end: End) -> tuple[tuple[str, str], tuple[int, int]]:
        other = self.client if end is self.server else self.server
        return (end.host.address, other.host.address), (end.port, other.port)

    def _options(self, end: End, other: End, flags: int) -> bytes:
        """Timestamps (RFC 7323) always; on a SYN also MSS, SACK permitted and window scale."""
        elapsed_ms = (self.now_ns - self._start_ns) // 1_000_000
        end.last_timestamp = end.uptime_ms + elapsed_ms
        times = struct.pack("!II", end.last_timestamp, other.last_timestamp)
        if not flags & SYN:
            return b"\x01\x01\x08\x0a" + times
        return struct.pack("!BBH", 2, 4, self._mss) + b"\x04\x02\x08\x0a" + times + b"\x01\x03\x03\x07"
