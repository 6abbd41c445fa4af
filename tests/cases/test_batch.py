"""Batches: what is left, listed, counted once, and what a kill costs."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
import random
import re
import resource
import shutil
import time
from functools import partial
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from op25b_pcap.batch import bench, files, inbox, judging, logs, ranges
from op25b_pcap.batch.extra import needed
from op25b_pcap.batch.files import Files
from op25b_pcap.batch.tables import BY_DATE
from op25b_pcap.faults import UsageFault
from op25b_pcap.flowlogs import Hints, Log, entries
from op25b_pcap.tables import TABLES
from tests.flow_logs import CONN, SMTP, conn, mail, nfdump_17, packet, read, request, syslog, talk, tsv
from tests.lakes import (
    SAMPLES,
    analysed,
    assert_like,
    lake_tables,
    manifest,
    octets,
    records_of,
    run,
    scatter,
)

CAPTURES = sorted(path for path in SAMPLES.rglob("*.pcap*") if path.is_file())
RECORDS = records_of(*CAPTURES)
LONG_AGO = time.time() - 3600


class Place:
    """An inbox, a lake, and a merged capture to compare with."""

    def __init__(self, folder: Path) -> None:
        self.inbox, self.lake, self._merged = folder / "inbox", folder / "lake", folder / "merged.pcap"
        self.inbox.mkdir()

    def put(self, name: str, content: bytes, *, old: bool = False) -> Path:
        path = self.inbox / name
        path.write_bytes(content)
        if old:
            os.utime(path, (LONG_AGO, LONG_AGO))
        return path

    def states(self) -> dict[str, str]:
        run(self.inbox, self.lake)
        return manifest(self.lake)

    def expect(self, *pieces: bytes) -> None:
        """The lake is like what `analyze` says of the pieces."""
        paths = []
        for number, piece in enumerate(pieces):
            paths.append(self._merged.with_name(f"piece{number}.pcap"))
            paths[-1].write_bytes(piece)
        assert_like(self.lake, analysed(*paths))


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def thirds() -> list[bytes]:
    third = len(RECORDS) // 3
    return [octets(RECORDS[:third]), octets(RECORDS[third : 2 * third]), octets(RECORDS[2 * third :])]


def test_a_damaged_piece_costs_itself_only_and_what_it_holds_counts(place):
    one, two, three = thirds()
    torn = two[: len(two) // 2] + b"\xff" * 64 + two[len(two) // 2 + 64 :]
    for name, piece in (("1.pcap", one), ("2.pcap", torn), ("3.pcap", three)):
        place.put(name, piece)
    assert place.states() == {"1.pcap": "done", "2.pcap": "damaged", "3.pcap": "done"}
    place.expect(one, torn, three)


@pytest.mark.parametrize("squeeze", [bytes, partial(gzip.compress, mtime=0)], ids=["plain", "gzip"])
def test_a_piece_without_its_end_is_left_while_it_is_young_and_damaged_when_it_is_old(place, squeeze):
    one, two, three = thirds()
    place.put("1.pcap", one)
    young = place.put("2.pcap", squeeze(two)[:-20])
    assert place.states() == {"1.pcap": "done", "2.pcap": "unfinished"}
    place.expect(one)
    os.utime(young, (LONG_AGO, LONG_AGO))
    assert place.states() == {"1.pcap": "done", "2.pcap": "damaged"}
    place.put("2.pcap", squeeze(two))
    place.put("3.pcap", three)
    assert set(place.states().values()) == {"done"}
    place.expect(*thirds())


def test_a_piece_that_was_read_too_early_and_has_grown_counts_once(place):
    one, two, three = thirds()
    half = octets(RECORDS[len(RECORDS) // 3 : len(RECORDS) // 2])
    place.put("1.pcap", one)
    place.put("2.pcap", half)
    assert set(place.states().values()) == {"done"}
    assert two.startswith(half)
    place.put("2.pcap", two)
    place.put("3.pcap", three)
    assert place.states() == {"1.pcap": "done", "2.pcap": "done", "3.pcap": "done"}
    place.expect(one, two, three)


@pytest.mark.parametrize("squeeze", [bytes, gzip.compress], ids=["renamed", "packed, too"])
@pytest.mark.parametrize("share", [2, 1], ids=["grown", "as it was"])
def test_rotation_gives_a_piece_another_name_when_it_was_read(place, share, squeeze):
    one, two, three = thirds()
    begin = len(RECORDS) // 3
    current = place.put("current.pcap", octets(RECORDS[begin : begin + begin // share]))
    place.states()
    current.unlink()
    for name, content in (("1.pcap", one), ("tap-001.pcap.gz", squeeze(two)), ("current.pcap", three)):
        place.put(name, content)
    assert set(place.states().values()) <= {"done", "duplicate"}
    place.expect(one, two, three)
    assert not run(place.inbox, place.lake).is_new


@pytest.mark.parametrize(
    "steps",
    [
        "a=half a>a.1 a.1=all",
        "a=half a>a.1 a.1>a.2 a.2=all a=other",
        "a=half b=half a=all",
        "a=half b=half b> a=all",
        "a=all a>a.1 a.1> a.1.gz=all",
        "a=half a>a.1 a.1=all a.1> a.gz=all a=other",
        "a=half a>a.1 a.1=all a=half a.1! a>",
        "a=half b=all a!",
        "a=all b=half",
        "a.gz=all a=all",
        "a=all+a.gz=all",
        "a=half+b=all+c.gz=all",
        "a=torn a=all",
        "a=torn a=all a>",
        "a=all a=torn a=other",
        "a=torn a=all a> b.gz=all",
        "a=torn a=all a>b a=other b> b.gz=all",
        "a=torn a=all b.gz=all a> b.gz> c=other",
        "a=torn b=all a> b> c=torn c=all",
        "a=half a=torn a=all a> b.gz=all b.gz> c=other",
        "a.gz=half a=all",
        "a=all+a.gz=cut",
        "a.gz=cut a.gz=all a.gz> a=all",
        "a=half b=all b! b> a>",
        "a.gz=all+b=all+c=half c! b! a.gz> b> c>",
        "a=half b=half a> c.gz=half b=all",
        "a=half+b.gz=half a=all a>a.1 a.1> a.1.gz=all",
        "a=half+b=half b=all b> c.gz=half a>",
        "a=half b.gz=half b.gz=all a=torn",
        "a=half b=onwards a=all",
        "a.gz=all a.gz> c=all",
        "a.gz=half a.gz> c.gz=all",
        "a=unclocked a=timeless",
        "a=unclocked a>b a=timeless b> b.gz=unclocked a> a.gz=timeless",
    ],
)
def test_each_record_counts_once_whatever_becomes_of_its_file(place, steps):
    """NAME=WHAT is written, NAME> removed, NAME>OTHER renamed, NAME! touched; + or a run behind each."""
    other, whole, _ = thirds()
    begin = len(RECORDS) // 3
    torn = bytes((*whole[: len(whole) // 2], *b"\xff" * 64, *whole[len(whole) // 2 + 64 :]))
    contents = {
        "half": octets(RECORDS[begin : begin + begin // 2]),
        "all": whole,
        "other": other,
        "torn": torn,
        "onwards": octets(RECORDS[begin : begin + begin // 2] + RECORDS[:begin]),
        "cut": whole,
        "unclocked": octets([record._replace(time_ns=0) for record in RECORDS[:begin]]),
        "timeless": octets([record._replace(time_ns=0) for record in RECORDS[-begin:]]),
    }
    for number, step in enumerate(re.split("(?<=[+ ])", steps)):
        name, mark, rest = re.split("([=>!])", step.strip("+ "))
        path = place.inbox / name
        if mark == "=":
            content = contents[rest]
            content = gzip.compress(content, mtime=0) if name.endswith(".gz") else content
            content = content[: len(content) // 2] if rest == "cut" else content
            place.put(name, content, old=rest == "cut")
        elif mark == "!":
            os.utime(path, (LONG_AGO + number, LONG_AGO + number))
        elif rest:
            path.rename(place.inbox / rest)
        else:
            path.unlink()
        if not step.endswith("+"):
            run(place.inbox, place.lake)
    names = ("other", "all", "onwards", "unclocked", "timeless")
    expected = [contents[name] for name in names if f"={name}" in steps]
    place.expect(*sorted(expected, key=lambda content: hashlib.sha256(content).digest()))
    assert not run(place.inbox, place.lake).is_new


def test_what_was_found_out_of_a_piece_outlives_that_it_is_read_anew(place, monkeypatch):
    half, whole = octets(RECORDS[:100]), octets(RECORDS[:300])
    place.put("half.pcap", half).rename(place.inbox / "gone.pcap")
    run(place.inbox, place.lake)
    path = place.put("whole.pcap", whole)
    (place.inbox / "gone.pcap").unlink()
    run(place.inbox, place.lake)
    os.utime(path, (LONG_AGO, LONG_AGO))

    def killed(*_: object) -> None:
        raise Killed

    monkeypatch.setattr("op25b_pcap.batch.run.comparisons", killed)
    with pytest.raises(Killed):
        run(place.inbox, place.lake)
    monkeypatch.undo()
    path.unlink()
    place.put("README", b"words")
    run(place.inbox, place.lake)
    place.expect(whole)


def test_what_was_made_good_is_damaged_no_more(place):
    whole = thirds()[1]
    place.put("1.pcap", b"words", old=True)
    place.put("2.pcap", whole[: len(whole) // 2], old=True)
    damaged = ("damaged", "unreadable")
    assert len(run(place.inbox, place.lake).of(*damaged)) == 2
    place.put("1.pcap", thirds()[0])
    place.put("2.pcap", whole)
    assert run(place.inbox, place.lake).of(*damaged) == []
    place.expect(*thirds()[:2])
    place.put("3.pcap", thirds()[2][:-20], old=True)
    assert len(run(place.inbox, place.lake).of(*damaged)) == 1
    place.put("3.pcap", whole)  # a ring comes to it again
    assert run(place.inbox, place.lake).of(*damaged) == []
    place.expect(*thirds()[:2], thirds()[2][:-20])


def test_a_piece_that_grows_between_listing_and_reading_counts_once(place, monkeypatch):
    place.put("cur.pcap", octets(RECORDS[:100])).rename(place.inbox / "1.pcap")
    run(place.inbox, place.lake)
    (place.inbox / "1.pcap").unlink()
    place.put("2.pcap", octets(RECORDS[:200]))
    real = inbox.size_and_time

    def grown(path: Path) -> tuple[int, int]:
        path.write_bytes(octets(RECORDS[:300]))
        monkeypatch.undo()
        return real(path)

    monkeypatch.setattr("op25b_pcap.batch.scanning.size_and_time", grown)
    run(place.inbox, place.lake)
    place.expect(octets(RECORDS[:300]))
    assert manifest(place.lake) == {"2.pcap": "done"}


def test_a_piece_that_goes_between_listing_and_reading_is_no_fault(place, monkeypatch):
    path = place.put("1.pcap", thirds()[0])
    place.put("2.pcap", thirds()[1])
    monkeypatch.setattr(logs, "kind", lambda _: path.unlink() or path.stat() if path.exists() else "")
    assert run(place.inbox, place.lake).of("damaged", "unreadable") == []
    assert manifest(place.lake) == {"1.pcap": "unfinished", "2.pcap": "done"}
    run(place.inbox, place.lake)
    assert manifest(place.lake) == {"2.pcap": "done"}


def test_a_piece_whose_time_goes_back_is_still_the_same(place):
    records = RECORDS[:100]
    otherwise = [*records[:-1], records[-1]._replace(data=records[-1].data[:-1] + b"Z")]
    for age, content in ((9, records), (0, otherwise)):
        path = place.put("1.pcap", octets(content))
        os.utime(path, (LONG_AGO - age, LONG_AGO - age))
        run(place.inbox, place.lake)
    os.utime(path, (LONG_AGO - 99, LONG_AGO - 99))
    run(place.inbox, place.lake)
    place.expect(octets(otherwise))


def test_of_a_lake_that_somebody_has_taken_apart_only_what_is_lost_is_lost(place):
    one, two, three = thirds()
    for name, content in (("1.pcap", one), ("2.pcap", two), ("3.pcap", three)):
        place.put(name, content)
    place.states()
    for content in (one, two):
        shutil.rmtree(place.lake / ".work/content" / hashlib.sha256(content).hexdigest())
    (place.inbox / "2.pcap").unlink()
    place.put("4.pcap", two[:-5], old=True)
    for _ in range(2):
        states = place.states()
        assert states == {"1.pcap": "done", "2.pcap": "unreadable", "3.pcap": "done", "4.pcap": "damaged"}
    place.expect(one, two[:-5], three)


def test_names_that_no_table_can_hold(place):
    for name in (b"a\xff.pcap", b"b\xff.pcap"):
        place.put(os.fsdecode(name), thirds()[0])
    run(place.inbox, place.lake)
    rows = pq.read_table(place.lake / "manifest.parquet").to_pylist()
    assert rows[1]["reason"] == f"the same as {place.inbox}/a\\xff.pcap"


def test_a_copy_that_is_damaged_is_told_of(place):
    whole = thirds()[1]
    place.put("1.pcap", whole)
    place.put("1.pcap.gz", gzip.compress(whole, mtime=0)[:-2000], old=True)
    (damaged,) = run(place.inbox, place.lake).of("damaged")
    assert damaged.reason.endswith(f"; {place.inbox}/1.pcap counts in its place")
    place.expect(whole)


def test_a_piece_that_is_packed_when_it_was_read_has_nothing_assembled_again(place, monkeypatch):
    path = place.put("1.pcap", thirds()[0])
    run(place.inbox, place.lake)
    path.unlink()
    place.put("1.pcap.gz", gzip.compress(thirds()[0]))
    monkeypatch.setattr("op25b_pcap.batch.run.assemble", None)
    run(place.inbox, place.lake)
    assert manifest(place.lake) == {"1.pcap": "done", "1.pcap.gz": "duplicate"}
    rows = pq.read_table(place.lake / "manifest.parquet").to_pylist()
    assert rows[1]["reason"] == f"{path}, read before it went, counts in its place"


def test_what_lies_there_under_another_name_is_called_so(place):
    path = place.put("current.pcap", thirds()[0])
    run(place.inbox, place.lake)
    path.rename(place.inbox / "old.pcap")
    run(place.inbox, place.lake)
    assert manifest(place.lake) == {"old.pcap": "done"}
    assert set(lake_tables(place.lake)["flows"]["capture"]) == {"old.pcap"}


def test_nothing_opens_every_piece(place):
    place.put("1.pcap", b"", old=True)
    place.put("2.pcap", b"", old=True)
    states = place.states()
    place.put("1.pcap", thirds()[0])
    assert place.states() == {"1.pcap": "done", "2.pcap": states["2.pcap"]}
    assert states["2.pcap"] != "duplicate"


def test_a_piece_that_was_touched_is_the_same(place):
    for number, piece in enumerate(thirds()):
        path = place.put(f"{number}.pcap", piece, old=True)
    run(place.inbox, place.lake)
    os.utime(path, (LONG_AGO + 9, LONG_AGO + 9))
    for _ in range(2):
        outcome = run(place.inbox, place.lake)
        assert not outcome.is_new
        assert [piece.state for piece in outcome.pieces] == ["done"] * 3


def test_a_clock_that_is_ahead_leaves_no_piece_for_ever(place):
    path = place.put("1.pcap", thirds()[0][:-5])
    os.utime(path, (time.time() + 86_400,) * 2)
    assert place.states() == {"1.pcap": "damaged"}


def test_what_killed_runs_leave_is_swept(place):
    path = place.put("1.pcap", thirds()[0])
    place.states()
    tables = place.lake / ".tables"
    for folder in (place.lake, tables):
        (folder / ".link-0").symlink_to("nowhere")
    for name in (".scratch-0", "0" * 32):
        (tables / name / "flows").mkdir(parents=True)
    assert not run(place.inbox, place.lake).is_new
    (now,) = [each for each in tables.iterdir() if each.name != "now"]
    assert now.name == str((tables / "now").readlink())
    assert not [*place.lake.glob(".link-*")]
    path.write_bytes(thirds()[1])
    place.states()
    place.expect(*thirds()[:2])


def test_a_ring_of_files_whose_names_come_again(place):
    for piece in thirds():
        place.put("ring0.pcap", piece)
        place.states()
    place.expect(*thirds())


def test_pieces_that_have_gone_stay_in_the_lake(place):
    for number, piece in enumerate(thirds()):
        path = place.put(f"{number}.pcap", piece)
        place.states()
        path.unlink()
    place.put("0.pcap", thirds()[0])
    place.expect(*thirds())


def test_what_is_no_capture(place):
    place.put("README.txt", b"words")
    place.put("broken.pcap", b"words")
    place.put("just-begun.pcap", b"")
    place.put("never-begun.pcap", b"", old=True)
    place.put(".hidden.pcap", b"")
    assert place.states() == {
        "README.txt": "foreign",
        "broken.pcap": "unreadable",
        "just-begun.pcap": "unfinished",
        "never-begun.pcap": "unreadable",
    }
    assert not len(lake_tables(place.lake)["flows"])


def test_a_piece_that_may_not_be_read_is_tried_again(place, monkeypatch):
    path = place.put("1.pcap", thirds()[0])
    monkeypatch.setattr(logs, "kind", lambda _: path.joinpath("below a file").stat())
    assert place.states() == {"1.pcap": "unreadable"}
    monkeypatch.undo()
    assert place.states() == {"1.pcap": "done"}


def test_a_lake_in_its_inbox_is_not_read(place):
    place.put("1.pcap", thirds()[0])
    place.lake = place.inbox / "lake"
    assert place.states() == place.states() == {"1.pcap": "done"}


class Killed(BaseException):
    """As if the process had gone."""


def test_a_run_that_ends_at_any_write_is_finished_by_the_next(tmp_path, monkeypatch):
    inbox = tmp_path / "inbox"
    scatter(RECORDS, [150, 300], inbox, random.Random(5))
    twin = octets(RECORDS[:150])
    inbox.joinpath("twin.pcap").write_bytes(twin)
    inbox.joinpath("twin.gz").write_bytes(gzip.compress(twin, mtime=0))
    expected = analysed(*CAPTURES)
    steps = 0
    real = Path.replace

    def counted(self: Path, target: Path) -> Path:
        nonlocal steps
        steps -= 1
        if not steps:
            raise Killed
        return real(self, target)

    monkeypatch.setattr(Path, "replace", counted)
    monkeypatch.setattr(files.shutil, "rmtree", lambda *_, **__: None)  # a killed process cleans nothing up
    kills = 0
    for fatal in range(1, 100):
        lake = tmp_path / f"lake{fatal}"
        steps = fatal
        try:
            run(inbox, lake)
        except Killed:
            kills += 1
            steps = 0
            run(inbox, lake)
            if kills % 4 == 0:
                assert_like(lake, {**expected})
        else:
            break
    assert kills > 10
    assert_like(lake, expected)


def test_flow_logs_beside_captures(place):
    records = [conn(1), talk(2), talk(3, ts="1763968500.5")]
    dialogues = [mail(2), mail(3, ts="1763968501.0", rcptto="carol@example.org")]
    place.put("conn.log", tsv(records[:2], CONN), old=True)
    place.put("conn2.log.gz", gzip.compress(tsv(records[2:], CONN)), old=True)
    place.put("smtp.log", tsv(dialogues, SMTP), old=True)
    place.put("tap.pcap", thirds()[0])
    assert set(place.states().values()) == {"done"}
    tables = lake_tables(place.lake)
    flows = tables["flows"]
    of_logs = flows[flows["capture"] != "tap.pcap"].set_index("flow_id")
    told = {flow.row["flow_id"]: flow for flow in read(tsv(records, CONN), tsv(dialogues, SMTP)).flows}
    assert set(of_logs.index) == set(told)
    assert {flow_id: row["src_port"] for flow_id, row in of_logs.iterrows()} == {
        flow_id: flow.row["src_port"] for flow_id, flow in told.items()
    }
    helos = tables["smtp_sessions"].set_index("flow_id")["helo"].dropna()
    assert list(helos[helos.index.isin(told)]) == ["home.example.net"] * 2
    assert len(tables["flows"]) > len(told)
    place.put("smtp2.log", tsv([mail(1, ts="1763968411.2")], SMTP), old=True)
    assert set(place.states().values()) == {"done"}
    helos = lake_tables(place.lake)["smtp_sessions"].set_index("flow_id")["helo"].dropna()
    assert len(helos[helos.index.isin(told)]) == 3


def test_logs_are_read_anew_with_other_hints(place):
    written = "Nov 24 07:13:31"
    place.put("tap.pcap", thirds()[0])
    place.put("a.log", syslog((written, packet(SPT=1))), old=True)
    copy = place.put("b.log", syslog((written, packet(SPT=1))), old=True)
    place.put("c.csv", nfdump_17(request("S"), request("S")._replace(src_port=2)), old=True)

    def told(**hints: object) -> tuple[set[int], set[str | None]]:
        """Hours and outcomes of what logs tell."""
        outcome = run(place.inbox, place.lake, hints=Hints(**hints))
        assert set(manifest(place.lake).values()) <= {"done", "duplicate"}
        flows = lake_tables(place.lake)["flows"]
        of_logs = flows[flows["capture"] != "tap.pcap"]
        assert len(of_logs) == 3
        assert outcome.run["packets"]["read"] > 0
        outcomes = of_logs[of_logs["capture"] == "c.csv"]["outcome"]
        return {time.hour for time in of_logs["start_time"]}, {each or None for each in outcomes.fillna("")}

    assert told() == ({7}, {"no_answer"})
    assert told(zone="Asia/Tokyo") == ({22}, {"no_answer"})
    copy.unlink()  # it stays in the lake, as it was read
    assert told(sampled=True) == ({7}, {None})
    assert told(zone="Asia/Tokyo", sampled=True) == ({22}, {None})
    assert told() == ({7}, {"no_answer"})
    # One log that has gone was read with hints that may come again.
    assert len(list(place.lake.glob(".work/content/*/entries*"))) == 3


def test_what_logs_say_with_hints_that_come_again_is_there(place):
    written = "Nov 24 07:13:31"
    place.put("tap.pcap", thirds()[0])
    for name in ("a.log", "b.log"):
        place.put(name, syslog((written, packet(SPT=1))), old=True)
    hours = []
    for gone, hints in (
        ("b.log", Hints()),
        ("a.log", Hints("Asia/Tokyo")),
        ("", Hints()),
        ("", Hints("Asia/Tokyo")),
    ):
        run(place.inbox, place.lake, hints=hints)
        flows = lake_tables(place.lake)["flows"]
        hours += [time.hour for time in flows[flows["capture"] != "tap.pcap"]["start_time"]]
        if gone:
            (place.inbox / gone).unlink()
    assert hours == [7, 22, 7, 22]


def test_a_log_that_was_packed_is_read_anew_with_other_hints(place):
    path = place.put("a.log", syslog(("Nov 24 07:13:31", packet())), old=True)
    hours = []
    for hints in (Hints(), Hints("Asia/Tokyo"), Hints()):
        run(place.inbox, place.lake, hints=hints)
        hours += [time.hour for time in lake_tables(place.lake)["flows"]["start_time"]]
        if path.exists():
            place.put("a.log.gz", gzip.compress(path.read_bytes()), old=True)
            path.unlink()
    assert hours == [7, 22, 7]
    assert manifest(place.lake) == {"a.log.gz": "done"}


def test_a_log_that_grows_by_what_began_earlier_counts_once(place):
    lines = [conn(number, ts=str(1763968411.2 - 30 * number)) for number in range(1, 5)]
    for count, name in ((1, "conn.log"), (2, "conn.log"), (4, "conn.1.log")):
        place.put(name, tsv(lines[:count], CONN).partition(b"#close")[0], old=True)
        run(place.inbox, place.lake)
    (place.inbox / "conn.log").unlink()
    run(place.inbox, place.lake)
    assert manifest(place.lake) == {"conn.1.log": "done"}
    assert len(lake_tables(place.lake)["flows"]) == 4


def test_a_log_that_is_written_anew_counts_beside_what_it_said(place):
    for port in (1, 2):
        requests = [request("S"), request("S")._replace(src_port=port, at=port)]
        place.put("flows.csv", nfdump_17(*requests))
        run(place.inbox, place.lake)
    assert set(lake_tables(place.lake)["flows"]["src_port"]) >= {1, 2}


def test_hints_that_change_open_no_capture_and_the_same_hints_nothing(place, monkeypatch):
    place.put("tap.pcap", thirds()[0])
    place.put("a.log", syslog(("Nov 24 07:13:31", packet())), old=True)
    run(place.inbox, place.lake, hints=Hints("Asia/Tokyo"))
    opened = []
    kind = logs.kind
    monkeypatch.setattr(logs, "kind", lambda path: opened.append(path.name) or kind(path))
    run(place.inbox, place.lake, hints=Hints("Asia/Tokyo"))
    assert opened == []
    run(place.inbox, place.lake)
    assert opened == ["a.log"]


def test_entries_are_what_they_were_when_they_are_taken_up():
    found = list(entries(iter([tsv([conn(), talk(2, tunnel_parents="Ca,Cb")], CONN)]), "zeek", Log(0, print)))
    found += entries(iter([tsv([mail(rcptto="a@example.org,b@example.org")], SMTP)]), "zeek", Log(0, print))
    for entry in found:
        assert logs._entry(logs._text(entry)) == entry
        sockets = {name: (getattr(entry, name)[0].hex(), getattr(entry, name)[1]) for name in ("src", "dst")}
        earlier = {**entry._asdict(), **sockets, "mail": entry.mail and entry.mail._asdict()}
        assert logs._entry(json.dumps(earlier)) == entry  # as earlier versions set them down


def test_a_zone_that_is_none():
    for name in ("Asia/Kyoto", "Asia", "../etc/passwd", "", "UTC+9"):
        with pytest.raises(UsageFault, match="--log-zone: no zone has the name"):
            logs.hints_of(name, sampled=False)


def test_a_day_is_found_without_reading_the_others(place):
    day = 86_400_000_000_000
    for number in range(3):
        moved = [record._replace(time_ns=record.time_ns + number * day) for record in RECORDS[:200]]
        place.put(f"day{number}.pcap", octets(moved))
    place.states()
    lake = place.lake
    days = sorted(path.name for path in (lake / "flows").iterdir())
    assert len(days) == 3
    query = f"from read_parquet('{lake}/flows/*/*.parquet', hive_partitioning=true) "
    date = days[1].removeprefix("date=")
    found = duckdb.sql(
        f"select start_time, date {query} where date = '{date}' order by start_time"
    ).fetchall()
    assert found
    assert {str(row[1]) for row in found} == {date}
    plan = duckdb.sql(f"explain analyze select count(*) {query} where date = '{date}'").fetchall()[0][1]
    assert "1/3" in plan
    total = duckdb.sql(f"select count(*) {query}").fetchall()[0][0]
    assert total == len(lake_tables(lake)["flows"])
    lost = (
        f"select capture from '{lake}/flows/*/*.parquet' except select capture from '{lake}/manifest.parquet'"
    )
    assert duckdb.sql(lost).fetchall() == []


def test_a_layer_that_cannot_be_read_for_a_moment_costs_the_run_only(place, monkeypatch):
    place.put("all.pcap", octets(RECORDS))
    read = os.preadv

    def failing(file, *more):
        if ".work" in Path(f"/proc/self/fd/{file}").readlink().parts:
            raise OSError(errno.EIO, "the disk is away")
        return read(file, *more)

    with monkeypatch.context() as patched:
        patched.setattr(os, "preadv", failing)
        with pytest.raises(OSError, match="the disk is away"):
            place.states()
    place.states()
    place.expect(octets(RECORDS))


def test_judging_needs_no_more_descriptors_than_there_are_ranges(place, monkeypatch):
    monkeypatch.setattr(ranges, "_WORTH_SHARING", 0)
    monkeypatch.setattr(ranges, "_SHARES", 256)
    place.put("all.pcap", octets(RECORDS))
    run(place.inbox, place.lake, envelope="none")
    count = len([*(place.lake / ".work").rglob("*.flows.arrow")])
    assert count > 30
    open_now = len([*Path("/proc/self/fd").iterdir()])
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + count + 20, most[1]))
    try:
        place.states()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, most)
    place.expect(octets(RECORDS))


def test_a_lake_without_attempts_can_be_read(place):
    place.put("nothing.pcap", octets([]))
    place.states()
    for table in BY_DATE:
        found = duckdb.sql(f"from '{place.lake}/{table}/*/*.parquet'")
        assert found.fetchall() == []
        assert {*TABLES[table].names} <= {*found.columns}
    place.put("all.pcap", octets(RECORDS))
    place.states()
    place.expect(octets(RECORDS))
    assert not (place.lake / "flows" / "date=1970-01-01").exists()


def test_a_lake_may_be_named_by_the_url_of_a_folder(place):
    place.put("all.pcap", octets(RECORDS))
    run(place.inbox, f"file://{place.lake}")
    place.expect(octets(RECORDS))


def test_a_damaged_account_is_not_passed_over(place):
    place.put("all.pcap", octets(RECORDS))
    place.states()
    (account,) = (place.lake / ".work" / "accounts").iterdir()
    account.write_bytes(account.read_bytes()[:100])
    with pytest.raises(UsageFault, match=f"{account.name} cannot be read: it is damaged; without it"):
        place.states()
    account.unlink()
    assert place.states() == {"all.pcap": "done"}


def test_what_is_told_while_a_run_judges_goes_with_it_or_with_the_next_one(place, monkeypatch):
    place.put("all.pcap", octets(RECORDS))
    monkeypatch.setattr(judging, "FLOWS_OF_A_PART", 5)
    monkeypatch.setattr(judging, "FLOWS_OF_A_SHARD", 10)
    told = place.lake / ".work" / "told"

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(judging, "lay_down", full)
        with pytest.raises(OSError, match="No space"):
            place.states()
    assert [*told.iterdir()] == []
    (told / "of-a-run-that-was-killed").write_bytes(b"")
    place.states()
    assert [*told.iterdir()] == []
    place.expect(octets(RECORDS))


def test_a_task_that_fails_leaves_no_courses_behind():
    bench.clear()
    with pytest.raises(MemoryError), bench.courses([]) as first:
        raise MemoryError
    with bench.courses([]) as second, bench.courses([]) as third:
        assert len({first, second, third}) == 3
    with bench.courses([]) as fourth:
        assert fourth is second


def test_a_table_without_rows_has_its_columns(place):
    opener = next(record for record in RECORDS if (25).to_bytes(2) in record.data[34:38])
    place.put("silence.pcap", octets([opener]))
    place.states()
    place.expect(octets([opener]))
    for table in BY_DATE:
        told = duckdb.sql(f"from read_parquet('{place.lake}/{table}/*/*.parquet')")
        assert told.columns == [*TABLES[table].names, "date"]
        assert bool(told.fetchall()) == (table in ("flows", "smtp_sessions"))


@pytest.mark.parametrize("first", [0, 1], ids=["attempt first", "error first"])
def test_an_error_that_names_no_ports_meets_its_attempt_in_another_run(place, first):
    (path,) = (SAMPLES / "08-blocked-by-icmp").glob("*.pcap*")
    records = records_of(path)
    # Ethernet, IPv4, ICMP, and of the quoted packet the IPv4 header alone.
    records = [r._replace(data=r.data[:62]) if r.data[23] == 1 else r for r in records]
    errors = [record for record in records if record.data[23] == 1]
    others = [record for record in records if record.data[23] != 1]
    assert errors
    assert others
    pieces = [octets(others), octets(errors)]
    for number in (first, 1 - first):
        place.put(f"{number}.pcap", pieces[number])
        assert set(place.states().values()) == {"done"}
    assert "prohibited" in set(lake_tables(place.lake)["flows"]["outcome"])
    place.expect(*pieces)


def test_what_is_not_installed_is_said_with_its_command():
    with pytest.raises(
        UsageFault, match=r"several workers needs no_such_dask: pip install 'op25b-pcap\[cluster\]'"
    ):
        needed("no_such_dask", "several workers")


def test_growth_opens_no_layer_that_it_does_not_touch(place, monkeypatch):
    fetching, sending = (records_of(*SAMPLES.glob(f"{number}-*/*.pcap*")) for number in ("06", "03"))
    half = len(sending) // 2
    pieces = [octets(fetching), octets(sending[:half]), octets(sending[half:])]
    for number, piece in enumerate(pieces[:2]):
        place.put(f"{number}.pcap", piece)
    run(place.inbox, place.lake)
    contents = {hashlib.sha256(piece).hexdigest(): number for number, piece in enumerate(pieces)}
    opened = set()

    def noting(self, name, original=Files.opened):
        if name.startswith("content/") and name.endswith("/0.arrow"):
            opened.add(contents[name.split("/")[1]])
        return original(self, name)

    place.put("2.pcap", pieces[2])
    monkeypatch.setattr(Files, "opened", noting)
    run(place.inbox, place.lake)
    assert opened == {1, 2}
    place.expect(*pieces)


def test_another_policy_asks_for_no_piece(place, monkeypatch):
    place.put("1.pcap", thirds()[0])
    place.states()
    shutil.rmtree(place.inbox)
    place.inbox.mkdir()
    outcome = run(place.inbox, place.lake, envelope="none")
    assert outcome.is_new
    assert lake_tables(place.lake)["smtp_transactions"]["rcpt_to"].isna().all()
