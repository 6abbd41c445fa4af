"""The command `op25b-pcap`: arguments, messages and exit codes; no logic.

stdout is data, stderr is progress and messages. Exit codes: 0 done; 1 the `--fail-on` gate
was met; 2 usage; 3 done, but some input was damaged or unreadable; 4 internal error.
"""

from __future__ import annotations

import atexit
import errno
import os
import shutil
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TextIO

import typer

from op25b_pcap import __version__
from op25b_pcap.circles import no_more_sought, seldom_sought

if TYPE_CHECKING:
    from rich.console import Console

    from op25b_pcap.capture.observation import Observation
    from op25b_pcap.pipeline import Progress
    from op25b_pcap.policy import Policy

# Nothing here needs linear algebra, whose threads cost a tenth of a second as soon as NumPy is there.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Arrow's own pool is a little faster with millions of attempts, and holds a tenth more than is needed.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
GATE_MET, USAGE, DAMAGED, INTERNAL = 1, 2, 3, 4
INTERRUPTED, STOPPED = 130, 143
"""128 + SIGINT, and + SIGTERM, as shells say it."""
LINE_EVERY_S = 10
"""How often it is told how far a long work is, where there is no terminal."""
PIPE_CLOSED = 141
"""128 + SIGPIPE: whoever read our output has gone."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a write says where there is no room."""
_STORES = ("botocore", "aiobotocore", "s3fs", "gcsfs", "adlfs", "aiohttp")
"""Whose exceptions say what is wrong with an object store, or with who asks it."""

app = typer.Typer(
    name="op25b-pcap",
    help="Read packet captures and tell what Outbound Port 25 Blocking does in them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
policies = typer.Typer(help="Work on policy files.", no_args_is_help=True)
app.add_typer(policies, name="policy")


class Engine(StrEnum):
    """Who dissects packets."""

    auto = "auto"
    scapy = "scapy"


class EnvelopeChoice(StrEnum):
    """How much of envelope addresses is written."""

    full = "full"
    domain = "domain"
    none = "none"


class FindingChoice(StrEnum):
    """A finding that `--fail-on` may name."""

    blocked = "blocked"
    leak = "leak"
    intercepted = "intercepted"
    allowed = "allowed"
    disrupted = "disrupted"
    inconclusive = "inconclusive"
    out_of_scope = "out_of_scope"


AsJson = Annotated[bool, typer.Option("--json", help="Print the table as JSON on stdout.")]
PolicyFile = Annotated[
    Path | None,
    typer.Option("--policy", metavar="P.toml", help="Who is who, and what is blocked. Without it: assumed."),
]
Envelope = Annotated[
    EnvelopeChoice, typer.Option(help="Envelope addresses: all of it, only @domain, or only counts.")
]
FailOn = Annotated[
    list[FindingChoice] | None,
    typer.Option("--fail-on", metavar="FINDING", help="Exit with 1 if a flow has this finding (repeatable)."),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"op25b-pcap {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of internal errors.")] = False,
) -> None:
    ctx.obj = debug


@app.command(
    epilog="Examples:\n\nop25b-pcap analyze tap/*.pcap.gz --policy isp.toml --out reports/monday\n\n"
    "ssh tap tcpdump -w - | op25b-pcap analyze -"
)
def analyze(
    ctx: typer.Context,
    captures: Annotated[
        list[str],
        typer.Argument(metavar="CAPTURE...", help="pcap or pcapng files, folders, globs, or - for stdin."),
    ],
    policy: PolicyFile = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the tables go.")] = Path("reports"),
    csv: Annotated[bool, typer.Option("--csv", help="Write a CSV twin of every table.")] = False,
    envelope: Envelope = EnvelopeChoice.domain,
    engine: Annotated[
        Engine, typer.Option(help="Who dissects: auto takes the fastest there is.")
    ] = Engine.auto,
    workers: Annotated[
        int,
        typer.Option("--workers", metavar="N", min=1, show_default="all", help="Cores to use."),
    ] = CORES,
    fail_on: FailOn = None,
    as_json: AsJson = False,
) -> None:
    """Analyse captures as one observation: who tried to send mail where, and what became of it."""
    with _sentences(ctx) as call:
        from op25b_pcap.capture.observation import Observation
        from op25b_pcap.capture.opening import find

        rules = _loaded(policy) if policy else None
        passed_over: list[Path] = []
        observation = Observation(find(captures, passed_over), beside=workers > 1)
        # A digest is being reckoned while the rest is loaded.
        from op25b_pcap.pipeline import analyse, write
        from op25b_pcap.reports.writing import staging

        with staging(out) as hidden:
            with _progress_bar() as progress:
                analysis = analyse(observation, rules, envelope.value, progress, engine.value, workers)
            with analysis:
                write(analysis, hidden, csv=csv, workers=workers)
        call.written = out
        _print_table(analysis.tables["summary"], as_json)
        if passed_over:
            _say(f"passed over {len(passed_over)} file(s) that are no captures, such as {passed_over[0]}")
        _tell(analysis, out)
        _gate(fail_on, analysis.numbers["findings"])
        if analysis.is_damaged:
            raise typer.Exit(DAMAGED)


@app.command(
    epilog="Examples:\n\nop25b-pcap batch /var/tap --out lake --policy isp.toml\n\n"
    "op25b-pcap batch 's3://tap/2026-11/' --out s3://lake/mail --cluster tcp://scheduler:8786"
)
def batch(
    ctx: typer.Context,
    inbox: Annotated[
        str, typer.Argument(metavar="INBOX", help="A folder, a glob, a file, or a URL (s3://…) of captures.")
    ],
    out: Annotated[str, typer.Option("--out", metavar="LAKE", help="The dataset: a folder, or a URL.")],
    policy: PolicyFile = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes; as many as processors if not said.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option("--cluster", metavar="tcp://HOST:PORT", help="A Dask cluster that is there.")
    ] = None,
    envelope: Envelope = EnvelopeChoice.domain,
    log_zone: Annotated[
        str,
        typer.Option("--log-zone", metavar="ZONE", help="Zone of flow logs that name none, as Asia/Tokyo."),
    ] = "UTC",
    log_sampled: Annotated[
        bool,
        typer.Option("--log-sampled", help="Flow records were sampled: a missing answer proves nothing."),
    ] = False,
    fail_on: FailOn = None,
    as_json: AsJson = False,
) -> None:
    """Bring a dataset up to date with an inbox of captures and flow logs: only new ones are read."""
    with _sentences(ctx) as call:
        from op25b_pcap.batch.crew import crew
        from op25b_pcap.batch.inbox import named
        from op25b_pcap.batch.logs import hints_of

        named(inbox)
        hints = hints_of(log_zone, sampled=log_sampled)
        rules = _loaded(policy) if policy else None
        with crew(workers, cluster) as hands:
            from rich.console import Console  # all this while the workers come up

            from op25b_pcap.batch.progress import shown
            from op25b_pcap.batch.run import batch as brought_up

            if hands.note:
                _say(hands.note)
            with shown(Console(stderr=True), _say, LINE_EVERY_S) as watching:
                outcome = brought_up(inbox, out, hands, rules, envelope.value, watching, hints)
            call.written = out
        _print_table(outcome.summary, as_json)
        for sentence in outcome.sentences():
            _say(sentence)
        _say(f"tables: {out}/ (duckdb -c \"from '{out}/flows/*/*.parquet'\")")
        _gate(fail_on, outcome.run["findings"])
        if outcome.of("damaged", "unreadable"):
            raise typer.Exit(DAMAGED)


@app.command(epilog="Example:  op25b-pcap tables flows")
def tables(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="One table only.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the documented columns of every table."""
    with _sentences(ctx):
        from op25b_pcap.tables import DOCUMENTED

        if name is not None and name not in DOCUMENTED:
            _say(f"no table {name}; there are: {', '.join(DOCUMENTED)}")
            raise typer.Exit(USAGE)
        rows = [
            {
                "table": table.name,
                "column": column.name,
                "type": column.type,
                "null": column.nullable,
                "meaning": column.meaning,
                "words": list(column.words),
            }
            for table in DOCUMENTED.values()
            if name in (None, table.name)
            for column in table.columns
        ]
        from op25b_pcap.reports.terminal import print_columns, print_json

        (print_json if as_json else print_columns)(rows, _stdout())


@app.command(epilog="Example:  op25b-pcap samples sample_pcaps")
def samples(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write them.")],
) -> None:
    """Write the sample captures: one folder a story, each with a page on what it shows."""
    with _sentences(ctx):
        from op25b_pcap.samples import write

        for path in write(folder):
            typer.echo(path)


ReportFolder = Annotated[Path, typer.Argument(metavar="REPORTS", help="A folder that `analyze` wrote.")]


@app.command(
    name="judge", epilog="Example:  op25b-pcap judge reports/monday --policy stricter.toml --out whatif"
)
def judge_(
    ctx: typer.Context,
    reports: ReportFolder,
    policy: Annotated[
        Path, typer.Option("--policy", metavar="P.toml", help="Who is who, and what is blocked.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write all tables there; else only print.")
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Write a CSV twin of every table.")] = False,
    as_json: AsJson = False,
) -> None:
    """What would this policy say? Roles and findings anew, of attempts that were analysed before."""
    with _sentences(ctx) as call:
        from op25b_pcap.afterwards import rejudge
        from op25b_pcap.faults import UsageFault
        from op25b_pcap.reports.writing import staging, write_run, write_tables

        if out is not None and out.exists() and out.samefile(reports):
            raise UsageFault(f"{out} is what is to be judged: say another folder with --out")
        tables, run, advice = rejudge(reports, _loaded(policy))
        if out is not None:
            with staging(out) as hidden:
                write_tables(tables, hidden, csv=csv)
                write_run(run, hidden)
            call.written = out
        _print_table(tables["summary"], as_json)
        for line in advice:
            _say(line)
        if out is not None:
            _say(f"tables: {out}/; what changed: op25b-pcap compare {reports} {out}")


@app.command(epilog="Example:  op25b-pcap compare reports/monday whatif")
def compare(
    ctx: typer.Context,
    before: Annotated[Path, typer.Argument(metavar="A", help="A report folder.")],
    after: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    as_json: AsJson = False,
) -> None:
    """What changed from A to B: by finding, path, role and subscriber, and whose working mail is lost."""
    with _sentences(ctx):
        from op25b_pcap.reports.compare import compare as compared
        from op25b_pcap.reports.terminal import print_comparison, print_objects
        from op25b_pcap.reports.writing import read_run, read_tables

        found = compared(read_tables(before), read_tables(after))
        (print_objects if as_json else print_comparison)(vars(found), _stdout())
        one, other = (read_run(folder) for folder in (before, after))
        if {entry["sha256"] for entry in one["inputs"]} != {entry["sha256"] for entry in other["inputs"]}:
            _say("the two folders are of different captures: only what both hold can be compared by attempt")
        rows = [run.get("policy", {}).get("acl_rows") for run in (one, other)]
        if None not in rows:
            _say(f"as a router's access list: {rows[0]} rows before, {rows[1]} after")


@app.command(epilog="Example:  op25b-pcap explain reports 203.0.113.3")
def explain(
    ctx: typer.Context,
    reports: ReportFolder,
    flow_id: Annotated[
        str | None,
        typer.Argument(
            metavar="[FLOW_ID]",
            help="A flow_id, a subscriber_key, or a called address; without, subscribers are listed.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """One attempt in words: packets, dialogue, roles and their evidence, rule, finding."""
    with _sentences(ctx):
        from op25b_pcap.afterwards import explain as explained
        from op25b_pcap.afterwards import worst

        if flow_id is not None:
            for line in explained(reports, flow_id):
                typer.echo(_folded(line, sys.stdout))
            return
        from op25b_pcap.reports.terminal import print_frame, print_json

        first, count = worst(reports)
        (print_json if as_json else print_frame)(first, _stdout())
        _say(
            f"{len(first)} of {count} subscribers; one in words: op25b-pcap explain {reports} SUBSCRIBER_KEY"
        )


@app.command(epilog="Example:  op25b-pcap carve reports 9f3c51d20a7be846 -o proof.pcap")
def carve(
    ctx: typer.Context,
    reports: ReportFolder,
    flow_ids: Annotated[list[str], typer.Argument(metavar="FLOW_ID...", help="Which attempts.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT.pcap", help="The capture to write.")],
) -> None:
    """Write the packets of some attempts, out of the captures that they were found in."""
    with _sentences(ctx):
        from op25b_pcap.afterwards import carve as carved
        from op25b_pcap.capture.writing import write

        count = write(carved(reports, flow_ids, out), out)
        _say(f"{count} packets: {out}")


@policies.command("init", epilog="Example:  op25b-pcap policy init tap/*.pcap.gz > isp.toml")
def policy_init(
    ctx: typer.Context,
    captures: Annotated[list[str], typer.Argument(metavar="CAPTURE...", help="As for `analyze`.")],
) -> None:
    """Draft a policy file from what captures show, with the evidence as comments."""
    with _sentences(ctx):
        from op25b_pcap.capture.opening import find
        from op25b_pcap.pipeline import analyse
        from op25b_pcap.roles.draft import draft

        with _progress_bar() as progress:
            analysis = analyse(find(captures), progress=progress, workers=CORES)
        with analysis:
            count = len(analysis.observation.captures)
            typer.echo(draft(analysis.frames("flows"), analysis.policy, count), nl=False)
        if analysis.is_damaged:
            _tell_damages(analysis)
            raise typer.Exit(DAMAGED)


@policies.command("check", epilog="Example:  op25b-pcap policy check isp.toml")
def policy_check(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="P.toml", help="The policy file.")],
) -> None:
    """Validate a policy file; every fault gets a sentence with file, line and key."""
    with _sentences(ctx):
        from op25b_pcap.policy import acl_rows, doubts, load

        policy = load(file)
        rows = acl_rows(policy)
        typer.echo(f"{file}: policy {policy.name!r} is sound; as an access list it takes {rows} rows")
        for doubt in doubts(policy):
            _say(doubt)


@dataclass
class _Call:
    """How far a command has come."""

    written: object = None
    """Where its tables are, as soon as all are there."""


@contextmanager
def _sentences(ctx: typer.Context) -> Iterator[_Call]:
    """Turn what may go wrong into a sentence and an exit code; no traceback without --debug."""
    from op25b_pcap.faults import UsageFault, WorkerEnded, place_of

    call = _Call()
    try:
        yield call
    except typer.Exit:
        raise
    except UsageFault as fault:
        _say(str(fault))
        raise typer.Exit(USAGE) from None
    except WorkerEnded as fault:
        _say(str(fault))
        raise typer.Exit(INTERNAL) from None
    except KeyboardInterrupt as fault:
        what = "no tables were written" if call.written is None else f"all tables are in {call.written}/"
        _say(f"interrupted: {what}")
        raise typer.Exit(STOPPED if isinstance(fault, _Stop) else INTERRUPTED) from None
    except BrokenPipeError:
        sys.stderr.close()  # the reader of stdout has gone: nobody is left to tell
        raise typer.Exit(PIPE_CLOSED) from None
    except Exception as fault:
        if ctx.find_root().obj:
            raise
        if isinstance(fault, OSError) and fault.errno in _NO_ROOM and fault.filename is None:
            _say(f"cannot write all of the output: {fault.strerror}")
            raise typer.Exit(USAGE) from None
        if type(fault).__module__.partition(".")[0] in _STORES:
            _say(f"the object store: {fault}")
            raise typer.Exit(USAGE) from None
        # Only where, not what: an exception's text may quote a capture.
        _say(
            f"internal error: {type(fault).__name__} in {place_of(fault)}; "
            "run again with `op25b-pcap --debug …` and report what it prints"
        )
        raise typer.Exit(INTERNAL) from None


def _loaded(file: Path) -> Policy:
    """The policy of a file; what is doubtful about it is said."""
    from op25b_pcap.policy import doubts, load

    policy = load(file)
    for doubt in doubts(policy):
        _say(f"{file}: {doubt}")
    return policy


def _gate(fail_on: Iterable[FindingChoice] | None, findings: Mapping[str, int]) -> None:
    """End with the gate's code if an attempt has one of these findings."""
    met = [word.value for word in fail_on or () if findings.get(word.value)]
    if met:
        told = ", ".join(f"{findings[word]} {word}" for word in dict.fromkeys(met))
        _say(f"--fail-on is met: {told}")
        raise typer.Exit(GATE_MET)


def _tell_damages(analysis: Any) -> None:
    for capture in analysis.observation.captures:
        for damage in capture.damages:
            _say(str(damage))
        if not capture.format and _is_log(capture.path):
            _say(f"{capture.name} is a flow log: `op25b-pcap batch` reads it")


def _is_log(path: Path) -> bool:
    from op25b_pcap.batch.logs import kind

    try:
        return path.is_file() and bool(kind(path))
    except OSError:
        return False


def _say(sentence: str) -> None:
    with suppress(OSError):  # a full disk, a reader that has gone: what was asked for is done all the same
        typer.echo("\n".join(_folded(line, sys.stderr) for line in sentence.split("\n")), err=True)


def _folded(line: str, stream: TextIO) -> str:
    """A line as a terminal shows it best: between words, what goes on further in. Elsewhere as it is."""
    if not stream.isatty():
        return line
    indent = " " * (len(line) - len(line.lstrip()))
    width = shutil.get_terminal_size().columns
    return textwrap.fill(
        line.strip(),
        width,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _stdout() -> Console:
    from rich.console import Console

    class Stdout(Console):
        def on_broken_pipe(self) -> None:
            """Rich would end the process with 1, which is the gate's."""
            raise BrokenPipeError

    # A pipe has no width: nothing may be folded there.
    return Stdout(soft_wrap=True, width=None if sys.stdout.isatty() else 240, highlight=False)


def _print_table(frame: Any, as_json: bool) -> None:
    from op25b_pcap.reports.terminal import print_json, print_summary

    (print_json if as_json else print_summary)(frame, _stdout())


def _tell(analysis: Any, out: Path) -> None:
    """What was read, what was lost, what to do about it, where the tables lie."""
    from op25b_pcap.reports.explain import advise

    _tell_damages(analysis)
    tally = analysis.tally
    flows = analysis.numbers["tables"]["flows"]
    _say(f"{tally.read} packets read, {tally.decoded} of them kept, {flows} attempts on mail ports")
    if analysis.policy.assumed:
        _say("no policy given: roles are assumed from what the captures show (--policy P.toml)")
    for line in advise(analysis.known, assumed=analysis.policy.assumed):
        _say(line)
    _say(f"tables: {out}/ (one attempt or subscriber in words: op25b-pcap explain {out} …)")


@contextmanager
def _progress_bar() -> Iterator[Progress | None]:
    """A bar by octets read, on a terminal and only there; elsewhere a line now and then."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    with Bar(
        "reading",
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task("reading", total=None)
        yield lambda observation: bar.update(
            task, completed=observation.bytes_read, total=observation.bytes_total
        )


def _lines() -> Progress:
    last_s = time.monotonic()

    def progress(observation: Observation) -> None:
        nonlocal last_s
        if time.monotonic() - last_s >= LINE_EVERY_S:
            from rich.filesize import decimal

            last_s = time.monotonic()
            total = observation.bytes_total
            _say(f"reading: {decimal(observation.bytes_read)}" + (f" of {decimal(total)}" if total else ""))

    return progress


class _Stop(KeyboardInterrupt):
    """SIGTERM: what lies in folders for a while, octets of mail among it, goes with us."""


def _stop(*_: object) -> None:
    raise _Stop


_AGAIN_S = 0.01


def _tell_again(lost: Any) -> None:
    """Send a signal once more that met Python where nothing can be raised: a finaliser, an import's end."""
    if not issubclass(lost.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return
    number = signal.SIGTERM if issubclass(lost.exc_type, _Stop) else signal.SIGINT
    # Not from here, where it would be lost again; and to the process, so that what waits is woken.
    threading.Timer(_AGAIN_S, os.kill, (os.getpid(), number)).start()


def main() -> None:
    """Run the command line."""
    signal.signal(signal.SIGTERM, _stop)
    sys.unraisablehook = _tell_again
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed before we began
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - until the end
    with seldom_sought():
        try:
            app()
        except SystemExit as end:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # what came out has been said, and stays
            if isinstance(end.code, int) and "distributed" not in sys.modules:  # its threads must end first
                _leave(end.code)
            raise
        finally:
            no_more_sought()


def _leave(code: int) -> NoReturn:
    """End at once: to take apart what pandas and Arrow consist of costs a tenth of a second."""
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
    except BrokenPipeError:
        code = PIPE_CLOSED
    except OSError:
        code = code or USAGE
    atexit._run_exitfuncs()
    os._exit(code)
