"""Names of captures: their natural order, and as much of a path as tells one from another."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

_DIGITS = re.compile(r"([0-9]+)")
_COMPRESSED = r"\.(gz|zst|zstd|xz|bz2|lz4)$"
_OF_COMPRESSIONS = re.compile(_COMPRESSED, re.IGNORECASE)
_OF_CAPTURES = re.compile(rf"\.(pcap|pcapng|cap|dmp|ntar)[-_.0-9]*($|{_COMPRESSED})", re.IGNORECASE)
"""Behind the ending may stand a number or a date, as rotation has it, and a compression."""
Key = tuple[tuple[str | int, ...], str]


def natural(text: str) -> Key:
    """A key that sorts `tap.pcap`, `tap9.pcap`, `tap10.pcap` so; no two texts have the same."""
    *parts, last = _DIGITS.split(text)
    # Text before a number ends in a digit, so that it sorts like one among other characters.
    return (*(int(part) if at % 2 else part + "0" for at, part in enumerate(parts)), last), text


def path_order(path: Path) -> tuple[Key, Key]:
    """A key that sorts paths naturally: by their last part, then by the whole."""
    return natural(path.name), natural(str(path))


def means_capture(name: str) -> bool:
    """Whether who calls a file so means a capture, whatever is in it."""
    return _OF_CAPTURES.search(name) is not None


def unpacked_name(path: str) -> str:
    """The path without the ending of a compression, if it has one."""
    return _OF_COMPRESSIONS.sub("", path)


def short_names(paths: Sequence[Path]) -> list[str]:
    """For each of several different paths its base name or, if others share it, the shortest unique end.

    Printable, whatever the file system holds.
    """
    depths = [1] * len(paths)
    while True:
        names = ["/".join(path.parts[-depth:]) for path, depth in zip(paths, depths, strict=True)]
        shared = Counter(names)
        deeper = [
            depth + (shared[name] > 1 and depth < len(path.parts))
            for path, name, depth in zip(paths, names, depths, strict=True)
        ]
        if deeper == depths:
            return [_printable(name) for name in names]
        depths = deeper


def _printable(name: str) -> str:
    """The name without what a terminal would obey and no table could hold."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
