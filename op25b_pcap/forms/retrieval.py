"""What the forms of POP3 and IMAP dialogues have in common.

`mail` tells of them how the server greets, how the client logs in or goes on in TLS, and how many
commands it says. So there stands in a form: the greeting; how many commands tell nothing else, wherever
they were said; and those that do, with their replies.
"""

from __future__ import annotations

from typing import Any

from op25b_pcap.forms.pen import (
    BLANKS,
    SECRET,
    SERVER_SAYS,
    SPOILT,
    TEXT,
    put,
    put_all,
    put_blank,
)

CLIENT = 0
_MOST_TELLING = 50
"""Commands of a form that tell something: a number among what they come to must be known (`recite.SOME`)."""
SPACE = 0x20
_CR, _LF = 0x0D, 0x0A


def greet(text: Any, at: int, close: int, end: int, mark: int, page: Any, pen: Any, blanks: Any) -> int:
    """Write the line with which a server greets, whose first words end at `close`.

    Gives which blank of all is that of the number of commands, a `mark`; -1: it is no usual line.
    """
    put(page, pen, SERVER_SAYS)
    put_all(text, at, close, page, pen)
    if close < end:
        if text[close] != SPACE or close + 1 == end or text[close + 1] == SPACE or text[end - 1] == SPACE:
            return -1
        put(page, pen, SPACE)
        put_blank(close + 1, end, TEXT, page, pen, blanks)
    end_line(page, pen)
    place: int = pen[BLANKS]
    put_blank(0, -1, mark, page, pen, blanks)
    return place if pen[BLANKS] > place else -1


def say(text: Any, at: int, close: int, has_more: bool, page: Any, pen: Any) -> None:
    """Write a line: octets as they stand, and whether there are more, which are not told."""
    put_all(text, at, close, page, pen)
    if has_more:
        put(page, pen, SPACE)
        put(page, pen, SECRET)
    end_line(page, pen)


def is_told(counted: int, commands: int, telling: int, pen: Any, blanks: Any) -> bool:
    """Fill the blank `counted` in; whether there is a form, of which so many commands tell something."""
    if counted < 0 or pen[SPOILT] != 0 or telling > _MOST_TELLING:
        return False
    blanks[counted, 0] = commands
    return True


def end_line(page: Any, pen: Any) -> None:
    """Write what ends a line."""
    put(page, pen, _CR)
    put(page, pen, _LF)
