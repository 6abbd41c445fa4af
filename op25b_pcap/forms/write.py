"""The kernel that gives dialogues their forms: equal ones get one number."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from op25b_pcap.assembly.settle import mixed
from op25b_pcap.forms.imap import imap
from op25b_pcap.forms.pen import BLANKS, MOST_NUMBERS, NUMBERS, PAGE, REGISTERS, SPOILT, USED, put
from op25b_pcap.forms.pop3 import pop3
from op25b_pcap.forms.smtp import smtp
from op25b_pcap.forms.tls import tls

NO_FORM = -1
IN_SMTP, IN_POP3, IN_IMAP, IN_TLS = range(4)
"""What is spoken on a port, as far as the reader of forms is to be chosen."""
PROTOCOLS = 4
MOST_FORMS, _MOST_OCTETS = 1 << 13, 1 << 22
"""Of forms that are remembered."""


class Known(NamedTuple):
    """The forms that were met so far."""

    octets: Any
    ends: Any
    """Where each ends in them; the first, number 0, is none."""
    slots: Any
    """Numbers of forms by their digest, 0 where none is."""
    counts: Any
    """How many there are, with number 0."""
    page: Any
    """What one is written on, and with."""
    pen: Any


def none_known() -> Known:
    """As one begins."""
    return Known(
        np.empty(_MOST_OCTETS, np.uint8),
        np.zeros(MOST_FORMS, np.int64),
        np.zeros(2 * MOST_FORMS, np.int64),
        np.ones(1, np.int64),
        np.empty(PAGE, np.uint8),
        np.zeros(REGISTERS, np.int64),
    )


def number_of(page: Any, length: int, octets: Any, ends: Any, slots: Any, counts: Any) -> int:
    """The number of a form among those that are known, itself included; NO_FORM if they are too many."""
    digest = mixed(1, length)
    for index in range(length):
        digest = mixed(digest, page[index])
    last = len(slots) - 1
    slot = digest & last
    while slots[slot] > 0:
        number = slots[slot]
        begin = ends[number - 1]
        if ends[number] - begin == length:
            index = 0
            while index < length and octets[begin + index] == page[index]:
                index += 1
            if index == length:
                return number
        slot = (slot + 1) & last
    number = counts[0]
    if number == len(ends) or ends[number - 1] + length > len(octets):
        return NO_FORM
    begin = ends[number - 1]
    for index in range(length):
        octets[begin + index] = page[index]
    ends[number] = begin + length
    slots[slot] = number
    counts[0] += 1
    return number


def forms_of(
    text: Any,
    runs: Any,
    begins: Any,
    ends: Any,
    circumstances: Any,
    octets: Any,
    form_ends: Any,
    slots: Any,
    counts: Any,
    page: Any,
    pen: Any,
    told: Any,
    blanks: Any,
) -> int:
    """Give each dialogue, `runs[begins[i]:ends[i]]`, its form; how many blanks are used in all.

    `circumstances` are -1 where no form is wanted; otherwise their rest by PROTOCOLS is what is
    spoken there, and the form begins with them. Rows of `told`: number of the form, first blank.
    """
    used = 0
    for index in range(len(begins)):
        told[index, 0], told[index, 1] = NO_FORM, used
        if circumstances[index] < 0:
            continue
        pen[USED], pen[BLANKS], pen[SPOILT], pen[NUMBERS] = 0, used, 0, MOST_NUMBERS
        put(page, pen, circumstances[index])
        protocol = circumstances[index] % PROTOCOLS
        begin, end = begins[index], ends[index]
        if protocol == IN_SMTP:
            has_form = smtp(text, runs, begin, end, page, pen, blanks)
        elif protocol == IN_POP3:
            has_form = pop3(text, runs, begin, end, page, pen, blanks)
        elif protocol == IN_IMAP:
            has_form = imap(text, runs, begin, end, page, pen, blanks)
        else:
            has_form = tls(text, runs, begin, end, page, pen, blanks)
        if has_form and pen[SPOILT] == 0:
            told[index, 0] = number_of(page, pen[USED], octets, form_ends, slots, counts)
            if told[index, 0] != NO_FORM:
                used = pen[BLANKS]
    return used
