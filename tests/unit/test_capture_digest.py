"""SHA-256 beside the reading: of what was read, and of nothing else."""

from __future__ import annotations

import hashlib
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from op25b_pcap.capture import digest
from op25b_pcap.capture.digest import OfFile, OfFlow
from op25b_pcap.capture.observation import Observation
from tests.capture_files import Packet, pcap

CONTENT = pcap([Packet(1_700_000_000_000_000_000 + n, bytes(60)) for n in range(50)])


def sha256(octets: bytes) -> str:
    return hashlib.sha256(octets).hexdigest()


@pytest.fixture
def thread_held():
    """The thread of all digests does nothing before it is let go."""
    go = threading.Event()
    digest._beside(lambda: go.wait(30))
    yield go
    go.set()


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


def test_what_cannot_be_read_twice_is_a_damage(tmp_path, thread_held, monkeypatch):
    path = tmp_path / "a.pcap"
    path.write_bytes(CONTENT)
    monkeypatch.setattr(OfFile, "_take", lambda *_: (_ for _ in ()).throw(PermissionError(13, "forbidden")))
    observation = Observation([path])
    records = iter(observation)
    next(records)
    thread_held.set()
    assert sum(1 for _ in records) == 49
    (capture,) = observation.captures
    assert (capture.size, capture.sha256) == (len(CONTENT), None)
    assert [damage.reason for damage in capture.damages] == ["it cannot be read (forbidden)"]


def test_nobody_waits_for_what_was_given_up(tmp_path, thread_held):
    path = tmp_path / "a.pcap"
    path.write_bytes(CONTENT)
    records = iter(Observation([path]))
    next(records)
    records.close()
    given_up, asked = OfFile(tmp_path / "gone"), OfFile(path)
    given_up.give_up()
    thread_held.set()
    assert asked.hex(len(CONTENT)) == sha256(CONTENT)


def test_a_forked_process_has_a_thread_of_its_own(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"octets")
    assert OfFile(path).hex(6) == sha256(b"octets")
    child = os.fork()
    if not child:
        os._exit(OfFile(path).hex(6) != sha256(b"octets"))
    assert os.waitpid(child, 0)[1] == 0
