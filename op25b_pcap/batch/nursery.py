"""Where workers of this machine come from: a process that has imported all that they need.

Each is forked from there, and so is at work at once. That process does nothing else, since a lock
that was held would stay shut in the fork; it ends with the command that began it, however that ends.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing import forkserver

METHOD = "forkserver"
_EQUIPMENT = ["distributed", "op25b_pcap.batch.equipment"]


def begin() -> None:
    """Start it, if it was not; it gets ready while others go on."""
    multiprocessing.get_context(METHOD).set_forkserver_preload(_EQUIPMENT)
    forkserver.ensure_running()
