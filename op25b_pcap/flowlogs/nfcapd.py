"""nfcapd's own files, read by the command `nfdump`: their format is its business.

In: pieces of octets. Out: the entries of what the command prints, for mail ports only. Where it
is not installed, or fails, a sentence says so and the file costs itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from typing import IO

from op25b_pcap.capture.octets import Broken
from op25b_pcap.flowlogs.entry import Entry, Log
from op25b_pcap.flowlogs.nfdump import csv
from op25b_pcap.wire.services import SERVICES

COMMAND = "nfdump"
MAGICS = (b"\x0c\xa5\x01\x00", b"\x0c\xa5\x02\x00", b"\xa5\x0c\x00\x01", b"\xa5\x0c\x00\x02")
"""0xA50C and the layout of the file, 1 up to nfdump 1.6 and 2 since 1.7, in both byte orders."""
_COLUMNS = ("ts", "te", "pr", "sa", "da", "sp", "dp", "flg", "pkt", "byt", "opkt")
# Not %tsr and %ter, seconds since 1970: 1.7.1 loses a digit of their fraction.
_FORMAT = "fmt:%ts,%te,%pr,%sa,%da,%sp,%dp,%flg,%pkt,%byt,%opkt"
_PIECE = 1 << 16
_PATIENCE_S = 60
_OCTETS_PER_S = 1 << 20
"""How long the command may take: a minute, and a second for each MiB, a hundredth of its speed."""


def nfcapd(pieces: Iterator[bytes], log: Log) -> Iterator[Entry]:
    """Entries of an nfcapd file; `number` counts the records that concern mail."""
    command = shutil.which(COMMAND)
    if command is None:
        log.damaged(0, "an nfcapd file is read by the command nfdump, which is not installed")
        return
    with tempfile.NamedTemporaryFile(prefix="op25b-nfcapd-") as file:
        try:
            for piece in pieces:
                file.write(piece)
        except Broken as fault:
            log.damaged(file.tell(), str(fault))
        file.flush()
        yield from _listed(command, file.name, file.tell(), log)


def _listed(command: str, path: str, size: int, log: Log) -> Iterator[Entry]:
    """What the command prints of a file on disk."""
    ports = " or ".join(f"port {port}" for port in SERVICES)
    call = [command, "-r", path, "-q", "-N", "-6", "-o", _FORMAT, f"proto tcp and ({ports})"]
    environment = {**os.environ, "TZ": "UTC", "LC_ALL": "C"}
    with subprocess.Popen(
        call, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        patience = threading.Timer(_PATIENCE_S + size / _OCTETS_PER_S, process.kill)
        patience.start()
        try:
            yield from csv(_pieces(process.stdout), log, _COLUMNS)
            if status := process.wait():
                log.damaged(0, f"nfdump could not read all of the file (status {status})")
        finally:
            patience.cancel()
            process.kill()  # where nobody wants to read on


def _pieces(stdout: IO[bytes] | None) -> Iterator[bytes]:
    while stdout is not None and (piece := stdout.read(_PIECE)):
        yield piece
