"""The octets of a conversation in the order in which they can be read.

The flows stage makes chunks, the mail stage reads them. A gap is data, not a failure.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Side(Enum):
    """Who sent it: the opener of the connection or the host that was called."""

    CLIENT = "client"
    SERVER = "server"

    __hash__ = object.__hash__  # Enum's own is a call of Python at every look into a dictionary

    @property
    def other(self) -> Side:
        """Who hears it."""
        return SERVER if self is CLIENT else CLIENT


CLIENT, SERVER = SIDES = tuple(Side)


class Chunk(NamedTuple):
    """A contiguous run of one side's octets."""

    side: Side
    time_ns: int
    """Time of the packet that made the run readable."""
    skipped: int
    """Octets of this side before `data` that no packet of the capture holds."""
    data: bytes


class Passage(NamedTuple):
    """Octets of one side that were looked at and passed over.

    No end of a message (CRLF.CRLF, or one with bare LFs) is in them, and none has its begin before
    them. The four octets behind are told, so that one is seen that begins in them.
    """

    side: Side
    octets: int
