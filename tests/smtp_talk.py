"""SMTP dialogues told as RFCs print them, and read in every way that must make no difference.

A talk is a list of lines `C: …` and `S: …`; each is sent with CRLF. `C| …` and `S| …` are sent as
they stand, with `\\r`, `\\n`, `\\xNN` as in Python. `C? 100` and `S? 100` are octets that no packet
holds. Lines of one side that follow each other are one run.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any

from op25b_pcap.mail import tls
from op25b_pcap.mail.smtp.anomalies import ANOMALIES
from op25b_pcap.mail.smtp.dialogue import Dialogue
from op25b_pcap.tables import SMTP_SESSIONS, SMTP_TRANSACTIONS
from op25b_pcap.tables.streams import Side

C, S = Side.CLIENT, Side.SERVER
Step = tuple[Side, bytes | int]
"""Octets of a side, or how many of them are missing."""

HELLO = """
S: 220 mx.example.com ESMTP
C: EHLO home.example.org
S: 250-mx.example.com
S: 250-PIPELINING
S: 250 8BITMIME
"""
ENVELOPE = """
C: MAIL FROM:<haruko@example.org>
S: 250 2.1.0 Ok
C: RCPT TO:<aiko@example.com>
S: 250 2.1.5 Ok
"""
DATA = """
C: DATA
S: 354 Go on
C: Subject: Spring
C:
C: The plum is in flower.
C: .
S: 250 2.0.0 Queued
"""
MAIL = ENVELOPE + DATA
BYE = """
C: QUIT
S: 221 2.0.0 Bye
"""


def steps(talk: str) -> list[Step]:
    """The talk as runs of one side's octets."""
    runs: list[Step] = []
    for line in filter(None, map(str.lstrip, talk.splitlines())):
        side, kind, text = {"C": C, "S": S}[line[0]], line[1], line[3:]
        if kind == "?":
            runs.append((side, int(text)))
            continue
        octets = text.encode() + b"\r\n"
        if kind == "|":
            octets = text.encode("latin-1").decode("unicode_escape").encode("latin-1")
        if runs and runs[-1][0] is side and isinstance(runs[-1][1], bytes):
            runs[-1] = (side, runs[-1][1] + octets)
        else:
            runs.append((side, octets))
    return runs


def heard(sent: Iterable[Step], *, is_over: bool = True, **opening: bool) -> Dialogue:
    """The dialogue after it has heard all of it."""
    dialogue = Dialogue(**opening)
    for side, what in sent:
        if isinstance(what, int):
            dialogue.gap(side, what)
        else:
            dialogue.receive(side, what)
    dialogue.close(is_over=is_over)
    return dialogue


def told(dialogue: Dialogue) -> dict[str, Any]:
    """Everything that is told of a dialogue."""
    transactions = dialogue.session.transactions
    return {
        **dialogue.session.columns(dialogue.last_reply),
        "tls": dialogue.tls,
        "tls_version": dialogue.handshake.version,
        "tls_sni": dialogue.handshake.sni,
        "anomalies": sorted(dialogue.anomalies),
        "mails": [mail.columns(index) for index, mail in enumerate(transactions, 1)],
    }


def cut(sent: Iterable[Step], sizes: list[int]) -> list[Step]:
    """The same octets in pieces of these sizes, again and again."""
    pieces: list[Step] = []
    for side, what in sent:
        if isinstance(what, int):
            pieces.append((side, what))
            continue
        while what:
            size = sizes[len(pieces) % len(sizes)]
            pieces.append((side, what[:size]))
            what = what[size:]
    return pieces


def in_one_go(sent: Iterable[Step]) -> list[Step]:
    """What a side sends without being interrupted, as one run."""
    runs: list[Step] = []
    for side, what in sent:
        before = runs[-1] if runs else (None, 0)
        if before[0] is side and isinstance(what, bytes) and isinstance(before[1], bytes):
            runs[-1] = (side, before[1] + what)
        else:
            runs.append((side, what))
    return runs


def read(talk: str | list[Step], **opening: bool) -> dict[str, Any]:
    """What is told of the talk: whole, octet by octet, and with unfinished lines behind it."""
    sent = steps(talk) if isinstance(talk, str) else in_one_go(talk)
    dialogue = heard(sent, **opening)
    whole = told(dialogue)
    assert_sound(whole)
    assert told(heard(cut(sent, [1]), **opening)) == whole
    if not any(mail["accepted"] is None for mail in whole["mails"]):
        trailing: list[Step] = [(C, b"RSE"), (S, b"250-un")]
        assert told(heard([*sent, *trailing], **opening)) == whole
    return whole


def mails(talk: str | list[Step], **opening: bool) -> list[dict[str, Any]]:
    """Its transactions."""
    found: list[dict[str, Any]] = read(talk, **opening)["mails"]
    return found


def assert_sound(row: dict[str, Any]) -> None:
    """What holds whatever was said: the tables take it, every word is listed, sums agree."""
    assert set(row["anomalies"]) <= ANOMALIES.keys() | tls.ANOMALIES.keys()
    for mail in row["mails"]:
        assert mail["body"] in (None, *SMTP_TRANSACTIONS["body"].words)
        assert mail["data_command"] in (None, *SMTP_TRANSACTIONS["data_command"].words)
        assert len(mail["rcpt_to"] or []) == len(mail["rcpt_reply_codes"])
        assert mail["received_headers"] is None or mail["received_headers"] <= 65_535
        assert (mail["reply_code"] is not None) >= (mail["accepted"] is True)
    assert row["tls"] in SMTP_SESSIONS["tls"].words
    assert row["transactions"] >= len(row["mails"])
    assert row["messages_accepted"] == sum(mail["accepted"] is True for mail in row["mails"])
    assert row["message_bytes"] == sum(mail["message_bytes"] or 0 for mail in row["mails"])
    for text in strings(row):
        assert not {unicodedata.category(c) for c in text.replace("\n", "")} & {"Cc", "Cs", "Zl", "Zp"}, text


def strings(value: object) -> Iterable[str]:
    """All strings in it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from strings(inner)
