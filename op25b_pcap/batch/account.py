"""What is known of a piece that was read: one JSON file, written last, so that it stands for all.

A piece is done if and only if its account is there; everything else about it lies under the
digest of its octets, which every worker would write alike.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal, NamedTuple

from op25b_pcap.capture.observation import Capture, Damage

State = Literal["done", "damaged", "duplicate", "unfinished", "unreadable", "foreign"]


class Piece(NamedTuple):
    """A file of the inbox as it was found."""

    path: str
    """A path of this machine, or a URL."""
    size: int
    mtime_ns: int
    """When it was last written."""


@dataclass(slots=True)
class Account:
    """One piece, or one reading of all the fragments that pieces have set aside."""

    path: str
    size: int
    mtime_ns: int
    sha256: str = ""
    kind: str = "capture"
    """Or the kind of a flow log."""
    state: State = "done"
    reason: str = ""
    format: str = ""
    compression: str = ""
    read: int = 0
    decoded: int = 0
    by_scapy: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    records: int = 0
    """Packets of a capture, lines of a log."""
    unread: int | None = None
    """See `Capture`."""
    began_ns: int = -1
    """Time of the first packet in the file; -1 if there is none."""
    opens: str = ""
    """Digest of the first packet or entry; empty if there is none."""
    first_time_ns: int | None = None
    last_time_ns: int | None = None
    damages: list[tuple[int, str]] = field(default_factory=list)
    layers: list[Sequence[int]] = field(default_factory=list)
    """Of each layer the octets of its parts."""
    aside: int = 0
    """Records that were set aside because of fragments."""
    heard: int = 0
    """Messages of DNS that were set aside until it is known whether their addresses matter."""
    answers: bool = False
    """Whether other messages of DNS taught something."""
    hints: str = ""
    """What the reader of a log was told besides: another word makes other entries."""
    was: Sequence[str] = ()
    """Digests of other pieces in whose place this one counts: see `outgrown`."""
    compared: Sequence[str] = ()
    """Digests of all those with which it was compared for that."""
    unpacks_to: tuple[int, str] = (0, "")
    """Of a packed piece how many octets could be unpacked, and their digest."""

    @property
    def name(self) -> str:
        """The name of the account's file."""
        place = hashlib.blake2b(self.path.encode("utf-8", "surrogateescape"), digest_size=10).hexdigest()
        return f"{place}-{self.sha256[:20]}.json"

    @property
    def piece(self) -> Piece:
        """What was read."""
        return Piece(self.path, self.size, self.mtime_ns)

    def is_read_as(self, hints: str) -> bool:
        """Whether it would say the same if it were read anew; a capture does not ask."""
        return self.kind == "capture" or self.hints == hints

    @property
    def unpacked(self) -> tuple[int, str]:
        """How many octets it is unpacked, and their digest."""
        return self.unpacks_to if self.compression else (self.size, self.sha256)

    @property
    def content(self) -> str:
        """Under which name lies what was made of it.

        A log says the same however it is packed, and may be read with other hints when one form has gone.
        """
        return self.unpacks_to[1] if self.compression and self.kind != "capture" else self.sha256

    @property
    def is_known(self) -> bool:
        """Whether a later run need not read it again."""
        return bool(self.sha256) and self.state != "unfinished"

    @property
    def counts(self) -> bool:
        """Whether there is something in it that belongs to the lake."""
        return self.state in ("done", "damaged")

    def octets(self) -> bytes:
        """The file."""
        told = {field.name: getattr(self, field.name) for field in fields(self)}
        return json.dumps({**told, "layers": [list(sizes) for sizes in self.layers]}).encode()

    def capture(self, name: str) -> Capture:
        """The same as `analyze` has it."""
        path = Path(self.path)
        damages = [Damage(name, offset, reason) for offset, reason in self.damages]
        return Capture(
            name,
            path,
            self.size,
            self.format or self.kind,
            self.compression,
            self.records,
            self.unread,
            self.first_time_ns,
            self.last_time_ns,
            damages,
            reckoned=lambda: self.sha256,
        )


def digest_of_first(told: bytes) -> str:
    """What tells pieces that begin alike, of the first packet or entry."""
    return hashlib.blake2b(told, digest_size=16).hexdigest()


def account_of(octets: bytes) -> Account:
    """The account in a file."""
    account = Account(**json.loads(octets))
    account.layers = compact(account.layers)
    octets_, digest = account.unpacks_to
    account.unpacks_to = octets_, digest
    if isinstance(account.was, str):  # in lakes of earlier versions
        account.was = [account.was] if account.was else []
    return account


def compact(layers: Iterable[Sequence[int]]) -> list[Sequence[int]]:
    """Long lists as numbers of eight octets: a lake may have ten thousands of pieces."""
    return [array("q", sizes) for sizes in layers]
