from __future__ import annotations

import pytest

from op25b_pcap.capture.record import Record
from op25b_pcap.capture.writing import write
from op25b_pcap.faults import UsageFault
from tests.capture_files import ETHERNET, RAW, START, read

RECORDS = [
    Record(0, 7, START + 1, ETHERNET, 3, 60, b"abc"),
    Record(1, 2, START + 2, RAW, 0, 4, b"abcd"),
    Record(0, 9, START, ETHERNET, 0, 0, b""),
]


def test_what_is_written_is_read_again(tmp_path):
    assert write(RECORDS, tmp_path / "out.pcapng") == 3
    records, capture = read(tmp_path / "out.pcapng")
    assert [record[2:4] + record[5:] for record in records] == [
        record[2:4] + record[5:] for record in RECORDS
    ]
    assert [record.interface for record in records] == [0, 1, 0]
    assert (capture.format, capture.damages) == ("pcapng", [])


def test_no_records_are_an_empty_capture(tmp_path):
    assert write([], tmp_path / "out.pcapng") == 0
    assert read(tmp_path / "out.pcapng")[1].damages == []


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "out.pcapng"
    path.write_bytes(b"old")

    def failing():
        yield RECORDS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(failing(), path)
    assert path.read_bytes() == b"old"
    write(RECORDS, path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.pcapng"]


def test_only_the_owner_may_read_packets(tmp_path):
    write(RECORDS, tmp_path / "out.pcapng")
    assert (tmp_path / "out.pcapng").stat().st_mode & 0o077 == 0


def test_a_folder_that_is_not_there_is_a_fault_of_the_call(tmp_path):
    with pytest.raises(UsageFault, match=r"^cannot write "):
        write(RECORDS, tmp_path / "no" / "out.pcapng")
