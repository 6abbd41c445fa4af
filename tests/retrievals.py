"""POP3 and IMAP sessions told as `C:` and `S:` lines, and read in every way they can be cut."""

from __future__ import annotations

import gc
from itertools import groupby
from unicodedata import category

from op25b_pcap.mail.retrieval import ANOMALIES, MAX_GREETING, Retrieval
from op25b_pcap.mail.tls import ANOMALIES as TLS_ANOMALIES
from op25b_pcap.mail.tls import VERSIONS
from op25b_pcap.tables.sessions import TLS_MODES
from op25b_pcap.tables.streams import Side

Turn = tuple[Side, bytes | int]
"""What a side sends, or how many of its octets are missing."""

C, S = Side.CLIENT, Side.SERVER
UNSEEN = {
    "greeting": None,
    "tls": "none",
    "tls_version": None,
    "tls_sni": None,
    "auth_mechanism": None,
    "auth_succeeded": None,
    "commands": 0,
    "anomalies": [],
}


def script(text: str) -> list[Turn]:
    """Each line sent with CRLF; `C: [7]` is a gap of seven octets."""
    turns: list[Turn] = []
    for line in filter(None, map(str.lstrip, text.splitlines())):
        side = {"C:": C, "S:": S}[line[:2]]
        said = line[3:]
        if said.startswith("[") and said.endswith("]") and said[1:-1].isdigit():
            turns.append((side, int(said[1:-1])))
        else:
            turns.append((side, said.encode() + b"\r\n"))
    return turns


def play(session: Retrieval, turns: list[Turn]) -> Retrieval:
    for side, what in turns:
        if isinstance(what, int):
            session.gap(side, what)
        else:
            session.receive(side, what)
    session.close()
    return session


def in_one_go(turns: list[Turn]) -> list[Turn]:
    """What a side sends without being interrupted, as one run."""
    runs = groupby(turns, key=lambda turn: (turn[0], isinstance(turn[1], int)))
    return [
        turn
        for (side, is_gap), run in runs
        for turn in (list(run) if is_gap else [(side, b"".join(data for _, data in run))])
    ]


def octet_by_octet(turns: list[Turn]) -> list[Turn]:
    return [
        (side, piece)
        for side, what in turns
        for piece in ([what] if isinstance(what, int) else [bytes([octet]) for octet in what])
    ]


def cut(talk: list[Turn], sizes: list[int]) -> list[Turn]:
    """The same octets and gaps in the same order, in pieces of these sizes, over and over."""
    pieces: list[Turn] = []
    for side, what in in_one_go(talk):
        at, index = 0, 0
        while isinstance(what, bytes) and at < len(what):
            pieces.append((side, what[at : at + sizes[index % len(sizes)]]))
            at += sizes[index % len(sizes)]
            index += 1
        if isinstance(what, int):
            pieces.append((side, what))
    return pieces


def assert_sound(columns: dict) -> None:
    """What may stand in the table, and what cannot be true at once."""
    assert columns["tls"] in TLS_MODES
    assert columns["tls_version"] in {None, *VERSIONS.values()}
    assert set(columns["anomalies"]) <= ANOMALIES.keys() | TLS_ANOMALIES.keys()
    assert len(columns["greeting"] or "") <= 4 * MAX_GREETING
    assert columns["commands"] >= 0
    for text in (columns["greeting"], columns["tls_sni"], columns["auth_mechanism"]):
        assert not {category(character) for character in text or ""} & {"Cc", "Cs", "Zl", "Zp"}
    if columns["auth_mechanism"] is not None:
        assert columns["commands"]


def assert_reads(
    protocol: type[Retrieval], turns: list[Turn] | str, *, begin=None, trailing=b"tr", **columns
) -> None:
    """The session has these columns and else those of one that was not seen, however it is cut."""
    turns = script(turns) if isinstance(turns, str) else turns
    ways = {
        "as told": turns,
        "in one go": in_one_go(turns),
        "octet by octet": octet_by_octet(turns),
        "with trailing octets": [*turns, *((side, trailing) for side in dict(turns))],
    }
    for way, cut in ways.items():
        session = play(protocol(**(begin or {})), cut)
        assert session.columns() == UNSEEN | columns, way


def kept(thing: object) -> list[bytes]:
    """All strings that can be reached from an object, but for those of its code."""
    found, seen, waiting = [], set[int](), [thing]
    while waiting:
        here = waiting.pop()
        if id(here) in seen or isinstance(here, type) or callable(here):
            continue
        seen.add(id(here))
        if isinstance(here, str):
            found.append(here.encode())
        elif isinstance(here, bytes | bytearray):
            found.append(bytes(here))
        waiting += gc.get_referents(here)
        waiting += vars(here).values() if hasattr(here, "__dict__") else []
    return found
