"""What a worker needs, imported once by the process that workers are forked from."""

from __future__ import annotations

import os

from op25b_pcap.batch import assembling, joining, scanning
from op25b_pcap.circles import hardly_sought
from op25b_pcap.side_by_side import GIVING_WAY

__all__ = ["assembling", "joining", "scanning"]

hardly_sought()
# Who judges does so alone while workers write; that they get on is of use when it has ended.
os.nice(GIVING_WAY)
