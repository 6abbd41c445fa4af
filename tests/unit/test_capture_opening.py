from __future__ import annotations

import gzip
import io
import os
import sys
from pathlib import Path

import pytest

from op25b_pcap.capture.names import means_capture
from op25b_pcap.capture.opening import NothingToRead, find
from op25b_pcap.faults import UsageFault
from tests.capture_files import packets, pcap, pcapng

OCTETS = pcap(packets(1))


def lay(folder: Path, *names: str, octets: bytes = OCTETS) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(octets)
    return paths


def test_a_folder_gives_its_captures_in_natural_order(tmp_path):
    lay(tmp_path, "tap10.pcap", "tap9.pcap", "tap.pcap", "deep/er/tap11.pcap")
    assert [path.name for path in find([str(tmp_path)])] == [
        "tap.pcap",
        "tap9.pcap",
        "tap10.pcap",
        "tap11.pcap",
    ]


def test_in_a_folder_only_what_begins_like_a_capture_is_taken_or_has_the_name_of_one(tmp_path):
    lay(tmp_path, "a.txt")
    lay(tmp_path, "b", octets=pcapng(packets(1)))
    lay(tmp_path, "c", octets=gzip.compress(OCTETS))
    lay(tmp_path, "damaged.gz", octets=gzip.compress(OCTETS)[:12])
    lay(tmp_path, "notes.pcap", "sub/notes.PCAPNG.gz", octets=b"notes")
    lay(tmp_path, "empty.pcap", octets=b"")
    foreign = lay(tmp_path, "notes", "sub/a.pcap.json", octets=b"notes")
    foreign += lay(tmp_path, "text.gz", octets=gzip.compress(b"some text"))
    passed_over: list[Path] = []
    assert [path.name for path in find([str(tmp_path)], passed_over)] == [
        *("a.txt", "b", "c", "damaged.gz", "empty.pcap", "notes.PCAPNG.gz", "notes.pcap")
    ]
    assert sorted(passed_over) == sorted(foreign)


def test_hidden_files_and_folders_are_not_looked_at_unless_named(tmp_path):
    seen, hidden, inside = lay(tmp_path, "a", ".a", ".git/a")
    assert find([str(tmp_path)]) == [seen]
    assert find([str(hidden), str(inside.parent)]) == [hidden, inside]


def test_pipes_in_a_folder_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert find([str(tmp_path), *map(str, lay(tmp_path, "a"))]) == [tmp_path / "a"]


def test_what_is_named_is_taken_whatever_it_is(tmp_path):
    (path,) = lay(tmp_path, "notes.txt", octets=b"notes")
    assert find([str(path)]) == [path]


def test_globs(tmp_path):
    lay(tmp_path, "tap2.pcap", "tap10.pcap", "other.pcap", "deep/tap3.pcap")
    assert [path.name for path in find([f"{tmp_path}/tap*.pcap"])] == ["tap2.pcap", "tap10.pcap"]
    assert [path.name for path in find([f"{tmp_path}/**/tap*.pcap"])] == [
        "tap2.pcap",
        "tap3.pcap",
        "tap10.pcap",
    ]
    assert [path.name for path in find([f"{tmp_path}/d*"])] == ["tap3.pcap"]


def test_a_name_that_looks_like_a_glob_is_a_name(tmp_path):
    (path, _) = lay(tmp_path, "tap[1].pcap", "tap1.pcap")
    assert find([str(path)]) == [path]


def test_a_file_of_many_names_is_read_once(tmp_path, monkeypatch):
    (path,) = lay(tmp_path, "a.pcap")
    (tmp_path / "soft.pcap").symlink_to(path)
    (tmp_path / "hard.pcap").hardlink_to(path)
    monkeypatch.chdir(tmp_path)
    names = ["soft.pcap", str(path), "./a.pcap", str(tmp_path), "*.pcap", "hard.pcap", "soft.pcap"]
    assert len(find(names)) == 1
    assert find(names) == find(names[::-1])


def test_the_order_of_arguments_does_not_matter(tmp_path):
    paths = [str(path) for path in lay(tmp_path, "b/1.pcap", "a/1.pcap", "a/02.pcap", "a/2.pcap")]
    assert find(paths) == find(paths[::-1]) == find([str(tmp_path)])


@pytest.mark.parametrize("argument", ["missing.pcap", "missing*.pcap", "", "empty", "a.pcap/b", "\0"])
def test_an_argument_that_means_nothing_is_a_fault_of_the_call(tmp_path, monkeypatch, argument):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    lay(tmp_path, "a.pcap")
    with pytest.raises(UsageFault, match=r"^nothing to read: ") as fault:
        find(["a.pcap", argument])
    assert repr(argument) in str(fault.value)
    assert isinstance(fault.value, NothingToRead)


def test_a_folder_of_other_files_is_a_fault_of_the_call(tmp_path):
    lay(tmp_path, "notes.txt", octets=b"notes")
    with pytest.raises(NothingToRead, match="holds no capture"):
        find([str(tmp_path)])


def test_stdin_is_a_dash_and_a_file_of_that_name_is_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    lay(tmp_path, "-")
    assert find(["-", "-"]) == [Path("-")]
    assert find(["./-"]) == [tmp_path / "-"]


def test_a_terminal_is_no_capture(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    with pytest.raises(NothingToRead, match="stdin is a terminal"):
        find(["-"])


@pytest.mark.parametrize(
    ("name", "is_meant"),
    [
        *((name, True) for name in ("a.pcap", "A.PCAPNG", "tap.pcap12", "t.cap.gz", "tap.pcap-20261130.xz")),
        *((name, False) for name in ("a.pcap.json", "pcap", "a.pcap.part", "recap.txt", "pcap.gz", "a.gz")),
    ],
)
def test_what_is_called_a_capture(name, is_meant):
    assert means_capture(name) == is_meant
