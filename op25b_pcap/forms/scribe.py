"""The kernel that tells the rows of plain SMTP dialogues from their forms; nothing is learnt of them.

Plain is a dialogue with a form (`smtp`) that goes in the order of RFC 5321 section 4.1.4: EHLO or HELO, AUTH,
MAIL, RCPT, DATA or BDAT, RSET, QUIT, what tells nothing but itself, or STARTTLS and the hellos of TLS; up to
its end, wherever that is. What it comes to is what `mail.smtp.record` makes of such exchanges, and of
commands without replies. Any other one is told by its form, or read by `mail`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from op25b_pcap.forms import verbs
from op25b_pcap.forms.pen import (
    ALERT,
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
    SAID,
    SECRET,
    SERVER_HELLO,
    SERVER_SAYS,
    SPOILT,
    TEXT,
    TORN_MESSAGE,
    USED,
    packed,
    word,
)
from op25b_pcap.forms.smtp import behind_enhanced_code, mechanism_number, smtp
from op25b_pcap.forms.write import IN_SMTP, PROTOCOLS, number_of

LONG_PAGE, MOST_BLANKS = 1 << 16, 1 << 14
"""Octets of a form here, and its blanks: none is kept."""
_MOST_NUMBERS = 1 << 10

# A row of `sessions`.
(
    IS_PLAIN,
    BANNER_CODE,
    BANNER,  # where among the pieces its lines begin, and how many they are
    BANNER_LINES,
    HELO_VERB,  # 1: EHLO, 2: HELO, 0: null, as below
    HELO_BEGIN,
    HELO_END,
    OFFER,  # number of what the last reply to EHLO offered that was positive; 0: there was none
    FORMER_OFFER,  # the same of the one before
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
    MECHANISM,  # 1: the first of `verbs.MECHANISMS`
    HAS_LOGGED_IN,  # 1: no, 2: yes
    HAS_STARTTLS,  # the same
    IS_HIDDEN,
    NAME_BEGIN,
    NAME_END,
    VERSION,  # one more than its second octet
    ODDITIES,  # bits, in the order of `ANOMALIES`
) = range(30)
SESSION = 30
ANOMALIES = ("surplus_reply", "helo_changed", "helo_fallback", "unknown_command", "tls_alert")
SURPLUS_REPLY, HELO_CHANGED, HELO_FALLBACK, UNKNOWN_COMMAND, TLS_ALERT = (1 << bit for bit in range(5))

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
    HAS_DATA,  # 1: DATA, 2: BDAT
    MESSAGE_OCTETS,
    MESSAGE_RECEIVED,
    REPLY,
    ENHANCED,
    IS_ACCEPTED,
    IS_OPEN,
    IS_SETTLED,  # what was said to its last command was seen
) = range(16)
MAIL_CELLS = 16
RECIPIENT_CELLS = 3
"""Begin and end of an address, and the code of the reply, 0 if there was none."""
BODIES = ("7BIT", "8BITMIME", "BINARYMIME")

_GREETING, _EHLO, _HELO, _MAIL, _RCPT, _DATA, _END_OF_DATA, _RSET, _NOOP, _QUIT = range(10)
_AUTH, _RESPONSE, _STARTTLS, _CHUNK = range(10, 14)
"""What waits for a reply; NOOP is also what tells nothing but that it was said."""
_CONNECTED, _READY, _IN_MAIL, _IN_RCPT, _IN_DATA, _IN_CHUNKS, _IN_AUTH, _CLOSED = range(8)
"""Where the session stands (`mail.smtp.state`). READY: the server has greeted, and no mail is under way.
CLOSED: one of the two is going, and only QUIT may follow."""
# A row of the queue: what waits; a name or an address, or (CLOSE) that a message ends here; a size; a body, a
# mechanism, or how many Received: fields; and whether it is SMTPUTF8, another name, or a message begins here.
_KIND, _AT, _CLOSE, _COUNT, _WORD, _FLAG = range(6)
QUEUE_CELLS = 6
# Registers.
_PLACE, _BLANK, _STATE, _CURRENT, _CODE, _STATUS, _OFFER_AT = range(7)
_IS_GREETED, _IS_EHLO_REFUSED, _IN_MESSAGE = range(7, 10)
REGISTERS_HERE = 10
_PARAMETER_SIZE, _PARAMETER_BODY, _PARAMETER_UTF8 = packed(b"SIZE"), packed(b"BODY"), packed(b"SMTPUTF8")
_SEVEN, _EIGHT, _BINARY, _REST = packed(b"7BIT"), packed(b"8BITMIME"), packed(b"BINARYMI"), packed(b"ME")
_CR, _SPACE, _DASH, _DOT, _LESS, _EQUALS, _BRACKET, _MARKS = 0x0D, 0x20, 0x2D, 0x2E, 0x3C, 0x3D, 0x5B, 0x80


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


def told_reply(page: Any, now: Any) -> None:
    """Read a whole reply: its code, its status code, and where behind its first line the others stand."""
    at, blank, is_first, goes_on = now[_PLACE], now[_BLANK], True, True
    while goes_on:
        digits: Any = np.int64(page[at])
        now[_CODE] = (digits - 48) * 100 + (np.int64(page[at + 1]) - 48) * 10 + np.int64(page[at + 2]) - 48
        at += 3
        goes_on = page[at] == _DASH
        if is_first:
            now[_STATUS] = status_number(page, at)
        while page[at] != _CR:
            if page[at] == TEXT:
                blank += 1
            at += 1
        at += 2
        if is_first:
            now[_OFFER_AT] = at
        is_first = False
    now[_PLACE], now[_BLANK] = at, blank


def status_number(page: Any, at: int) -> int:
    """The enhanced status code that stands behind a reply's code, as a number; 0: there is none."""
    status = 0
    if page[at] != _CR:
        at += 1
    while page[at] == _SPACE:
        at += 1
    while page[at] != _CR and page[at] < _MARKS and page[at] != _SPACE:
        octet: Any = np.int64(page[at])
        status = status * STATUS_DIGITS + (_OF_DOT if octet == _DOT else octet - 47)
        at += 1
    return status


def told_command(page: Any, pen: Any, blanks: Any, now: Any, asked: Any, session: Any) -> bool:
    """Read what the client says next into a row of the queue; False if it is not plain."""
    at, blank = now[_PLACE], now[_BLANK]
    if page[at] in (MESSAGE, TORN_MESSAGE):
        asked[_KIND], asked[_COUNT] = _END_OF_DATA, blanks[blank, 0]
        asked[_WORD], asked[_FLAG] = page[at + 1], 1
        now[_PLACE], now[_BLANK] = at + 2, blank + 1
        return True
    if page[at] == SECRET:
        asked[_KIND] = _RESPONSE
        now[_PLACE] = at + 3
        return True
    if page[at] >= _MARKS:
        return False
    begin = at
    while page[at] != _SPACE and page[at] != _CR:
        at += 1
    verb = word(page, begin, at)
    if verb in (verbs.EHLO, verbs.HELO):
        asked[_KIND] = _EHLO if verb == verbs.EHLO else _HELO
        while page[at] < _MARKS:
            at += 1
        asked[_AT], asked[_CLOSE], asked[_FLAG] = pen[BEGIN], pen[END], 0
        if page[at] == TEXT:
            begin = blanks[blank, 0] - (page[at - 1] == _BRACKET)
            asked[_AT], asked[_CLOSE], asked[_FLAG] = begin, blanks[blank, 1], begin != pen[BEGIN]
            blank += 1
        at += 1
    elif verb == verbs.BDAT:
        at += 1
        asked[_KIND], asked[_COUNT], asked[_WORD] = _CHUNK, 0, 0
        asked[_FLAG] = not now[_IN_MESSAGE]
        if page[at] == NUMBER:
            asked[_COUNT] = blanks[blank, 0]
            blank += 1
        while page[at] != _CR and page[at] != _SPACE:
            at += 1
        asked[_CLOSE] = page[at] == _SPACE
        now[_IN_MESSAGE] = page[at] != _SPACE
        while page[at] != _CR:
            at += 1
        if asked[_COUNT] > 0:
            asked[_WORD] = page[at + 3]
            at += 2
            now[_PLACE], now[_BLANK] = at + 2, blank
            return True
    elif verb in (verbs.MAIL, verbs.RCPT):
        asked[_KIND] = _MAIL if verb == verbs.MAIL else _RCPT
        asked[_AT], asked[_CLOSE] = 0, 0
        asked[_COUNT], asked[_WORD], asked[_FLAG] = -1, -1, 0
        while page[at] != _LESS:
            at += 1
        at += 1
        if page[at] == TEXT:
            asked[_AT], asked[_CLOSE] = blanks[blank, 0], blanks[blank, 1]
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
                asked[_COUNT] = blanks[blank, 0]
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
                asked[_WORD] = body
            elif verb == verbs.MAIL and keyword == _PARAMETER_UTF8:
                asked[_FLAG] = 1
            while page[at] != _SPACE and page[at] != _CR:
                at += 1
    elif verb == verbs.AUTH:
        asked[_KIND] = _AUTH
        begin = at + 1
        at = begin
        while page[at] != _SPACE and page[at] != _CR:
            at += 1
        asked[_WORD] = mechanism_number(page, begin, at)
        if page[at] == _SPACE:
            at += 2
    elif verb == verbs.DATA:
        asked[_KIND] = _DATA
    elif verb == verbs.RSET:
        asked[_KIND] = _RSET
    elif verb == verbs.STARTTLS:
        asked[_KIND] = _STARTTLS
    elif verb == verbs.QUIT:
        asked[_KIND] = _QUIT
    else:
        asked[_KIND] = _NOOP
        if verb not in verbs.SILENT:
            session[ODDITIES] |= UNKNOWN_COMMAND
        while page[at] != _CR:
            at += 1
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


def give_up(mails: Any, now: Any) -> None:
    """The transaction ends: without a message, and if its last reply was seen, the server has taken none."""
    current = now[_CURRENT]
    if (
        current >= 0
        and mails[current, IS_SETTLED]
        and mails[current, MESSAGE_OCTETS] < 0
        and mails[current, IS_ACCEPTED] < 0
    ):
        mails[current, IS_ACCEPTED] = 0
    now[_CURRENT] = -1


def refuse(mails: Any, now: Any, session: Any) -> None:
    """The server has refused the sender, or the message before it was sent."""
    current = now[_CURRENT]
    mails[current, REPLY], mails[current, ENHANCED] = now[_CODE], now[_STATUS]
    mails[current, IS_ACCEPTED] = 0
    session[IS_REFUSED] = 1


def begin_mail(asked: Any, now: Any, session: Any, told: Any, whose: int) -> bool:
    """A transaction begins, as MAIL wants it; False if there is no room."""
    _, _, mails, _, used = told
    if used[1] == len(mails):
        return False
    give_up(mails, now)
    current = used[1]
    used[1] += 1
    session[MAILS] += 1
    mails[current, WHOSE], mails[current, HAS_DATA] = whose, 0
    mails[current, IS_OPEN], mails[current, IS_SETTLED] = 1, 0
    mails[current, FROM_BEGIN], mails[current, FROM_END] = asked[_AT], asked[_CLOSE]
    mails[current, FIRST_RECIPIENT], mails[current, LAST_RECIPIENT] = used[2], used[2]
    mails[current, SIZE], mails[current, BODY], mails[current, IS_UTF8] = (
        asked[_COUNT],
        asked[_WORD],
        asked[_FLAG],
    )
    mails[current, MESSAGE_OCTETS], mails[current, MESSAGE_RECEIVED] = -1, -1
    mails[current, REPLY], mails[current, ENHANCED], mails[current, IS_ACCEPTED] = 0, 0, -1
    now[_CURRENT] = current
    return True


def add_recipient(asked: Any, code: int, now: Any, told: Any) -> bool:
    """A recipient of the transaction, and what was said to it; False if there is none, or no room."""
    _, _, mails, recipients, used = told
    if now[_CURRENT] < 0 or used[2] == len(recipients):
        return False
    recipients[used[2], 0], recipients[used[2], 1], recipients[used[2], 2] = asked[_AT], asked[_CLOSE], code
    used[2] += 1
    mails[now[_CURRENT], LAST_RECIPIENT] = used[2]
    return True


def add_octets(asked: Any, now: Any, session: Any, mails: Any) -> bool:
    """Of the transaction's message, all or a chunk; False if there is none, or it had another one."""
    current = now[_CURRENT]
    if current < 0:
        return False
    if asked[_FLAG]:
        if mails[current, MESSAGE_OCTETS] >= 0:
            return False
        mails[current, MESSAGE_OCTETS], mails[current, MESSAGE_RECEIVED] = 0, asked[_WORD]
        session[MESSAGES] += 1
        session[RECEIVED] = max(session[RECEIVED], asked[_WORD])
    mails[current, MESSAGE_OCTETS] += asked[_COUNT]
    session[OCTETS] += asked[_COUNT]
    return True


def end_mail(now: Any, session: Any, mails: Any) -> None:
    """The server has answered the whole message."""
    current = now[_CURRENT]
    mails[current, REPLY], mails[current, ENHANCED] = now[_CODE], now[_STATUS]
    mails[current, IS_ACCEPTED] = now[_CODE] < 300
    if now[_CODE] < 300:
        session[ACCEPTED] += 1
    else:
        session[IS_REFUSED] = 1
    now[_CURRENT], now[_STATE] = -1, _READY


def greet(asked: Any, code: int, now: Any, session: Any, mails: Any) -> bool:
    """EHLO or HELO, and the reply, or 0; a name that was accepted is told before one that was not."""
    is_extended, is_yes = asked[_KIND] == _EHLO, 200 <= code < 300
    if is_yes or not now[_IS_GREETED]:
        session[HELO_VERB] = 1 if is_extended else 2
        session[HELO_BEGIN], session[HELO_END] = asked[_AT], asked[_CLOSE]
    if asked[_FLAG]:
        session[ODDITIES] |= HELO_CHANGED
    if code >= 400 and code != _GOODBYE:
        now[_IS_EHLO_REFUSED] |= is_extended
        return True
    if is_yes:
        now[_IS_GREETED], now[_STATE] = 1, _READY
        if now[_IS_EHLO_REFUSED] and not is_extended:
            session[ODDITIES] |= HELO_FALLBACK
    give_up(mails, now)
    return is_yes or code == _GOODBYE or code == 0


def exchange(asked: Any, now: Any, session: Any, told: Any, whose: int) -> bool:
    """Take in a command and its reply, as `mail.smtp.record` does; False if that is not plain."""
    mails = told[2]
    kind, code, state = asked[_KIND], now[_CODE], now[_STATE]
    is_yes, is_no = code < 300, code >= 400
    if state == _CLOSED and kind != _QUIT:
        return False
    if code == _GOODBYE:
        now[_STATE] = _CLOSED
    if kind == _NOOP:
        return True
    if kind == _GREETING:
        session[BANNER_CODE], session[IS_REFUSED] = code, is_no
        now[_STATE] = _READY if is_yes else _CLOSED
        return True
    if kind in (_EHLO, _HELO):
        return greet(asked, code, now, session, mails)
    if kind == _MAIL:
        if state != _READY or not (is_yes or is_no):
            return False
        # Within a transaction, of which there is a refused chunk, it would be another one.
        if is_no and now[_CURRENT] >= 0 and mails[now[_CURRENT], IS_OPEN]:
            return False
        if not begin_mail(asked, now, session, told, whose):
            return False
        mails[now[_CURRENT], IS_SETTLED] = 1
        if is_no:
            refuse(mails, now, session)
            mails[now[_CURRENT], IS_OPEN] = 0
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
            session[MECHANISM], session[HAS_LOGGED_IN] = asked[_WORD], 0
        if is_yes or is_no:
            session[HAS_LOGGED_IN] = 2 if code == 235 else 1
        if code != _GOODBYE:
            now[_STATE] = _READY if is_yes or is_no else _IN_AUTH
        return True
    if kind == _RSET:
        if is_yes:
            give_up(mails, now)
            now[_STATE] = _READY
        return bool(is_yes or is_no)
    if kind == _QUIT:
        give_up(mails, now)
        session[HAS_QUIT] = 1
        now[_STATE] = _CLOSED
        return True
    if kind == _RCPT:
        if not (is_no or (is_yes and state in (_IN_MAIL, _IN_RCPT))):
            return False
        if is_yes:
            session[RECIPIENTS] += 1
            now[_STATE] = _IN_RCPT
        else:
            session[REJECTED] += 1
            session[IS_REFUSED] = 1
        return add_recipient(asked, code, now, told)
    if kind == _CHUNK:
        return take_chunk(asked, now, session, mails, state)
    if now[_CURRENT] < 0:
        return False
    if kind == _DATA:
        mails[now[_CURRENT], HAS_DATA] = 1
        if is_no:
            if mails[now[_CURRENT], IS_OPEN]:
                refuse(mails, now, session)
            return True
        now[_STATE] = _IN_DATA
        return bool(code == 354 and state in (_IN_MAIL, _IN_RCPT))
    if state != _IN_DATA or not (is_yes or is_no) or not add_octets(asked, now, session, mails):
        return False
    end_mail(now, session, mails)
    if code == _GOODBYE:
        now[_STATE] = _CLOSED
    return True


def take_chunk(asked: Any, now: Any, session: Any, mails: Any, state: int) -> bool:
    """BDAT, its octets and the reply (RFC 3030 section 2); False if that is not plain."""
    is_yes, is_no, is_due = now[_CODE] < 300, now[_CODE] >= 400, state in (_IN_RCPT, _IN_CHUNKS)
    if now[_CURRENT] < 0:
        return bool(is_no)  # refused, and of no transaction
    if not (is_no or (is_yes and is_due)) or not add_octets(asked, now, session, mails):
        return False
    mails[now[_CURRENT], HAS_DATA] = 2
    if is_no:
        if mails[now[_CURRENT], IS_ACCEPTED] < 0:  # what follows a refused chunk is refused with it
            refuse(mails, now, session)
        if is_due and now[_STATE] != _CLOSED:
            now[_STATE] = _READY
    elif asked[_CLOSE]:
        end_mail(now, session, mails)
    else:
        now[_STATE] = _IN_CHUNKS
    return True


def unanswered(asked: Any, now: Any, session: Any, told: Any, whose: int) -> bool:
    """Take in a command whose reply never came, as `mail.smtp.record` does; False if that is not plain."""
    mails = told[2]
    kind, current = asked[_KIND], now[_CURRENT]
    if kind in (_EHLO, _HELO):
        return greet(asked, 0, now, session, mails)
    if kind == _MAIL:
        return bool(session[BANNER_CODE] < 400) and begin_mail(asked, now, session, told, whose)
    if kind == _RCPT:
        return add_recipient(asked, 0, now, told)
    if kind == _DATA and current >= 0:
        mails[current, HAS_DATA], mails[current, IS_SETTLED] = 1, 0
    elif kind in (_CHUNK, _END_OF_DATA):
        if not add_octets(asked, now, session, mails):
            return False
        if kind == _CHUNK:
            mails[current, HAS_DATA], mails[current, IS_SETTLED] = 2, 0
        if kind == _END_OF_DATA or asked[_CLOSE]:
            now[_CURRENT] = -1
    elif kind in (_RSET, _QUIT):
        give_up(mails, now)
        session[HAS_QUIT] |= kind == _QUIT
    elif kind == _AUTH and session[HAS_LOGGED_IN] != 2:
        session[MECHANISM], session[HAS_LOGGED_IN] = asked[_WORD], 0
    return True


def told_hellos(page: Any, stop: int, blanks: Any, now: Any, session: Any) -> bool:
    """Read what TLS begins with, if anything is said any more; False if it is not plain."""
    at = now[_PLACE]
    if at == stop:
        return True
    if page[at] != CLIENT_HELLO and page[at] != NAMELESS_HELLO:
        return False
    session[IS_HIDDEN] = 1
    if page[at] == CLIENT_HELLO:
        session[NAME_BEGIN], session[NAME_END] = blanks[now[_BLANK], 0], blanks[now[_BLANK], 1]
    for place in range(at + 1, stop, 2):
        if page[place] == ALERT:
            session[ODDITIES] |= TLS_ALERT
        elif page[place] == SERVER_HELLO:
            session[VERSION] = page[place + 1] * 1 + 1
        else:
            return False
    return True


def put_lines(text: Any, at: int, is_banner: bool, told: Any) -> int:
    """Set down where the lines of a reply stand that begins there; how many they are, -1 if there is no room.

    Those of the banner are told with their enhanced status codes, those of the last reply without.
    """
    _, pieces, _, _, used = told
    count, goes_on = 0, True
    while goes_on:
        if used[0] == len(pieces):
            return -1
        end = at
        while text[end] != _CR:
            end += 1
        goes_on = text[at + 3] == _DASH
        begin, close = min(at + 4, end), end
        while close > begin and text[close - 1] == _SPACE:
            close -= 1
        while begin < close and text[begin] == _SPACE:
            begin += 1
        if not is_banner:
            begin = behind_enhanced_code(text, begin, close)
            while begin < close and text[begin] == _SPACE:
                begin += 1
        pieces[used[0], 0], pieces[used[0], 1] = begin, close
        used[0] += 1
        count += 1
        at = end + 2
    return count


def tell(text: Any, begin: int, desk: Any, offers: Any, told: Any, whose: int, is_over: bool) -> bool:
    """Tell the rows of a dialogue that begins there, its form on the page; False if it is not plain."""
    page, pen, blanks, now, queue = desk
    session, mails, used = told[0][whose], told[2], told[4]
    octets, ends, slots, counts = offers
    stop, first, last, is_server = pen[USED], 0, 1, False
    offer_begin, offer_end, former_begin, former_end = 0, 0, 0, 0
    for register in range(REGISTERS_HERE):
        now[register] = 0
    now[_STATE], now[_CURRENT] = _CONNECTED, -1
    queue[0, _KIND] = _GREETING
    while now[_PLACE] < stop:
        mark = page[now[_PLACE]]
        if mark in (SERVER_SAYS, CLIENT_SAYS):
            is_server = mark == SERVER_SAYS
            now[_PLACE] += 1
            continue
        if not is_server:
            if last == MOST_WAITING or not told_command(page, pen, blanks, now, queue[last], session):
                return False
            last += 1
            continue
        if first == last:
            # The server goes, unasked: the form says that it is 421, and the end.
            told_reply(page, now)
            session[ODDITIES] |= SURPLUS_REPLY
            is_over = False
            break
        kind = queue[first, _KIND]
        told_reply(page, now)
        if not exchange(queue[first], now, session, told, whose):
            return False
        if kind == _EHLO and now[_CODE] < 300:
            if former_begin > 0:
                return False
            former_begin, former_end = offer_begin, offer_end
            offer_begin, offer_end = now[_OFFER_AT], now[_PLACE]
        first += 1
        if kind == _STARTTLS and now[_CODE] < 300:
            if not told_hellos(page, stop, blanks, now, session):
                return False
            break
        if first == last:
            first, last = 0, 0
    if first == last and now[_STATE] == _IN_DATA:
        now[_CURRENT] = -1  # of a message of which nothing came
    for number in range(first, last):
        if not unanswered(queue[number], now, session, told, whose):
            return False
    if is_over:
        give_up(mails, now)
    session[BANNER], session[BANNER_LINES] = used[0], put_lines(text, begin, True, told)
    session[LAST_CODE], session[LAST_ENHANCED] = now[_CODE], now[_STATUS]
    session[LAST], session[LAST_LINES] = used[0], put_lines(text, pen[SAID], False, told)
    if session[BANNER_LINES] < 0 or session[LAST_LINES] < 0:
        return False
    if former_begin > 0:
        session[FORMER_OFFER] = offer_of(page, former_begin, former_end, octets, ends, slots, counts)
    if offer_begin > 0:
        session[OFFER] = offer_of(page, offer_begin, offer_end, octets, ends, slots, counts)
    return bool(session[OFFER] >= 0 and session[FORMER_OFFER] >= 0)


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
        if begins[index] == ends[index]:
            continue
        pen[USED], pen[BLANKS], pen[SPOILT], pen[NUMBERS] = 0, 0, 0, _MOST_NUMBERS
        if not smtp(text, runs, begins[index], ends[index], page, pen, blanks) or pen[SPOILT] != 0:
            continue
        pieces, mails, recipients = used[0], used[1], used[2]
        is_over = (circumstances[index] // PROTOCOLS) % 2 == 1
        if tell(text, runs[begins[index]]["begin"], desk, offers, told, index, is_over):
            sessions[index, IS_PLAIN] = 1
        else:
            used[0], used[1], used[2] = pieces, mails, recipients
