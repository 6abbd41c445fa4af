"""The kernel that tells the rows of plain SMTP dialogues from their forms; nothing is learnt of them.

Plain is a dialogue with a form (`smtp`) in which the server greets with 220 and takes one EHLO or HELO,
and which then goes in the order of RFC 5321 section 4.1.4: AUTH, MAIL, RCPT, DATA, RSET, NOOP, QUIT, each,
but for a QUIT at the end, with its reply, or STARTTLS and the hellos of TLS. What it comes to is what
`mail.smtp.record` makes of such exchanges. Any other one is told by its form, or read by `mail`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from op25b_pcap.forms import verbs
from op25b_pcap.forms.pen import (
    BEGIN,
    BLANKS,
    CLIENT_HELLO,
    CLIENT_SAYS,
    END,
    MESSAGE,
    MOST_WAITING,
    NAMELESS_HELLO,
    NUMBER,
    NUMBERS,
    SECRET,
    SERVER_HELLO,
    SERVER_SAYS,
    SPOILT,
    TEXT,
    USED,
    head,
    packed,
    word,
)
from op25b_pcap.forms.smtp import smtp
from op25b_pcap.forms.write import IN_SMTP, PROTOCOLS, number_of

LONG_PAGE, MOST_BLANKS = 1 << 16, 1 << 14
"""Octets of a form here, and its blanks: none is kept."""
_MOST_NUMBERS = 1 << 10

# A row of `sessions`.
(
    IS_PLAIN,
    BANNER,  # where among the pieces its lines begin, and how many they are
    BANNER_LINES,
    IS_HELO,
    HELO_BEGIN,
    HELO_END,
    OFFER,  # number of what the reply to EHLO offered; 0: it was HELO
    MAILS,
    ACCEPTED,
    RECIPIENTS,
    REJECTED,
    OCTETS,
    LAST_CODE,
    LAST_ENHANCED,
    LAST,
    LAST_LINES,
    HAS_QUIT,
    IS_REFUSED,
    MESSAGES,
    RECEIVED,  # of the message that most Received: fields open
    MECHANISM,  # 1: the first of `verbs.MECHANISMS`; 0 is null, as below
    HAS_LOGGED_IN,  # 1: no, 2: yes
    HAS_STARTTLS,  # the same
    IS_HIDDEN,
    NAME_BEGIN,
    NAME_END,
    VERSION,  # one more than its second octet
) = range(27)
SESSION = 27

# A row of `mails`. -1, and 0 of a code, is null.
(
    WHOSE,
    FROM_BEGIN,
    FROM_END,
    FIRST_RECIPIENT,
    LAST_RECIPIENT,
    SIZE,
    BODY,
    IS_UTF8,
    HAS_DATA,
    MESSAGE_OCTETS,
    MESSAGE_RECEIVED,
    REPLY,
    ENHANCED,
    IS_ACCEPTED,
    IS_OPEN,
) = range(15)
MAIL_CELLS = 15
RECIPIENT_CELLS = 3
"""Begin and end of an address, and the code of the reply."""
BODIES = ("7BIT", "8BITMIME", "BINARYMIME")

_GREETING, _EHLO, _HELO, _MAIL, _RCPT, _DATA, _END_OF_DATA, _RSET, _NOOP, _QUIT = range(10)
_AUTH, _RESPONSE, _STARTTLS = range(10, 13)
"""What waits for a reply."""
_CONNECTED, _GREETED, _READY, _IN_MAIL, _IN_RCPT, _IN_DATA, _IN_AUTH, _CLOSED = range(8)
"""Where the session stands (`mail.smtp.state`); CLOSED: one of the two is going, and nothing may follow."""
# A row of the queue: what waits, an address, a size, a body, and whether it is SMTPUTF8.
_KIND, _AT, _CLOSE, _COUNT, _WORD, _FLAG = range(6)
QUEUE_CELLS = 6
# Registers.
_PLACE, _BLANK, _STATE, _CURRENT, _CODE, _STATUS, _LINES, _OFFER_AT, _LAST_KIND = range(9)
MOST_LINES = 128
REGISTERS_HERE = 9
_PARAMETER_SIZE, _PARAMETER_BODY, _PARAMETER_UTF8 = packed(b"SIZE"), packed(b"BODY"), packed(b"SMTPUTF8")
_SEVEN, _EIGHT, _BINARY, _REST = packed(b"7BIT"), packed(b"8BITMIME"), packed(b"BINARYMI"), packed(b"ME")
_CR, _SPACE, _DASH, _DOT, _LESS, _EQUALS, _MARKS = 0x0D, 0x20, 0x2D, 0x2E, 0x3C, 0x3D, 0x80


class Desk(NamedTuple):
    """What a dialogue is told with."""

    page: Any
    """Its form."""
    pen: Any
    blanks: Any
    now: Any
    """Where its reading is."""
    queue: Any
    """Commands that wait for their replies."""
    lines: Any
    """Where the text of each line of the last reply begins and ends."""


class Told(NamedTuple):
    """What was told of dialogues."""

    sessions: Any
    """A row for each."""
    pieces: Any
    """Where lines begin and end that sessions tell."""
    mails: Any
    recipients: Any
    used: Any
    """How many pieces, mails and recipients there are."""


STATUS_DIGITS = 12
"""An enhanced status code as a number: digits one more than they are, a dot 11, to this base."""
_OF_DOT = 11
_GOODBYE = 421


def offer_of(page: Any, begin: int, end: int, octets: Any, ends: Any, slots: Any, counts: Any) -> int:
    """The number of what stands there; -1 if there are too many. It is brought to the page's beginning."""
    for at in range(begin, end):
        page[at - begin] = page[at]
    return number_of(page, end - begin, octets, ends, slots, counts)


def told_reply(page: Any, blanks: Any, now: Any, lines: Any, kind: int) -> bool:
    """Read a whole reply: its code, status code, and where the text of each line stands."""
    at, blank, count = now[_PLACE], now[_BLANK], 0
    now[_STATUS], now[_OFFER_AT] = 0, 0
    while True:
        digits: Any = np.int64(page[at])
        now[_CODE] = (digits - 48) * 100 + (np.int64(page[at + 1]) - 48) * 10 + np.int64(page[at + 2]) - 48
        at += 3
        goes_on = page[at] == _DASH
        if count == MOST_LINES:
            return False
        lines[count, 0], lines[count, 1] = 0, 0
        if page[at] != _CR:
            at += 1
            if kind == _EHLO and count > 0:
                while page[at] != _CR:
                    at += 1
            while page[at] == _SPACE:
                at += 1
            status = 0
            while page[at] != _CR and page[at] < _MARKS and page[at] != _SPACE:
                octet: Any = np.int64(page[at])
                status = status * STATUS_DIGITS + (_OF_DOT if octet == _DOT else octet - 47)
                at += 1
            if count == 0:
                now[_STATUS] = status
            if status != 0 and kind == _GREETING:
                return False
            while page[at] == _SPACE:
                at += 1
            if page[at] == TEXT:
                lines[count, 0], lines[count, 1] = blanks[blank, 0], blanks[blank, 1]
                blank += 1
                at += 1
            while page[at] != _CR:
                at += 1
        at += 2
        count += 1
        if count == 1:
            now[_OFFER_AT] = at
        if not goes_on:
            now[_PLACE], now[_BLANK], now[_LINES] = at, blank, count
            return True


def told_command(page: Any, stop: int, blanks: Any, now: Any, queue: Any, last: int) -> bool:
    """Read what the client says next into the queue's row `last`; False if it is not plain."""
    at, blank = now[_PLACE], now[_BLANK]
    if page[at] == MESSAGE:
        queue[last, _KIND], queue[last, _COUNT] = _END_OF_DATA, blanks[blank, 0]
        queue[last, _WORD] = page[at + 1]
        now[_PLACE], now[_BLANK] = at + 2, blank + 1
        return True
    if page[at] == SECRET:
        queue[last, _KIND] = _RESPONSE
        now[_PLACE] = at + 3
        return True
    if page[at] >= _MARKS:
        return False
    if head(page, at, stop, 8) == verbs.STARTTLS:
        queue[last, _KIND] = _STARTTLS
        now[_PLACE] = at + 10
        return True
    verb = head(page, at, stop, verbs.LENGTH)
    at += verbs.LENGTH
    if verb in (verbs.EHLO, verbs.HELO):
        queue[last, _KIND] = _EHLO if verb == verbs.EHLO else _HELO
        while page[at] < _MARKS:
            at += 1
        if page[at] != TEXT:
            return False
        blank += 1
        at += 1
    elif verb in (verbs.MAIL, verbs.RCPT):
        queue[last, _KIND] = _MAIL if verb == verbs.MAIL else _RCPT
        queue[last, _AT], queue[last, _CLOSE] = 0, 0
        queue[last, _COUNT], queue[last, _WORD], queue[last, _FLAG] = -1, -1, 0
        while page[at] != _LESS:
            at += 1
        at += 1
        if page[at] == TEXT:
            queue[last, _AT], queue[last, _CLOSE] = blanks[blank, 0], blanks[blank, 1]
            blank += 1
            at += 1
        at += 1
        while page[at] == _SPACE:
            at += 1
            begin = at
            while page[at] not in (_EQUALS, _SPACE, _CR) and page[at] < _MARKS:
                at += 1
            keyword = word(page, begin, at)
            if verb == verbs.MAIL and keyword == _PARAMETER_SIZE:
                if page[at] != _EQUALS or page[at + 1] != NUMBER:
                    return False
                queue[last, _COUNT] = blanks[blank, 0]
                blank += 1
            elif verb == verbs.MAIL and keyword == _PARAMETER_BODY:
                body = -1
                if page[at] == _EQUALS:
                    begin = at + 1
                    while page[at] != _SPACE and page[at] != _CR:
                        at += 1
                    body = body_word(page, begin, at)
                if body < 0:
                    return False
                queue[last, _WORD] = body
            elif verb == verbs.MAIL and keyword == _PARAMETER_UTF8:
                queue[last, _FLAG] = 1
            while page[at] != _SPACE and page[at] != _CR:
                at += 1
    elif verb == verbs.AUTH:
        queue[last, _KIND] = _AUTH
        begin = at + 1
        at = begin
        while page[at] != _SPACE and page[at] != _CR:
            at += 1
        queue[last, _WORD] = mechanism_word(page, begin, at)
        if page[at] == _SPACE:
            at += 2
    elif verb == verbs.DATA:
        queue[last, _KIND] = _DATA
    elif verb == verbs.RSET:
        queue[last, _KIND] = _RSET
    elif verb == verbs.NOOP:
        queue[last, _KIND] = _NOOP
    elif verb == verbs.QUIT:
        queue[last, _KIND] = _QUIT
    else:
        return False
    if page[at] != _CR:
        return False
    now[_PLACE], now[_BLANK] = at + 2, blank
    return True


def body_word(page: Any, begin: int, end: int) -> int:
    """The number of a BODY in `BODIES`; -1 of any other."""
    length = end - begin
    if length == 4 and word(page, begin, end) == _SEVEN:
        return 0
    if length == 8 and word(page, begin, end) == _EIGHT:
        return 1
    if length == 10 and word(page, begin, begin + 8) == _BINARY and word(page, begin + 8, end) == _REST:
        return 2
    return -1


def mechanism_word(page: Any, begin: int, end: int) -> int:
    """The number of one of `verbs.MECHANISMS`, one more."""
    name = word(page, begin, end)
    if name == verbs.PLAIN:
        return 1
    if name == verbs.LOGIN:
        return 2
    return 3 if name == verbs.CRAM_MD5 else 4


def give_up(mails: Any, current: int) -> None:
    """The transaction ends without a message, if it has none: the server has not taken any."""
    if current >= 0 and mails[current, MESSAGE_OCTETS] < 0 and mails[current, IS_ACCEPTED] < 0:
        mails[current, IS_ACCEPTED] = 0


def refuse(mails: Any, current: int, now: Any, session: Any) -> None:
    """The server has refused the sender, or the message before it was sent."""
    mails[current, REPLY], mails[current, ENHANCED] = now[_CODE], now[_STATUS]
    mails[current, IS_ACCEPTED] = 0
    session[IS_REFUSED] = 1


def exchange(queue: Any, first: int, now: Any, session: Any, told: Any, whose: int) -> bool:
    """Take in a command and its reply, as `mail.smtp.record` does; False if that is not plain."""
    _, _, mails, recipients, used = told
    kind, code, state, current = queue[first, _KIND], now[_CODE], now[_STATE], now[_CURRENT]
    is_yes, is_no = code < 300, code >= 400
    if state == _CLOSED:
        return False
    if code == _GOODBYE and kind not in (_MAIL, _RCPT, _DATA, _END_OF_DATA):
        return False
    if kind == _NOOP:
        return True
    if kind == _GREETING:
        now[_STATE] = _GREETED
        return bool(code == 220)
    if kind in (_EHLO, _HELO):
        session[IS_HELO] = kind == _HELO
        now[_STATE] = _READY
        return bool(is_yes and state == _GREETED)
    if state in (_CONNECTED, _GREETED):
        return False
    if kind == _MAIL:
        if state != _READY or not (is_yes or is_no) or used[1] == len(mails):
            return False
        give_up(mails, current)
        current = used[1]
        used[1] += 1
        session[MAILS] += 1
        mails[current, WHOSE], mails[current, HAS_DATA], mails[current, IS_OPEN] = whose, 0, is_yes
        mails[current, FROM_BEGIN], mails[current, FROM_END] = queue[first, _AT], queue[first, _CLOSE]
        mails[current, FIRST_RECIPIENT], mails[current, LAST_RECIPIENT] = used[2], used[2]
        mails[current, SIZE], mails[current, BODY] = queue[first, _COUNT], queue[first, _WORD]
        mails[current, IS_UTF8] = queue[first, _FLAG]
        mails[current, MESSAGE_OCTETS], mails[current, MESSAGE_RECEIVED] = -1, -1
        mails[current, REPLY], mails[current, ENHANCED], mails[current, IS_ACCEPTED] = 0, 0, -1
        now[_CURRENT] = current
        if is_no:
            refuse(mails, current, now, session)
        else:
            now[_STATE] = _IN_MAIL
        return True
    if kind == _STARTTLS:
        session[HAS_STARTTLS] = 2 if is_yes else 1
        return bool(state == _READY)
    if kind in (_AUTH, _RESPONSE):
        if state != (_READY if kind == _AUTH else _IN_AUTH) or session[HAS_LOGGED_IN] == 2:
            return False
        if kind == _AUTH:
            session[MECHANISM], session[HAS_LOGGED_IN] = queue[first, _WORD], 0
        if is_yes or is_no:
            session[HAS_LOGGED_IN] = 2 if code == 235 else 1
        now[_STATE] = _READY if is_yes or is_no else _IN_AUTH
        return True
    if kind == _RSET:
        give_up(mails, current)
        now[_CURRENT], now[_STATE] = -1, _READY
        return bool(is_yes and state != _IN_DATA)
    if kind == _QUIT:
        give_up(mails, current)
        session[HAS_QUIT] = 1
        now[_CURRENT], now[_STATE] = -1, _CLOSED
        return bool(code == 221 and state != _IN_DATA)
    if current < 0:
        return False
    if kind == _RCPT:
        if used[2] == len(recipients) or not (is_no or (is_yes and state in (_IN_MAIL, _IN_RCPT))):
            return False
        recipients[used[2], 0], recipients[used[2], 1] = queue[first, _AT], queue[first, _CLOSE]
        recipients[used[2], 2] = code
        used[2] += 1
        mails[current, LAST_RECIPIENT] = used[2]
        if is_yes:
            session[RECIPIENTS] += 1
            now[_STATE] = _IN_RCPT
        else:
            session[REJECTED] += 1
            session[IS_REFUSED] = 1
        return True
    if kind == _DATA:
        mails[current, HAS_DATA] = 1
        if is_no:
            if mails[current, IS_OPEN]:
                refuse(mails, current, now, session)
            return True
        now[_STATE] = _IN_DATA
        return bool(code == 354 and state in (_IN_MAIL, _IN_RCPT))
    if state != _IN_DATA or not (is_yes or is_no):
        return False
    mails[current, MESSAGE_OCTETS] = queue[first, _COUNT]
    mails[current, MESSAGE_RECEIVED] = queue[first, _WORD]
    mails[current, REPLY], mails[current, ENHANCED] = code, now[_STATUS]
    mails[current, IS_ACCEPTED] = is_yes
    session[MESSAGES] += 1
    session[RECEIVED] = max(session[RECEIVED], queue[first, _WORD])
    session[OCTETS] += queue[first, _COUNT]
    if is_yes:
        session[ACCEPTED] += 1
    else:
        session[IS_REFUSED] = 1
    now[_CURRENT], now[_STATE] = -1, _READY
    return True


def told_hellos(page: Any, stop: int, blanks: Any, now: Any, session: Any) -> bool:
    """Read what TLS begins with; False if it does not."""
    at = now[_PLACE]
    if at == stop or (page[at] != CLIENT_HELLO and page[at] != NAMELESS_HELLO):
        return False
    session[IS_HIDDEN] = 1
    if page[at] == CLIENT_HELLO:
        session[NAME_BEGIN], session[NAME_END] = blanks[now[_BLANK], 0], blanks[now[_BLANK], 1]
    if at + 1 < stop:
        if page[at + 1] != SERVER_HELLO:
            return False
        session[VERSION] = page[at + 2] * 1 + 1
    return True


def put_lines(lines: Any, count: int, told: Any) -> bool:
    """Set down where lines stand; False if there is no room."""
    _, pieces, _, _, used = told
    if used[0] + count > len(pieces):
        return False
    for line in range(count):
        pieces[used[0], 0], pieces[used[0], 1] = lines[line, 0], lines[line, 1]
        used[0] += 1
    return True


def tell(desk: Any, offers: Any, told: Any, whose: int, is_over: bool) -> bool:
    """Tell the rows of a dialogue whose form stands on the page; False if it is not plain."""
    page, pen, blanks, now, queue, lines = desk
    session, mails, used = told[0][whose], told[2], told[4]
    octets, ends, slots, counts = offers
    stop, first, last, is_server = pen[USED], 0, 1, False
    offer_begin, offer_end = 0, 0
    now[_PLACE], now[_BLANK], now[_STATE], now[_CURRENT] = 0, 0, _CONNECTED, -1
    queue[0, _KIND] = _GREETING
    while now[_PLACE] < stop:
        mark = page[now[_PLACE]]
        if mark in (SERVER_SAYS, CLIENT_SAYS):
            is_server = mark == SERVER_SAYS
            now[_PLACE] += 1
            continue
        if not is_server:
            if last == MOST_WAITING or not told_command(page, stop, blanks, now, queue, last):
                return False
            last += 1
            continue
        kind = queue[first, _KIND]
        if not told_reply(page, blanks, now, lines, kind):
            return False
        if not exchange(queue, first, now, session, told, whose):
            return False
        if now[_CODE] == _GOODBYE:
            now[_STATE] = _CLOSED
        if kind == _GREETING:
            session[BANNER], session[BANNER_LINES] = used[0], now[_LINES]
            if not put_lines(lines, now[_LINES], told):
                return False
        elif kind == _EHLO:
            offer_begin, offer_end = now[_OFFER_AT], now[_PLACE]
        now[_LAST_KIND] = kind
        first += 1
        if kind == _STARTTLS and now[_CODE] < 300:
            if not told_hellos(page, stop, blanks, now, session):
                return False
            break
        if first == last:
            first, last = 0, 0
    if now[_STATE] in (_CONNECTED, _GREETED, _IN_DATA, _IN_AUTH) or now[_LAST_KIND] == _EHLO:
        return False
    if first < last:
        if last - first > 1 or queue[first, _KIND] != _QUIT or now[_STATE] == _CLOSED:
            return False
        give_up(mails, now[_CURRENT])
        session[HAS_QUIT] = 1
        now[_CURRENT] = -1
    if is_over:
        give_up(mails, now[_CURRENT])
    session[LAST_CODE], session[LAST_ENHANCED] = now[_CODE], now[_STATUS]
    session[LAST], session[LAST_LINES] = used[0], now[_LINES]
    if not put_lines(lines, now[_LINES], told):
        return False
    session[HELO_BEGIN], session[HELO_END] = pen[BEGIN], pen[END]
    if offer_begin > 0:
        session[OFFER] = offer_of(page, offer_begin, offer_end, octets, ends, slots, counts)
    return bool(session[OFFER] >= 0)


def plain_of(
    text: Any, runs: Any, begins: Any, ends: Any, circumstances: Any, offers: Any, desk: Any, told: Any
) -> None:
    """Tell which dialogues, `runs[begins[i]:ends[i]]`, are plain, and their rows.

    `circumstances` are those of `forms_of`. `offers` is what is known of replies to EHLO, as
    `write.Known` has it of forms.
    """
    page, pen, blanks = desk[0], desk[1], desk[2]
    sessions, used = told[0], told[4]
    for index in range(len(begins)):
        for cell in range(SESSION):
            sessions[index, cell] = 0
        if circumstances[index] < 0 or circumstances[index] % PROTOCOLS != IN_SMTP:
            continue
        pen[USED], pen[BLANKS], pen[SPOILT], pen[NUMBERS] = 0, 0, 0, _MOST_NUMBERS
        if not smtp(text, runs, begins[index], ends[index], page, pen, blanks) or pen[SPOILT] != 0:
            continue
        pieces, mails, recipients = used[0], used[1], used[2]
        is_over = (circumstances[index] // PROTOCOLS) % 2 == 1
        if tell(desk, offers, told, index, is_over):
            sessions[index, IS_PLAIN] = 1
        else:
            used[0], used[1], used[2] = pieces, mails, recipients
