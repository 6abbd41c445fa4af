"""What is said while a batch is under way."""

from __future__ import annotations

import io

from rich.console import Console

from op25b_pcap.batch.account import Account
from op25b_pcap.batch.progress import shown
from op25b_pcap.batch.watching import Watching


def run(watching: Watching) -> None:
    watching.begins("scan", 2, 3_000_000)
    watching.scanned(Account("1.pcap", 1_000_000, 0, records=1200))
    watching.scanned(Account("2.pcap", 2_000_000, 0, records=34))
    watching.begins("assemble", 1)
    watching.assembled(1500)
    watching.begins("judge", 2)
    watching.judged({"blocked": 1, "leak": 900, "allowed": 7000})
    watching.judged({"blocked": 599})


def test_in_a_log_each_stage_says_how_far_it_is_and_what_was_found():
    lines: list[str] = []
    with shown(Console(file=io.StringIO()), lines.append, every_s=0) as watching:
        run(watching)
    assert lines == [
        "reading pieces: 0 of 2, 0 bytes of 3.0 MB",
        "reading pieces: 1 of 2, 1.0 MB of 3.0 MB; 1,200 packets",
        "reading pieces: 2 of 2, 3.0 MB of 3.0 MB; 1,234 packets",
        "assembling conversations: 0 of 1; 1,234 packets",
        "assembling conversations: 1 of 1; 1,234 packets, 1,500 attempts",
        "judging: 0 of 2; 1,234 packets, 1,500 attempts",
        "judging: 1 of 2; 900 leak, 1 blocked",
        "judging: 2 of 2; 900 leak, 600 blocked",
    ]


def test_a_terminal_shows_the_same_in_one_line():
    terminal = io.StringIO()
    console = Console(file=terminal, force_terminal=True, width=80)
    with shown(console, lambda _: None, every_s=0) as watching:
        run(watching)
        console.print("", end="")
    told = terminal.getvalue()
    assert "judging" in told
    assert "2/2  900 leak, 600 blocked" in told
