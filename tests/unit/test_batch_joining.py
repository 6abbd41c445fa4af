"""What pieces have set aside, in the order of all their times."""

from __future__ import annotations

import resource
from pathlib import Path

from op25b_pcap.batch.joining import _merged
from op25b_pcap.capture.aside import OF_ONE, Aside
from op25b_pcap.capture.record import Record, in_time


def test_pieces_of_which_each_has_a_damaged_time_are_not_open_together(tmp_path):
    kept, paths = [], []
    for piece in range(100):
        own = sorted(
            (
                Record(piece, number, 0 if number == 150 else piece * 200 + number, 1, 0, 60, bytes(60))
                for number in range(1, 151)
            ),
            key=in_time,
        )
        waiting = Aside(tmp_path / str(piece), OF_ONE, "lz4", 64)
        for record in own:
            waiting.add(record)
        waiting.close()
        kept += own
        paths.append(waiting.path)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(int(open_.name) for open_ in Path("/proc/self/fd").iterdir()) + 20
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, before[1]))
    try:
        assert [*_merged(paths)] == sorted(kept, key=in_time)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
