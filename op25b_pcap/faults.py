"""Faults that are neither the captures' nor ours: the command line says them in their own words."""

from __future__ import annotations

import traceback
from pathlib import Path

_PLACE = "_place_in_worker"


class UsageFault(Exception):
    """What was asked for cannot be done; the text is a sentence for the user."""


class WorkerEnded(Exception):
    """A process that worked for this one is gone; the text is a sentence for the user."""


def place_of(fault: BaseException) -> str:
    """Where it was raised, in this process or in a worker."""
    last = traceback.extract_tb(fault.__traceback__)[-1]
    place: str = getattr(fault, _PLACE, f"{Path(last.filename).name} line {last.lineno}")
    return place


def in_worker(fault: Exception, place: str) -> Exception:
    """The same fault, which was raised there."""
    setattr(fault, _PLACE, place)
    return fault
