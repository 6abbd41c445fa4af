"""The form of an SMTP dialogue that goes as RFC 5321 wants it: every command has its reply, in order.

What is taken for a command, a message or TLS here must be so for `mail.smtp`, too. Therefore who
speaks out of turn or in half lines has no form; but a server may go with 421, unasked, at the end.
"""

from __future__ import annotations

from typing import Any

from op25b_pcap.forms import verbs
from op25b_pcap.forms.message import end_of_data, received_in
from op25b_pcap.forms.pen import (
    AGAIN,
    BEGIN,
    CHUNK,
    CLIENT_SAYS,
    CODE,
    END,
    MESSAGE,
    MOST_LINE,
    MOST_SECRET,
    MOST_WAITING,
    NUMBER,
    QUEUE,
    SAID,
    SECRET,
    SERVER_SAYS,
    SPOILT,
    TEXT,
    TORN_MESSAGE,
    head,
    line_end,
    line_end_within,
    number_in,
    packed,
    put,
    put_all,
    put_blank,
    space_or_end,
    word,
)
from op25b_pcap.forms.tls import tls

GREETING, EXTENDED, DATA, AUTH, STARTTLS, QUIT, UNKNOWN, OTHER = range(8)
"""What waits for a reply, as far as it matters which replies it can have. UNKNOWN: it is no command, and is
refused. OTHER: none in particular."""
_COMMANDS, _WAITING, _MESSAGE, _RESPONSE = range(4)
"""What the client's next octets are."""
_FROM, _TO, _LAST = packed(b"FROM:"), packed(b"TO:"), packed(b"LAST")
_SIZE, _BODY, _SMTPUTF8 = packed(b"SIZE="), packed(b"BODY="), packed(b"SMTPUTF8")
_CLIENT = 0
_IS_SAME, _IS_ALIKE, _IS_OTHER = range(3)
_CAPITAL, _B, _X, _SLASH = 0xDF, 0x42, 0x78, 0x2F
_SPACE, _QUOTE, _STAR, _DASH, _DOT, _LESS, _EQUALS, _GREATER, _AT, _BRACKET, _BACKSLASH = tuple(
    b' "*-.<=>@[\\'
)
_GOODBYE = 421
_MOST_LINES = 100
"""Of a reply; `mail` keeps 128 (`reply_lines.MAX_LINES`)."""


def may_answer(code: int, command: int) -> bool:
    """Whether `mail.smtp.replies.can_answer`: a positive reply of a particular command, or any refusal."""
    if code >= 400:
        return True
    if command in (GREETING, STARTTLS):
        return code == 220
    if command == DATA:
        return code == 354
    if command == AUTH:
        return code == 235 or code == 334
    if command == QUIT:
        return code == 221
    if command == UNKNOWN:
        return False
    return code != 220 and code != 221 and code != 235 and code != 334 and code != 354


def smtp(text: Any, runs: Any, begin: int, end: int, page: Any, pen: Any, blanks: Any) -> bool:
    """Write the form of runs `begin` to `end`; whether there is one."""
    reading, waiting, answered, last = _COMMANDS, 1, 0, GREETING
    in_chunks, logs_in = False, False
    pen[QUEUE] = GREETING
    pen[BEGIN], pen[END] = 0, 0
    for number in range(begin, end):
        at, stop = runs[number]["begin"], runs[number]["end"]
        if runs[number]["side"] != _CLIENT:
            put(page, pen, SERVER_SAYS)
            while at < stop:
                if answered == waiting:
                    # The server goes, unasked: the end, or `mail` sees what it belongs to.
                    is_end = number == end - 1 and reading != _MESSAGE and not in_chunks
                    at = reply(text, at, stop, OTHER, page, pen, blanks)
                    last = AUTH if logs_in else OTHER
                    if not is_end or at != stop or pen[CODE] != _GOODBYE:
                        return False
                    break
                command = last = pen[QUEUE + answered]
                answered += 1
                at = reply(text, at, stop, command, page, pen, blanks)
                if at < 0 or not may_answer(pen[CODE], command):
                    return False
                logs_in |= command == AUTH
                if command == STARTTLS and pen[CODE] == 220:
                    return at == stop and tls(text, runs, number + 1, end, page, pen, blanks)
                if command == DATA:
                    reading = _MESSAGE if pen[CODE] == 354 else _COMMANDS
                elif command == AUTH:
                    reading = _RESPONSE if pen[CODE] == 334 else _COMMANDS
                elif command == STARTTLS:
                    reading = _COMMANDS
            if answered == waiting:
                answered, waiting = 0, 0
            continue
        if number == begin:
            return False
        put(page, pen, CLIENT_SAYS)
        while at < stop:
            if pen[SPOILT] or reading == _WAITING or waiting == MOST_WAITING:
                return False
            if reading == _MESSAGE:
                at = message(text, at, stop, number == end - 1, page, pen, blanks)
                pen[CODE], reading = OTHER, _COMMANDS
            elif reading == _RESPONSE:
                at = secret_line(text, at, stop, page, pen)
                pen[CODE], reading = AUTH, _WAITING
            else:
                if text[at] & _CAPITAL == _B:
                    at, in_chunks = chunk(text, at, stop, in_chunks, page, pen, blanks)
                elif in_chunks:
                    return False
                else:
                    at = command_line(text, at, stop, page, pen, blanks)
                if pen[CODE] in (DATA, AUTH, STARTTLS):
                    reading = _WAITING
            if at < 0:
                return False
            pen[QUEUE + waiting] = pen[CODE]
            waiting += 1
    # What is said at the end to a login, or behind one, may repeat what was said to log in; or what was no
    # command.
    return pen[SPOILT] == 0 and last != AUTH and last != UNKNOWN


def reply(text: Any, at: int, stop: int, command: int, page: Any, pen: Any, blanks: Any) -> int:
    """Write one whole reply: where the next begins, or -1. CODE gets its code."""
    pen[SAID] = at
    for line in range(_MOST_LINES):
        end = line_end(text, at, stop)
        if end < at + 3:
            return -1
        code = number_in(text, at, at + 3)
        if not 200 <= code < 600 or (line > 0 and code != pen[CODE]):
            return -1
        pen[CODE] = code
        put_all(text, at, at + 3, page, pen)
        goes_on = False
        if end > at + 3:
            goes_on = text[at + 3] == _DASH
            if not goes_on and text[at + 3] != _SPACE:
                return -1
            put(page, pen, text[at + 3])
            if command == EXTENDED and line > 0:
                put_all(text, at + 4, end, page, pen)
            elif not reply_text(text, at + 4, end, command == GREETING, page, pen, blanks):
                return -1
        put_all(text, end, end + 2, page, pen)
        at = end + 2
        if not goes_on:
            return at
    return -1


def reply_text(text: Any, at: int, end: int, is_greeting: bool, page: Any, pen: Any, blanks: Any) -> bool:
    """Write the text of a reply's line: an enhanced status code as it stands, and a blank."""
    at = behind_spaces(text, at, end, page, pen)
    if at == end:
        return True
    if is_greeting:
        for place in range(at, end - 3):
            # What a middlebox has left of a greeting.
            if text[place] == _STAR and text[place + 1] == _STAR and text[place + 2] == _STAR:
                return False
    behind = behind_enhanced_code(text, at, end)
    if behind > at:
        put_all(text, at, behind, page, pen)
        at = behind_spaces(text, behind, end, page, pen)
        if at == end:
            return True
    last = end
    while text[last - 1] == _SPACE:
        last -= 1
    put_blank(at, last, TEXT, page, pen, blanks)
    put_all(text, last, end, page, pen)
    return True


def behind_spaces(text: Any, at: int, end: int, page: Any, pen: Any) -> int:
    """Write the spaces that stand here; gives where they end."""
    while at < end and text[at] == _SPACE:
        put(page, pen, _SPACE)
        at += 1
    return at


def behind_enhanced_code(text: Any, at: int, end: int) -> int:
    """Where an enhanced status code (RFC 3463 section 2) ends that text begins with; else `at`."""
    if end - at < 5 or text[at + 1] != _DOT or text[at] not in (0x32, 0x34, 0x35):
        return at
    place = at + 2
    for part in range(2):
        digits = 0
        while place < end and 0x30 <= text[place] <= 0x39:
            digits += 1
            place += 1
        if not 1 <= digits <= 3:
            return at
        if part == 0:
            if place == end or text[place] != _DOT:
                return at
            place += 1
    return place if place == end or text[place] == _SPACE else at


def command_line(text: Any, at: int, stop: int, page: Any, pen: Any, blanks: Any) -> int:
    """Write a command: where the next octets begin, or -1. CODE gets what waits for a reply."""
    is_login = head(text, at, stop, verbs.LENGTH) == verbs.AUTH
    end = line_end_within(text, at, stop, MOST_SECRET if is_login else MOST_LINE)
    if end < 0:
        return -1
    pen[CODE] = OTHER
    close = space_or_end(text, at, end)
    verb, is_known = word(text, at, close), True
    if close < end:
        if verb in (verbs.EHLO, verbs.HELO):
            pen[CODE] = EXTENDED if verb == verbs.EHLO else OTHER
            is_known = hello(text, at, end, page, pen, blanks)
        elif verb == verbs.MAIL and head(text, close + 1, end, 5) == _FROM:
            is_known = envelope(text, at, close + 6, end, True, page, pen, blanks)
        elif verb == verbs.RCPT and head(text, close + 1, end, 3) == _TO:
            is_known = envelope(text, at, close + 4, end, False, page, pen, blanks)
        elif verb == verbs.AUTH:
            pen[CODE] = AUTH
            is_known = authentication(text, at, end, page, pen)
        else:
            is_known = other_command(text, at, close, end, page, pen)
    else:
        if verb == verbs.DATA:
            pen[CODE] = DATA
        elif verb == verbs.QUIT:
            pen[CODE] = QUIT
        elif verb == verbs.STARTTLS:
            pen[CODE] = STARTTLS
        if pen[CODE] != OTHER or verb == verbs.RSET:
            put_all(text, at, end, page, pen)
        else:
            is_known = other_command(text, at, close, end, page, pen)
    if not is_known:
        return -1
    put_all(text, end, end + 2, page, pen)
    must_wait = pen[CODE] in (DATA, AUTH, STARTTLS)
    return -1 if must_wait and end + 2 != stop else end + 2


def other_command(text: Any, at: int, close: int, end: int, page: Any, pen: Any) -> bool:
    """Write what tells nothing but itself, or is no command; what stands behind the word is not looked at."""
    verb = word(text, at, close)
    if verb not in verbs.SILENT:
        if verb < 0 or verb in verbs.KNOWN or verb in verbs.OTHERS:
            return False
        is_masked = True
        for place in range(at, close):
            octet = small(text[place])
            if not (0x61 <= octet <= 0x7A or 0x30 <= octet <= 0x39):
                return False
            is_masked &= octet == _X
        for place in range(close, end):
            # It may be HTTP.
            if text[place] == _SLASH:
                return False
        if is_masked:
            return False
        pen[CODE] = UNKNOWN
    put_all(text, at, close, page, pen)
    if close < end:
        put(page, pen, _SPACE)
        put(page, pen, SECRET)
    return True


def hello(text: Any, at: int, end: int, page: Any, pen: Any, blanks: Any) -> bool:
    """Write EHLO or HELO; another one may give the same name, or one that is not the same in any case."""
    name = at + verbs.LENGTH + 1
    put_all(text, at, name, page, pen)
    if name == end:
        return False
    for place in range(name, end):
        if text[place] == _SPACE:
            return False
    if pen[END]:
        same = sameness(text, name, end, pen[BEGIN], pen[END])
        if same == _IS_SAME:
            put(page, pen, AGAIN)
        if same != _IS_OTHER:
            return same == _IS_SAME
    else:
        pen[BEGIN], pen[END] = name, end
    if text[name] == _BRACKET:
        put(page, pen, _BRACKET)
        name += 1
        if name == end:
            return False
    put_blank(name, end, TEXT, page, pen, blanks)
    return True


def sameness(text: Any, at: int, end: int, other: int, other_end: int) -> int:
    """Whether two names are the same, the same but for capitals, or not."""
    if end - at != other_end - other:
        return _IS_OTHER
    told = _IS_SAME
    for index in range(end - at):
        octet, old = text[at + index], text[other + index]
        if octet != old:
            if small(octet) != small(old):
                return _IS_OTHER
            told = _IS_ALIKE
    return told


def small(octet: int) -> int:
    """A letter in lower case."""
    return octet + 0x20 if 0x41 <= octet <= 0x5A else octet + 0


def envelope(
    text: Any, at: int, place: int, end: int, is_sender: bool, page: Any, pen: Any, blanks: Any
) -> bool:
    """Write MAIL or RCPT: a path in brackets that nothing is quoted in, and parameters."""
    if place < end and text[place] == _SPACE:
        place += 1
    if place == end or text[place] != _LESS:
        return False
    place += 1
    put_all(text, at, place, page, pen)
    close = place
    while close < end and text[close] != _GREATER:
        octet = text[close]
        if octet in (_SPACE, _QUOTE, _LESS, _BACKSLASH):
            return False
        close += 1
    if close == end or (close > place and text[place] == _AT):
        return False
    if close > place:
        put_blank(place, close, TEXT, page, pen, blanks)
    put(page, pen, _GREATER)
    place = close + 1
    while place < end:
        if text[place] != _SPACE or place + 1 == end or text[place + 1] == _SPACE:
            return False
        put(page, pen, _SPACE)
        place += 1
        close = space_or_end(text, place, end)
        if not is_sender:
            put(page, pen, SECRET)
        elif not parameter(text, place, close, page, pen, blanks):
            return False
        place = close
    return True


def parameter(text: Any, at: int, end: int, page: Any, pen: Any, blanks: Any) -> bool:
    """Write a parameter of MAIL."""
    keyword = head(text, at, end, 5)
    if keyword == _SIZE:
        number = number_in(text, at + 5, end)
        put_all(text, at, at + 5, page, pen)
        put_blank(number, -1, NUMBER, page, pen, blanks)
        return number >= 0
    if keyword == _BODY or head(text, at, end, 8) == _SMTPUTF8:
        put_all(text, at, end, page, pen)
        return True
    # Of any other, only the keyword; `mail` does not look at what it says.
    while at < end and text[at] != _EQUALS:
        put(page, pen, text[at])
        at += 1
    if at < end:
        put(page, pen, _EQUALS)
        put(page, pen, SECRET)
    return True


def authentication(text: Any, at: int, end: int, page: Any, pen: Any) -> bool:
    """Write AUTH and a common mechanism."""
    name = at + verbs.LENGTH + 1
    put_all(text, at, name, page, pen)
    return mechanism(text, name, end, page, pen)


def mechanism(text: Any, at: int, end: int, page: Any, pen: Any) -> bool:
    """Write the name of a mechanism, if it is a common one; what stands behind it is a secret."""
    close = space_or_end(text, at, end)
    if not mechanism_number(text, at, close):
        return False
    put_all(text, at, close, page, pen)
    if close < end:
        put(page, pen, _SPACE)
        put(page, pen, SECRET)
    return True


def mechanism_number(text: Any, at: int, end: int) -> int:
    """The number of one of `verbs.MECHANISMS`, one more; 0 of any other word."""
    if end - at > verbs.LONGEST_MECHANISM:
        return 0
    second, third = min(at + 8, end), min(at + 16, end)
    for number in range(len(verbs.MECHANISMS)):
        words = verbs.MECHANISM_WORDS[number]
        if (
            word(text, at, second) == words[0]
            and word(text, second, third) == words[1]
            and word(text, third, end) == words[2]
        ):
            return number + 1
    return 0


def secret_line(text: Any, at: int, stop: int, page: Any, pen: Any) -> int:
    """Write a response (RFC 4954 section 4), which is all that the client says here."""
    end = line_end_within(text, at, stop, MOST_SECRET)
    if end < 0 or end + 2 != stop:
        return -1
    put(page, pen, SECRET)
    put_all(text, end, stop, page, pen)
    return stop


def message(text: Any, at: int, stop: int, is_last: bool, page: Any, pen: Any, blanks: Any) -> int:
    """Write a message by DATA: where the next octets begin, or -1.

    It may lack its end if `is_last`: nothing more is said by either side.
    """
    dot = end_of_data(text, at, stop)
    is_torn = dot == -1
    last = stop if is_torn else dot
    if dot == -2 or last <= at or (is_torn and not is_last):
        return -1
    received = received_in(text, at, last)
    if received < 0:
        return -1
    put_blank(last - at, -1, TORN_MESSAGE if is_torn else MESSAGE, page, pen, blanks)
    put(page, pen, received)
    return stop if is_torn else dot + 3


def chunk(
    text: Any, at: int, stop: int, in_chunks: bool, page: Any, pen: Any, blanks: Any
) -> tuple[int, bool]:
    """Write BDAT and its octets: where the next begin, or -1, and whether more chunks are to come."""
    end = line_end(text, at, stop)
    pen[CODE] = OTHER
    if (
        end <= at + verbs.LENGTH
        or text[at + verbs.LENGTH] != _SPACE
        or word(text, at, at + verbs.LENGTH) != verbs.BDAT
    ):
        return -1, False
    place = at + verbs.LENGTH + 1
    close = space_or_end(text, place, end)
    octets = number_in(text, place, close)
    is_last = close < end
    if is_last and word(text, close + 1, end) != _LAST:
        return -1, False
    if octets < 0 or octets > stop - end - 2:
        return -1, False
    if octets == 0:
        put_all(text, at, end + 2, page, pen)
        return (end + 2 if is_last or in_chunks else -1), not is_last
    put_all(text, at, place, page, pen)
    put_blank(octets, -1, NUMBER, page, pen, blanks)
    put_all(text, close, end + 2, page, pen)
    received = 0
    if not in_chunks:
        received = received_in(text, end + 2, end + 2 + octets)
        if received < 0:
            return -1, False
    put(page, pen, CHUNK)
    put(page, pen, received)
    return end + 2 + octets, not is_last
