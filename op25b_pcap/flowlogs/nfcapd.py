"""nfcapd's own files, read by the command `nfdump`: their format is its business.

In: pieces of octets. Out: the entries of what the command prints, for mail ports only. Where it
is not installed, or fails, a sentence says so and the file costs itself. The command ends with
status 0 also where it could read nothing: what it says on stderr is believed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import IO

from op25b_pcap.capture.octets import Broken
from op25b_pcap.flowlogs.entry import Entry, Log
from op25b_pcap.flowlogs.fields import visible
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
_MOST_SAID = 300
"""Octets kept of what the command says."""
_LATE = slice(24, 40)
"""What stands last in the head of layout 2, where the appendix lies and how many blocks there are, is
written last (nffile.h, fileHeaderV2_t)."""


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
        if _has_no_end(Path(file.name)):
            log.damaged(0, "nfcapd has not finished its head: the file ends too early")
            return
        yield from _listed(command, file.name, file.tell(), log)


def _listed(command: str, path: str, size: int, log: Log) -> Iterator[Entry]:
    """What the command prints of a file on disk."""
    ports = " or ".join(f"port {port}" for port in SERVICES)
    call = [command, "-r", path, "-q", "-N", "-6", "-o", _FORMAT, f"proto tcp and ({ports})"]
    environment = {**os.environ, "TZ": "UTC", "LC_ALL": "C"}
    with subprocess.Popen(
        call, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        patience = threading.Timer(_PATIENCE_S + size / _OCTETS_PER_S, process.kill)
        patience.start()
        said = bytearray()
        listener = threading.Thread(target=_hear, args=(process.stderr, said), daemon=True)
        listener.start()
        try:
            yield from csv(_pieces(process.stdout), log, _COLUMNS, UTC)
            status = process.wait()
            listener.join()
            if status or said:
                log.damaged(0, _sentence(status, bytes(said), path))
        finally:
            patience.cancel()
            process.kill()  # where nobody wants to read on
            listener.join()


def _pieces(output: IO[bytes] | None) -> Iterator[bytes]:
    while output is not None and (piece := output.read(_PIECE)):
        yield piece


def _hear(stderr: IO[bytes] | None, said: bytearray) -> None:
    """Keep the beginning, and let the rest pass: a command that nobody listens to stands still."""
    for piece in _pieces(stderr):
        said += piece[: _MOST_SAID - len(said)]


def _sentence(status: int, said: bytes, path: str) -> str:
    """What went wrong, in one line; the file that the command was given has a name by chance."""
    text = re.sub(rf"(?:file )?'?{re.escape(path)}'?", "the file", said.decode("utf-8", "replace"))
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    told = visible("; ".join(lines))
    number = f" (status {status})" if status else ""
    return f"nfdump could not read all of the file{number}" + (f": {told}" if told else "")


def _has_no_end(path: Path) -> bool:
    """Whether something follows a head that names neither blocks nor appendix: nfdump takes it for empty."""
    with path.open("rb") as file:
        head, follows = file.read(_LATE.stop), file.read(1)
    return bool(follows) and head.startswith((MAGICS[1], MAGICS[3])) and not any(head[_LATE])
