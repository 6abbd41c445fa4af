"""An attempt's packets turned into its row of the `flows` table and its readable octets."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from op25b_pcap.flows.attempts import Attempt
from op25b_pcap.flows.conn_state import Endpoints, conn_state
from op25b_pcap.flows.identity import flow_id
from op25b_pcap.flows.outcome import decides, handshake, icmp_verdict, is_about_size, outcome
from op25b_pcap.flows.reassembly import Stream
from op25b_pcap.tables.packets import ACK, FIN, RST, SYN, IcmpError, Seen, TcpSegment
from op25b_pcap.tables.streams import Chunk, Side
from op25b_pcap.wire.addresses import text
from op25b_pcap.wire.community_id import community_id
from op25b_pcap.wire.sequence import MODULO
from op25b_pcap.wire.services import SERVICES

_MS = 1_000_000


class Flow(NamedTuple):
    """The facts of one attempt."""

    row: dict[str, Any]
    """The wire, place and fact columns of `flows` that the packets alone tell."""
    chunks: list[Chunk]
    """Both sides' payload in readable order; empty where nothing was sent or captured."""


Directed = list[tuple[Side, TcpSegment]]


def flow(attempt: Attempt) -> Flow:
    """Read one attempt. `capture` in the row is still the capture's index."""
    directed: Directed = [
        (Side.CLIENT if (s.src, s.src_port) == attempt.opener else Side.SERVER, s) for s in attempt.segments
    ]
    chunks: list[Chunk] = []
    if _is_silent(attempt):
        course = _course_of_silence(len(directed))
    else:
        course, chunks = _course(attempt, directed)
    first = attempt.segments[0]
    (src, src_port), (dst, dst_port) = attempt.opener, attempt.called
    row = {
        "flow_id": _flow_id(attempt),
        "community_id": community_id(src, dst, src_port, dst_port),
        "start_time": first.seen.time_ns,
        "end_time": max([attempt.last_ns, *(e.seen.time_ns for e in attempt.icmp_errors)]),
        "src_ip": text(src),
        "dst_ip": text(dst),
        "src_port": src_port,
        "dst_port": dst_port,
        "ip_version": 4 if len(src) == 4 else 6,
        **_tunnel(directed, text(src)),
        "initiator_evidence": attempt.evidence,
        "service": SERVICES.get(dst_port, "domain"),
        **course,
        "capture": first.seen.capture,
        "first_packet": first.seen.number,
        "src_ttl": next((s.ttl for side, s in directed if side is Side.CLIENT), None),
        "dst_ttl": next((s.ttl for side, s in directed if side is Side.SERVER and not s.flags & RST), None),
        "rst_ttl": next((s.ttl for side, s in directed if side is Side.SERVER and s.flags & RST), None),
    }
    return Flow(row, chunks)


def _course(attempt: Attempt, directed: Directed) -> tuple[dict[str, Any], list[Chunk]]:
    """The columns that say how it went, and what was carried."""
    seen = handshake(directed)
    octets, chunks, anomalies = _read_streams(attempt, directed)
    endpoints = _follow(directed, chunks)
    history = "".join(endpoints.letters)
    if directed[0][0] is Side.SERVER:
        history = "^" + history  # Zeek: the first packet was not the originator's
    became = outcome(seen, attempt.icmp_errors)
    course = {
        "conn_state": conn_state(endpoints, history),
        "history": history,
        "syn_packets": sum(
            side is Side.CLIENT and s.flags & (SYN | ACK | RST) == SYN for side, s in directed
        ),
        "src_packets": sum(side is Side.CLIENT for side, _ in directed),
        "dst_packets": sum(side is Side.SERVER for side, _ in directed),
        "src_bytes": octets[Side.CLIENT],
        "dst_bytes": octets[Side.SERVER],
        **_answers(attempt, directed),
        "outcome": became,
        **_icmp(attempt.icmp_errors),
        "anomalies": sorted(anomalies | _oddities(attempt, directed, became)),
    }
    return course, chunks


def _is_silent(attempt: Attempt) -> bool:
    """Whether there is nothing but one plain SYN, or the same sent again: floods are made of these."""
    first = attempt.segments[0]
    return not (attempt.icmp_errors or attempt.captured_again or not first.seen.time_ns) and all(
        s.flags & (SYN | ACK | RST | FIN) == SYN
        and not s.payload_length
        and s.checksum_ok is not False
        and s.seq == first.seq
        and s.src == first.src
        and s.src_port == first.src_port
        for s in attempt.segments
    )


@lru_cache(maxsize=256)
def _course_of_silence(syns: int) -> dict[str, Any]:
    """How all attempts go that are silent: the same, but for the number of SYNs."""
    seen = Seen(1, 0, 1, "", "", "", "")
    syn = TcpSegment(seen, b"", b"", 0, 0, 0, 0, SYN, 0, 0, None, b"", b"", 0, None)
    attempt = Attempt()
    for _ in range(syns):
        attempt.add(syn)
    course, _ = _course(attempt, [(Side.CLIENT, segment) for segment in attempt.segments])
    return course


def _flow_id(attempt: Attempt) -> str:
    first = attempt.segments[0]
    number = attempt.isn.get(attempt.opener, first.seq)
    return flow_id(*attempt.opener, *attempt.called, number, first.seen.time_ns)


def _tunnel(directed: Directed, src_ip: str) -> dict[str, Any]:
    """Encapsulation, and who pays, as the opener's first packet shows them."""
    side, segment = next((d for d in directed if d[0] is Side.CLIENT), directed[0])
    seen = segment.seen
    encapsulation, hidden, outer = payer(
        seen.encapsulation, seen.outer_src if side is Side.CLIENT else seen.outer_dst
    )
    return {"encapsulation": encapsulation, "subscriber_key": hidden or src_ip, "outer_src_ip": outer}


def payer(encapsulation: str, outer: str) -> tuple[str, str | None, str | None]:
    """Encapsulation, who pays where a tunnel hides it, and the outer address on the opener's side."""
    layers = encapsulation.split("/")
    pppoe = next((i for i, layer in enumerate(layers) if layer.startswith("pppoe:")), None)
    session = None if pppoe is None else "/".join(layers[: pppoe + 1])
    return encapsulation, outer or session, outer or None


def _origins(attempt: Attempt) -> dict[Side, int | None]:
    """Sequence number of each side's first octet, where the handshake tells it."""
    origins: dict[Side, int | None] = {}
    for side, socket in ((Side.CLIENT, attempt.opener), (Side.SERVER, attempt.called)):
        isn = attempt.isn.get(socket)
        origins[side] = None if isn is None else (isn + 1) % MODULO
    for segment in attempt.segments:
        from_opener = (segment.src, segment.src_port) == attempt.opener
        if not from_opener and segment.flags & (SYN | ACK) == SYN | ACK:
            if origins[Side.CLIENT] is None:
                origins[Side.CLIENT] = segment.ack
        elif from_opener and origins[Side.SERVER] is None and segment.flags & (SYN | ACK | RST) == ACK:
            # The acknowledgement that completes the handshake names the unseen SYN-ACK's number.
            if segment.seq == origins[Side.CLIENT] and attempt.evidence == "syn":
                origins[Side.SERVER] = segment.ack
            break
    return origins


def _read_streams(attempt: Attempt, directed: Directed) -> tuple[dict[Side, int], list[Chunk], set[str]]:
    """Octets sent by each side, what could be read of them, and what was odd."""
    origins = _origins(attempt)
    streams = {side: Stream(origins[side]) for side in Side}
    pieces: list[tuple[Side, int, TcpSegment]] = []
    for side, segment in directed:
        if segment.flags & (ACK | RST) == ACK:
            streams[side.other].acknowledge(segment.ack)
        if segment.flags & RST or not (segment.payload_length or segment.flags & FIN):
            continue  # a RST's payload is a diagnosis, no data (RFC 9293 section 3.5.2)
        seq = (segment.seq + 1) % MODULO if segment.flags & SYN else segment.seq
        offset = streams[side].survey(seq, len(segment.payload), segment.payload_length)
        if offset is not None:
            pieces.append((side, offset, segment))
    octets = {side: stream.end_survey() for side, stream in streams.items()}
    chunks = [
        Chunk(side, segment.seen.time_ns, skipped, data)
        for side, offset, segment in pieces
        for skipped, data in streams[side].receive(offset, segment.payload_length, segment.payload)
    ]
    heard = {side for side, _ in directed}
    chunks += [
        Chunk(side, attempt.last_ns, unseen, b"")
        for side in Side
        if side in heard and (unseen := streams[side].unseen())
    ]
    return octets, chunks, streams[Side.CLIENT].anomalies | streams[Side.SERVER].anomalies


def _follow(directed: Directed, chunks: list[Chunk]) -> Endpoints:
    """Zeek's letters and states, gaps and retransmissions among them."""
    endpoints = Endpoints()
    edges: dict[Side, int] = {}
    gaps = iter([c for c in chunks if c.skipped])
    gap = next(gaps, None)
    for side, segment in directed:
        if segment.checksum_ok is False:
            endpoints.note(side, "c")
        endpoints.packet(side, segment.flags, segment.seq, segment.payload_length)
        if segment.window == 0 and not segment.flags & (SYN | FIN | RST):
            endpoints.note(side, "w")
        end = segment.seq + segment.payload_length + bool(segment.flags & SYN) + bool(segment.flags & FIN)
        if _is_repeated(end, edges.get(side)) and segment.payload_length:
            endpoints.note(side, "t")
        elif not segment.flags & RST:
            edges[side] = end % MODULO
        while gap is not None and gap.time_ns <= segment.seen.time_ns:
            endpoints.note(gap.side, "g")
            gap = next(gaps, None)
    return endpoints


def _is_repeated(end: int, edge: int | None) -> bool:
    return edge is not None and (end - edge - 1) % MODULO >= MODULO // 2


def _answers(attempt: Attempt, directed: Directed) -> dict[str, float | None]:
    """Milliseconds to the SYN-ACK and to the first answer of any kind, from the latest SYN.

    Where the SYN was repeated, which of them was answered is not to be told (RFC 6298
    section 3); the latest is the likely one, since a lost SYN has no answer.
    """
    syn_ns: int | None = None
    rtt: float | None = None
    answers = [e.seen.time_ns for e in attempt.icmp_errors]
    syns: list[int] = []
    for side, segment in directed:
        now = segment.seen.time_ns
        if side is Side.CLIENT and segment.flags & (SYN | ACK | RST) == SYN:
            syn_ns = now
            syns.append(now)
        elif side is Side.SERVER and syn_ns is not None:
            answers.append(now)
            if rtt is None and segment.flags & (SYN | ACK) == SYN | ACK:
                rtt = (now - syn_ns) / _MS
    first = min(answers, default=None)
    asked = [syn for syn in syns if first is not None and syn <= first]
    return {
        "handshake_rtt_ms": rtt,
        "answer_ms": (first - asked[-1]) / _MS if first is not None and asked else None,
    }


def _icmp(errors: list[IcmpError]) -> dict[str, Any]:
    """The error by which the outcome goes."""
    error = decides(errors)
    return {
        "icmp_type": error.type if error else None,
        "icmp_code": error.code if error else None,
        "icmp_from": text(error.reporter) if error else None,
    }


def _octets_in_syns(directed: Directed) -> int:
    return max((s.payload_length for side, s in directed if side is Side.CLIENT and s.flags & SYN), default=0)


def _oddities(attempt: Attempt, directed: Directed, became: str) -> set[str]:
    """Named oddities of the packets themselves."""
    sides = {side for side, _ in directed}
    answer = next(
        (s for side, s in directed if side is Side.SERVER and s.flags & SYN and s.flags & ACK), None
    )
    isn = attempt.isn.get(attempt.opener)
    controls = {s.flags & (SYN | FIN | RST) for _, s in directed}
    named = {
        "bad_checksum": any(s.checksum_ok is False for _, s in directed),
        "truncated": any(len(s.payload) < s.payload_length for _, s in directed),
        "captured_twice": attempt.captured_again,
        "one_sided": len(sides) == 1 and became in ("connected", "midstream") and len(directed) > 1,
        # What a SYN carries may be acknowledged with it (RFC 7413).
        "bad_syn_ack": answer is not None
        and isn is not None
        and (answer.ack - 1 - isn) % MODULO > _octets_in_syns(directed),
        "flag_combination": any(control not in (0, SYN, FIN, RST) for control in controls),
        "data_in_syn": any(s.flags & SYN and s.payload_length for _, s in directed),
        "icmp_quote_cut": any(e.seq is None for e in attempt.icmp_errors),
        "icmp_after_answer": became == "connected"
        and any(icmp_verdict(e) and not is_about_size(e) for e in attempt.icmp_errors),
        "no_timestamp": directed[0][1].seen.time_ns == 0,
    }
    return {name for name, holds in named.items() if holds}
