"""Batches by several processes: some of them are killed, and nobody sees it in the lake."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from op25b_pcap.batch import judging
from op25b_pcap.batch.crew import crew
from tests.lakes import POLICY, SAMPLES, analysed, assert_like, octets, records_of, run, scatter

CAPTURES = sorted(path for path in SAMPLES.rglob("*.pcap*") if path.is_file())
ROOT = Path(__file__).parents[2]
pytestmark = [
    # Dask closes its sockets when it is collected.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An inbox of many pieces, and what is in it."""
    folder = tmp_path_factory.mktemp("whole")
    records = records_of(*CAPTURES)
    (folder / "merged.pcap").write_bytes(octets(records))
    scatter(records, range(10, len(records), 10), folder / "inbox", random.Random(3))
    return folder / "inbox", analysed(folder / "merged.pcap")


def assert_alone(session: int) -> None:
    """Soon there is no process left of a session."""
    until = time.monotonic() + 20
    while left := list(_processes(session)):
        assert time.monotonic() < until, left
        time.sleep(0.05)


def _processes(session: int) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError, psutil.Error):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                yield process


@pytest.fixture(scope="module")
def workers():
    with crew(2, None) as hands:
        yield hands


def test_the_dashboard_is_drawn_for_who_looks(workers):
    assert workers.dashboard.startswith("http://127.0.0.1:")
    for _ in range(2):
        with urllib.request.urlopen(workers.dashboard) as page:
            assert page.url.endswith("/status")
            assert b"bokeh" in page.read().lower()


def test_two_workers_make_the_same_lake(whole, workers, tmp_path):
    inbox, expected = whole
    run(inbox, tmp_path / "lake", workers)
    assert_like(tmp_path / "lake", expected)


@pytest.mark.parametrize("seen", ["accounts", "told"])
def test_a_worker_that_is_killed_costs_another_try(whole, workers, tmp_path, monkeypatch, seen):
    monkeypatch.setattr(judging, "FLOWS_OF_A_PART", 5)
    monkeypatch.setattr(judging, "FLOWS_OF_A_SHARD", 10)
    inbox, expected = whole
    client = workers.client
    lake = tmp_path / "lake"
    folder = lake / ".work" / seen
    client.wait_for_workers(2, timeout=60)
    before = set(client.run(os.getpid).values())
    victim = min(before)

    def kill() -> None:
        while not folder.is_dir() or len(list(folder.iterdir())) < 8:
            time.sleep(0.005)
        os.kill(victim, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    run(inbox, lake, workers)
    killer.join()
    assert_like(lake, expected)
    client.wait_for_workers(2, timeout=60)
    assert victim not in client.run(os.getpid).values()


def test_a_cluster_that_is_there(whole, workers, tmp_path):
    inbox, expected = whole
    with crew(None, workers.client.scheduler.address) as hands:
        run(inbox, tmp_path / "lake", hands)
    assert_like(tmp_path / "lake", expected)


def is_killed_in_time(call: list[str], lake: Path, seen: str) -> bool:
    """Kill a driver as soon as something lies in a folder of the workshop; False if it was done before."""
    driver = subprocess.Popen(
        [*call, "--workers", "2"], cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True
    )
    folder = lake / ".work" / seen
    while driver.poll() is None and not (folder.is_dir() and any(folder.iterdir())):
        time.sleep(0.001)
    driver.kill()
    driver.wait()
    assert_alone(driver.pid)
    return not (lake / "run.json").exists()


@pytest.mark.parametrize("seen", ["accounts", "found", "told"])
def test_a_driver_that_is_killed_leaves_what_the_next_run_goes_on_with(whole, tmp_path, seen):
    inbox, expected = whole
    call = [sys.executable, "-m", "op25b_pcap", "batch", str(inbox), "--policy", str(POLICY), "--out"]
    lakes = (tmp_path / f"lake-{number}" for number in range(10))
    lake = next(lake for lake in lakes if is_killed_in_time([*call, str(lake)], lake, seen))
    done = subprocess.run(
        [*call, str(lake), "--workers", "1", "--json"], cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == len(expected["summary"])
    assert_like(lake, expected)


def begun(inbox: Path, lake: Path) -> subprocess.Popen:
    """A batch by two workers in a session of its own."""
    command = [sys.executable, "-m", "op25b_pcap", "batch", inbox, "--out", lake, "--workers", "2"]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )


def test_where_workers_come_from_is_killed_while_they_come_up(whole, tmp_path):
    inbox, _ = whole
    driver = begun(inbox, tmp_path / "lake")
    for line in driver.stderr:
        if line.startswith("dashboard"):
            break
    (nursery,) = [
        child for child in psutil.Process(driver.pid).children() if "forkserver" in " ".join(child.cmdline())
    ]
    nursery.kill()
    _, told = driver.communicate(timeout=60)
    assert driver.returncode == 0, told
    assert_alone(driver.pid)


def test_no_worker_outlives_the_command(whole, tmp_path):
    inbox, _ = whole
    driver = begun(inbox, tmp_path / "lake")
    driver.communicate()
    assert driver.returncode == 0
    assert_alone(driver.pid)


@pytest.mark.parametrize("after_s", [0, 0.2, 0.5, 1.0])
def test_ctrl_c_is_one_sentence(whole, tmp_path, after_s):
    """A terminal sends it to all processes."""
    inbox, _ = whole
    driver = begun(inbox, tmp_path / "lake")
    while driver.poll() is None and not psutil.Process(driver.pid).children():
        time.sleep(0.005)
    time.sleep(after_s)
    os.killpg(driver.pid, signal.SIGINT)
    _, told = driver.communicate(timeout=60)
    assert_alone(driver.pid)
    if driver.returncode:  # else it was done before
        # If it met CPython in a text of code, that ends by the signal: to a shell it is 130, too.
        assert driver.returncode in (130, -signal.SIGINT)
        what = ("no tables were written", f"all tables are in {tmp_path / 'lake'}/")
        assert told.splitlines()[-1] in [f"interrupted: {one}" for one in what]
    assert "Traceback" not in told


def test_nobody_answers(tmp_path):
    call = [sys.executable, "-m", "op25b_pcap", "batch", str(SAMPLES), "--out", str(tmp_path / "lake")]
    done = subprocess.run(
        [*call, "--cluster", "tcp://127.0.0.1:9"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "no cluster answers at tcp://127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr
