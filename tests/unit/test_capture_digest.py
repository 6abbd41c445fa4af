"""SHA-256 beside the reading: of what was read, and of nothing else."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from op25b_pcap.capture import digest, observation
from op25b_pcap.capture.digest import OfFile, OfFlow
from op25b_pcap.capture.observation import Observation
from tests.capture_files import Packet, pcap

CONTENT = pcap([Packet(1_700_000_000_000_000_000 + n, bytes(60)) for n in range(50)])


def sha256(octets: bytes) -> str:
    return hashlib.sha256(octets).hexdigest()


@pytest.fixture
def reckoner(monkeypatch):
    """The process of all digests, which does nothing before it is told to go on; it is asked of any file."""
    monkeypatch.setattr(observation, "_WORTH_A_PROCESS", 0)
    running = digest._beside()._running
    running.send_signal(signal.SIGSTOP)
    yield running
    running.send_signal(signal.SIGCONT)
    digest._end()


def test_a_file_that_grows_or_shrinks_is_taken_as_far_as_it_was_read(tmp_path):
    path = tmp_path / "a"
    octets = os.urandom(3_000_001)
    path.write_bytes(octets[:2_000_000])
    grown, read_further = OfFile(path), OfFile(path)
    assert read_further.hex(1_000_000) == sha256(octets[:1_000_000])
    assert grown.hex(2_000_000) == sha256(octets[:2_000_000])
    path.write_bytes(octets)
    assert grown.hex(len(octets)) == sha256(octets)
    with pytest.raises(OSError, match="shorter"):
        OfFile(path).hex(len(octets) + 1)


@given(st.lists(st.binary(max_size=9) | st.just(bytes(700_000)), max_size=8))
def test_what_flows_is_taken_as_it_was(pieces):
    flow, room = OfFlow(), bytearray(1 << 20)
    for piece in pieces:
        room[: len(piece)] = piece
        flow.update(memoryview(room)[: len(piece)])
        room[:] = bytes(len(room))
    assert flow.hex(0) == flow.hex(0) == sha256(b"".join(pieces))


def test_what_cannot_be_read_twice_is_a_damage(tmp_path, reckoner):
    path = tmp_path / "a.pcap"
    path.write_bytes(CONTENT)
    seen = Observation([path])
    assert sum(1 for _ in seen) == 50
    path.write_bytes(CONTENT[:-1])
    assert digest.under_way()
    reckoner.send_signal(signal.SIGCONT)
    (capture,) = seen.captures
    assert (capture.size, capture.sha256) == (len(CONTENT), None)
    assert [damage.reason for damage in capture.damages] == [
        "it cannot be read (it became shorter while it was read)"
    ]
    assert not digest.under_way()


def test_nobody_waits_for_what_was_given_up(tmp_path, reckoner):
    path = tmp_path / "a.pcap"
    path.write_bytes(CONTENT)
    records = iter(Observation([path]))
    next(records)
    records.close()
    assert reckoner.wait(5) == -signal.SIGKILL
    assert not digest.under_way()
    given_up, asked = OfFile(tmp_path / "gone"), OfFile(path)
    given_up.give_up()
    assert asked.hex(len(CONTENT)) == sha256(CONTENT)


@pytest.mark.parametrize("asked_of", [1, 40])
def test_a_process_that_is_killed_costs_time_and_nothing_else(tmp_path, reckoner, monkeypatch, asked_of):
    monkeypatch.setattr(digest, "_MOST_ASKED", 64)
    paths = [tmp_path / f"{number}\n\udcff" for number in range(asked_of)]
    for number, path in enumerate(paths):
        path.write_bytes(CONTENT * number)
    asked = [OfFile(path) for path in paths]
    reckoner.kill()
    asked += [OfFile(path) for path in paths]
    for number, one in enumerate(asked):
        assert one.hex(len(CONTENT) * (number % asked_of)) == sha256(CONTENT * (number % asked_of))


def test_it_is_not_asked_of_more_than_pipes_hold(tmp_path, monkeypatch):
    monkeypatch.setattr(digest, "_MOST_ASKED", 2)
    paths = [tmp_path / str(number) for number in range(9)]
    for path in paths[1:]:
        path.write_bytes(path.name.encode())
    asked = [OfFile(path) for path in paths]
    assert [one.hex(1) for one in asked[1:]] == [sha256(path.name.encode()) for path in paths[1:]]
    with pytest.raises(FileNotFoundError):
        asked[0].hex(1)


def test_a_file_that_is_cut_while_it_is_mapped(tmp_path):
    """The system then ends who looks at it (SIGBUS): that must not be us."""
    path, other = tmp_path / "a", tmp_path / "b"
    other.write_bytes(CONTENT)
    with path.open("wb") as file:
        file.truncate(8 << 30)
    cut, asked = OfFile(path), OfFile(other)
    time.sleep(0.3)
    os.truncate(path, 10)
    assert cut.hex(10) == sha256(bytes(10))
    assert asked.hex(len(CONTENT)) == sha256(CONTENT)


def test_several_threads_hear_each_their_own(tmp_path, monkeypatch):
    paths = [tmp_path / str(number) for number in range(40)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * 2000)
    monkeypatch.setattr(digest, "_MOST_ASKED", 4)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(6) as threads:
            found = [*threads.map(lambda path: OfFile(path).hex(2000), paths * 20)]
    finally:
        sys.setswitchinterval(before)
    assert found == [sha256(path.read_bytes()) for path in paths * 20]


def test_a_pipe_in_the_place_of_a_file_holds_nobody(tmp_path, reckoner):
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_bytes(CONTENT)
    other.write_bytes(CONTENT)
    gone, asked = OfFile(path), OfFile(other)
    path.unlink()
    os.mkfifo(path)
    reckoner.send_signal(signal.SIGCONT)
    assert asked.hex(len(CONTENT)) == sha256(CONTENT)
    with pytest.raises(OSError, match="no regular file"):
        gone.hex(len(CONTENT))


def test_a_fork_leaves_its_parents_answers_alone(tmp_path, reckoner):
    path = tmp_path / "a"
    path.write_bytes(CONTENT)
    asked = OfFile(path)
    child = os.fork()
    if not child:
        os._exit(asked.hex(len(CONTENT)) != sha256(CONTENT))
    assert os.waitpid(child, 0)[1] == 0
    reckoner.send_signal(signal.SIGCONT)
    assert asked.hex(len(CONTENT)) == sha256(CONTENT)


def test_a_forked_process_has_a_process_of_its_own(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"octets")
    assert OfFile(path).hex(6) == sha256(b"octets")
    child = os.fork()
    if not child:
        os._exit(OfFile(path).hex(6) != sha256(b"octets"))
    assert os.waitpid(child, 0)[1] == 0


def test_it_ends_with_who_has_started_it(tmp_path):
    path = tmp_path / "a"
    with path.open("wb") as file:
        file.truncate(64 << 30)
    here, there = os.pipe()
    child = os.fork()
    if not child:
        OfFile(path)
        os.write(there, b"%d" % digest._beside()._running.pid)
        os._exit(0)
    os.waitpid(child, 0)
    started = int(os.read(here, 100))
    for _ in range(100):
        try:
            os.kill(started, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError(f"{started} goes on")
