"""What DNS said in captures, in columns, as it came.

In: responses over UDP, as packets or as swept rows of a run. Out: `MESSAGES`, some thousands together,
for whoever takes them: which of them matter is known when all attempts are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa

from op25b_pcap.tables.packets import DnsMessage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from op25b_pcap.capture.runs import Run

MESSAGES = pa.schema({"time_ns": pa.int64(), "client": pa.binary(), "payload": pa.binary()})
"""Columns of `DnsMessage`."""
_TOGETHER, _OCTETS = 1 << 14, 4 << 20
"""Messages that are handed on together, and their octets; more of one message, if it has more."""
_CLIENT = 17
"""Octets in which an address stands, and before them how many they are."""


class Copying(Protocol):
    """Kernels that copy messages out of a run."""

    @property
    def window(self) -> Callable[[memoryview], Any]:
        """A window as they want it."""

    @property
    def hear(self) -> Callable[..., int]:
        """`assembly.settle.hear`."""


class Messages:
    """Messages until there are some."""

    def __init__(self, take: Callable[[pa.RecordBatch], None], kernels: Copying | None = None) -> None:
        """`take` is given what has come; without kernels there may be no runs."""
        self._take, self._kernels = take, kernels
        self._octets = np.empty(_OCTETS, np.uint8)
        self._ends, self._times_ns = np.zeros(_TOGETHER + 1, np.int32), np.zeros(_TOGETHER, np.int64)
        self._clients = np.zeros((_TOGETHER, _CLIENT), np.uint8)
        self._count = 0

    def settle(self, run: Run, kept: NDArray[np.int64], which: NDArray[np.int64]) -> None:
        """Take those rows that are answers of DNS, out of all that a sweep has kept."""
        if self._kernels is None:
            raise ValueError("rows, and no kernels that made them")
        window, begin = self._kernels.window(run.window), 0
        while begin < len(which):
            into = (self._octets, self._ends, self._times_ns, self._clients)
            before = self._count
            self._count = self._kernels.hear(window, kept, which, begin, into, before)
            begin += self._count - before
            if begin < len(which):
                self._hand_on(len(run.window))

    def add(self, message: DnsMessage) -> None:
        """Take one."""
        size, begin = len(message.payload), int(self._ends[self._count])
        if self._count == _TOGETHER or begin + size > len(self._octets):
            self._hand_on(size)
            begin = 0
        self._octets[begin : begin + size] = np.frombuffer(message.payload, np.uint8)
        cells = bytes([len(message.client)]) + message.client
        self._clients[self._count, : len(cells)] = np.frombuffer(cells, np.uint8)
        self._times_ns[self._count] = message.time_ns
        self._count += 1
        self._ends[self._count] = begin + size

    def close(self) -> None:
        """All have come."""
        self._hand_on(0)

    def _hand_on(self, room: int) -> None:
        """Give what there is away, and have room for a message of that size."""
        count, self._count = self._count, 0
        if count:
            ends = self._ends[: count + 1]
            sizes = self._clients[:count, 0].astype(np.int32)
            of_clients = np.cumsum(np.append(np.int32(0), sizes), dtype=np.int32)
            is_address = np.arange(_CLIENT - 1) < sizes[:, None]
            columns = [
                pa.array(self._times_ns[:count].copy()),
                _binary(of_clients, self._clients[:count, 1:][is_address]),
                _binary(ends.copy(), self._octets[: ends[-1]].copy()),
            ]
            self._take(pa.record_batch(columns, MESSAGES))
        if room > len(self._octets):
            self._octets = np.empty(room, np.uint8)


def octets_of(column: pa.Array) -> tuple[bytes, NDArray[np.int64]]:
    """The octets of values, one behind the other, and where each ends."""
    if not len(column):
        return b"", np.empty(0, np.int64)
    _, edges, octets = column.buffers()
    ends = np.frombuffer(edges, np.int32)[column.offset : column.offset + len(column) + 1].astype(np.int64)
    data = bytes(memoryview(octets)[ends[0] : ends[-1]]) if octets is not None else b""
    return data, ends[1:] - ends[0]


def _binary(ends: NDArray[np.int32], octets: NDArray[np.uint8]) -> pa.Array:
    """Values that end there, behind a 0."""
    return pa.BinaryArray.from_buffers(
        pa.binary(), len(ends) - 1, [None, pa.py_buffer(ends), pa.py_buffer(octets)]
    )
