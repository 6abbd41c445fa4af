"""What `op25b-pcap[cluster]` brings: imported where it is needed, and missed in a sentence."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from op25b_pcap.faults import UsageFault


def needed(module: str, what_for: str) -> Any:
    """An optional module. Raises UsageFault with the command that installs it."""
    try:
        return import_module(module)
    except ImportError as fault:
        raise UsageFault(
            f"{what_for} needs {fault.name or module}: pip install 'op25b-pcap[cluster]'"
        ) from None
