"""Which of several pieces counts."""

from __future__ import annotations

from op25b_pcap.batch.account import Account
from op25b_pcap.batch.outgrown import alike, comparisons, outgrown


def piece(
    name: str, records: int, *was: str, at: str = "", packs: Account | None = None, **more: object
) -> Account:
    """A piece at /NAME, or at another path, whose digest is its name."""
    unpacks_to = (packs.size, packs.sha256) if packs else (0, "")
    compression = "gzip" if packs else ""
    told = {"began_ns": 7, "opens": "first", "mtime_ns": 1, **more}
    return Account(
        at or f"/{name}", records * 10, sha256=name, records=records, was=was, compression=compression,
        unpacks_to=unpacks_to, **told,
    )  # fmt: skip


def held(*known: Account) -> dict[str, str]:
    """What is held by which, once all was found that need not be read for."""
    changed = {account.name: account for account in alike(known)}
    assert alike([changed.get(account.name, account) for account in known]) == []
    return outgrown([changed.get(account.name, account) for account in known])


def test_who_holds_the_holder_counts():
    known = [piece("short", 1), piece("long", 2, "short"), piece("longest", 3, "long")]
    assert outgrown(known) == {"short": "/longest", "long": "/longest"}


def test_what_was_there_before_it_was_packed_counts():
    plain = piece("plain", 5, at="/a")
    known = [plain, piece("zst", 5, packs=plain, at="/b.zst"), piece("gz", 5, packs=plain, at="/c.gz")]
    assert held(*known) == {"zst": "/a", "gz": "/a"}
    assert held(*known[1:]) == {"gz": "/b.zst"}


def test_at_one_path_the_fullest_counts_packed_or_not():
    known = [piece("torn", 3, at="/a", state="damaged"), piece("whole", 5, at="/a.gz", mtime_ns=0)]
    assert held(*known) == {"torn": "/a.gz"}


def test_of_two_that_hold_as_much_at_one_path_the_whole_one_counts_and_then_the_last():
    known = [piece("torn", 5, at="/a", state="damaged", mtime_ns=2), piece("whole", 5, at="/a")]
    assert held(*known) == {"torn": "/a"}
    known = [piece("last", 5, at="/a", mtime_ns=2), piece("first", 5, at="/a")]
    assert held(*known) == {"first": "/a"}


def test_what_comes_back_to_its_place_counts_again():
    torn = piece("torn", 5, "whole", "short", at="/a", mtime_ns=2)
    whole, short = piece("whole", 5, at="/a", mtime_ns=3), piece("short", 3, at="/a", mtime_ns=4)
    assert held(torn, whole, short) == {"whole": "/a", "short": "/a"}  # who knows whether it is there?
    first, second = alike([torn, whole, short], {whole.name})
    assert (first.was, second.was) == (["short"], ["torn"])  # in this order: none ever holds who holds it
    assert alike([torn, whole, short], {whole.name, torn.name}) == []


def test_without_a_clock_or_with_another_packet_a_path_tells_nothing():
    for different in ({"opens": "other"}, {"began_ns": 0}, {"kind": "zeek"}):
        assert (
            held(
                piece("one", 3, at="/a", **different),
                piece("other", 5, at="/a", **{"began_ns": 0, **different}),
            )
            == {}
        )


def test_who_holds_a_piece_holds_what_packs_it_or_was_torn_in_its_place():
    short = piece("short", 2, at="/a")
    longer = piece("longer", 4, "short", at="/b")
    assert held(short, longer, piece("gz", 2, packs=short))["gz"] == "/b"
    assert held(short, longer, piece("torn", 3, at="/a", state="damaged"))["torn"] == "/b"
    for records in (3, 5):  # in its place, but neither torn nor the beginning of the longer one
        assert held(short, longer, piece("otherwise", records, at="/a")) == {"short": "/b"}


def test_of_two_that_go_on_behind_one_in_their_own_ways_both_count():
    short = piece("short", 2, at="/a")
    known = [short, piece("one", 4, "short"), piece("other", 5, "short"), piece("gz", 2, packs=short)]
    assert held(*known) == {"short": "/other", "gz": "/other"}


def test_only_what_begins_alike_is_compared_and_once():
    short, longer = piece("short", 2), piece("longer", 4)
    other = piece("other", 9, opens="another")
    known = [short, longer, other]
    ((asked, others),) = comparisons(known, [account.piece for account in known])
    assert (asked.sha256, [one.content for one in others]) == ("longer", ["short"])
    longer.compared = ["short"]
    assert comparisons(known, [account.piece for account in known]) == []
    longer.compared = []
    assert comparisons(known, [short.piece]) == []


def test_packed_pieces_are_compared_as_they_are_unpacked():
    short, longer = piece("short", 2), piece("longer", 4)
    known = [piece("gz", 2, packs=short), piece("zst", 4, packs=longer)]
    ((asked, (other,)),) = comparisons(known, [account.piece for account in known])
    assert (asked.sha256, other) == ("zst", ("gz", short.size, "short"))


def test_of_very_many_that_begin_alike_those_are_compared_that_were_written_about_then():
    known = [piece(f"{number:04}", number + 1, mtime_ns=number) for number in range(1000)]
    asked = comparisons(known, [account.piece for account in known])
    assert {len(others) for _, others in asked} == {*range(1, 50)}
