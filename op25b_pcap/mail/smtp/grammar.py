"""The words of SMTP: command lines, replies, paths and parameters, each under its RFC production.

In: one line without its ending. Out: a `Command` or a reply's parts; a line that is neither
gives `verb` "" or None, and nothing of it is kept. What an AUTH line carries behind the
mechanism is never looked at. Every quantifier is possessive or its alternatives differ in
their first octet: time is linear in the line.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from op25b_pcap.mail.lines import printable
from op25b_pcap.mail.sasl import mechanism
from op25b_pcap.mail.smtp.message import Message

MAX_TEXT = 1000
"""Octets kept of a name, an address or a line of reply text. RFC 5321 section 4.5.3.1 allows
256 octets to a path, 255 to a domain, 512 to a reply line, 1000 to a line of text."""
MAX_NUMBER = (1 << 64) - 1
"""SIZE may have 20 digits (RFC 1870 section 3); the tables hold 64 bits."""

VERBS = frozenset(
    (
        *("EHLO", "HELO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT", "VRFY", "EXPN", "HELP"),
        *("BDAT", "AUTH", "STARTTLS", "ETRN", "ATRN", "BURL"),  # RFC 3030, 4954, 3207, 1985, 2645, 4468
        *("SEND", "SOML", "SAML", "TURN", "LHLO"),  # RFC 821, RFC 2033
        *("XCLIENT", "XFORWARD", "XEXCH50", "ONEX"),  # Postfix, Exchange, Sendmail
    )
)


class MailOptions(NamedTuple):
    """The parameters of MAIL FROM that the tables hold."""

    size: int | None = None
    body: str | None = None
    smtputf8: bool = False


NO_OPTIONS = MailOptions()


class Command(NamedTuple):
    """What a client asked for, and what of its argument may be kept."""

    verb: str
    """One of `VERBS`, "" for any other line, or one of the words below."""
    text: str | None = None
    """HELO's name, MAIL's and RCPT's address, AUTH's mechanism; None: not to be read."""
    options: MailOptions = NO_OPTIONS
    octets: int = 0
    """Size of BDAT's chunk."""
    message: Message | None = None
    """The message that BDAT or the end of data belongs to."""
    oddities: tuple[str, ...] = ()


GREETING = Command("greeting")
"""Connecting asks for a reply, too: the greeting."""
END_OF_DATA = "end of data"
LAST_CHUNK = "BDAT LAST"
RESPONSE = Command("response")
"""A line of an AUTH exchange (RFC 4954 section 4): there was one, and no more is known of it."""
UNSEEN = Command("unseen")
"""A command that no packet of the capture holds, but whose reply was seen."""


# command = verb [SP argument]. Verbs are case-insensitive (RFC 5321 section 2.4). Lenient:
# blanks before the verb and tabs for spaces, which Sendmail and Postfix take.
_COMMAND = re.compile(rb"[ \t]*+([A-Za-z0-9]{4,8}+)(?![^ \t:])[ \t]*+(.*)", re.DOTALL)

# mail = "MAIL FROM:" Reverse-path [SP Mail-parameters], rcpt = "RCPT TO:" …, Path = "<" [ A-d-l ":" ]
# Mailbox ">" (RFC 5321 section 4.1.2); Quoted-string may hold any of `<`, `>`, space and quoted
# pairs. Lenient: blanks around the colon and within the brackets, a quote that is never closed,
# and no brackets at all, as old clients and spam tools send it.
_ENVELOPE = re.compile(
    rb"""[ \t]*+(MAIL[ \t]++FROM|RCPT[ \t]++TO)[ \t]*+:[ \t]*+(?:
    <([^">]*+(?:"(?:[^"\\]|\\.)*+"[^">]*+)*+)>
  | <([^>]*+)>
  | <?([^ \t<>]++)
)(.*)""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)

# A-d-l = At-domain *( "," At-domain ), obsolete and to be ignored (RFC 5321 appendix C).
_SOURCE_ROUTE = re.compile(rb"@[^:@,]*+(?:,@[^:@,]*+)*+:(?=.*@)", re.DOTALL)

# bdat-cmd = "BDAT" SP chunk-size [SP "LAST"] (RFC 3030 section 2).
_CHUNK = re.compile(rb"(\d++)(?:[ \t]++(LAST))?+[ \t]*+", re.IGNORECASE)

# Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF (RFC 5321
# section 4.2). Reply-code = %x32-35 %x30-35 %x30-39. Lenient: any second digit (472 is in use),
# and text right behind the code.
_REPLY_LINE = rb"([2-5]\d\d)(?!\d)(-?)[ ]?+"
_REPLY = re.compile(_REPLY_LINE + rb"(.*)", re.DOTALL)
_REPLY_LINES = re.compile(rb"^" + _REPLY_LINE + rb"([^\n]*)\r\n", re.MULTILINE)

# status-code = class "." subject "." detail (RFC 3463 section 2), before the text (RFC 2034).
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?=\s|$)\s*")

# What a client says next where its last command was refused, or where a capture goes on after a
# gap. Strict: a line of a message must not pass for a command.
_UNMISTAKABLE = re.compile(
    rb"(?:(?:MAIL[ ]FROM|RCPT[ ]TO):[ ]?[<\w]|(?:EHLO|HELO)[ ][\w\[]|BDAT[ ]\d+(?:[ ]LAST)?[ ]*$"
    rb"|AUTH[ ][A-Z0-9-]{3,20}(?:[ ]|$)|(?:RSET|QUIT|DATA|NOOP|STARTTLS)[ ]*$)",
    re.IGNORECASE | re.VERBOSE,
)
# ehlo-line = ehlo-keyword *( SP ehlo-param ). Lenient: `AUTH=`, as Outlook once needed it.
_AUTH_LINE = re.compile(r"AUTH[ =]\s*(.*)", re.IGNORECASE)


def visible(octets: bytes) -> str:
    """A stranger's octets as a table may hold them."""
    return printable(octets, MAX_TEXT)


def command(line: bytes) -> Command:
    """What a line of a client asks for."""
    verb, argument = _VERBS.get(line), b""  # most verbs stand alone
    if verb is None:
        envelope = _ENVELOPE.match(line)
        if envelope is not None:
            return _envelope(*envelope.groups())
        match = _COMMAND.match(line)
        if match is None:
            return Command("")
        word, argument = match.groups()
        verb = _VERBS.get(word) or _VERBS.get(word.upper())
        if verb is None:
            return Command("", oddities=("command_masked",) if set(word.upper()) == set(b"X") else ())
    read = _ARGUMENTS.get(verb)
    return read(verb, argument) if read is not None else Command(verb)


def _envelope(
    words: bytes, path: bytes | None, unclosed_quote: bytes | None, bare: bytes | None, parameters: bytes
) -> Command:
    """MAIL or RCPT with a path, in one of the three forms of `_ENVELOPE`."""
    oddities: tuple[str, ...] = ()
    if path is None:
        path, oddities = unclosed_quote or bare or b"", ("malformed_path",)
    if path[:1] == b"@" and (route := _SOURCE_ROUTE.match(path)):
        path, oddities = path[route.end() :], (*oddities, "source_route")
    path = path.strip(b" \t\r")
    if len(path) > MAX_TEXT:
        oddities = (*oddities, "text_cut")
    if words[0] in b"Rr":
        return Command("RCPT", visible(path), NO_OPTIONS, 0, None, oddities)
    options = NO_OPTIONS
    if parameters:
        options, odd = _mail_options(parameters)
        oddities += odd
    return Command("MAIL", visible(path), options, 0, None, oddities)


def _mail_options(parameters: bytes) -> tuple[MailOptions, tuple[str, ...]]:
    """What of MAIL's parameters is told, and what is odd about them."""
    size, body, smtputf8 = None, None, False
    oddities: tuple[str, ...] = ()
    for parameter in parameters.split():
        keyword, _, value = parameter.partition(b"=")
        match keyword.upper():
            case b"SIZE":
                size = _number(value)
                if size is None:
                    oddities += ("malformed_size",)
            case b"BODY":
                body = _BODIES.get(value.upper())
                if body is None:
                    oddities += ("malformed_body",)
            case b"SMTPUTF8":
                smtputf8 = True
    return MailOptions(size, body, smtputf8), oddities


def _without_path(verb: str, argument: bytes) -> Command:
    return Command(verb, oddities=("malformed_command",))


def _hello(verb: str, argument: bytes) -> Command:
    name = argument.strip(b" \t\r")
    return Command(verb, visible(name) or None, oddities=("text_cut",) if len(name) > MAX_TEXT else ())


def _bdat(verb: str, argument: bytes) -> Command:
    match = _CHUNK.fullmatch(argument)
    octets = _number(match[1]) if match else None
    if match is None or octets is None:
        return Command("", oddities=("malformed_chunk_size",))
    return Command(LAST_CHUNK if match[2] else verb, octets=octets)


def _auth(verb: str, argument: bytes) -> Command:
    return Command(verb, mechanism(argument))


_ARGUMENTS = {
    "EHLO": _hello,
    "HELO": _hello,
    "MAIL": _without_path,
    "RCPT": _without_path,
    "BDAT": _bdat,
    "AUTH": _auth,
}
_VERBS = {verb.encode(): verb for verb in VERBS}
_BODIES = {word.encode(): word for word in ("7BIT", "8BITMIME", "BINARYMIME")}


def _number(digits: bytes) -> int | None:
    """Decimal digits as a number that a table can hold."""
    if not digits.isdigit() or len(digits) > 20:
        return None
    number = int(digits)
    return number if number <= MAX_NUMBER else None


def is_unmistakable(line: bytes) -> bool:
    """Whether a line is a command and cannot well be a message's."""
    return _UNMISTAKABLE.match(line) is not None


def follows_message(line: bytes) -> bool:
    """Whether a line is a command that clients say right behind a message."""
    return is_unmistakable(line) and line[:4].upper() in (b"QUIT", b"RSET", b"MAIL", b"NOOP")


def reply_line(line: bytes) -> tuple[int, bool, bytes] | None:
    """Code, whether it is the last line of the reply, and text; None: no line of a reply."""
    match = _REPLY.match(line)
    if match is None:
        return None
    code, goes_on, text = match.groups()
    return int(code), not goes_on, text


def replies(octets: bytes) -> list[tuple[int, list[bytes]]] | None:
    """Code and text lines of each reply; None: the octets are not just whole replies in good order."""
    lines = _REPLY_LINES.findall(octets)
    if len(lines) != octets.count(b"\n") or octets[-1:] != b"\n":
        return None
    found: list[tuple[int, list[bytes]]] = []
    first, texts = b"", list[bytes]()
    for code, goes_on, text in lines:
        if texts and code != first:
            return None
        first = code
        texts.append(text)
        if not goes_on:
            found.append((int(code), texts))
            texts = []
    return None if texts else found


def enhanced_code(text: str) -> tuple[str | None, str]:
    """The enhanced status code before a reply's text, and the text behind it."""
    match = _ENHANCED.match(text)
    return (match[1], text[match.end() :]) if match else (None, text)


def mechanisms(ehlo_line: str) -> list[str] | None:
    """The SASL mechanisms in a line of the reply to EHLO, if it is that of AUTH."""
    match = _AUTH_LINE.match(ehlo_line)
    if match:
        return match[1].upper().split()
    return [] if ehlo_line.upper() == "AUTH" else None
