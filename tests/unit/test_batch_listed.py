"""Which pieces a lake lists, and what is said of them."""

from __future__ import annotations

from dataclasses import replace

from op25b_pcap.batch.account import Account, Piece
from op25b_pcap.batch.run import _listed

WHOLE = Account("/tap/a.pcap", 100, 9, sha256="aa", records=5, was=["bb"])
TORN = Account("/tap/a.pcap", 100, 7, sha256="bb", records=3, state="damaged", reason="a record is torn")


def test_a_piece_that_cannot_be_read_is_listed_though_nobody_knows_how_large_it_is():
    (piece, _) = present = [Piece("/tap/a.pcap", 100, 7), Piece("/tap/b.pcap", 100, 7)]
    unreadable = Account(piece.path, 0, piece.mtime_ns, state="unreadable", reason="it cannot be read")
    assert _listed([unreadable], [], {*present, unreadable.piece}) == [unreadable]


def test_an_empty_piece_that_lies_nowhere_any_more_is_not_listed():
    gone = Account("/tap/a.pcap", 0, 7, sha256="e3b0", state="foreign")
    assert _listed([gone], [], set()) == []
    assert _listed([gone], [], {gone.piece}) == [gone]


def test_what_could_not_be_read_is_told_of_until_something_else_lies_there():
    gone = replace(TORN, state="unreadable")
    assert _listed([gone], [], set()) == [gone]
    assert _listed([gone, WHOLE], [WHOLE], {WHOLE.piece}) == [WHOLE]


def test_a_state_that_was_made_good_is_not_listed():
    assert _listed([TORN, WHOLE], [WHOLE], {WHOLE.piece}) == [WHOLE]


def test_a_damaged_piece_is_listed_as_that_though_another_one_counts():
    (whole, torn) = _listed([TORN, WHOLE], [WHOLE], {TORN.piece})
    assert whole == WHOLE
    reason = "a record is torn; its state of before counts in its place"
    assert torn == replace(TORN, reason=reason)


def test_a_copy_is_listed_while_it_is_there():
    copy = replace(WHOLE, path="/tap/b.pcap")
    duplicate = replace(copy, state="duplicate", reason="the same as /tap/a.pcap")
    assert _listed([copy, WHOLE], [WHOLE], {WHOLE.piece, copy.piece}) == [WHOLE, duplicate]
    assert _listed([copy, WHOLE], [WHOLE], {WHOLE.piece}) == [WHOLE]
