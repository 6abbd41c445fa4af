"""The packets of some flows, out of the captures that they were found in.

In: rows of `flows`, and captures. Out: their records, as the captures hold them, in order of time.
The captures are scanned as in an analysis, and only what has the ports of a wanted flow becomes a
packet; then they are read once more for the records of those that are wanted. Memory: eight octets a
packet of the flows.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from op25b_pcap.capture.aside import OF_SEVERAL, Aside, by_time
from op25b_pcap.capture.observation import Observation
from op25b_pcap.capture.record import Record
from op25b_pcap.capture.runs import Run
from op25b_pcap.compiled import kernels_to_read
from op25b_pcap.decode import Tally
from op25b_pcap.flows.wanted import Wanted
from op25b_pcap.scan import row as cell
from op25b_pcap.scan.engine import Scan, join, packet_of, record_of
from op25b_pcap.tables.packets import DnsMessage, IcmpError, TcpSegment

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NO_ROWS = np.empty(0, np.int64)
_PORT_BITS = 17
"""Of a port, or of none."""


def carved(flows: Sequence[Mapping[str, Any]], captures: Iterable[Path]) -> Iterator[Record]:
    """The records of these flows, and of errors that quote them; of fragments what `dissect` names.

    A flow needs the columns that `Wanted` asks for, and both ports.
    """
    paths = list(captures)
    observation = Observation(paths)
    kernels = kernels_to_read(observation)
    walks = kernels and kernels.walks
    found = _Found(flows)
    with TemporaryDirectory(prefix="op25b-pcap-", ignore_cleanup_errors=True) as folder:
        aside = Aside(Path(folder) / "aside.arrow", OF_SEVERAL)
        Scan(Tally(), aside.add, kernels).settle(observation.items(walks, in_order=False), found, _Unheard())
        aside.close()
        if aside.count:
            join(by_time(aside), Tally(), found, _Unheard())
    numbers = found.numbers()
    for item in Observation(paths).items(walks):
        wanted = numbers.get(item.capture, _NO_ROWS)
        if isinstance(item, Run):
            begin, end = np.searchsorted(wanted, [item.number, item.number + len(item.table)])
            for number in wanted[begin:end].tolist():
                yield record_of(item, number - item.number)
        else:
            at = np.searchsorted(wanted, item.number)
            if at < len(wanted) and wanted[at] == item.number:
                yield item


class _Found:
    """Takes what a scan gives, and keeps where the packets of wanted flows stand."""

    def __init__(self, flows: Sequence[Mapping[str, Any]]) -> None:
        self._wanted = Wanted(flows)
        self._ports = np.unique([_pair(row["src_port"], row["dst_port"]) for row in flows])
        self._numbers: dict[int, array[int]] = defaultdict(lambda: array("q"))

    def settle(self, run: Run, kept: NDArray[np.int64]) -> NDArray[np.int64]:
        """Look through swept rows; there is none that anybody else wants."""
        src, dst = kept[:, cell.SRC_PORT], kept[:, cell.DST_PORT]
        pairs = np.minimum(src, dst) + 1 << _PORT_BITS | np.maximum(src, dst) + 1
        for row in kept[np.isin(pairs, self._ports)].tolist():
            packet = packet_of(run, row)
            if not isinstance(packet, DnsMessage):
                self.add(packet)
        return _NO_ROWS

    def add(self, packet: TcpSegment | IcmpError) -> None:
        """Keep where it stands if it is wanted."""
        if packet in self._wanted:
            self._numbers[packet.seen.capture].append(packet.seen.number)

    def numbers(self) -> Mapping[int, NDArray[np.int64]]:
        """The numbers of the records in each capture, rising: fragments came last, one may hold several."""
        return {
            capture: np.unique(np.frombuffer(numbers, np.int64)) for capture, numbers in self._numbers.items()
        }


class _Unheard:
    """Takes answers of DNS, which belong to no flow."""

    def settle(self, run: Run, kept: NDArray[np.int64], which: NDArray[np.int64]) -> None:
        """Let them go."""

    def add(self, message: DnsMessage) -> None:
        """Let it go."""


def _pair(*ports: int | None) -> int:
    """Two ports as one number, whichever comes first."""
    low, high = sorted(0 if port is None else port + 1 for port in ports)
    return low << _PORT_BITS | high
