"""From the arguments of a command line to the captures they mean.

In: files, folders, globs, and `-` for stdin. Out: paths, each capture once, in natural order
whatever the order of the arguments. What is named is always taken, and if it is no capture,
reading it says so; in a folder only what begins like a capture is taken, or has the name of one.
"""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from op25b_pcap.capture.disk import STDIN
from op25b_pcap.capture.names import means_capture, natural, path_order
from op25b_pcap.capture.reading import is_capture
from op25b_pcap.faults import UsageFault


class NothingToRead(UsageFault):
    """An argument means no capture; the message says which, and why."""


def find(arguments: Sequence[str], passed_over: list[Path] | None = None) -> list[Path]:
    """All captures that the arguments mean. Raises NothingToRead for one that means none.

    Files in folders that are no captures are appended to `passed_over`. Hidden files and
    folders, and links to folders, are not looked at unless they are named.
    """
    other = [] if passed_over is None else passed_over
    return _once([path for argument in arguments for path in _meant(argument, other)])


def _meant(argument: str, passed_over: list[Path]) -> list[Path]:
    if argument == str(STDIN):
        if sys.stdin and sys.stdin.isatty():
            raise NothingToRead("nothing to read: stdin is a terminal")
        return [STDIN]
    named = [argument] if _exists(argument) else glob.glob(argument, recursive=True)  # noqa: PTH207 - a whole pattern, from any root
    if not named:
        raise NothingToRead(f"nothing to read: there is no {argument!r}")
    taken: list[Path] = []
    for name in named:
        path = Path(name)
        if path.is_dir():
            for file in files_below(path):
                is_meant = means_capture(file.name) or is_capture(file) or file.is_dir()
                (taken if is_meant else passed_over).append(file)
        else:
            taken.append(path if path != STDIN else Path.cwd() / path)
    if not taken:
        raise NothingToRead(f"nothing to read: {argument!r} holds no capture (flow logs are for `batch`)")
    return taken


def _exists(name: str) -> bool:
    """Whether there is such a file; also if it may not be looked at, which reading it will say."""
    try:
        Path(name or "\0").stat()  # an empty argument is no name of this folder
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:
        return True
    return True


def files_below(folder: Path) -> Iterator[Path]:
    """All regular files below a folder, in natural order, but for the hidden ones.

    And at the end folders that may not be looked into, which reading them will say.
    """
    refused: list[OSError] = []
    for place, folders, files in os.walk(folder, onerror=refused.append):
        folders[:] = sorted((name for name in folders if not name.startswith(".")), key=natural)
        for name in sorted(files, key=natural):
            path = Path(place, name)
            if not name.startswith(".") and path.is_file():
                yield path
    yield from (Path(fault.filename) for fault in refused if isinstance(fault, PermissionError))


def _once(paths: list[Path]) -> list[Path]:
    """Each file once, by the first of its names; links of both kinds are names too."""
    known: dict[object, Path] = {}
    for path in sorted(set(paths), key=path_order):
        try:
            status = path.stat()
            identity: object = (status.st_dev, status.st_ino)
        except (OSError, ValueError):
            identity = path
        known.setdefault(identity, path)
    return list(known.values())
