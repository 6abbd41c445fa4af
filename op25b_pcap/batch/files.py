"""Files here or far away: paths of this machine, and URLs of whatever fsspec reaches.

A file is written whole or not at all: here by renaming it, in an object store by one put.
"""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from op25b_pcap.batch.extra import needed


class Files:
    """The files below a folder, by their names relative to it."""

    def __init__(self, root: str) -> None:
        """The folder need not be there yet."""
        self.root = root
        self.is_local = "://" not in root
        self._path = Path(root)

    def below(self, name: str) -> Files:
        """The files of a folder in it."""
        return _files(f"{self.root.rstrip('/')}/{name}")

    def read(self, name: str) -> bytes:
        """A file's octets. Raises FileNotFoundError."""
        return (self._path / name).read_bytes()

    def write(self, name: str, octets: bytes) -> None:
        """A file of these octets in the place of what is there."""
        with self.scratch() as folder:
            (folder / "whole").write_bytes(octets)
            self.put(folder / "whole", name)

    def put(self, path: Path, name: str) -> None:
        """Move a finished file of `scratch` in, in the place of what is there."""
        target = self._path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)

    def names(self, suffix: str = "") -> list[str]:
        """All files below, but for hidden ones, in order."""
        if not self._path.is_dir():
            return []
        found = (path for path in self._path.rglob(f"*{suffix}") if path.is_file())
        names = (path.relative_to(self._path) for path in found)
        return sorted(str(name) for name in names if not any(part[0] == "." for part in name.parts))

    def remove(self, name: str) -> None:
        """Take a file away, if it is there, and its folder, if that is empty then."""
        path = self._path / name
        path.unlink(missing_ok=True)
        if path.parent != self._path:
            with suppress(OSError):  # there is something else in it, or it has gone
                path.parent.rmdir()

    def clear(self) -> None:
        """Take all files away."""
        for name in self.names():
            self.remove(name)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder of this machine for files that are not finished; `put` takes them from there."""
        folder = self._path / f".scratch-{uuid.uuid4().hex}"
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def opened(self, name: str) -> Iterator[Path]:
        """A path of this machine at which the file can be read."""
        yield self._path / name

    def sweep(self) -> None:
        """Take away what killed runs have left unfinished."""
        for folder in self._path.glob(".scratch-*"):
            shutil.rmtree(folder, ignore_errors=True)


class _Far(Files):
    """The same elsewhere."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self._fs, self._base = filesystem(root)

    def read(self, name: str) -> bytes:
        octets: bytes = self._fs.cat_file(f"{self._base}/{name}")
        return octets

    def write(self, name: str, octets: bytes) -> None:
        self._fs.pipe_file(f"{self._base}/{name}", octets)

    def put(self, path: Path, name: str) -> None:
        self._fs.put_file(str(path), f"{self._base}/{name}")

    def names(self, suffix: str = "") -> list[str]:
        self._fs.invalidate_cache()
        found = (str(path).removeprefix(f"{self._base}/") for path in self._fs.find(self._base))
        return sorted(name for name in found if name.endswith(suffix))

    def remove(self, name: str) -> None:
        if self._fs.exists(f"{self._base}/{name}"):
            self._fs.rm_file(f"{self._base}/{name}")

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="op25b-pcap-", ignore_cleanup_errors=True) as folder:
            yield Path(folder)

    @contextmanager
    def opened(self, name: str) -> Iterator[Path]:
        with self.scratch() as folder:
            path = folder / Path(name).name
            self._fs.get_file(f"{self._base}/{name}", str(path))
            yield path

    def sweep(self) -> None:
        """Nothing is left unfinished there."""


def files(root: str) -> Files:
    """The files below a folder of this machine, or below a URL."""
    return _files(root)


def _files(root: str) -> Files:
    return Files(root) if "://" not in root else _Far(root.rstrip("/"))


def filesystem(url: str) -> tuple[Any, str]:
    """The file system behind a URL, by fsspec, and what the URL is called there."""
    core = needed("fsspec.core", "a URL as inbox or lake")
    fs, base = core.url_to_fs(url)
    return fs, str(base)
