"""The kernel of a run: from one record to the next, keeping rows of what is for us.

Out of what it passes over it makes numbers in a tally, and no object.
"""

from __future__ import annotations

from typing import Any

from op25b_pcap.capture import runs
from op25b_pcap.scan.dismissal import dismissal
from op25b_pcap.scan.frame import checksum, frame
from op25b_pcap.scan.row import (
    AT,
    CHECKSUM,
    END,
    FIRST_REASON,
    GO_ON,
    INTERFACE,
    LAYER,
    LENGTH,
    PART,
    RECORD,
    SEGMENT,
    TIME,
    UNCHECKED,
    UNSURE,
    VERDICT,
)


def sweep(data: bytes, table: Any, begin: int, kept: Any, skipped: Any, known: bytes) -> tuple[int, int]:
    """Look at records from number `begin` of a run's table on.

    Gives the number of rows kept and the record at which it stopped: because it is
    UNSURE or a PART, as the next row's VERDICT says, because there is no room for another row, or
    because it is none.
    """
    count = 0
    for index in range(begin, len(table)):
        if count == len(kept):
            return count, index
        start, end = table[index, runs.START], table[index, runs.START] + table[index, runs.CAPTURED]
        verdict = dismissal(data, start, end, table[index, runs.LINK_TYPE], known)
        if verdict != GO_ON:
            skipped[verdict] += 1
            continue
        row, record = kept[count], table[index]
        row[LAYER] = record[runs.LINK_TYPE]
        row[AT] = start
        row[END] = end
        row[LENGTH] = max(record[runs.LENGTH], record[runs.CAPTURED])
        verdict = frame(data, row, known)
        if verdict >= FIRST_REASON:
            skipped[verdict] += 1
            continue
        row[VERDICT] = verdict
        if verdict in (UNSURE, PART):
            return count, index
        if verdict == SEGMENT and row[CHECKSUM] == UNCHECKED:
            row[CHECKSUM] = checksum(data, row)
        row[RECORD] = index
        row[TIME] = record[runs.TIME]
        row[INTERFACE] = record[runs.INTERFACE]
        count += 1
    return count, len(table)
