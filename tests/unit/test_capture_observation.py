from __future__ import annotations

import gzip
import hashlib
import io
import os
import random
import resource
import subprocess
import sys
import threading
from itertools import islice
from pathlib import Path

import pytest

from op25b_pcap.capture.names import natural
from op25b_pcap.capture.observation import Observation
from tests.capture_files import SECOND, START, Packet, meant, packets, pcap, pcapng, read, told

CONTENT = packets(300)


def lay(folder: Path, files: dict[str, bytes]) -> list[Path]:
    for name, octets in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(octets)
    return [folder / name for name in files]


def test_rotated_pieces_are_one_observation_in_any_order(tmp_path):
    pieces = {f"tap{i}": pcap(CONTENT[i * 10 : i * 10 + 10]) for i in range(30)}
    paths = lay(tmp_path, pieces)
    random.Random(1).shuffle(paths)
    observation = Observation(paths)
    records = list(observation)
    assert told(records) == meant(CONTENT)
    assert [capture.name for capture in observation.captures] == [f"tap{i}" for i in range(30)]
    assert [(record.capture, record.number - 1) for record in records] == [divmod(i, 10) for i in range(300)]


def test_captures_that_overlap_are_merged_by_time(tmp_path):
    paths = lay(
        tmp_path,
        {"a": pcap(CONTENT[0::3]), "b": pcapng(CONTENT[1::3]), "c": gzip.compress(pcap(CONTENT[2::3]))},
    )
    observation = Observation(paths)
    assert told(observation) == meant(CONTENT)
    assert [capture.packets for capture in observation.captures] == [100, 100, 100]


def test_records_of_a_file_keep_their_order_even_against_time(tmp_path):
    content = [Packet(START + s * SECOND, bytes([s])) for s in (3, 1, 2, 9, 5)]
    other = [Packet(START + s * SECOND, bytes([s])) for s in (4, 6)]
    observation = Observation(lay(tmp_path, {"a": pcap(content), "b": pcap(other)}))
    assert [data[0] for _, data in told(observation)] == [3, 1, 2, 4, 6, 9, 5]
    first = observation.captures[0]
    assert (first.first_time_ns, first.last_time_ns) == (START + SECOND, START + 9 * SECOND)


def test_equal_times_stand_in_the_order_in_which_the_captures_began(tmp_path):
    late = [Packet(START + SECOND, b"late")]
    early = [Packet(START, b"early"), Packet(START + SECOND, b"early")]
    paths = lay(tmp_path, {"1": pcap(late), "2": pcap(early), "10": pcap(late)})
    for order in (paths, paths[::-1]):
        observation = Observation(order)
        assert [capture.name for capture in observation.captures] == ["1", "2", "10"]
        assert [(observation.begun[r.capture].name, r.capture, r.data) for r in observation] == [
            ("2", 0, b"early"),
            ("2", 0, b"early"),
            ("1", 1, b"late"),
            ("10", 2, b"late"),
        ]


def test_names_tell_captures_apart_and_stand_in_natural_order(tmp_path):
    names = ["x/tap/2.pcap", "y/tap/2.pcap", "y/tap/10.pcap", "y/web/2.pcap"]
    paths = lay(tmp_path, dict.fromkeys(names, pcap([])))
    captures = Observation(paths[::-1]).captures
    assert [capture.name for capture in captures] == ["x/tap/2.pcap", "y/tap/2.pcap", "web/2.pcap", "10.pcap"]
    assert [capture.path for capture in captures] == [paths[0], paths[1], paths[3], paths[2]]


def test_names_can_be_printed(tmp_path):
    hostile = os.fsdecode(b"\x1b[31m\xff.pcap")
    (capture,) = Observation(lay(tmp_path, {hostile: pcap([])})).captures
    assert capture.name == r"\x1b[31m\xff.pcap"


def test_natural_order_is_total():
    names = ["a", "a.x", "a01", "a1", "a1b", "a2", "a10", "aa", "b"]
    for _ in range(20):
        assert sorted(random.sample(names, len(names)), key=natural) == names


def test_the_account_of_a_capture(tmp_path):
    octets = gzip.compress(pcap(CONTENT))
    records, capture = read(tmp_path / "tap.gz", octets)
    assert len(records) == capture.packets == 300
    assert (capture.name, capture.path, capture.format, capture.compression) == (
        "tap.gz",
        tmp_path / "tap.gz",
        "pcap",
        "gzip",
    )
    assert (capture.size, capture.sha256) == (len(octets), hashlib.sha256(octets).hexdigest())
    assert (capture.first_time_ns, capture.last_time_ns) == (CONTENT[0].time_ns, CONTENT[-1].time_ns)


def test_damaged_files_are_hashed_to_their_end(tmp_path):
    octets = pcap(CONTENT) + bytes(3_000_000)
    records, capture = read(tmp_path / "a", octets)
    assert len(records) == 300
    assert (capture.size, capture.sha256) == (len(octets), hashlib.sha256(octets).hexdigest())


def test_progress_counts_octets_on_disk(tmp_path):
    paths = lay(
        tmp_path, {"a": gzip.compress(pcap(CONTENT)), "b": pcap(CONTENT) + bytes(100), "c": b"foreign"}
    )
    observation = Observation([*paths, tmp_path / "missing"])
    total = sum(path.stat().st_size for path in paths)
    assert (observation.bytes_read, observation.bytes_total) == (0, total)
    seen = [observation.bytes_read for _ in observation]
    assert seen == sorted(seen)
    assert observation.bytes_read == total


def test_the_account_is_right_when_reading_stops_early(tmp_path):
    observation = Observation(lay(tmp_path, {"a": pcap(CONTENT)}))
    records = iter(observation)
    list(islice(records, 10))
    records.close()
    (capture,) = observation.captures
    assert (capture.packets, capture.last_time_ns) == (10, CONTENT[9].time_ns)
    assert capture.sha256 is None


def test_more_captures_at_once_than_descriptors(tmp_path):
    count = 200
    paths = lay(tmp_path, {f"{i}": pcap(packets(600)[i::count]) for i in range(count)})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        assert told(Observation(paths)) == meant(packets(600))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_pipe_is_read_once(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(pcap(CONTENT[1::2]),))
    writer.start()
    observation = Observation([pipe, *lay(tmp_path, {"a": pcap(CONTENT[0::2])})])
    assert observation.bytes_total is None
    assert told(observation) == meant(CONTENT)
    writer.join()
    octets = pcap(CONTENT[1::2])
    assert [capture.name for capture in observation.captures] == ["a", "pipe"]
    assert observation.captures[1].size == len(octets)
    assert observation.captures[1].sha256 == hashlib.sha256(octets).hexdigest()


@pytest.mark.parametrize("octets", [pcap(CONTENT), gzip.compress(pcapng(CONTENT))])
def test_stdin(monkeypatch, octets):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(octets))))
    observation = Observation([Path("-")])
    assert told(observation) == meant(CONTENT)
    (capture,) = observation.captures
    assert (capture.name, capture.size, capture.sha256) == (
        "-",
        len(octets),
        hashlib.sha256(octets).hexdigest(),
    )


READ_STDIN = """
import pathlib
from op25b_pcap.capture.observation import Observation
observation = Observation([pathlib.Path("-")])
print(sum(1 for _ in observation), observation.captures[0].damages)
"""


def test_endless_stdin_is_left_when_it_is_damaged():
    endless = subprocess.Popen(["/usr/bin/cat", "/dev/zero"], stdout=subprocess.PIPE)
    reader = subprocess.run(
        [sys.executable, "-c", READ_STDIN], stdin=endless.stdout, capture_output=True, text=True, timeout=20
    )
    endless.kill()
    endless.communicate()
    assert reader.stdout.startswith("0 [Damage(capture='-', offset=0")


def test_stdin_byte_by_byte(monkeypatch):
    class Slow(io.BytesIO):
        def read1(self, size: int | None = -1) -> bytes:
            return super().read1(1)

    class Stdin:
        buffer = Slow(gzip.compress(pcap(CONTENT)))

        def fileno(self) -> int:
            raise io.UnsupportedOperation

    monkeypatch.setattr(sys, "stdin", Stdin())
    assert told(Observation([Path("-")])) == meant(CONTENT)


def test_how_much_there_is_to_read(tmp_path):
    plain, squeezed = tmp_path / "a.pcap", tmp_path / "b.pcap"
    plain.write_bytes(pcap(CONTENT))
    squeezed.write_bytes(gzip.compress(pcap(CONTENT)))
    size = squeezed.stat().st_size
    assert Observation([plain]).octets_expected == plain.stat().st_size
    assert size < Observation([squeezed]).octets_expected == 5 * size
    assert Observation([plain, tmp_path / "none.pcap"]).octets_expected == plain.stat().st_size


@pytest.mark.parametrize("most", [10_000, 1 << 30])
def test_a_small_file_that_unpacks_to_much_is_not_taken_for_small(tmp_path, most):
    whole = pcap(CONTENT)
    files = {"plain.pcap": whole, "zeros.pcap.gz": gzip.compress(whole + bytes(1 << 20))}
    paths = [*lay(tmp_path, files), tmp_path / "none.pcap"]
    assert Observation(paths).octets_unpacked(most) == min(2 * len(whole) + (1 << 20), most)


@pytest.mark.parametrize("lost", [0, 60], ids=["whole", "cut"])
def test_what_a_capture_unpacks_to_is_reckoned_if_it_is_wanted(tmp_path, lost):
    content = pcap(CONTENT)
    packed = gzip.compress(content)[: -lost or None]
    paths = lay(tmp_path, {"a.pcap.gz": packed, "b.pcap": content})
    observation = Observation(paths, reckons_unpacked=True)
    records = list(observation)
    assert len(records) > len(CONTENT)
    first, second = observation.captures
    assert second.unpacked is None
    assert first.unpacked.octets <= len(content) - bool(lost)
    assert first.unpacked.hex() == hashlib.sha256(content[: first.unpacked.octets]).hexdigest()
    assert (first.unpacked.octets == len(content)) == (not lost)
    quiet = Observation(paths)
    assert list(quiet) == records
    assert [capture.unpacked for capture in quiet.captures] == [None, None]
