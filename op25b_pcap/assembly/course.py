"""The kernel of a conversation: is it one attempt that took a usual course, and which?

In: the packets of one conversation in order of time. Out: what can be counted of the attempt,
its octets in readable order (`text`), and its course: the events of which the words about it depend,
packets left out that say nothing new. What they mean is not known here: `flows` says it, once
for all attempts of the same course. Whatever is out of the common (a second attempt, an odd flag)
is DOUBTFUL: `flows` reads it packet by packet. Where packets may have been captured twice, or octets
are missing, because packets were lost or cut, a conversation is followed thoroughly: first it is
seen which packets count, and which octets there are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from op25b_pcap.assembly.copies import DOUBT, IDENTIFICATIONS, MOST_LOOKED_AT, Bytes, is_from, mark
from op25b_pcap.assembly.packet import ERROR
from op25b_pcap.assembly.settle import mixed, move, signed
from op25b_pcap.assembly.spans import STATE, begin_of, cover, gap_at, octets_in
from op25b_pcap.assembly.text import NEEDED, NO_PACKET, Told, read
from op25b_pcap.flows.copies import ELSEWHERE_NS, NO_IDENTIFICATION_NS, SAME_PLACE_NS
from op25b_pcap.flows.reassembly import MAX_WINDOW
from op25b_pcap.scan.row import WRONG
from op25b_pcap.tables.packets import ACK, FIN, RST, SYN
from op25b_pcap.wire.sequence import MODULO
from op25b_pcap.wire.services import DOMAIN, SERVICES
from op25b_pcap.wire.silences import CLOSED_NS, OPEN_NS, UNANSWERED_NS
from op25b_pcap.wire.tcp import SEQUENCE_END

UNWATCHED, USUAL, DOUBTFUL, UNREAD = range(4)
"""What is said of a conversation: its called port is not watched; or how to go on. UNREAD: to say it,
its octets are needed, and some were passed over."""
_ODD = UNREAD + 1
"""Said among ourselves: it must be followed thoroughly."""

CLIENT, SERVER = 0, 1
MOST_EVENTS = 30
"""Of a course; one with more is doubtful."""
LEFT_OUT, OPENED, ERROR_TYPE, ERROR_CODE = range(MOST_EVENTS, MOST_EVENTS + 4)
COURSE = MOST_EVENTS + 4
"""Octets of a course: its events; whether packets were left out; by what the opener is known, if
there is more than one packet, if there are ICMP errors, and of what type and code these are."""
_HAS_ERRORS, _IS_CUT, _IS_TWICE = 4, 8, 16
_FLAGS = FIN | SYN | RST | ACK
_IS_ONE, _CARRIES, _ANEW, _BY_SERVER = 0x08, 0x20, 0x40, 0x80
"""Bits of an event beside these: that it is one; it has payload; its FIN or RST has another number
than the side's last."""
_WRONG_SUM, _NO_WINDOW, _REPEATED, _MISSED = FIN | RST, SYN | RST, FIN | SYN, FIN | SYN | RST
"""Events beside packets, told by flags that no usual packet has: what `flows` writes letters for
when it happens the 1st, 10th, 100th … time."""
_HALF = MODULO // 2
_MAIL = tuple(sorted(SERVICES))
_NONE = -1
_MISSING = -2

(
    ORIGIN,  # number of the first octet, if it is known
    NEXT,  # octets that could be read
    NEWEST,  # octets up to the farthest that was sent
    EDGE,  # number behind the last packet that brought something new
    ACKED,  # the octets that the other side has acknowledged
    EARLY,  # the number that it acknowledged before that of the first octet was known
    ENDED,  # number of its last FIN
    RESET,  # number of its last RST
    SAID,  # kinds of events so far, a bit each
    PACKETS,
    WAITING,  # packets that wait for octets before them
    FIRST,  # where the first of these stands
    SUMS,  # of wrong checksums, closed windows and repeated octets, how many
    WINDOWS,
    REPEATS,
    GAPS,  # how often octets were missing
) = range(16)
"""What is known of one side: a row of `sides`."""
_SIDE = GAPS + 1
_MOST_COURSES = 1 << 14
MOST_WAITING = 1_024
"""Segments of a side that may wait; a conversation with more is doubtful."""

ATTEMPT = np.dtype(
    [
        ("verdict", "i8"),
        ("course", "i8"),  # number of its course
        ("first", "i8"),  # its first packet
        ("src_first", "i8"),  # the opener's first, or the first
        ("is_turned", "i8"),  # the opener is the destination of `first`
        ("end_ns", "i8"),
        ("isn", "i8"),  # of the opener, or the number of the first packet
        ("syn_packets", "i8"),
        ("src_packets", "i8"),
        ("dst_packets", "i8"),
        ("src_bytes", "i8"),
        ("dst_bytes", "i8"),
        ("handshake_ns", "i8"),  # -1: null, as below
        ("answer_ns", "i8"),
        ("src_ttl", "i8"),
        ("dst_ttl", "i8"),
        ("rst_ttl", "i8"),
        ("error", "i8"),  # its first ICMP error
        ("runs", "i8"),  # where its runs begin
        ("runs_end", "i8"),
    ]
)


class Scratch(NamedTuple):
    """Arrays to work in."""

    alike: Any
    """Packets by their headers: rows of (stamp, place in the order), twice as many as one
    conversation has packets, and a power of two."""
    pieces: Any
    """Octets in readable order: rows of (packet, octets of it to leave out, octets, their place in the
    stream, side). Octets less than zero were there before and are only to be compared; those of no
    packet are missing. Twice as many."""
    sides: Any
    """Two rows of what is known of a side."""
    waiting: Any
    """For both sides (place in the stream, packet, octets) of what waits, by place and as it arrived."""
    events: Any
    """The course so far."""
    spans: Any
    """What is known, as `spans` has it, of the octets that are there, of either side; and of those that
    were sent."""
    gaps: Any
    """Their gaps, as many as there are packets."""
    numbers: Any
    """Of either side the first packet with each Identification (`copies.mark`)."""
    copies: Any
    """Of each packet whether it is the copy of one before."""


def scratch_for(packets: int) -> Scratch:
    """For conversations of no more packets."""
    size = 1 << max(4, (2 * packets).bit_length())
    return Scratch(
        np.zeros((size, 2), np.int64),
        np.empty((2 * size, 5), np.int64),
        np.zeros((2, _SIDE), np.int64),
        np.zeros((2, MOST_WAITING, 3), np.int64),
        np.zeros(COURSE, np.uint8),
        np.zeros((4, STATE), np.int64),
        np.empty((4, size, 2), np.int64),
        np.zeros((2 * IDENTIFICATIONS, 2), np.int64),
        np.zeros(size, np.uint8),
    )


class Known(NamedTuple):
    """The courses that were met so far."""

    courses: Any
    slots: Any
    """Numbers of courses by their digest, -1 where none is."""
    counts: Any
    """How many courses; how many stamps are used."""


def none_known() -> Known:
    """As one begins."""
    courses = np.zeros((_MOST_COURSES, COURSE), np.uint8)
    return Known(courses, np.full(2 * _MOST_COURSES, _NONE, np.int64), np.zeros(2, np.int64))


def later(a: int, b: int) -> int:
    """What `wire.sequence.difference` says."""
    return (a - b + _HALF) % MODULO - _HALF


def is_mail(port: int) -> bool:
    """Whether a port is one of `wire.services`."""
    return port in _MAIL


def same_ends(one: Any, other: Any, is_straight: bool) -> bool:
    """Whether two packets are between the same sockets, in the same direction or not."""
    if one["version"] != other["version"]:
        return False
    if is_straight:
        return (
            one["src_low"] == other["src_low"]
            and one["src_high"] == other["src_high"]
            and one["src_port"] == other["src_port"]
            and one["dst_low"] == other["dst_low"]
            and one["dst_high"] == other["dst_high"]
            and one["dst_port"] == other["dst_port"]
        )
    return (
        one["src_low"] == other["dst_low"]
        and one["src_high"] == other["dst_high"]
        and one["src_port"] == other["dst_port"]
        and one["dst_low"] == other["src_low"]
        and one["dst_high"] == other["src_high"]
        and one["dst_port"] == other["src_port"]
    )


def was_alike(packets: Any, order: Any, index: int, alike: Any, stamp: int) -> bool:
    """Whether a packet with the same header came so shortly before that one may be a copy.

    Which of them is one, `flows.copies` says; here only that it can be none.
    """
    packet = packets[order[index]]
    seq, ack = signed(packet["seq"]), signed(packet["ack"])
    slot = mixed(mixed(seq, ack), signed(packet["src_port"]) | signed(packet["length"]) << 16)
    slot = mixed(slot, packet["ip_id"])
    last, looked_at = len(alike) - 1, 0
    slot &= last
    while alike[slot, 0] == stamp:
        looked_at += 1
        if looked_at == MOST_LOOKED_AT:
            return True
        other = packets[order[alike[slot, 1]]]
        if (
            other["ip_id"] == packet["ip_id"]
            and other["seq"] == packet["seq"]
            and other["ack"] == packet["ack"]
            and other["flags"] == packet["flags"]
            and other["length"] == packet["length"]
            and other["src_port"] == packet["src_port"]
        ):
            alike[slot, 1] = index
            delay = packet["time_ns"] - other["time_ns"]
            if packet["where"] != other["where"] or packet["ttl"] != other["ttl"]:
                return delay <= ELSEWHERE_NS
            if packet["ip_id"] > 0 and delay <= SAME_PLACE_NS:
                return True
            occupies_sequence = packet["length"] > 0 or packet["flags"] & (SYN | FIN) != 0
            return occupies_sequence and delay <= NO_IDENTIFICATION_NS
        slot = (slot + 1) & last
    alike[slot, 0] = stamp
    alike[slot, 1] = index
    return False


def silence_after(answered: bool, closed: bool) -> int:
    """What `flows.attempts.Attempt.is_over` waits for."""
    if closed:
        return CLOSED_NS
    return OPEN_NS if answered else UNANSWERED_NS


def is_noted(count: int) -> bool:
    """Whether what happens so often is worth a letter again."""
    while count >= 10 and count % 10 == 0:
        count //= 10
    return count == 1


def tell(events: Any, event: int) -> bool:
    """Write an event; False if there is no room."""
    count = events[LEFT_OUT]
    if count == MOST_EVENTS:
        return False
    events[count] = event
    events[LEFT_OUT] += 1
    return True


def opened(opening: Any, attempt: Any) -> bool:
    """Who called whom, by the first packet; False if only its later ones could say."""
    is_turned = False
    if opening["flags"] & SYN == 0:
        src_mail, dst_mail = is_mail(opening["src_port"]), is_mail(opening["dst_port"])
        is_turned = not dst_mail and (src_mail or opening["dst_port"] != DOMAIN)
    elif opening["flags"] & _FLAGS != SYN:
        return False
    attempt["is_turned"] = is_turned
    attempt["isn"] = opening["seq"]
    attempt["src_first"] = _NONE
    attempt["syn_packets"] = 0
    attempt["handshake_ns"] = _NONE
    attempt["answer_ns"] = _NONE
    attempt["src_ttl"] = _NONE
    attempt["dst_ttl"] = _NONE
    attempt["rst_ttl"] = _NONE
    attempt["error"] = _NONE
    called = opening["src_port"] if is_turned else opening["dst_port"]
    return called != DOMAIN


def forget(sides: Any, first: int) -> None:
    """Know nothing of both sides, but the number of the client's first octet if it is no less than zero."""
    sides[:, :] = 0
    for name in (ORIGIN, EDGE, EARLY, ENDED, RESET):
        sides[CLIENT, name] = _NONE
        sides[SERVER, name] = _NONE
    sides[CLIENT, ORIGIN] = first


def survey(
    packets: Any, order: Any, begin: int, end: int, first: int, turned: bool, scratch: Scratch
) -> bool:
    """See which octets of both sides there are, and which were sent; False is doubt.

    Nothing else is known of the sides before and after it, but where what was sent begins.

    What else is odd about a packet `course` will say.
    """
    sides, spans, gaps = scratch.sides, scratch.spans, scratch.gaps
    opening, by_syn = packets[order[begin]], first >= 0
    spans[:, :] = 0
    for index in range(begin, end):
        packet = packets[order[index]]
        if scratch.copies[index - begin]:
            continue
        control, length = signed(packet["flags"]) & (FIN | SYN | RST), signed(packet["length"])
        if packet["kind"] == ERROR or control == RST or (control == 0 and length == 0):
            continue
        side = CLIENT if is_from(packet, opening) != turned else SERVER
        mine, seq = sides[side], signed(packet["seq"])
        if control == SYN:
            if side == SERVER and mine[ORIGIN] == _NONE:
                mine[ORIGIN] = (seq + 1) % MODULO
            continue
        if mine[ORIGIN] == _NONE:
            mine[ORIGIN] = seq
        offset = offset_of(mine, seq)
        if offset < 0 and by_syn and offset + length <= 0:
            continue
        if offset < 0 or abs(offset - mine[NEWEST]) > MAX_WINDOW:
            return False
        mine[NEWEST] = max(mine[NEWEST], offset + length)
        captured = signed(packet["captured"])
        if captured != 0 and not cover(spans[side], gaps[side], offset, offset + captured):
            return False
        if length != 0 and not cover(spans[2 + side], gaps[2 + side], offset, offset + length):
            return False
    forget(sides, first)
    if not by_syn:
        sides[CLIENT, NEXT] = begin_of(spans[2 + CLIENT], gaps[2 + CLIENT])
        sides[SERVER, NEXT] = begin_of(spans[2 + SERVER], gaps[2 + SERVER])
    return True


def course(
    packets: Any,
    of: Bytes,
    places: Any,
    order: Any,
    begin: int,
    end: int,
    stamp: int,
    scratch: Scratch,
    attempt: Any,
    thorough: bool,
) -> tuple[int, int]:
    """Follow packets `order[begin:end]`: the verdict, and how many pieces there are.

    Fills `attempt`, and events and pieces of `scratch`. `thorough`: octets may be missing, and packets
    have been captured twice.
    """
    alike, sides, events = scratch.alike, scratch.sides, scratch.events
    events[:] = 0
    opening = packets[order[begin]]
    if opening["kind"] == ERROR:
        for index in range(begin, end):
            if packets[order[index]]["kind"] != ERROR:
                return DOUBTFUL, 0
        return UNWATCHED, 0
    if not opened(opening, attempt):
        return DOUBTFUL, 0
    attempt["first"] = order[begin]
    by_syn = opening["flags"] & SYN != 0
    turned = attempt["is_turned"] != 0
    isn = signed(opening["seq"])
    first = (isn + 1) % MODULO if by_syn else _NONE
    forget(sides, first)
    copies = 0
    if thorough:
        copies = mark(packets, of, places, order, begin, end, stamp, alike, scratch.numbers, scratch.copies)
        if copies < 0:
            return (DOUBTFUL if copies == DOUBT else UNREAD), 0
        if not survey(packets, order, begin, end, first, turned, scratch):
            return DOUBTFUL, 0
    syn_ns, answered_ns = _NONE, _NONE
    closers, answered, reset, left_out, count = 0, False, False, 0, 0
    last_ns, error_ns, errors, is_cut, is_tied = opening["time_ns"], 0, 0, False, False
    for index in range(begin, end):
        packet = packets[order[index]]
        if thorough and scratch.copies[index - begin]:
            continue
        now, flags = packet["time_ns"], signed(packet["flags"])
        seq, length = signed(packet["seq"]), signed(packet["length"])
        control = flags & (FIN | SYN | RST)
        of_src = is_from(packet, opening)
        if not same_ends(opening, packet, of_src):
            return DOUBTFUL, 0
        if packet["kind"] == ERROR:
            is_its = of_src and by_syn and packet["captured"] == SEQUENCE_END and seq == isn
            if not is_its or now == 0 or now < last_ns:
                return DOUBTFUL, 0
            if errors == 0:
                attempt["error"] = order[index]
                events[ERROR_TYPE] = packet["icmp_type"]
                events[ERROR_CODE] = packet["icmp_code"]
            elif events[ERROR_TYPE] != packet["icmp_type"] or events[ERROR_CODE] != packet["icmp_code"]:
                return DOUBTFUL, 0
            errors += 1
            error_ns = now
            if answered_ns < 0:
                answered_ns = now
                attempt["answer_ns"] = now - syn_ns
            continue
        side = CLIENT if of_src != turned else SERVER
        if now == 0 or now < last_ns or packet["captured"] > length:
            return DOUBTFUL, 0
        if packet["captured"] != length:
            if not thorough:
                return _ODD, 0
            is_cut = True
        # One attempt, and nothing in it that is not one flag at a time.
        if now - last_ns > silence_after(answered, reset or closers == 3):
            return DOUBTFUL, 0
        is_tied = now == last_ns and index != begin
        last_ns = now
        if control not in (0, FIN, SYN, RST) or (control in (SYN, RST) and length != 0):
            return DOUBTFUL, 0
        if not thorough and was_alike(packets, order, index, alike, stamp):
            return _ODD, 0
        answered = answered or flags & (SYN | ACK) != SYN
        if packet["checksum"] == WRONG:
            sides[side, SUMS] += 1
            if is_noted(sides[side, SUMS]) and not tell(events, _IS_ONE | _WRONG_SUM | side * _BY_SERVER):
                return DOUBTFUL, 0
        is_anew, gaps = False, sides[side, GAPS]
        if control == SYN:
            if not by_syn:
                return DOUBTFUL, 0
            if flags & ACK == 0:
                if side == SERVER or seq != isn:
                    return DOUBTFUL, 0
                attempt["syn_packets"] += 1
                syn_ns = now
                if now == answered_ns:
                    attempt["answer_ns"] = 0
            else:
                origin = (seq + 1) % MODULO
                known = sides[SERVER, ORIGIN]
                if side == CLIENT or packet["ack"] != sides[CLIENT, ORIGIN] or known not in (_NONE, origin):
                    return DOUBTFUL, 0
                if known == _NONE:
                    begin_at(sides[SERVER], origin)
        elif control == RST:
            reset = True
            is_anew = seq != sides[side, RESET]
            sides[side, RESET] = seq
        elif length != 0 or control == FIN:
            if side == SERVER and by_syn and sides[SERVER, ORIGIN] == _NONE:
                return DOUBTFUL, 0
            captured = signed(packet["captured"])
            count = arrive(order[index], seq, length, captured, by_syn, side, scratch, count, thorough)
            if count < 0:
                return (_ODD if count == _MISSING and not thorough else DOUBTFUL), 0
            if control == FIN:
                closers |= 1 << side
                is_anew = (seq + length) % MODULO != sides[side, ENDED]
                sides[side, ENDED] = (seq + length) % MODULO
        # Times and hops.
        sides[side, PACKETS] += 1
        if side == CLIENT:
            if attempt["src_first"] < 0:
                attempt["src_first"] = order[index]
                attempt["src_ttl"] = packet["ttl"]
        else:
            if control == RST and attempt["rst_ttl"] < 0:
                attempt["rst_ttl"] = packet["ttl"]
            if control != RST and attempt["dst_ttl"] < 0:
                attempt["dst_ttl"] = packet["ttl"]
            if syn_ns >= 0 and answered_ns < 0:
                answered_ns = now
                attempt["answer_ns"] = now - syn_ns
            if syn_ns >= 0 and control == SYN and attempt["handshake_ns"] < 0:
                attempt["handshake_ns"] = now - syn_ns
        # The event, unless it can say nothing new.
        event = _IS_ONE | (flags & _FLAGS) | (_CARRIES if length else 0) | (_ANEW if is_anew else 0)
        kind = 1 << (event & 0x3F)
        if (
            control in (0, SYN)
            and sides[side, SAID] & kind != 0
            and (side == CLIENT or not by_syn or sides[SERVER, ORIGIN] != _NONE)
        ):
            left_out = 1
        elif not tell(events, event | side * _BY_SERVER):
            return DOUBTFUL, 0
        sides[side, SAID] |= kind
        if control == 0 and packet["window"] == 0:
            sides[side, WINDOWS] += 1
            if is_noted(sides[side, WINDOWS]) and not tell(events, _IS_ONE | _NO_WINDOW | side * _BY_SERVER):
                return DOUBTFUL, 0
        after = (seq + length + (control == SYN) + (control == FIN)) % MODULO
        edge = sides[side, EDGE]
        if length != 0 and edge >= 0 and (after - edge - 1) % MODULO >= _HALF:
            sides[side, REPEATS] += 1
            if is_noted(sides[side, REPEATS]) and not tell(events, _IS_ONE | _REPEATED | side * _BY_SERVER):
                return DOUBTFUL, 0
        elif control != RST:
            sides[side, EDGE] = after
        if not told_gaps(events, side, gaps, sides[side, GAPS], is_tied):
            return DOUBTFUL, 0
        if flags & (ACK | RST) == ACK and not acknowledge(sides[1 - side], signed(packet["ack"])):
            return DOUBTFUL, 0
    for side in (CLIENT, SERVER):
        if sides[side, WAITING] != 0:
            return (DOUBTFUL if thorough else _ODD), 0
        if sides[side, PACKETS] == 0:
            continue
        if side == SERVER and by_syn and sides[side, ORIGIN] == _NONE and sides[side, EARLY] != _NONE:
            return DOUBTFUL, 0
        unseen = sides[side, ACKED] - sides[side, NEXT] - 1
        if unseen > 0:
            if not thorough:
                return _ODD, 0
            count = miss(sides[side], unseen, side, scratch.pieces, count)
            if not told_gaps(events, side, sides[side, GAPS] - 1, sides[side, GAPS], is_tied):
                return DOUBTFUL, 0
    if errors and error_ns - last_ns > silence_after(answered, reset or closers == 3):
        return DOUBTFUL, 0
    events[LEFT_OUT] = left_out
    events[OPENED] = (
        by_syn
        + 2 * (sides[CLIENT, PACKETS] + sides[SERVER, PACKETS] > 1)
        + _HAS_ERRORS * (errors > 0)
        + _IS_CUT * is_cut
        + _IS_TWICE * (copies > 0)
    )
    attempt["src_packets"] = sides[CLIENT, PACKETS]
    attempt["dst_packets"] = sides[SERVER, PACKETS]
    if thorough:
        sent, holes = scratch.spans[2:], scratch.gaps[2:]
        attempt["src_bytes"] = octets_in(sent[CLIENT], holes[CLIENT])
        attempt["dst_bytes"] = octets_in(sent[SERVER], holes[SERVER])
    else:
        attempt["src_bytes"] = sides[CLIENT, NEXT]
        attempt["dst_bytes"] = sides[SERVER, NEXT]
    attempt["end_ns"] = max(last_ns, error_ns)
    if attempt["src_first"] < 0:
        attempt["src_first"] = order[begin]
    called = opening["src_port"] if turned else opening["dst_port"]
    return (USUAL if is_mail(called) else UNWATCHED), count


def told_gaps(events: Any, side: int, before: int, now: int, is_tied: bool) -> bool:
    """Write the events of gaps that came to those before; False is doubt.

    Of packets of one time, `flows` does not tell which of them the gap is behind.
    """
    for count in range(before + 1, now + 1):
        if is_noted(count) and (is_tied or not tell(events, _IS_ONE | _MISSED | side * _BY_SERVER)):
            return False
    return True


def miss(mine: Any, octets: int, side: int, pieces: Any, count: int) -> int:
    """Octets of a side are missing: how many pieces there are now."""
    piece = pieces[count]
    piece[0], piece[1], piece[2], piece[3], piece[4] = NO_PACKET, 0, octets, mine[NEXT], side
    mine[GAPS] += 1
    return count + 1


def offset_of(mine: Any, seq: int) -> int:
    """Where a sequence number is in a side's stream, by the farthest octet that was sent so far."""
    offset: int = mine[NEWEST] + later(seq, (mine[ORIGIN] + mine[NEWEST]) % MODULO)
    return offset


def begin_at(mine: Any, seq: int) -> None:
    """The number of a side's first octet is known now."""
    mine[ORIGIN] = seq
    if mine[EARLY] != _NONE:
        acknowledge(mine, mine[EARLY])


def acknowledge(theirs: Any, ack: int) -> bool:
    """Octets of a side are acknowledged, as `flows.reassembly` has it; False is doubt."""
    if theirs[ORIGIN] == _NONE:
        if theirs[EARLY] not in (_NONE, ack):
            return False
        theirs[EARLY] = ack
        return True
    offset = offset_of(theirs, ack)
    if offset - theirs[NEWEST] <= MAX_WINDOW:
        theirs[ACKED] = max(theirs[ACKED], offset)
    return True


def arrive(
    packet: int,
    seq: int,
    length: int,
    captured: int,
    by_syn: bool,
    side: int,
    scratch: Scratch,
    count: int,
    thorough: bool,
) -> int:
    """Octets of a side arrive: how many pieces there are now; -1 is doubt, and -2 that some are missing.

    As `flows.reassembly` does it.
    """
    mine, waiting, pieces = scratch.sides[side], scratch.waiting[side], scratch.pieces
    if mine[ORIGIN] == _NONE:
        begin_at(mine, seq)
    offset = offset_of(mine, seq)
    if abs(offset - mine[NEWEST]) > MAX_WINDOW:
        return -1
    if offset < 0:
        return count if by_syn and offset + length <= 0 else -1
    mine[NEWEST] = max(mine[NEWEST], offset + length)
    if offset == mine[NEXT] and mine[WAITING] == 0 and not thorough:
        # In order, and nothing else under way, as nearly all segments are.
        return read_on(mine, packet, 0, captured, side, pieces, count) if captured else count
    if not wait(mine, waiting, offset, packet, captured):
        return _MISSING
    missing = 0
    while True:
        if thorough:
            gap = gap_at(scratch.spans[side], scratch.gaps[side], mine[NEXT], mine[NEWEST])
            if gap != 0:
                mine[NEXT] += gap
                missing += gap
                continue
        offset, packet, length = waiting[mine[FIRST]]
        if mine[WAITING] == 0 or offset > mine[NEXT]:
            return miss(mine, missing, side, pieces, count) if missing else count
        mine[WAITING] -= 1
        mine[FIRST] = mine[FIRST] + 1 if mine[WAITING] else 0
        repeated = min(mine[NEXT] - offset, length)
        if repeated > 1:
            piece = pieces[count]
            piece[0], piece[1], piece[2], piece[3], piece[4] = packet, 0, -repeated, offset, side
            count += 1
        if length > repeated:
            if missing:
                count, missing = miss(mine, missing, side, pieces, count), 0
            count = read_on(mine, packet, repeated, length - repeated, side, pieces, count)


def read_on(mine: Any, packet: int, skip: int, length: int, side: int, pieces: Any, count: int) -> int:
    """A packet's octets, but for those to skip, are the next of a side: how many pieces there are now."""
    piece = pieces[count]
    piece[0], piece[1], piece[2], piece[3], piece[4] = packet, skip, length, mine[NEXT], side
    mine[NEXT] += length
    return count + 1


def wait(mine: Any, waiting: Any, offset: int, packet: int, captured: int) -> bool:
    """Put a packet among those that wait; False if there is no room."""
    first = mine[FIRST]
    at = first + mine[WAITING]
    if at == MOST_WAITING:
        if first == 0:
            return False
        for index in range(first, at):
            move(waiting, index, waiting, index - first)
        mine[FIRST], at, first = 0, at - first, 0
    while at > first and waiting[at - 1, 0] > offset:
        move(waiting, at - 1, waiting, at)
        at -= 1
    waiting[at, 0], waiting[at, 1], waiting[at, 2] = offset, packet, captured
    mine[WAITING] += 1
    return True


def number_of(events: Any, known: Known) -> int:
    """The number of a course among those that are known, itself included; -1 if they are too many."""
    courses, slots, counts = known.courses, known.slots, known.counts
    digest = mixed(1, 1)
    for index in range(0, COURSE, 4):
        word = signed(events[index]) | signed(events[index + 1]) << 8
        word |= signed(events[index + 2]) << 16 | signed(events[index + 3]) << 24
        digest = mixed(digest, word)
    last = len(slots) - 1
    slot = digest & last
    while slots[slot] >= 0:
        is_same = True
        for index in range(COURSE):
            if courses[slots[slot], index] != events[index]:
                is_same = False
                break
        if is_same:
            return slots[slot]
        slot = (slot + 1) & last
    number = counts[0]
    if number == len(courses):
        return -1
    counts[0] += 1
    slots[slot] = number
    for index in range(COURSE):
        courses[number, index] = events[index]
    return number


def courses_of(
    packets: Any,
    octets: Any,
    fetched: Any,
    order: Any,
    begins: Any,
    doubtful: Any,
    tails: Any,
    places: Any,
    scratch: Scratch,
    known: Known,
    told: Told,
) -> tuple[int, int, int]:
    """Follow conversation after conversation, `order[begins[i]:begins[i + 1]]` being number i.

    Octets of packets that were left in files are in `fetched`, or have `tails` (`skim`). Those that
    `doubtful` marks are not followed; `places` are for `copies.mark`. Gives how many runs, octets of
    text and holes there are.
    """
    events, counts, of = scratch.events, known.counts, Bytes(octets, fetched, tails)
    used_runs, used, used_holes = 0, 0, 0
    for index in range(len(begins) - 1):
        attempt = told.attempts[index]
        verdict, count = DOUBTFUL, 0
        if not doubtful[index]:
            stamp = counts[1] + 2 * index + 1
            begin, end = begins[index], begins[index + 1]
            verdict, count = course(packets, of, places, order, begin, end, stamp, scratch, attempt, False)
            if verdict == _ODD:
                stamp += 1
                verdict, count = course(packets, of, places, order, begin, end, stamp, scratch, attempt, True)
        attempt["runs"] = used_runs
        attempt["runs_end"] = used_runs
        if verdict == USUAL:
            after_runs, after, after_holes = read(
                packets, of, scratch.pieces, count, told, used_runs, used, used_holes
            )
            attempt["course"] = _NONE if after < 0 else number_of(events, known)
            if attempt["course"] < 0:
                verdict = UNREAD if after == NEEDED else DOUBTFUL
            else:
                used_runs, used, used_holes = after_runs, after, after_holes
                attempt["runs_end"] = used_runs
        attempt["verdict"] = verdict
    counts[1] += 2 * len(begins)
    return used_runs, used, used_holes
