"""What a worker needs, imported once by the process that workers are forked from."""

from __future__ import annotations

import os

from op25b_pcap.batch import assembling, joining, scanning
from op25b_pcap.circles import hardly_sought
from op25b_pcap.side_by_side import GIVING_WAY

__all__ = ["assembling", "joining", "scanning"]

hardly_sought()
# Workers are forked from whoever imports this. One process judges while they write: it is not to wait
# for a processor, since they wait for it in the end.
os.nice(GIVING_WAY)
