"""The kernels that are called from outside of them, compiled or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from op25b_pcap.capture.runs import Walks

Kernel = Callable[..., Any]


class Kernels(NamedTuple):
    """Each is described where it stands: in `capture.runs`, `scan`, `assembly`, `forms` and `wire.dns`."""

    window: Callable[[memoryview], Any]
    """A window as the kernels want it."""
    walks: Walks
    frame: Kernel
    sweep: Kernel
    found: Kernel
    where_of: Kernel
    conversation_of: Kernel
    settle: Kernel
    hear: Kernel
    gather: Kernel
    resettle: Kernel
    group: Kernel
    place: Kernel
    pass_over: Kernel
    courses_of: Kernel
    spell_digests: Kernel
    spell_community_ids: Kernel
    spell_ipv4: Kernel
    forms_of: Kernel
    plain_of: Kernel
    measure_texts: Kernel
    fill_texts: Kernel
    add_numbers: Kernel
    read_messages: Kernel
