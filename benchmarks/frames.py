"""Packets as columns to records of a capture: headers, checksums, all in their places.

A packet is a row of PACKET. What is the same in all packets of a flow (addresses, ports, numbers,
TTL, whether it has timestamps) is not kept anywhere: it follows from the flow's number and the seed.
Flows with even the same script so differ in all of it. Addresses are of the benchmarking network
(RFC 2544) and of the documentation prefix (RFC 3849).
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided

from benchmarks.talk import ACK, RST, SYN, TCP, UDP, C

PACKET = np.dtype([
    ("time_us", "i8"), ("flow", "i8"), ("text", "i8"), ("seq", "u4"), ("ack", "u4"), ("length", "u4"),
    ("order", "u2"), ("port", "u2"), ("sender", "u1"), ("flags", "u1"), ("protocol", "u1"),
])  # fmt: skip
"""`text` is where the payload stands, an even place; `seq` and `ack` are relative; `order` counts on."""

START_S = 1_767_225_600
"""2026-01-01."""
ROUTER = 0xC000020A
"""192.0.2.10, who says in ICMP what is forbidden; over IPv6 2001:db8::a."""
SOURCES, DESTINATIONS = 0xC6120000, 0xC6130000
SOURCES_6, DESTINATIONS_6 = 0x20010DB8_01000000, 0x20010DB8_02000000
SHARE_6 = 26
"""Of 256 flows over IPv6."""
SHARE_STAMPED = 192
"""Of 256 flows with TCP timestamps."""

_RECORD = [("sec", "<u4"), ("usec", "<u4"), ("kept", "<u4"), ("size", "<u4")]
_ETHERNET = [("macs", "u1", 12), ("ethertype", ">u2")]
_IPV4 = [
    ("version", "u1"), ("tos", "u1"), ("total", ">u2"), ("id", ">u2"), ("fragment", ">u2"), ("ttl", "u1"),
    ("protocol", "u1"), ("ip_sum", "<u2"), ("source", ">u4"), ("destination", ">u4"),
]  # fmt: skip
_IPV6 = [
    ("label", ">u4"), ("total", ">u2"), ("protocol", "u1"), ("ttl", "u1"),
    ("source", ">u8", 2), ("destination", ">u8", 2),
]  # fmt: skip
_TCP = [
    ("source_port", ">u2"), ("destination_port", ">u2"), ("seq", ">u4"), ("ack", ">u4"), ("offset", "u1"),
    ("flags", "u1"), ("window", ">u2"), ("sum", "<u2"), ("urgent", ">u2"),
]  # fmt: skip
_UDP = [("source_port", ">u2"), ("destination_port", ">u2"), ("total_udp", ">u2"), ("sum", "<u2")]
_ICMP = [("type", "u1"), ("code", "u1"), ("sum", "<u2"), ("unused", ">u4")]
_STAMPS = [("stamp", ">u4"), ("echo", ">u4")]
# The options of Linux and of Windows: with a SYN, and with all that follows it.
_OPTIONS = {
    (True, True): [("before", "u1", 8), *_STAMPS, ("behind", "u1", 4)],
    (True, False): [("before", "u1", 12)],
    (False, True): [("before", "u1", 4), *_STAMPS],
    (False, False): [],
}
_BEFORE = {
    (True, True): bytes.fromhex("020405b40402080a"),
    (True, False): bytes.fromhex("020405b40103030801010402"),
    (False, True): bytes.fromhex("0101080a"),
}
_BEHIND = np.frombuffer(bytes.fromhex("01030307"), np.uint8)
_MACS = np.frombuffer(bytes.fromhex("00005e0053fe00005e005301"), np.uint8)
_IP_AT = 30
"""Where a record's IP header begins."""


class Facts:
    """What follows from flows' numbers."""

    def __init__(self, flows: np.ndarray, seed: int) -> None:
        self._flows = flows.astype(np.uint64)
        self._seed = seed
        kinds = self.drawn(0)
        self.is_6 = (kinds & 0xFF) < SHARE_6
        self.is_stamped = (kinds >> np.uint64(8) & 0xFF) < SHARE_STAMPED

    def drawn(self, salt: int) -> np.ndarray:
        """64 bits for each flow (Steele et al., SplitMix64)."""
        start = (self._seed * 0x9E3779B97F4A7C15 + (salt + 1) * 0xBF58476D1CE4E5B9) % (1 << 64)
        z = self._flows * np.uint64(0x9E3779B97F4A7C15) + np.uint64(start)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))

    @property
    def segment(self) -> np.ndarray:
        """Octets that a full packet carries."""
        return 1460 - 20 * self.is_6 - 12 * self.is_stamped

    def source(self) -> tuple[np.ndarray, np.ndarray]:
        """Host and port of the client: no two of 3.9 billion flows share them."""
        host = self._flows * np.uint64(40_503) % np.uint64(1 << 16)
        port = (host * np.uint64(7) + (self._flows >> np.uint64(16)) * np.uint64(7919)) % np.uint64(60_000)
        return host, port + np.uint64(1024)

    def destination(self) -> np.ndarray:
        """The server: some are asked often."""
        drawn = self.drawn(1)
        return (drawn & 0xFFFF) * (drawn >> np.uint64(16) & 0xFFFF) >> np.uint64(16)


def sizes(packets: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each packet the shape of its headers, and the octets of headers and of the record."""
    facts = Facts(packets["flow"], seed)
    flags = packets["flags"]
    syn, quiet = (flags & SYN) > 0, (flags & RST) > 0
    stamped = facts.is_stamped & ~quiet
    tcp = 20 + np.where(syn, np.where(stamped, 20, 12), stamped * 12)
    protocol = packets["protocol"]
    ip = 20 + 20 * facts.is_6
    quoted = 8 + ip + 20 + np.where(facts.is_stamped, 20, 12)
    own = np.where(protocol == TCP, tcp, np.where(protocol == UDP, 8, quoted))
    shape = np.where(protocol == TCP, syn * 2 + stamped, np.where(protocol == UDP, 4, 6 + facts.is_stamped))
    headers = _IP_AT + ip + own
    return shape * 2 + facts.is_6, headers, headers + packets["length"]


def records(packets: np.ndarray, arena: np.ndarray, sums: np.ndarray, seed: int) -> np.ndarray:
    """The octets of all packets, in their order; `sums` are those of the arena's 16-bit words so far."""
    shapes, headers, whole = sizes(packets, seed)
    begins = np.cumsum(whole) - whole
    out = np.empty(int(whole.sum()), np.uint8)
    for shape, group in _groups(shapes):
        rows = _headers(packets[group], shape, sums, seed)
        _rows(out, rows.shape[1])[begins[group]] = rows
    for length, group in _groups(packets["length"].astype(np.uint16)):
        if length:
            to = begins[group] + headers[group]
            _rows(out, length)[to] = _rows(arena, length)[packets["text"][group]]
    return out


def _rows(octets: np.ndarray, width: int) -> np.ndarray:
    """Every stretch of so many octets, by where it begins."""
    return as_strided(octets, (len(octets) - width + 1, width), (1, 1))


def _groups(keys: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Each key and where it stands."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    bounds = np.flatnonzero(np.diff(ordered)) + 1
    parts = np.split(order, bounds)
    return [(int(keys[part[0]]), part) for part in parts if len(part)]


def _headers(packets: np.ndarray, shape: int, sums: np.ndarray, seed: int) -> np.ndarray:
    """Rows of octets, all headers of a shape."""
    kind, is_6 = divmod(shape, 2)
    facts = Facts(packets["flow"], seed)
    if kind >= 6:
        return _icmp(packets, facts, bool(is_6), bool(kind % 2), sums, seed)
    is_udp = kind == 4
    options = (kind >= 2, bool(kind % 2))
    layout = np.dtype(
        _RECORD + _ETHERNET + (_IPV6 if is_6 else _IPV4) + (_UDP if is_udp else _TCP + _OPTIONS[options])
    )
    rows = np.zeros(len(packets), layout)
    called = packets["sender"] != C
    _below(rows, packets, facts, bool(is_6), layout.itemsize)
    _, client = facts.source()
    server = packets["port"]
    rows["source_port"] = np.where(called, server, client)
    rows["destination_port"] = np.where(called, client, server)
    if is_udp:
        rows["total_udp"] = 8 + packets["length"]
    else:
        _segment(rows, packets, facts, called, options)
    payload = sums[(packets["text"] + packets["length"] + 1) // 2] - sums[packets["text"] // 2]
    return _summed(rows, bool(is_6), UDP if is_udp else TCP, payload, packets["length"])


def _segment(
    rows: np.ndarray, packets: np.ndarray, facts: Facts, called: np.ndarray, options: tuple[bool, bool]
) -> None:
    numbers = facts.drawn(2)
    first, second = numbers.astype(np.uint32), (numbers >> np.uint64(32)).astype(np.uint32)
    flags = packets["flags"]
    rows["seq"] = np.where(called, second, first) + packets["seq"]
    rows["ack"] = np.where(flags & ACK, np.where(called, first, second) + packets["ack"], 0)
    length = sum(np.dtype([one]).itemsize for one in _OPTIONS[options])
    rows["offset"] = (20 + length) // 4 << 4
    rows["flags"] = flags
    rows["window"] = np.where(flags & RST, 0, np.where(options[0], 64_240, 501 + (numbers & 0x3FF)))
    if length:
        rows["before"] = np.frombuffer(_BEFORE[options], np.uint8)
    if options[1]:
        clock = facts.drawn(3)
        ours, theirs = clock.astype(np.uint32), (clock >> np.uint64(32)).astype(np.uint32)
        now = (packets["time_us"] // 1000).astype(np.uint32)
        rows["stamp"] = np.where(called, theirs, ours) + now
        rows["echo"] = np.where(flags & ACK, np.where(called, ours, theirs) + now, 0)
        if options[0]:
            rows["behind"] = _BEHIND


def _below(rows: np.ndarray, packets: np.ndarray, facts: Facts, is_6: bool, headers: int) -> None:
    """Record, Ethernet and IP but for its checksum."""
    rows["sec"], rows["usec"] = np.divmod(packets["time_us"], 1_000_000)
    rows["sec"] += START_S
    rows["kept"] = rows["size"] = headers - 16 + packets["length"]
    rows["macs"] = _MACS
    rows["ethertype"] = 0x86DD if is_6 else 0x0800
    called = packets["sender"] != C
    drawn = facts.drawn(4)
    client_ttl = np.where(facts.is_stamped, 64, 128) - (drawn & 7)
    rows["ttl"] = np.where(called, 59 - (drawn >> np.uint64(3) & 15), client_ttl)
    rows["protocol"] = packets["protocol"]
    source, destination = facts.source()[0], facts.destination()
    if is_6:
        rows["label"] = 0x60000000 + (drawn >> np.uint64(40) & 0xFFFFF)
        rows["total"] = headers - _IP_AT - 40 + packets["length"]
        client = np.stack([SOURCES_6 + (source >> np.uint64(4)), source * np.uint64(0x9E3779B97F4A7C15)], 1)
        server = np.stack([DESTINATIONS_6 + (destination >> np.uint64(6)), destination + np.uint64(1)], 1)
        called = called[:, None]
    else:
        rows["version"], rows["fragment"] = 0x45, 0x4000
        rows["total"] = headers - _IP_AT + packets["length"]
        rows["id"] = (drawn >> np.uint64(8)).astype(np.uint16) + packets["order"]
        client, server = SOURCES + source, DESTINATIONS + destination
    rows["source"] = np.where(called, server, client)
    rows["destination"] = np.where(called, client, server)


def _icmp(
    packets: np.ndarray, facts: Facts, is_6: bool, is_stamped: bool, sums: np.ndarray, seed: int
) -> np.ndarray:
    """Errors of a router, each with the whole SYN that it is about."""
    asked = packets.copy()
    asked["flags"], asked["sender"], asked["protocol"], asked["length"] = SYN, C, TCP, 0
    asked["order"] -= 1
    quoted = _headers(asked, (2 + is_stamped) * 2 + is_6, sums, seed)[:, _IP_AT:]
    layout = np.dtype(
        _RECORD + _ETHERNET + (_IPV6 if is_6 else _IPV4) + _ICMP + [("quoted", "u1", quoted.shape[1])]
    )
    rows = np.zeros(len(packets), layout)
    _below(rows, packets, facts, is_6, layout.itemsize)
    rows["ttl"] = 254
    unreachable = packets["flags"]
    if is_6:
        rows["protocol"], rows["type"], rows["code"] = 58, 1, np.where(unreachable, 3, 1)
        rows["source"] = 0x20010DB8_00000000, 0xA
    else:
        rows["type"], rows["code"] = 3, np.where(unreachable, 1, 13)
        rows["source"] = ROUTER
    rows["quoted"] = quoted
    return _summed(rows, is_6, 58 if is_6 else 0, np.zeros(len(rows), np.uint32), packets["length"])


def _summed(
    rows: np.ndarray, is_6: bool, protocol: int, payload: np.ndarray, length: np.ndarray
) -> np.ndarray:
    """Fill the checksums in (RFC 1071); `protocol` 0 has no pseudo header. Gives plain octets."""
    words = rows.view("<u2").reshape(len(rows), -1)
    ip = _IP_AT // 2
    above = ip + (20 if is_6 else 10)
    if not is_6:
        rows["ip_sum"] = ~_folded(words[:, ip:above].sum(axis=1, dtype=np.uint32))
    begin = above if not protocol else above - (16 if is_6 else 4)
    total = words[:, begin:].sum(axis=1, dtype=np.uint32) + payload
    if protocol:
        upper = (words.shape[1] - above) * 2 + length
        total += np.uint32(protocol << 8) + upper.astype(np.uint16).byteswap()
    found = ~_folded(total)
    rows["sum"] = np.where(found == 0, 0xFFFF, found) if protocol == UDP else found
    return rows.view(np.uint8).reshape(len(rows), -1)


def _folded(total: np.ndarray) -> np.ndarray:
    for _ in range(2):
        total = (total & 0xFFFF) + (total >> 16)
    return total.astype(np.uint16)
