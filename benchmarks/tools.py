"""The commands that are measured, and what a process costs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

FILTER = "tcp port 25 or 465 or 587 or 2525 or 110 or 143 or 993 or 995"
FIELDS = (
    "frame.number",
    "ip.src",
    "tcp.srcport",
    "smtp.req.command",
    "smtp.req.parameter",
    "smtp.response.code",
)
NFSTREAM_VARIABLE = "NFSTREAM_PYTHON"
"""Names the interpreter of an environment that nfstream is installed in."""
_NFSTREAM = """
import sys
from nfstream import NFStreamer
if __name__ == "__main__":
    print(sum(1 for _ in NFStreamer(source=sys.argv[1], n_meters=1)))
"""


class Spent(NamedTuple):
    wall_s: float
    cpu_s: float
    peak_mb: float


class Tool(NamedTuple):
    """A competitor: what it is called, on which kinds and up to which size it is tried."""

    name: str
    command: Callable[[Path, Path], list[str]]
    """Capture and a folder to write to."""
    kinds: tuple[str, ...] = ("mix", "mail", "flood", "bulk")
    most_mb: float = float("inf")
    once: bool = False
    """For orientation only: not worth several rounds."""


def ours(capture: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "op25b_pcap", "analyze", str(capture), "--out", str(out), *more]


def tshark(capture: Path, out: Path) -> list[str]:
    fields = [option for field in FIELDS for option in ("-e", field)]
    return ["tshark", "-n", "-r", str(capture), "-Y", "smtp", "-T", "fields", *fields]


def nfstream(capture: Path, out: Path) -> list[str]:
    return [os.environ.get(NFSTREAM_VARIABLE, NFSTREAM_VARIABLE), "-c", _NFSTREAM, str(capture)]


def by_scapy(capture: Path, out: Path) -> list[str]:
    return ours(capture, out, "--engine", "scapy")


TOOLS = (
    Tool("tcpdump, filter", lambda capture, out: ["tcpdump", "-r", str(capture), "-w", os.devnull, FILTER]),
    Tool("nfpcapd", lambda capture, out: ["nfpcapd", "-r", str(capture), "-w", str(out)]),
    Tool("argus", lambda capture, out: ["argus", "-r", str(capture), "-w", os.devnull]),
    Tool("tshark, fields", tshark, ("mail",), 1500),
    Tool("nfstream", nfstream, ("mix", "mail"), 600, once=True),
    Tool("our Scapy engine", by_scapy, ("mix", "mail"), 60, once=True),
)


def installed(tool: Tool) -> bool:
    return shutil.which(tool.command(Path(), Path())[0]) is not None


def knows_workers() -> bool:
    """Whether `analyze` has the option."""
    shown = subprocess.run(
        [sys.executable, "-m", "op25b_pcap", "analyze", "--help"], capture_output=True, text=True, check=True
    )
    return "--workers" in shown.stdout


def limited(command: list[str], megabytes: int | None) -> tuple[list[str], str]:
    """The command with so much memory and no more, and by what means."""
    if megabytes is None:
        return command, "none"
    if Path("/run/systemd/system").is_dir() and shutil.which("systemd-run"):
        scope = ["systemd-run", "--quiet", "--scope", "-p", "MemorySwapMax=0"]
        return [*scope, "-p", f"MemoryMax={megabytes}M", "--", *command], f"cgroup, {megabytes} MB"
    return ["prlimit", f"--as={megabytes << 20}", *command], f"address space, {megabytes} MB"


# A process is told the peak of the one that it was forked from: so a small one does it.
_LAUNCHER = """
import ctypes, os, resource, sys, time
if sys.platform == "linux":  # workers whose parent has ended before them come to us
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
began = time.perf_counter()
quiet = os.open(os.devnull, os.O_WRONLY)
files = [(os.POSIX_SPAWN_DUP2, quiet, 1)]
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=files)
_, status = os.waitpid(pid, 0)
wall_s = time.perf_counter() - began
try:
    while True:
        os.wait()
except ChildProcessError:
    pass
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
sys.exit(os.waitstatus_to_exitcode(status) != 0)
"""


def spent(command: list[str]) -> Spent:
    """Run it. The peak is that of its largest process; the seconds are those of all."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _LAUNCHER, *command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)[:200]} failed: {done.stderr[-2000:]}")
    return Spent(*map(float, done.stdout.split()))
