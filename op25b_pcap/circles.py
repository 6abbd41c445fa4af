"""Python's search for objects that hold each other, told where it is in vain.

Millions of tuples are made and none is in a circle: to look for circles as often as Python does by
itself costs a fifth of a run, and some tenths of a second while modules are loaded.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_TUPLES_BETWEEN_SEARCHES = 500_000
"""Python's own is 700."""


@contextmanager
def seldom_sought() -> Iterator[None]:
    """Circles are looked for once in half a million new objects."""
    before = gc.get_threshold()
    gc.set_threshold(_TUPLES_BETWEEN_SEARCHES, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def hardly_sought() -> None:
    """The same from now on, and never among what there is now: workers begin so."""
    gc.freeze()
    gc.set_threshold(_TUPLES_BETWEEN_SEARCHES, *gc.get_threshold()[1:])


def no_more_sought() -> None:
    """What there is now is never looked at again, not even at the end of the process."""
    gc.freeze()
