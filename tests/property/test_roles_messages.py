"""Answers of DNS in columns: the same ones as packet by packet, however little room there is."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from op25b_pcap.capture.runs import Run
from op25b_pcap.compiled import kernels
from op25b_pcap.roles import dns as answers_room
from op25b_pcap.roles import messages as room
from op25b_pcap.roles.dns import Answers
from op25b_pcap.roles.messages import MESSAGES, Messages, octets_of
from op25b_pcap.scan import row as cell
from op25b_pcap.scan.packets import answer
from op25b_pcap.tables.packets import DnsMessage
from op25b_pcap.wire import ip
from tests.unit.test_roles_dns import A_ANSWER, MX, MX_ANSWER, MX_V6, texts, wire

MESSAGE = st.builds(
    DnsMessage,
    st.integers(-(1 << 62), 1 << 62),
    st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16),
    st.binary(max_size=40),
)


def row_of(message: DnsMessage, at: int) -> tuple[list[int], bytes]:
    """What a sweep would keep of a message that begins at that place with the end of its IP header."""
    row, version = [0] * cell.WIDTH, 4 if len(message.client) == 4 else 6
    row[cell.VERDICT], row[cell.TIME], row[cell.IP_VERSION] = cell.ANSWER, message.time_ns, version
    row[cell.IP_AT] = at
    before = ip.IPV4_ENDS + 4 if version == 4 else ip.IPV6_ENDS + 16
    octets = bytes(before) + message.client + message.payload
    row[cell.END] = at + len(octets)
    row[cell.AT] = row[cell.END] - len(message.payload)
    return row, octets


@given(st.lists(MESSAGE, max_size=9), st.integers(1, 5), st.integers(1, 90), st.integers(1, 4))
def test_rows_and_packets_are_the_same_columns(messages, together, room_for, every):
    rows: list[list[int]] = []
    window = bytearray()
    for message in messages:
        row, octets = row_of(message, len(window))
        rows.append(row)
        window += octets
    run = Run(0, 1, memoryview(bytes(window)), np.empty((0, 6), np.int64))
    kept = np.array(rows, np.int64).reshape(-1, cell.WIDTH)
    which = np.arange(0, len(rows), every)
    expected = messages[::every]
    assert [answer(run.window, row) for row in rows[::every]] == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "_TOGETHER", together)
        patch.setattr(room, "_OCTETS", room_for)
        taken: list[list[pa.RecordBatch]] = [[], []]
        by_row, by_packet = (Messages(batches.append, kernels()) for batches in taken)
        by_row.settle(run, kept, which)
        by_row.close()
        for message in expected:
            by_packet.add(message)
        by_packet.close()
    assert all(len(batch) <= together for batches in taken for batch in batches)
    for batches in taken:
        table = pa.Table.from_batches(batches, MESSAGES)
        assert [DnsMessage(**row) for row in table.to_pylist()] == expected


@given(st.lists(st.binary(max_size=9), max_size=5), st.integers(0, 5), st.integers(0, 5))
def test_octets_of_a_column_lie_one_behind_the_other(values, begin, count):
    octets, ends = octets_of(pa.array(values, pa.binary()).slice(begin, count))
    assert [octets[a:b] for a, b in zip([0, *ends], ends, strict=False)] == values[begin:][:count]


@pytest.mark.parametrize("reader", [None, kernels().read_messages])
def test_what_waits_in_a_file_says_the_same(reader, monkeypatch):
    others = [wire(f"d{n}.example.", f"d{n}.example. MX 10 mx.example.com.") for n in range(5)]
    told = [A_ANSWER, *others, MX_ANSWER, wire("mx.example.com.", "mx.example.com. A 192.0.2.9")]
    batches: list[pa.RecordBatch] = []
    for number, payload in enumerate(told):
        messages = Messages(batches.append)
        messages.add(DnsMessage(number, bytes(4), payload))
        messages.close()
    found = []
    for most in (1 << 20, 3_000, 0):
        monkeypatch.setattr(answers_room, "_MOST_UNREAD", most)
        with tempfile.TemporaryDirectory() as folder:
            answers = Answers(reader, folder=Path(folder))
            for batch in batches:
                answers.hear(batch)
            assert Path(folder, "messages.arrow").exists() == (most < 1 << 20)
            assert answers.have_heard
            found.append((answers.said(texts(MX, MX_V6)), answers.lookups()))
    assert len(found[0][0].domains) == 12
    assert found[1:] == found[:1] * 2
