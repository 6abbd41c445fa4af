"""Packets to flows by the kernels, in the form in which `flows` tells them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from op25b_pcap.assembly.flows import Assembly, Usual
from op25b_pcap.compiled import kernels
from op25b_pcap.flows import flows
from op25b_pcap.tables.packets import IcmpError, TcpSegment
from op25b_pcap.tables.streams import Chunk


def merged(chunks: Iterable[Chunk]) -> list[Chunk]:
    """Chunks of one side that follow each other as one; when they came does not count."""
    told: list[Chunk] = []
    for chunk in chunks:
        if told and not chunk.skipped and told[-1].side is chunk.side:
            told[-1] = told[-1]._replace(data=told[-1].data + chunk.data)
        else:
            told.append(chunk._replace(time_ns=0))
    return told


def by_reference(packets: Iterable[TcpSegment | IcmpError]) -> list:
    told = [(flow.row, merged(flow.chunks)) for flow in flows(packets)]
    return sorted(told, key=lambda flow: flow[0]["flow_id"])


def assembled(packets: Iterable[TcpSegment | IcmpError], shares: int = 1) -> tuple[list, int]:
    """The same, and how many of the flows the kernels have told."""
    told, usual = [], 0
    with TemporaryDirectory() as folder:
        assembly = Assembly(kernels(), Path(folder))
        for packet in packets:
            assembly.store.add(packet)
        items = [item for share in assembly.shares(shares) for item in share()]
    for item in items:
        if isinstance(item, Usual):
            rows = pa.table(item.columns).to_pylist()
            usual += len(rows)
            told += [(row, merged(item.chunks(index))) for index, row in enumerate(rows)]
        else:
            told.append((item.row, merged(item.chunks)))
    return sorted(told, key=lambda flow: flow[0]["flow_id"]), usual
