"""Which pieces a lake lists."""

from __future__ import annotations

from op25b_pcap.batch.account import Account, Piece
from op25b_pcap.batch.run import _listed


def test_a_piece_that_cannot_be_read_is_listed_though_nobody_knows_how_large_it_is():
    (piece, _) = present = [Piece("/tap/a.pcap", 100, 7), Piece("/tap/b.pcap", 100, 7)]
    unreadable = Account(piece.path, 0, piece.mtime_ns, state="unreadable", reason="it cannot be read")
    assert _listed([], [], [unreadable], present) == [unreadable]


def test_an_empty_piece_that_lies_nowhere_any_more_is_not_listed():
    gone = Account("/tap/a.pcap", 0, 7, sha256="e3b0", state="foreign")
    assert _listed([gone], [], [], []) == []
    assert _listed([gone], [], [], [gone.piece]) == [gone]
