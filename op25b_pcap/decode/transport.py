"""The end of the way: TCP, UDP, and ICMP with the packet that it quotes."""

from __future__ import annotations

from op25b_pcap.decode.headers import TCP, UDP, header
from op25b_pcap.decode.steps import Ahead, Around, Failure, Ip, Skip, Step, View, fields
from op25b_pcap.tables.packets import DnsMessage, IcmpError, TcpSegment
from op25b_pcap.wire import icmp as icmp_wire
from op25b_pcap.wire import tcp as tcp_wire
from op25b_pcap.wire import udp as udp_wire
from op25b_pcap.wire.layers import UDP_PORTS, Layer
from op25b_pcap.wire.services import DOMAIN, WATCHED


def tcp(view: View, around: Around) -> TcpSegment | IcmpError:
    """A segment on a watched port. A header is enough that reaches to its flags.

    A data offset beyond the packet, or within the fixed header, leaves no payload; the
    attempt was made all the same.
    """
    ip = _required(around)
    if around.failure is not None:
        return _quoted(view, ip, around.failure, around)
    data = view.least(tcp_wire.FLAGS_END)
    shown = data[: tcp_wire.HEADER].ljust(tcp_wire.HEADER, b"\0")
    found, _ = header(TCP, View(shown, tcp_wire.HEADER), tcp_wire.HEADER)
    if found["sport"] not in WATCHED and found["dport"] not in WATCHED:
        raise Skip("other_port")
    size = found["dataofs"] * 4
    payload = view.after(size if tcp_wire.HEADER <= size <= view.length else view.length)
    checkable = around.is_whole and ip.has_length and len(data) == view.length
    return TcpSegment(
        seen=around.seen(),
        src=ip.src,
        dst=ip.dst,
        src_port=found["sport"],
        dst_port=found["dport"],
        seq=found["seq"],
        ack=found["ack"],
        flags=int(found["flags"]) & 0xFF,
        window=found["window"] if len(data) >= tcp_wire.WINDOW_END else None,
        ttl=ip.ttl,
        ip_id=ip.identification,
        options=data[tcp_wire.HEADER : max(size, tcp_wire.HEADER)],
        payload=payload.data,
        payload_length=payload.length,
        checksum_ok=tcp_wire.checksum_ok(ip.src, ip.dst, data) if checkable else None,
    )


def _quoted(view: View, ip: Ip, failure: Failure, around: Around) -> IcmpError:
    """As much of a quoted segment as there is: RFC 792 promises eight octets, hosts may send fewer."""
    data = view.data
    src_port = dst_port = seq = None
    if len(data) >= tcp_wire.PORTS_END:
        src_port, dst_port = int.from_bytes(data[:2]), int.from_bytes(data[2:4])
        if src_port not in WATCHED and dst_port not in WATCHED:
            raise Skip("other_port")
    if len(data) >= tcp_wire.SEQUENCE_END:
        seq = int.from_bytes(data[tcp_wire.PORTS_END : tcp_wire.SEQUENCE_END])
    return IcmpError(around.seen(), *failure, ip.src, ip.dst, src_port, dst_port, seq)


def udp(view: View, around: Around) -> Ahead | DnsMessage:
    """An answer of DNS, or a tunnel."""
    ip = _required(around)
    found, rest = header(UDP, view, udp_wire.HEADER)
    if found["len"] >= udp_wire.HEADER and around.failure is None:
        rest = rest.within(found["len"] - udp_wire.HEADER)
    if found["sport"] == DOMAIN and around.failure is None:
        payload = rest.least(udp_wire.DNS_HEADER)
        if not payload[udp_wire.DNS_FLAGS] & udp_wire.DNS_RESPONSE:
            raise Skip("not_tcp")
        return DnsMessage(around.record.time_ns, ip.dst, payload)
    layer = UDP_PORTS.get(found["dport"]) or UDP_PORTS.get(found["sport"])
    if layer is None:
        raise Skip("not_tcp")
    return Ahead(layer, rest, around)


def icmp(view: View, around: Around) -> Ahead:
    """An ICMP error; the packet it quotes is what counts."""
    type_, code, _, _, words, _ = fields(icmp_wire.ERROR, view)
    if type_ not in icmp_wire.ICMP_ERRORS:
        raise Skip("not_tcp")
    length = words * icmp_wire.ICMP_QUOTE_UNIT if type_ in icmp_wire.ICMP_WITH_LENGTH else 0
    return _quote(type_, code, length, view, around)


def icmpv6(view: View, around: Around) -> Ahead:
    """The same of IPv6."""
    type_, code, _, words, _, _ = fields(icmp_wire.ERROR, view)
    if type_ not in icmp_wire.ICMPV6_ERRORS:
        raise Skip("not_tcp")
    length = words * icmp_wire.ICMPV6_QUOTE_UNIT if type_ in icmp_wire.ICMPV6_WITH_LENGTH else 0
    return _quote(type_, code, length, view, around)


def _quote(type_: int, code: int, length: int, view: View, around: Around) -> Ahead:
    """Into the quote, which ends where extensions begin if its length is given (RFC 4884)."""
    if around.failure is not None:
        raise Skip("not_tcp")  # errors about errors are none (RFC 1122 section 3.2.2)
    quote = view.after(icmp_wire.ERROR.size)
    if length:
        quote = quote.within(length)
    failure = Failure(_required(around).src, type_, code)
    return Ahead(Layer.IP, quote, around._replace(failure=failure, ip=None))


def _required(around: Around) -> Ip:
    """TCP and its like outside of any IP packet, as a number in a tunnel may claim, are nonsense."""
    if around.ip is None:
        raise Skip("malformed")
    return around.ip


STEPS: dict[Layer, Step] = {
    Layer.TCP: tcp,
    Layer.UDP: udp,
    Layer.ICMP: icmp,
    Layer.ICMPV6: icmpv6,
}
