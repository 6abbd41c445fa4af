"""Where workers of this machine come from: a process that has imported all that they need.

Each is forked from there, and so is at work at once. That process does nothing else, since a lock
that was held would stay shut in the fork; it ends with the command that began it, however that ends.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver

METHOD = "forkserver"
_EQUIPMENT = ["distributed", "op25b_pcap.batch.equipment"]


def begin() -> None:
    """Start it, if it was not; it gets ready while others go on."""
    multiprocessing.get_context(METHOD).set_forkserver_preload(_EQUIPMENT)
    with _no_interrupts():
        forkserver.ensure_running()


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """What is begun meanwhile ignores Ctrl-C, which a terminal sends to all: the command sees to it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
