"""Shards in processes of their own: the same as in this one, and what goes wrong there is said here."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from op25b_pcap.faults import WorkerEnded, place_of
from op25b_pcap.side_by_side import CAN_FORK, walking
from op25b_pcap.tables.columns import coded_numbers
from op25b_pcap.tables.meeting import met

pytestmark = pytest.mark.skipif(not CAN_FORK, reason="there are no forks here")


def counting(number, happens, everywhere):
    """A way that asks how many shards there are; `happens` is called behind the barrier."""
    asked = everywhere.count("shards", coded_numbers(np.array([float(number)])), {"all": np.array([True])})
    yield None
    happens(number)
    return asked.number("all")


def nothing(*_):
    pass


def shards(count, happens):
    return [partial(counting, number, happens) for number in range(count)]


@pytest.mark.parametrize("workers", [1, 2, 3, 9])
def test_shards_meet_in_any_number_of_processes(workers):
    ends = []
    with walking(
        [partial(counting, n, nothing) for n in range(5)], lambda n, end: (n, end), workers
    ) as walks:
        ends, _ = met(walks)
    assert ends == [(number, 5) for number in range(5)]


def fails(number):
    if number == 1:
        raise OSError(errno.ENOSPC, "No space left on device")


def dies(number):
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_goes_wrong_in_a_worker_goes_wrong_here(capfd):
    with (
        pytest.raises(OSError, match="No space left on device") as caught,
        walking(shards(4, fails), nothing, 2) as walks,
    ):
        met(walks)
    assert caught.value.errno == errno.ENOSPC
    assert place_of(caught.value).startswith("test_side_by_side.py line ")
    assert "in fails" in caught.value.__notes__[0]
    assert capfd.readouterr() == ("", "")


class Odd(Exception):
    def __init__(self):
        self.cannot_be_sent = lambda: None


def fails_oddly(number):
    if number == 1:
        raise Odd


def test_what_cannot_be_sent_is_told_by_its_name():
    with (
        pytest.raises(RuntimeError, match="Odd") as caught,
        walking(shards(4, fails_oddly), nothing, 2) as walks,
    ):
        met(walks)
    assert "in fails_oddly" in caught.value.__notes__[0]


def concluding(everywhere):
    yield len
    yield None


def test_what_is_to_be_concluded_is_asked_of_one_shard():
    with walking([concluding] * 5, nothing, 2) as walks:
        steps = [*walks.go({}, None)]
    assert [step.conclusion for step in steps] == [len, None, None, None, None]


def test_a_worker_that_is_killed_is_told_of(capfd):
    with (
        pytest.raises(WorkerEnded, match="signal 9"),
        walking(shards(4, dies), nothing, 2) as walks,
    ):
        met(walks)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("speaking", [False, True])
def test_workers_end_with_their_parent(speaking):
    program = f"""
import os, sys, time
sys.path.insert(0, {str(Path.cwd())!r})
from functools import partial
from op25b_pcap.side_by_side import walking
def way(everywhere):
    yield None
    time.sleep(.5)
    yield None
with walking([way, way, way], lambda *_: None, 3) as walks:
    list(walks.go({{}}, None))
    for worker in walks._workers if {speaking} else ():
        worker.say(({{}}, None))
    print(*(worker._process.pid for worker in walks._workers), flush=True)
    time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 3
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(200):
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            break
        time.sleep(0.05)
    else:
        pytest.fail("workers have outlived their parent")
    with parent.stderr as told:
        assert told.read() == b""
