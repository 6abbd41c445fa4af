"""The pieces of an inbox: a folder, a glob, a file, or a URL of these.

Hidden files are not looked at, nor what lies in the lake. Nothing is opened.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from op25b_pcap.batch.account import Piece
from op25b_pcap.batch.files import files, filesystem
from op25b_pcap.capture.names import path_order
from op25b_pcap.capture.opening import files_below
from op25b_pcap.faults import UsageFault

_NEVER = datetime.fromtimestamp(0, UTC)


def pieces(inbox: str, lake: str) -> list[Piece]:
    """All files that the inbox means, in natural order. Raises UsageFault if there is no such place."""
    found = _far(inbox, lake) if "://" in inbox else _here(inbox, lake)
    return sorted(found, key=lambda piece: path_order(Path(piece.path)))


def named(inbox: str) -> list[str]:
    """The folders and files of this machine that it names, if it is no URL. Raises UsageFault for none."""
    found = [inbox] if "://" in inbox or Path(inbox).exists() else glob.glob(inbox, recursive=True)  # noqa: PTH207 - a whole pattern
    if not found:
        raise UsageFault(f"nothing to read: there is no {inbox!r}")
    return found


@contextmanager
def opened(path: str) -> Iterator[Path]:
    """A path of this machine at which a piece can be read."""
    if "://" not in path:
        yield Path(path)
        return
    folder, _, name = path.rpartition("/")
    with files(folder).opened(name) as here:
        yield here


def size_and_time(path: Path) -> tuple[int, int]:
    """Size of a file here, and when it was written. Raises OSError."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _here(inbox: str, lake: str) -> Iterator[Piece]:
    places = named(inbox)
    own = "" if "://" in lake else os.path.realpath(lake)
    if own and any(Path(os.path.realpath(name)).is_relative_to(own) for name in places):
        raise UsageFault(f"{inbox} lies in the lake itself: captures need a folder of their own")
    seen: set[str] = set()
    for name in places:
        for path in files_below(Path(name)) if Path(name).is_dir() else [Path(name)]:
            real = os.path.realpath(path)
            if real in seen or (own and Path(real).is_relative_to(own)):
                continue
            seen.add(real)
            try:
                size, mtime_ns = size_and_time(path)
            except OSError:
                continue  # it has gone in this moment, as rotation takes files away
            yield Piece(str(path.absolute()), size, mtime_ns)


def _far(inbox: str, lake: str) -> Iterator[Piece]:
    fs, base = filesystem(inbox)
    scheme = inbox.partition("://")[0]
    own = filesystem(lake)[1].rstrip("/") + "/" if lake.startswith(f"{scheme}://") else None
    fs.invalidate_cache()
    found = fs.glob(base, detail=True) if glob.has_magic(base) else fs.find(base, detail=True)
    if not found:
        raise UsageFault(f"nothing to read: there is no {inbox!r}")
    for path, told in found.items():
        is_hidden = any(part.startswith(".") for part in path.removeprefix(base).split("/"))
        if told.get("type", "file") == "file" and not is_hidden and not (own and path.startswith(own)):
            yield Piece(fs.unstrip_protocol(path), int(told["size"]), _written_ns(told))


def _written_ns(told: dict[str, Any]) -> int:
    """When an object was written, as far as its store says."""
    written = told.get("LastModified") or told.get("mtime") or told.get("updated") or _NEVER
    if isinstance(written, (int, float)):
        return int(written * 1e9)
    if isinstance(written, str):
        written = datetime.fromisoformat(written)
    return int(written.timestamp() * 1e9)
