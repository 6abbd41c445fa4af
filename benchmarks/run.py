"""The figures: whole commands on generated captures, ours beside those of other tools.

    python benchmarks/run.py                                         # sizes that take some minutes
    python benchmarks/run.py mix=4000 mail=1000 flood=180 bulk=1000 --rounds 5
    python benchmarks/run.py memory mix=4000,8000,16000 mail=4000,8000,16000 --limit-mb 1024
    python benchmarks/run.py workers mix=4000
    python benchmarks/run.py batch mail=500
    python benchmarks/run.py lake mix=20000

`kind=size` is in megabytes. A capture is generated and read once, so that it lies in memory; then
ours and the other tool run in turn, and a figure is the median of the rounds, a ratio the median of
the ratios within a round. No time counts before the tables have been held against the key. The
captures lie in a temporary folder (`--folder`) and are gone afterwards. Tables are printed, and kept
in RESULTS.md, a section a mode.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import platform
import shutil
import statistics
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.generate import RATE_MB, generate
from benchmarks.tools import TOOLS, Spent, installed, knows_workers, limited, ours, spent

SIZES = {
    "compare": {"mix": [1000], "mail": [200], "flood": [45], "bulk": [400]},
    "memory": {"mix": [1000, 2000], "mail": [500, 1000]},
    "workers": {"mix": [1000]},
    "batch": {"mail": [200]},
    "lake": {"mix": [1000]},
}
TITLES = {
    "compare": "Compared",
    "memory": "Memory",
    "workers": "Workers",
    "batch": "Batch",
    "lake": "Lake",
}
PIECES = 40
"""What a capture is cut into, as a tap that rotates its files leaves it."""
PIECE_MB = 100
"""Of a large lake; and then a tenth of it."""
SUMS = {
    "messages": "messages_accepted",
    "message_octets": "message_bytes",
    "recipients": "recipients_accepted",
    "rejected": "recipients_rejected",
}
"""What the key counts, and the column whose sum it is."""
LONG_S = 120
"""A tool that takes longer is run once."""
SMALL_OCTETS = 100_000
RESULTS = Path(__file__).with_name("RESULTS.md")


def check(out: Path, key: dict) -> dict:
    """Hold the tables against the key; gives run.json."""
    run = json.loads((out / "run.json").read_text())
    flows = pq.read_table(out / "flows.parquet", columns=["dst_port", "outcome", "ip_version"])
    sessions = pq.read_table(
        out / "smtp_sessions.parquet",
        columns=["result", *SUMS.values()],
    )
    found = {
        "packets": run["packets"]["read"],
        "attempts": counted(flows, "dst_port", "outcome"),
        "versions": counted(flows, "ip_version"),
        "results": counted(sessions, "result"),
        **{name: pc.sum(sessions[column]).as_py() for name, column in SUMS.items()},
    }
    wrong = {name: {"found": value, "key": key[name]} for name, value in found.items() if value != key[name]}
    if wrong:
        sys.exit(f"wrong answers, no times: {json.dumps(wrong)}")
    return run


def counted(table, *columns: str) -> dict[str, int]:
    rows = table.select(columns).group_by(list(columns)).aggregate([([], "count_all")]).to_pylist()
    return dict(Counter({" ".join(str(row[c]) for c in columns): row["count_all"] for row in rows}))


class Bench:
    """One call: its folder, its rounds, the captures it makes."""

    def __init__(self, folder: Path, rounds: int, seed: int) -> None:
        self.folder, self.rounds, self.seed = folder, rounds, seed
        self.out = folder / "out"

    def capture(self, kind: str, megabytes: float) -> tuple[Path, dict]:
        path = self.folder / f"{kind}.pcap"
        return path, generate(kind, megabytes, path, self.seed)

    def pairs(self, first: list[str], second: list[str], *, once: bool = False) -> list[tuple[Spent, Spent]]:
        """Both in turn, beginning with either."""
        found: list[tuple[Spent, Spent]] = []
        for number in range(1 if once else self.rounds):
            one, other = (first, second) if number % 2 else (second, first)
            spents = spent(one), spent(other)
            found.append(spents if number % 2 else spents[::-1])
            if found[0][1].wall_s > LONG_S:
                break
        return found

    def compare(self, kind: str, megabytes: float) -> tuple[list[str], str]:
        """Rows of both tables: against others, and where the time goes."""
        capture, key = self.capture(kind, megabytes)
        size_mb = capture.stat().st_size / 1e6
        command = ours(capture, self.out)
        spent(command)  # kernels compiled, capture in memory
        check(self.out, key)
        elsewhere = self.folder / "elsewhere"
        rows, own = [], []
        for tool in TOOLS:
            if kind in tool.kinds and size_mb <= tool.most_mb and installed(tool):
                elsewhere.mkdir()
                pairs = self.pairs(command, tool.command(capture, elsewhere), once=tool.once)
                shutil.rmtree(elsewhere)
                own += [a for a, _ in pairs]
                theirs = [b for _, b in pairs]
                rows.append(row(f"{kind} | {size_mb:.0f} | {tool.name}", theirs, ratios(pairs)))
        own = own or [spent(command)]
        run = check(self.out, key)
        capture.unlink()
        rows.insert(0, row(f"{kind} | {size_mb:.0f} | op25b-pcap", own, "1.00 | 1.00"))
        return rows, split(kind, run, own[-1].wall_s)

    def memory(self, kind: str, megabytes: float, limit_mb: int | None) -> str:
        capture, key = self.capture(kind, megabytes)
        size_mb = capture.stat().st_size / 1e6
        command, means = limited(ours(capture, self.out), limit_mb)
        once = spent(command)
        check(self.out, key)
        capture.unlink()
        flows = sum(key["attempts"].values())
        figures = f"{once.wall_s:.1f} | {once.cpu_s:.1f} | {once.peak_mb:.0f}"
        return f"| {kind} | {size_mb:.0f} | {flows:,} | {means} | {figures} |"

    def workers(self, kind: str, megabytes: float, count: int) -> list[str]:
        capture, key = self.capture(kind, megabytes)
        size_mb = capture.stat().st_size / 1e6
        one, many = (ours(capture, self.out, "--workers", str(n)) for n in (1, count))
        spent(one)
        check(self.out, key)
        pairs = self.pairs(many, one)
        spent(many)
        check(self.out, key)
        capture.unlink()
        return [
            row(f"{kind} | {size_mb:.0f} | 1", [b for _, b in pairs], "1.00 | 1.00"),
            row(f"{kind} | {size_mb:.0f} | {count}", [a for a, _ in pairs], ratios(pairs)),
        ]

    def batch(self, kind: str, megabytes: float, count: int) -> list[str]:
        """One capture by `analyze` and by `batch`; its pieces by one worker and by several."""
        capture, key = self.capture(kind, megabytes)
        size_mb = capture.stat().st_size / 1e6
        alone, inbox = self.folder / "alone", self.folder / "inbox"
        for folder in (alone, inbox):
            folder.mkdir()
        cut(capture, inbox, PIECES)
        capture.rename(alone / capture.name)
        analyze = ours(alone / capture.name, self.out, "--workers", "1")
        once, one, many = (self._batch(*what) for what in ((alone, 1), (inbox, 1), (inbox, count)))
        spent(once)
        self._check_lake(key)
        against_analyze = self.pairs(once, analyze)
        against_one = self.pairs(many, one)
        self._check_lake(key)
        for folder in (alone, inbox):
            shutil.rmtree(folder)
        begin = f"{kind} | {size_mb:.0f}"
        return [
            row(f"{begin} | 1 | analyze", [b for _, b in against_analyze], "1.00 | 1.00"),
            row(f"{begin} | 1 | batch, 1 worker", [a for a, _ in against_analyze], ratios(against_analyze)),
            row(f"{begin} | {PIECES} | batch, 1 worker", [b for _, b in against_one], "1.00 | 1.00"),
            row(
                f"{begin} | {PIECES} | batch, {count} workers",
                [a for a, _ in against_one],
                ratios(against_one),
            ),
        ]

    def lake(self, kind: str, megabytes: float, count: int) -> list[str]:
        """A large lake of pieces, and of ten times as many: all but the last, and that one later."""
        capture, key = self.capture(kind, megabytes)
        size_mb = capture.stat().st_size / 1e6
        inbox, small, apart = (self.folder / name for name in ("inbox", "small", "apart"))
        for folder in (inbox, small):
            folder.mkdir()
        cut(capture, inbox, round(size_mb / PIECE_MB))
        capture.unlink()
        rows = self._lake(kind, size_mb, inbox, apart, count, key)
        for piece in sorted(inbox.iterdir()):
            cut(piece, small, 10, piece.stem)
            piece.unlink()
        rows += self._lake(kind, size_mb, small, apart, count, key)
        for folder in (inbox, small):
            shutil.rmtree(folder)
        return rows

    def _lake(self, kind: str, size_mb: float, inbox: Path, apart: Path, count: int, key: dict) -> list[str]:
        pieces = sorted(inbox.iterdir())
        pieces[-1].rename(apart)
        made = spent(self._batch(inbox, count))
        apart.rename(pieces[-1])
        grown = spent(self._batch(inbox, count, anew=False))
        self._check_lake(key)
        begin, lake = f"{kind} | {size_mb:.0f}", self.folder / "lake"
        work_mb = sum(path.stat().st_size for path in (lake / ".work").rglob("*")) / 1e6
        shutil.rmtree(lake)
        return [
            row(f"{begin} | {len(pieces) - 1} | all", [made], f"{work_mb:.0f}"),
            row(f"{begin} | {len(pieces)} | one more", [grown], f"{work_mb:.0f}"),
        ]

    def _batch(self, inbox: Path, workers: int, *, anew: bool = True) -> list[str]:
        lake = self.folder / "lake"
        command = ["-m", "op25b_pcap", "batch", str(inbox), "--out", str(lake), "--workers", str(workers)]
        before = f"rm -rf {lake}; " if anew else ""
        return ["/bin/sh", "-c", f'{before}exec "$@"', "sh", sys.executable, *command]

    def _check_lake(self, key: dict) -> None:
        lake = self.folder / "lake"
        flows = pq.read_table(lake / "flows", columns=["dst_port", "outcome"])
        messages = pc.sum(pq.read_table(lake / "smtp_sessions", columns=["messages_accepted"])[0]).as_py()
        if counted(flows, "dst_port", "outcome") != key["attempts"] or messages != key["messages"]:
            sys.exit("wrong answers, no times")

    def small(self) -> str:
        """A capture of 100 kB, against the imports that it cannot do without."""
        capture, _ = self.capture("mail", 1)
        octets, end = capture.read_bytes(), 24
        while end + 16 + (size := struct.unpack_from("<I", octets, end + 8)[0]) <= SMALL_OCTETS:
            end += 16 + size
        capture.write_bytes(octets[:end])
        command = ours(capture, self.out)
        spent(command)
        pairs = self.pairs(command, [sys.executable, "-c", "import pandas, pyarrow"])
        whole, imports = (statistics.median(one.wall_s for one in side) for side in zip(*pairs, strict=True))
        return f"A capture of 100 kB, second run: {whole:.2f} s; `import pandas, pyarrow`: {imports:.2f} s."


def cut(capture: Path, folder: Path, pieces: int, name: str = "tap") -> None:
    """The packets of a capture as files of about the same size."""
    with capture.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as octets:
        at, number = 24, 0
        while at < len(octets):
            begin, least = at, len(octets) // pieces
            while at < len(octets) and at - begin < least:
                at += 16 + struct.unpack_from("<I", octets, at + 8)[0]
            (folder / f"{name}{number:03}.pcap").write_bytes(octets[:24] + octets[begin:at])
            number += 1


def row(begin: str, spents: list[Spent], end: str) -> str:
    wall, cpu, peak = (statistics.median(column) for column in zip(*spents, strict=True))
    return f"| {begin} | {len(spents)} | {wall:.2f} | {cpu:.2f} | {peak:.0f} | {end} |"


def ratios(pairs: list[tuple[Spent, Spent]]) -> str:
    """The first's wall and CPU seconds by the second's."""
    wall = statistics.median(a.wall_s / b.wall_s for a, b in pairs)
    cpu = statistics.median(a.cpu_s / max(b.cpu_s, 0.001) for a, b in pairs)
    return " | ".join(f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.3f}" for ratio in (wall, cpu))


def split(kind: str, run: dict, wall_s: float) -> str:
    """Where the wall seconds of the last run go; what is before and after its own clock is start-up."""
    laps, packets = run["timings_s"], run["packets"]
    parts = [("start-up", wall_s - sum(laps.values())), *laps.items()]
    told = ", ".join(f"{name} {seconds:.2f}" for name, seconds in parts)
    return f"| {kind} | {packets['read']:,} | {packets['decoded']:,} | {packets['by_scapy']} | {told} |"


def compared(bench: Bench, asked: dict[str, list[float]]) -> list[str]:
    small = bench.small()
    versus, times = [], []
    for kind, sizes in asked.items():
        for megabytes in sizes:
            rows, parts = bench.compare(kind, megabytes)
            print("\n".join([*rows, parts]), flush=True)
            versus += rows
            times.append(parts)
    missing = [tool.name for tool in TOOLS if not installed(tool)]
    return [
        small,
        f"Not installed here: {', '.join(missing)}." if missing else "All tools were installed.",
        "",
        "| capture | MB | tool | runs | wall s | CPU s | peak MB | our wall / its | our CPU / its |",
        "|---|---|---|---|---|---|---|---|---|",
        *versus,
        "",
        "Where our wall seconds go, by run.json:",
        "",
        "| capture | packets | decoded | by Scapy | seconds |",
        "|---|---|---|---|---|",
        *times,
    ]


def printed(asked: dict[str, list[float]], measure: Callable[[str, float], list[str]]) -> list[str]:
    """The rows of every size, shown as they come."""
    rows: list[str] = []
    for kind, sizes in asked.items():
        for megabytes in sizes:
            made = measure(kind, megabytes)
            print("\n".join(made), flush=True)
            rows += made
    return rows


def remembered(bench: Bench, asked: dict[str, list[float]], limit_mb: int | None) -> list[str]:
    rows = printed(asked, lambda kind, megabytes: [bench.memory(kind, megabytes, limit_mb)])
    head = "| capture | MB | attempts | limit | wall s | CPU s | peak MB |"
    return [head, "|---|---|---|---|---|---|---|", *rows]


def shared(bench: Bench, asked: dict[str, list[float]], count: int) -> list[str]:
    if not knows_workers():
        sys.exit("`op25b-pcap analyze` has no --workers here")
    rows = printed(asked, lambda kind, megabytes: bench.workers(kind, megabytes, count))
    return [
        "The peak is that of the largest process.",
        "",
        "| capture | MB | workers | runs | wall s | CPU s | peak MB | wall / one's | CPU / one's |",
        "|---|---|---|---|---|---|---|---|---|",
        *rows,
    ]


def lakes(bench: Bench, asked: dict[str, list[float]], count: int) -> list[str]:
    rows = printed(asked, lambda kind, megabytes: bench.batch(kind, megabytes, count))
    return [
        "Against the line above: `analyze`, and one worker. The peak is that of the largest process.",
        "",
        "| capture | MB | pieces | command | runs | wall s | CPU s | peak MB | wall / its | CPU / its |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *rows,
    ]


def large(bench: Bench, asked: dict[str, list[float]], count: int) -> list[str]:
    rows = printed(asked, lambda kind, megabytes: bench.lake(kind, megabytes, count))
    return [
        f"By {count} workers: all pieces but the last, and then that one. The peak is that of the largest",
        "process.",
        "",
        "| capture | MB | pieces | run | runs | wall s | CPU s | peak MB | `.work` MB |",
        "|---|---|---|---|---|---|---|---|---|",
        *rows,
    ]


def keep(mode: str, lines: list[str]) -> None:
    """Put the section of this mode in the place of its last one."""
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.machine()}"
    command = " ".join(["python benchmarks/run.py", *sys.argv[1:]])
    head = [f"## {TITLES[mode]}", "", f"Made by `{command}` on {machine}.", ""]
    old = RESULTS.read_text().split("\n## ")[1:] if RESULTS.exists() else []
    sections = {text.split("\n", 1)[0]: f"## {text.strip()}" for text in old}
    sections[TITLES[mode]] = "\n".join(head + lines)
    begin = (
        "# Figures\n\nHow they are made: README.md beside this file. Where other work runs beside it, CPU\n"
        "seconds tell more than wall seconds. All our answers were held against the generator's key."
    )
    ordered = [sections[title] for title in TITLES.values() if title in sections]
    RESULTS.write_text("\n\n".join([begin, *ordered]) + "\n")


def sizes_of(argument: str) -> tuple[str, list[float]]:
    kind, _, sizes = argument.partition("=")
    if kind not in RATE_MB or not sizes:
        raise argparse.ArgumentTypeError(f"{argument}: not kind=megabytes, kinds are {', '.join(RATE_MB)}")
    return kind, [float(size) for size in sizes.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s [compare|memory|workers|batch|lake] [KIND=MB[,MB...] ...] [options]",
    )
    words = sys.argv[1:]
    mode = words.pop(0) if words and words[0] in TITLES else "compare"
    parser.add_argument("captures", nargs="*", type=sizes_of, metavar="KIND=MB[,MB...]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where captures lie meanwhile")
    parser.add_argument("--limit-mb", type=int, help="memory: no more than this")
    parser.add_argument("--count", type=int, default=2, help="workers: against one")
    asked = parser.parse_args(words)
    captures = dict(asked.captures) or SIZES[mode]
    with tempfile.TemporaryDirectory(prefix="op25b-benchmark-", dir=asked.folder) as name:
        bench = Bench(Path(name), asked.rounds, asked.seed)
        if mode == "compare":
            lines = compared(bench, captures)
        elif mode == "memory":
            lines = remembered(bench, captures, asked.limit_mb)
        elif mode == "batch":
            lines = lakes(bench, captures, asked.count)
        elif mode == "lake":
            lines = large(bench, captures, asked.count)
        else:
            lines = shared(bench, captures, asked.count)
    keep(mode, lines)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
