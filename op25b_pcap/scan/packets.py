"""Rows to packets: the tuples of `tables.packets`, as Scapy's engine makes them."""

from __future__ import annotations

from functools import lru_cache
from sys import intern

from op25b_pcap.decode.steps import between
from op25b_pcap.scan import row as cell
from op25b_pcap.scan.row import (
    ANSWER,
    AT,
    COOKED,
    END,
    IP_AT,
    IP_VERSION,
    NUMBER_BITS,
    OUTER_AT,
    OUTER_VERSION,
    PLACE,
    PLACE_AT,
    SEGMENT,
    STATIONS,
    WORDS,
)
from op25b_pcap.tables.packets import DnsMessage, IcmpError, Packet, Seen, TcpSegment
from op25b_pcap.wire import ip, link, tcp
from op25b_pcap.wire.addresses import text
from op25b_pcap.wire.tunnels import IP_TUNNELS

_NAMES = {cell.VLAN: "vlan", cell.MPLS: "mpls", cell.PPPOE: "pppoe", cell.GRE_KEYED: "gre"}
_OK = {cell.WRONG: False, cell.RIGHT: True, cell.UNKNOWABLE: None}
_HEADERS = {
    cell.NOWHERE: 0,
    STATIONS: link.MAC_ADDRESSES,
    COOKED: link.SLL_HEADER,
    cell.COOKED_V2: link.SLL2_HEADER,
}
"""Octets of the link header that tell the place."""
_new = tuple.__new__


def packet(verdict: int, data: bytes | memoryview, row: list[int], capture: int, number: int) -> Packet:
    """The packet that a row tells of; `data` is the buffer that the row was made from."""
    if verdict == ANSWER:
        return answer(data, row)
    where = seen(data, row, capture, number)
    src, dst = ends(data, row[IP_AT], row[IP_VERSION])
    if verdict == SEGMENT:
        return _segment(where, src, dst, data, row)
    reporter, _ = ends(data, row[cell.FAILURE_AT], row[cell.FAILURE_VERSION])
    ports = (None if row[at] < 0 else row[at] for at in (cell.SRC_PORT, cell.DST_PORT, cell.SEQ))
    return IcmpError(where, reporter, row[cell.TYPE], row[cell.CODE], src, dst, *ports)


def answer(data: bytes | memoryview, row: list[int]) -> DnsMessage:
    """The same of a row that tells of an answer of DNS."""
    _, client = ends(data, row[IP_AT], row[IP_VERSION])
    return _new(DnsMessage, (row[cell.TIME], client, bytes(data[row[AT] : row[END]])))


def _segment(where: Seen, src: bytes, dst: bytes, data: bytes | memoryview, row: list[int]) -> TcpSegment:
    at, end, header = row[AT], row[END], row[IP_AT]
    if row[IP_VERSION] == 4:
        ttl: int = data[header + ip.IPV4_TTL]
        identification = int.from_bytes(data[header + ip.IPV4_ID : header + ip.IPV4_FRAGMENT])
    else:
        ttl, identification = data[header + ip.IPV6_HOPS], None
    checked = row[cell.CHECKSUM]
    right = tcp.checksum_ok(src, dst, bytes(data[at:end])) if checked == cell.UNCHECKED else _OK[checked]
    window = row[cell.WINDOW]
    return _new(
        TcpSegment,
        (
            where,
            src,
            dst,
            row[cell.SRC_PORT],
            row[cell.DST_PORT],
            row[cell.SEQ],
            row[cell.ACK],
            row[cell.FLAGS],
            None if window < 0 else window,
            ttl,
            identification,
            bytes(data[at + tcp.HEADER : row[cell.OPTIONS_END]]),
            bytes(data[row[cell.PAYLOAD_AT] : end]),
            row[cell.LENGTH],
            right,
        ),
    )


def ends(data: bytes | memoryview, at: int, version: int) -> tuple[bytes, bytes]:
    """Source and destination of the IP header that stands there."""
    if version == 4:
        at += ip.IPV4_ENDS
        return bytes(data[at : at + 4]), bytes(data[at + 4 : at + 8])
    at += ip.IPV6_ENDS
    return bytes(data[at : at + 16]), bytes(data[at + 16 : at + 32])


def seen(data: bytes | memoryview, row: list[int], capture: int, number: int) -> Seen:
    """Where and when."""
    src = dst = encapsulation = ""
    if row[WORDS]:
        encapsulation = intern("/".join(map(_word, row[WORDS + 1 : WORDS + 1 + row[WORDS]])))
        if row[OUTER_VERSION]:
            src, dst = map(text, ends(data, row[OUTER_AT], row[OUTER_VERSION]))
    at = row[PLACE_AT]
    place = _place(row[cell.INTERFACE], row[PLACE], bytes(data[at : at + _HEADERS[row[PLACE]]]))
    return _new(Seen, (row[cell.TIME], capture, number, place, encapsulation, src, dst))


@lru_cache(maxsize=4096)
def _place(interface: int, kind: int, header: bytes) -> str:
    """The mark of interface and link header."""
    mark = ""
    if kind == STATIONS:
        mark = between(header[link.ETHERNET_SRC], header[link.ETHERNET_DST])
    elif kind == COOKED:
        address = header[link.SLL_ADDRESS : link.SLL_ADDRESS + link.SLL_ADDRESS_LENGTH]
        mark = f"{int.from_bytes(header[link.SLL_KIND : link.SLL_DEVICE])} {address.hex()}"
    elif kind == cell.COOKED_V2:
        address = header[link.SLL2_ADDRESS : link.SLL2_ADDRESS + link.SLL_ADDRESS_LENGTH]
        index = int.from_bytes(header[link.SLL2_INTERFACE : link.SLL2_DEVICE])
        mark = f"{index} {header[link.SLL2_KIND]} {address.hex()}"
    return intern(f"{interface} {mark}".rstrip())


def _word(entry: int) -> str:
    """An encapsulation as the contract writes it."""
    word, number = entry >> NUMBER_BITS, entry & (1 << NUMBER_BITS) - 1
    if word == cell.IP_IN_IP:
        return IP_TUNNELS[number >> 4, number & 0xF]
    return "gre" if word == cell.GRE else f"{_NAMES[word]}:{number}"
