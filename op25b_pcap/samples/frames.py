"""Packets as octets: IP, TCP, UDP, ICMP and what carries them on an access line.

Comes in: addresses as text, numbers, payload. Goes out: octets as they stand on the wire,
lengths and checksums right. Written by `struct` alone, because whoever reads captures with a
library must not be examined by the same library.
"""

from __future__ import annotations

import socket
import struct

FIN, SYN, RST, PSH, ACK = (1 << bit for bit in range(5))
IPV4_IN_IPV6, TCP, UDP, ICMP, ICMPV6 = 4, 6, 17, 1, 58
_DONT_FRAGMENT = 0x4000

# Ethernet addresses for documentation (RFC 7042 section 2.1.2).
SUBSCRIBER_MAC = bytes.fromhex("00005e005301")
PROVIDER_MAC = bytes.fromhex("00005e0053fe")
IPV4_TYPE, IPV6_TYPE, VLAN_TYPE, PPPOE_TYPE = 0x0800, 0x86DD, 0x8100, 0x8864


def octets(address: str) -> bytes:
    """The 4 or 16 octets of an address."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip(src: str, dst: str, protocol: int, payload: bytes, ttl: int, identification: int = 0) -> bytes:
    """An IPv4 or IPv6 packet, as the addresses say; IPv6 has no use for the identification."""
    ends = octets(src) + octets(dst)
    if ":" in src:
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, ttl) + ends + payload
    length = 20 + len(payload)
    fields = struct.pack("!BBHHHBB", 0x45, 0, length, identification, _DONT_FRAGMENT, ttl, protocol)
    return fields + struct.pack("!H", checksum(fields + ends)) + ends + payload


def forwarded(packet: bytes) -> bytes:
    """The packet as the next router sees it: one hop older."""
    if packet[0] >> 4 == 6:
        return packet[:7] + bytes([packet[7] - 1]) + packet[8:]
    header = packet[:8] + bytes([packet[8] - 1]) + packet[9:10] + b"\0\0" + packet[12:20]
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + packet[20:]


def tcp(
    ends: tuple[str, str],
    ports: tuple[int, int],
    numbers: tuple[int, int],
    flags: int,
    window: int,
    options: bytes = b"",
    payload: bytes = b"",
) -> bytes:
    """A TCP segment (RFC 9293 section 3.1); every pair is the sender's, then the other's."""
    words = 5 + len(options) // 4
    header = struct.pack("!HHIIBBHHH", *ports, *numbers, words << 4, flags, window, 0, 0)
    return _summed(header + options + payload, 16, ends, TCP)


def udp(ends: tuple[str, str], ports: tuple[int, int], payload: bytes) -> bytes:
    """A UDP datagram (RFC 768)."""
    return _summed(struct.pack("!HHHH", *ports, 8 + len(payload), 0) + payload, 6, ends, UDP)


def icmp_error(reporter: str, to: str, type_: int, code: int, quoted: bytes, ttl: int) -> bytes:
    """The packet of an ICMP or ICMPv6 error that quotes another packet (RFC 792, RFC 4443)."""
    message = struct.pack("!BBHI", type_, code, 0, 0) + quoted
    if ":" in reporter:
        return ip(reporter, to, ICMPV6, _summed(message, 2, (reporter, to), ICMPV6), ttl)
    return ip(reporter, to, ICMP, message[:2] + struct.pack("!H", checksum(message)) + message[4:], ttl)


def _summed(message: bytes, at: int, ends: tuple[str, str], protocol: int) -> bytes:
    """The message with its checksum, which covers a pseudo-header (RFC 9293, RFC 8200 8.1)."""
    pseudo_header = octets(ends[0]) + octets(ends[1]) + struct.pack("!II", len(message), protocol)
    # A sum of zero would mean "no checksum" in UDP; ones' complement has a second zero.
    return message[:at] + struct.pack("!H", checksum(pseudo_header + message) or 0xFFFF) + message[at + 2 :]


def ethernet(packet: bytes, upstream: bool) -> bytes:
    """The packet on an Ethernet between the subscriber's router and the provider's."""
    return _ethernet_header(upstream) + struct.pack("!H", _ethertype(packet)) + packet


def pppoe(packet: bytes, upstream: bool, vlan: int, session: int) -> bytes:
    """The packet in a PPPoE session (RFC 2516) on a VLAN."""
    protocol = 0x0021 if packet[0] >> 4 == 4 else 0x0057
    return (
        _ethernet_header(upstream)
        + struct.pack("!HHH", VLAN_TYPE, vlan, PPPOE_TYPE)
        + struct.pack("!BBHHH", 0x11, 0, session, 2 + len(packet), protocol)
        + packet
    )


def ds_lite(packet: bytes, upstream: bool, subscriber: str, provider: str) -> bytes:
    """IPv4 in an IPv6 tunnel to the provider's address translator (RFC 6333); IPv6 as it is."""
    if packet[0] >> 4 == 4:
        ends = (subscriber, provider) if upstream else (provider, subscriber)
        packet = ip(*ends, IPV4_IN_IPV6, packet, ttl=64)
    return ethernet(packet, upstream)


def _ethernet_header(upstream: bool) -> bytes:
    return PROVIDER_MAC + SUBSCRIBER_MAC if upstream else SUBSCRIBER_MAC + PROVIDER_MAC


def _ethertype(packet: bytes) -> int:
    return IPV4_TYPE if packet[0] >> 4 == 4 else IPV6_TYPE
