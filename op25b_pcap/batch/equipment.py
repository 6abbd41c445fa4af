"""What a worker needs, imported once by the process that workers are forked from."""

from __future__ import annotations

from op25b_pcap.batch import assembling, joining, scanning
from op25b_pcap.circles import hardly_sought

__all__ = ["assembling", "joining", "scanning"]

hardly_sought()
