"""Segments of one conversation told like a story: `talk.client("S", 0)`, `talk.server("SA", 0)`.

Sequence numbers are given as offsets from each side's first octet (its ISN + 1), so that a
test can be read without arithmetic; `-1` is the SYN itself.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field

from op25b_pcap.tables.packets import IcmpError, Seen, TcpSegment

FLAGS = {letter: 1 << bit for bit, letter in enumerate("FSRPAUEC")}
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


def seen(at_s: float, number: int, place: str = "eth0", capture: int = 0) -> Seen:
    return Seen(START + round(at_s * SECOND), capture, number, place, "", "", "")


@dataclass
class Talk:
    client_ip: str = "203.0.113.5"
    server_ip: str = "198.51.100.7"
    client_port: int = 50000
    server_port: int = 25
    client_isn: int = 1000
    server_isn: int = 9000
    packets: list[TcpSegment | IcmpError] = field(default_factory=list)
    now: float = 0.0

    def wait(self, seconds: float) -> Talk:
        self.now += seconds
        return self

    def client(self, flags: str, seq: int = -1, ack: int = 0, data: bytes = b"", **more: object) -> Talk:
        return self._send(True, flags, seq, ack, data, **more)

    def server(self, flags: str, seq: int = -1, ack: int = 0, data: bytes = b"", **more: object) -> Talk:
        return self._send(False, flags, seq, ack, data, **more)

    def handshake(self) -> Talk:
        return self.client("S").server("SA").client("A", 0, 0)

    def icmp(self, type_: int, code: int, reporter: str = "192.0.2.1", seq: int | None = -1) -> Talk:
        self.now += 0.001
        number = (self.client_isn + 1 + seq) % 2**32 if seq is not None else None
        self.packets.append(
            IcmpError(
                seen(self.now, len(self.packets) + 1),
                octets(reporter),
                type_,
                code,
                octets(self.client_ip),
                octets(self.server_ip),
                self.client_port,
                self.server_port,
                number,
            )
        )
        return self

    def _send(
        self,
        from_client: bool,
        flags: str,
        seq: int,
        ack: int,
        data: bytes,
        *,
        captured: int | None = None,
        place: str = "eth0",
        ttl: int = 64,
        ip_id: int | None = None,
        delay: float = 0.001,
        isn: int | None = None,
        window: int = 64240,
    ) -> Talk:
        self.now += delay
        own, other = (self.client_isn, self.server_isn) if from_client else (self.server_isn, self.client_isn)
        own = own if isn is None else isn
        ends = ((self.client_ip, self.client_port), (self.server_ip, self.server_port))
        (src, src_port), (dst, dst_port) = ends if from_client else ends[::-1]
        self.packets.append(
            TcpSegment(
                seen=seen(self.now, len(self.packets) + 1, place),
                src=octets(src),
                dst=octets(dst),
                src_port=src_port,
                dst_port=dst_port,
                seq=(own + 1 + seq) % 2**32,
                ack=(other + 1 + ack) % 2**32 if "A" in flags else 0,
                flags=sum(FLAGS[letter] for letter in flags),
                window=window,
                ttl=ttl,
                ip_id=len(self.packets) + 1 if ip_id is None else ip_id,
                options=b"",
                payload=data[:captured],
                payload_length=len(data),
                checksum_ok=True,
            )
        )
        return self


def octets(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def mail_session(talk: Talk | None = None) -> Talk:
    """A whole small session: greeting, EHLO, QUIT, both sides closed."""
    talk = talk or Talk()
    talk.handshake()
    talk.server("PA", 0, 0, b"220 mx.example.com\r\n")
    talk.client("A", 0, 20)
    talk.client("PA", 0, 20, b"EHLO home.example.org\r\n")
    talk.server("PA", 20, 23, b"250 mx.example.com\r\n")
    talk.client("PA", 23, 40, b"QUIT\r\n")
    talk.server("PA", 40, 29, b"221 Bye\r\n")
    talk.server("FA", 49, 29)
    talk.client("FA", 29, 50)
    talk.server("A", 50, 30)
    return talk
