"""The figures: whole commands on generated captures, ours beside those of other tools.

    python benchmarks/run.py                    # sizes that take some minutes
    python benchmarks/run.py mix=4000 mail=1000 flood=180 bulk=1000

Of every kind a capture is generated (megabytes as given), read once so that it lies in memory, and
given to each tool in turn, several rounds; a figure is the median of the rounds, a ratio the median
of the ratios within a round. A time counts only after the tables have been held against the key. The
captures lie in a temporary folder and are gone afterwards. Prints a table and writes RESULTS.md.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent))
from generate import generate

SIZES = {"mix": 1000, "mail": 100, "flood": 16, "bulk": 400}
ROUNDS = 3
FILTER = "tcp port 25 or 465 or 587 or 2525 or 110 or 143 or 993 or 995"
FIELDS = (
    "frame.number",
    "ip.src",
    "tcp.srcport",
    "smtp.req.command",
    "smtp.req.parameter",
    "smtp.response.code",
)
RESULTS = Path(__file__).with_name("RESULTS.md")
OURS = "op25b-pcap"


class Spent(NamedTuple):
    wall_s: float
    cpu_s: float
    peak_mb: float


def commands(capture: Path, out: Path, kind: str) -> dict[str, list[str]]:
    """The tools that are installed, by name; ours first."""
    ours = [sys.executable, "-m", "op25b_pcap", "analyze", str(capture), "--out", str(out)]
    known = {
        OURS: ours,
        "tcpdump, filter": ["tcpdump", "-r", str(capture), "-w", os.devnull, FILTER],
    }
    if kind == "flood":
        known["argus"] = ["argus", "-r", str(capture), "-w", os.devnull]
        known["nfpcapd"] = ["nfpcapd", "-r", str(capture), "-l", str(out.parent)]
    return {name: command for name, command in known.items() if shutil.which(command[0])}


def once(kind: str, capture: Path, out: Path) -> dict[str, list[str]]:
    """What takes too long for several rounds."""
    if kind != "mail":
        return {}
    fields = [option for field in FIELDS for option in ("-e", field)]
    tshark = ["tshark", "-n", "-r", str(capture), "-Y", "smtp", "-T", "fields", *fields]
    scapy = [
        sys.executable,
        "-m",
        "op25b_pcap",
        "analyze",
        str(capture),
        "--out",
        str(out),
        "--engine",
        "scapy",
    ]
    return {
        name: c for name, c in (("tshark, fields", tshark), ("our Scapy engine", scapy)) if shutil.which(c[0])
    }


# A process is told the peak of the one that it was forked from: so a small one does it.
LAUNCHER = """
import os, sys, time
began = time.perf_counter()
quiet = os.open(os.devnull, os.O_WRONLY)
files = [(os.POSIX_SPAWN_DUP2, quiet, 1)]
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=files)
_, status, usage = os.wait4(pid, 0)
print(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
sys.exit(os.waitstatus_to_exitcode(status) != 0)
"""


def spent(command: list[str]) -> Spent:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LAUNCHER, *command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{command[0]} failed: {done.stderr}")
    return Spent(*map(float, done.stdout.split()))


def check(out: Path, key: dict) -> dict:
    """Hold the tables against the key; gives run.json."""
    run = json.loads((out / "run.json").read_text())
    flows = pq.read_table(out / "flows.parquet", columns=["dst_port", "outcome"]).to_pylist()
    attempts = Counter(f"{row['dst_port']} {row['outcome']}" for row in flows)
    messages = sum(pq.read_table(out / "smtp_sessions.parquet")["messages_accepted"].to_pylist())
    found = {"packets": run["packets"]["read"], "attempts": dict(attempts), "messages": messages}
    wrong = {name: (value, key[name]) for name, value in found.items() if value != key[name]}
    if wrong:
        sys.exit(f"wrong answers, no times: {wrong}")
    return run


def measure(kind: str, megabytes: int, folder: Path) -> tuple[list[str], list[str]]:
    """Rows of both tables: against others, and where the time goes."""
    capture, out = folder / f"{kind}.pcap", folder / "out"
    key = generate(kind, megabytes, capture)
    size_mb = capture.stat().st_size / 1e6
    tools = commands(capture, out, kind)
    spent(tools[OURS])  # kernels compiled, capture in memory
    check(out, key)
    rounds = [{name: spent(command) for name, command in tools.items()} for _ in range(ROUNDS)]
    run = check(out, key)
    single = {name: spent(command) for name, command in once(kind, capture, out).items()}
    capture.unlink()
    rows = []
    for name in (*tools, *single):
        times = [of[name] for of in rounds] if name in tools else [single[name]]
        ours = [of[OURS] for of in rounds[: len(times)]]
        wall, cpu, peak = (statistics.median(column) for column in zip(*times, strict=True))
        ratio = statistics.median(a.cpu_s / b.cpu_s for a, b in zip(ours, times, strict=True))
        rows.append(
            f"| {kind} | {size_mb:.0f} | {name} | {wall:.2f} | {cpu:.2f} | {peak:.0f} | {ratio:.2f} |"
        )
    laps = run["timings_s"]
    wall = statistics.median(of[OURS].wall_s for of in rounds)
    parts = " | ".join(f"{laps.get(part, 0):.2f}" for part in ("read", "judge", "count", "write"))
    packets, decoded = run["packets"]["read"], run["packets"]["decoded"]
    start_s, by_scapy = wall - sum(laps.values()), run["packets"]["by_scapy"]
    split = f"| {kind} | {packets:,} | {decoded:,} | {start_s:.2f} | {parts} | {by_scapy} |"
    return rows, [split]


def start_up(folder: Path) -> list[str]:
    """A capture of 100 kB, against the imports that it cannot do without."""
    capture = folder / "small.pcap"
    generate("mail", 1, capture)
    cut = capture.read_bytes()[:100_000]
    capture.write_bytes(cut)
    imports = [spent([sys.executable, "-c", "import pandas, pyarrow"]).wall_s for _ in range(ROUNDS)]
    ours = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        command = [sys.executable, "-m", "op25b_pcap", "analyze", str(capture), "--out", str(folder / "out")]
        subprocess.run(command, capture_output=True, check=False)  # its last packet is cut: exit code 3
        ours.append(time.perf_counter() - began)
    whole_s, imports_s = statistics.median(ours), statistics.median(imports)
    return [f"A capture of 100 kB: {whole_s:.2f} s; `import pandas, pyarrow`: {imports_s:.2f} s."]


def main() -> None:
    asked = dict(argument.split("=") for argument in sys.argv[1:]) or SIZES
    versus, split = [], []
    with tempfile.TemporaryDirectory(prefix="op25b-benchmark-") as name:
        folder = Path(name)
        small = start_up(folder)
        for kind, megabytes in asked.items():
            rows, parts = measure(kind, int(megabytes), folder)
            versus += rows
            split += parts
            print("\n".join(rows + parts), flush=True)
    command = " ".join(["python benchmarks/run.py", *sys.argv[1:]])
    text = [
        "# Figures",
        "",
        f"Made by `{command}` ({ROUNDS} rounds) on {os.cpu_count()} cores, Python",
        f"{platform.python_version()}, {platform.system()} {platform.machine()}. Where other work runs",
        "beside it, CPU seconds tell more than wall seconds. All answers were held against the key.",
        "",
        *small,
        "",
        "| capture | MB | tool | wall s | CPU s | peak MB | our CPU / its CPU |",
        "|---|---|---|---|---|---|---|",
        *versus,
        "",
        "Where our wall seconds go (`read` is scan, flows and dialogues together):",
        "",
        "| capture | packets | of these mail | start-up | read | judge | count | write | by Scapy |",
        "|---|---|---|---|---|---|---|---|---|",
        *split,
    ]
    RESULTS.write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
