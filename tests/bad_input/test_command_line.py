"""Whatever the command is given: a sentence, the right exit code, nothing half-written, no traceback."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from op25b_pcap.batch.inbox import pieces
from op25b_pcap.capture.observation import Observation
from op25b_pcap.capture.opening import find
from op25b_pcap.tables import TABLES

SAMPLES = Path(__file__).parents[2] / "sample_pcaps"
CAPTURE = SAMPLES / "01-case1-client-to-smarthost" / "capture.pcap"
HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
SECTION = struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)


def run(*arguments: object, **more: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "op25b_pcap", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **more)
    assert "Traceback" not in done.stderr + done.stdout
    return done


def analyse(*arguments: object, out: Path, **more: object) -> subprocess.CompletedProcess:
    return run("analyze", *arguments, "--out", out, **more)


def assert_complete(out: Path) -> dict:
    """The folder holds finished tables, and nothing else."""
    names = {path.name for path in out.iterdir()}
    assert names == {"run.json", *(f"{table}.parquet" for table in TABLES)}
    return json.loads((out / "run.json").read_text())


DAMAGED = {
    "empty file": (b"", "at octet 0 (uncompressed): the file is empty", 0),
    "text file": (b"dear sir\n", "no pcap or pcapng file, but text", 0),
    "truncated header": (HEADER[:10], "the file ends inside the file header", 0),
    "record length of 4 GB": (
        CAPTURE.read_bytes() + struct.pack("<IIII", 1, 0, 0xFFFFFFFF, 0xFFFFFFFF),
        "a packet of 4294967295 octets, where 262144 are the most",
        68,
    ),
    "cut record": (CAPTURE.read_bytes()[:-3], "the file ends inside packet 68", 67),
    "pcapng block of length 0": (SECTION + bytes(12), "a block cannot be 0 octets long", 0),
    "endless zeros": (gzip.compress(bytes(64 << 20)), "no pcap or pcapng file, but zeros only", 0),
    "capture, then endless zeros": (
        gzip.compress(CAPTURE.read_bytes() + bytes(64 << 20)),
        "zeros where a packet header should be",
        68,
    ),
    "cut gzip": (gzip.compress(CAPTURE.read_bytes())[:-4], "the gzip stream ends too early", 68),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_capture_costs_itself_only(name, tmp_path):
    content, reason, packets = DAMAGED[name]
    path = tmp_path / "damaged.pcap"
    path.write_bytes(content)
    done = analyse(path, CAPTURE, out=tmp_path / "out")
    assert done.returncode == 3
    assert "damaged.pcap: at octet " in done.stderr
    assert reason in done.stderr
    run = assert_complete(tmp_path / "out")
    inputs = {entry["capture"]: entry for entry in run["inputs"]}
    lost = inputs["damaged.pcap"]["octets_lost"]
    (damage,) = inputs["damaged.pcap"]["damages"]
    is_packed = inputs["damaged.pcap"]["compression"] != ""
    assert lost is None if is_packed else lost == len(content) - damage["offset"]
    assert run["lost"] == {"inputs": 1, "damages": 1, "octets": lost}
    assert inputs["capture.pcap"]["octets_lost"] == 0
    assert inputs["damaged.pcap"]["packets"] == packets
    assert inputs["damaged.pcap"]["damages"]
    assert inputs["capture.pcap"]["packets"] == 68
    assert not inputs["capture.pcap"]["damages"]


def test_a_file_that_cannot_be_read(tmp_path):
    # Nobody has mapped the first page of memory: root, too, gets an error.
    done = analyse("/proc/self/mem", CAPTURE, out=tmp_path / "out")
    assert done.returncode == 3
    assert "mem: at octet 0 (uncompressed): it cannot be read (Input/output error)" in done.stderr
    assert_complete(tmp_path / "out")


def test_nothing_but_damage_still_gives_empty_tables(tmp_path):
    (tmp_path / "empty.pcap").write_bytes(b"")
    done = analyse(tmp_path / "empty.pcap", out=tmp_path / "out")
    assert done.returncode == 3
    assert "no attempt on a mail port was seen" in done.stdout
    assert assert_complete(tmp_path / "out")["tables"]["flows"] == 0


def test_a_folder_without_captures(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("no capture")
    done = analyse(tmp_path / "folder", out=tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, "")
    sentence = f"nothing to read: '{tmp_path / 'folder'}' holds no capture (flow logs are for `batch`)\n"
    assert done.stderr == sentence
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_not_there(tmp_path):
    done = analyse(tmp_path / "gone.pcap", out=tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"nothing to read: there is no '{tmp_path / 'gone.pcap'}'\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[networks]\ndynamic = ["203.0.113.0/40"]', ":2: networks.dynamic: '203.0.113.0/40' is no address"),
        ("[networks]\ndynamite = []", ":2: networks.dynamite: no such key; allowed: dynamic, static"),
        ("[networks\n", ": no valid TOML: "),
    ],
)
def test_an_unsound_policy(tmp_path, text, sentence):
    policy = tmp_path / "p.toml"
    policy.write_text(text)
    done = analyse(CAPTURE, "--policy", policy, out=tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.startswith(f"{policy}{sentence}")
    assert not (tmp_path / "out").exists()
    checked = run("policy", "check", policy)
    assert (checked.returncode, checked.stderr) == (2, done.stderr)


def test_an_output_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    done = analyse(CAPTURE, out=tmp_path / "file" / "out")
    assert done.returncode == 2
    assert done.stderr.startswith(f"cannot write to {tmp_path / 'file' / 'out'}: ")
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_end_in_the_middle_keeps_the_old_results_and_leaves_nothing(tmp_path, sent, code):
    out, temporary = tmp_path / "out", tmp_path / "temporary"
    temporary.mkdir()
    assert analyse(CAPTURE, out=out).returncode == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    command = [sys.executable, "-m", "op25b_pcap", "analyze", "-", "--out", str(out)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(temporary)},
    ) as process:
        process.stdin.write(CAPTURE.read_bytes())
        process.stdin.flush()
        deadline = time.monotonic() + 60
        while not list(out.glob(".writing-*")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.5)  # it is waiting for more packets now
        assert list(temporary.iterdir())
        process.send_signal(sent)
        _, told = process.communicate(timeout=60)
    assert process.returncode == code
    assert not list(temporary.iterdir())
    assert told == b"interrupted: no tables were written\n"
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize(
    ("streams", "code"), [(">/dev/full", 2), ("2>/dev/full", 0), (">&-", 0), ("2>&-", 0), (">&- 2>&-", 0)]
)
def test_output_that_finds_no_room_or_nobody(tmp_path, streams, code):
    command = f"{sys.executable} -m op25b_pcap analyze {CAPTURE} --out {tmp_path}/out {streams}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "internal error" not in done.stderr + done.stdout
    assert ("cannot write all of the output: No space left on device" in done.stderr) == (code == 2)
    assert_complete(tmp_path / "out")


def test_the_gate_says_what_has_met_it(tmp_path):
    capture = SAMPLES / "08-blocked-by-icmp" / "capture.pcap"
    call = (capture, "--policy", SAMPLES / "policy.toml", "--fail-on", "leak", "--fail-on", "blocked")
    done = analyse(*call, out=tmp_path / "out")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "--fail-on is met: 1 blocked")


def test_what_is_doubtful_about_a_policy_is_said_where_it_is_used(tmp_path):
    (tmp_path / "p.toml").write_text('[servers]\nsmarthosts = ["192.0.2.25"]\nmailbox = ["192.0.2.25"]\n')
    done = analyse(CAPTURE, "--policy", tmp_path / "p.toml", out=tmp_path / "out")
    assert done.returncode == 0
    assert "p.toml: 192.0.2.25/32 stands in smarthosts and mailbox: it counts as smarthosts" in done.stderr
    assert "p.toml: it names no dynamic networks" in done.stderr


@pytest.fixture
def locked():
    """A folder with a capture, and one in it that may not be looked into, not even by root."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "closed").mkdir(mode=0)
        shutil.copy(CAPTURE, folder / "open.pcap")
        os.utime(folder / "open.pcap", (1, 1))
        (folder / "open.pcap").chmod(0o644)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if root:
                os.seteuid(0)
            (folder / "closed").chmod(0o700)


def test_a_folder_that_may_not_be_looked_into_is_an_unreadable_capture(locked):
    told = Observation(find([str(locked)]))
    list(told)
    faults = {capture.name: [damage.reason for damage in capture.damages] for capture in told.captures}
    assert faults["open.pcap"] == []
    assert faults["closed"] == ["it is a folder that may not be looked into"]
    assert [Path(piece.path).name for piece in pieces(str(locked), "lake")] == ["closed", "open.pcap"]


LOST_AT_FIRST = """
import signal, sys, time
import op25b_pcap.policy
from op25b_pcap import cli

NUMBER = int(sys.argv.pop())

class Finalised:
    def __del__(self):
        signal.raise_signal(NUMBER)

def load(_):
    Finalised()
    time.sleep(60)

op25b_pcap.policy.load = load
cli.main()
"""


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_that_python_loses_in_a_finaliser_is_heard(sent, code):
    command = [sys.executable, "-c", LOST_AT_FIRST, "policy", "check", "isp.toml", str(int(sent))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (code, "interrupted: no tables were written\n")


def test_a_reader_that_goes_away_is_no_crash_and_no_gate(tmp_path):
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m op25b_pcap tables | head -1; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (141, "")


def test_a_name_that_is_no_text(tmp_path):
    capture, out = Path(os.fsdecode(bytes(tmp_path / "tap") + b"\xff\xfe.pcap")), tmp_path / "out"
    capture.write_bytes(CAPTURE.read_bytes())
    assert analyse(capture, out=out).returncode == 0
    (told,) = json.loads((out / "run.json").read_text())["inputs"]
    assert (told["path"], told["capture"]) == (str(capture), "tap\\xff\\xfe.pcap")
    done = subprocess.run(
        [sys.executable, "-m", "op25b_pcap", "batch", capture, "--out", tmp_path / "lake", "--workers", "1"],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "lake" / "run.json").read_text())["inputs"] == [told]


def test_logs_are_for_batch_and_foreign_files_are_told(tmp_path):
    log = tmp_path / "gateway.pcap"
    log.write_text('{"ts":1.0,"id.orig_h":"203.0.113.5","conn_state":"S0"}\n')
    (tmp_path / "notes").write_text("notes")
    shutil.copy(CAPTURE, tmp_path)
    done = analyse(tmp_path, out=tmp_path / "out")
    assert done.returncode == 3
    assert "passed over 1 file(s) that are no captures, such as " in done.stderr
    assert "gateway.pcap is a flow log: `op25b-pcap batch` reads it" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["analyze"],
        ["analyze", str(CAPTURE), "--engine", "magic"],
        ["analyze", str(CAPTURE), "--envelope", "some"],
        ["analyze", str(CAPTURE), "--fail-on", "spam"],
        ["analyse", str(CAPTURE)],
        ["tables", "flowers"],
        ["judge", "nowhere", "--policy", str(SAMPLES / "policy.toml")],
        ["compare", "nowhere", "nowhere"],
        ["explain", "nowhere", "0000000000000000"],
        ["carve", "nowhere", "0000000000000000", "-o", "out.pcap"],
        ["policy", "check", "nowhere.toml"],
        ["policy", "init", "nowhere.pcap"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_two(tmp_path, arguments):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr
    assert not list(tmp_path.iterdir())
