"""What an engine makes of a packet: three kinds of row, and the words for what it left out.

An engine (`op25b_pcap.decode`) turns capture records into these rows; the flows stage reads
nothing else. Addresses are 4 or 16 octets as on the wire, times are integer nanoseconds
since 1970 (UTC), numbers of packets count from 1 within their capture.
"""

from __future__ import annotations

from typing import NamedTuple


class Seen(NamedTuple):
    """Where and when a packet was seen."""

    time_ns: int
    capture: int
    """Index of the capture in the observation."""
    number: int
    """1-based number of the packet in that capture."""
    place: str
    """What the link layer says of the point of capture (interface, direction, station
    addresses): two copies of one packet that differ here were captured at two places."""
    encapsulation: str
    """The contract's word, outer to inner: `vlan:100/pppoe:17`, `ipip6`, empty if none."""
    outer_src: str
    outer_dst: str
    """Text of the outer IP addresses where an IP-in-IP tunnel hides who pays; else empty."""


class TcpSegment(NamedTuple):
    """One TCP segment, innermost, with at least one end on a watched port (mail, or 53)."""

    seen: Seen
    src: bytes
    dst: bytes
    src_port: int
    dst_port: int
    seq: int
    ack: int
    flags: int
    """The eight control bits, FIN in bit 0 (RFC 9293 section 3.1)."""
    window: int | None
    """None where the capture ends before it; the header before it is enough for a segment."""
    ttl: int
    ip_id: int | None
    """IPv4 Identification; None in IPv6."""
    options: bytes
    payload: bytes
    """The captured octets of the payload; may be fewer than `payload_length`."""
    payload_length: int
    """Octets of payload on the wire, by the IP header."""
    checksum_ok: bool | None
    """None where it cannot be checked: cut packets, reassembled fragments' offload."""


class IcmpError(NamedTuple):
    """An ICMP or ICMPv6 error message whose quoted packet is TCP on a watched port."""

    seen: Seen
    reporter: bytes
    """Source address of the ICMP message."""
    type: int
    code: int
    src: bytes
    dst: bytes
    """Ends of the quoted packet, as it quotes them: `src` sent the packet that failed."""
    src_port: int | None
    dst_port: int | None
    """None where the quote ends before the ports."""
    seq: int | None
    """None where the quote ends before the sequence number (RFC 792 promises 8 octets)."""


class DnsMessage(NamedTuple):
    """A DNS response over UDP: the roles stage learns exchangers from it."""

    time_ns: int
    client: bytes
    """Address of who had asked."""
    payload: bytes


Packet = TcpSegment | IcmpError | DnsMessage

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))
