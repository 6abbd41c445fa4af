"""The form of a POP3 dialogue (RFC 1939): replies belong to commands by their order."""

from __future__ import annotations

from typing import Any

from op25b_pcap.forms import verbs
from op25b_pcap.forms.message import end_of_data
from op25b_pcap.forms.pen import (
    CLIENT_SAYS,
    COMMANDS,
    MOST_WAITING,
    QUEUE,
    SECRET,
    SERVER_SAYS,
    SPOILT,
    head,
    line_end,
    packed,
    put,
    space_or_end,
    word,
)
from op25b_pcap.forms.retrieval import CLIENT, SPACE, end_line, greet, is_told, say
from op25b_pcap.forms.smtp import authentication
from op25b_pcap.forms.tls import tls

_OK, _ERR = packed(b"+OK"), packed(b"-ERR")
_USER, _PASS, _APOP, _STLS = (packed(verb) for verb in (b"USER", b"PASS", b"APOP", b"STLS"))
_LIST, _UIDL, _LANG = (packed(verb) for verb in (b"LIST", b"UIDL", b"LANG"))
_RETR, _TOP, _CAPA = (packed(verb) for verb in (b"RETR", b"TOP", b"CAPA"))
_LINE, _TEXT, _LOGIN, _SASL, _TLS = range(5)
"""What a command is answered with: a line that tells nothing; lines up to a dot, unless it is refused;
and lines that tell something, of which one may be a challenge, and one the last in clear."""
_FREELY, _WAITS, _RESPONDS = range(3)
"""How the client goes on."""
_PLUS = 0x2B


def pop3(text: Any, runs: Any, begin: int, end: int, page: Any, pen: Any, blanks: Any) -> bool:
    """Write the form of runs `begin` to `end`; whether there is one."""
    counted, commands, telling, first, last, turn = -1, 0, 0, 0, 0, _FREELY
    for number in range(begin, end):
        at, stop = runs[number]["begin"], runs[number]["end"]
        is_client = runs[number]["side"] == CLIENT
        while at < stop:
            close = line_end(text, at, stop)
            if close <= at or pen[SPOILT] != 0:
                return False
            follows = close + 2
            if is_client:
                if counted < 0 or turn == _WAITS or last == MOST_WAITING:
                    return False
                if turn == _RESPONDS:
                    put(page, pen, CLIENT_SAYS)
                    put(page, pen, SECRET)
                    end_line(page, pen)
                    turn = _WAITS
                else:
                    due = command(text, at, close, page, pen)
                    if due < 0:
                        return False
                    if due in (_SASL, _TLS):
                        if first < last:
                            return False
                        turn = _WAITS
                    if due in (_LINE, _TEXT):
                        commands += 1
                    else:
                        telling += 1
                    pen[QUEUE + last] = due
                    last += 1
                if turn == _WAITS and follows != stop:
                    return False
                at = follows
                continue
            is_taken = head(text, at, close, 3) == _OK
            told = at + (3 if is_taken else 4)
            if not is_taken and head(text, at, close, 4) != _ERR:
                if first == last or pen[QUEUE + first] != _SASL or text[at] != _PLUS or follows != stop:
                    return False
                put(page, pen, SERVER_SAYS)
                say(text, at, at + 1, False, page, pen)
                at, turn = follows, _RESPONDS
                continue
            at, before = follows, at
            if counted < 0:
                counted = greet(text, before, told, close, COMMANDS, page, pen, blanks)
                if counted < 0:
                    return False
                continue
            if first == last:
                return False
            due = pen[QUEUE + first]
            first += 1
            if due == _TEXT and is_taken:
                dot = end_of_data(text, at, stop)
                if dot < 0:
                    return False
                at = dot + 3
            elif due in (_LOGIN, _SASL, _TLS):
                put(page, pen, SERVER_SAYS)
                say(text, before, told, False, page, pen)
                turn = _FREELY
            if due == _TLS and is_taken:
                is_usual = at == stop and is_told(counted, commands, telling, pen, blanks)
                return is_usual and tls(text, runs, number + 1, end, page, pen, blanks)
            if first == last:
                first, last = 0, 0
    return is_told(counted, commands, telling, pen, blanks)


def command(text: Any, at: int, end: int, page: Any, pen: Any) -> int:
    """What a command is answered with, -1 if it is unusual; it is written if it tells more than itself."""
    close = space_or_end(text, at, end)
    has_argument = close < end
    if close == at or (has_argument and (close + 1 == end or text[close + 1] == SPACE)):
        return -1
    verb = word(text, at, close)
    if verb == verbs.AUTH and has_argument:
        put(page, pen, CLIENT_SAYS)
        is_known = authentication(text, at, end, page, pen)
        end_line(page, pen)
        return _SASL if is_known else -1
    if verb in (_USER, _PASS, _APOP, _STLS):
        put(page, pen, CLIENT_SAYS)
        say(text, at, close, has_argument, page, pen)
        if verb == _STLS:
            return -1 if has_argument else _TLS
        return _LOGIN
    if verb in (_RETR, _TOP, _CAPA):
        return _TEXT
    return _TEXT if verb in (_LIST, _UIDL, _LANG, verbs.AUTH) and not has_argument else _LINE
