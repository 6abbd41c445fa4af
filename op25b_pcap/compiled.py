"""The kernels, compiled by numba and kept on disk for the next run.

The kernels' modules know nothing of numba: they run as they stand, and here a copy of their
functions is compiled that calls its like. What was compiled lies in a folder named after the
text of all modules that went into it, because numba itself would look at one file only. Where
no folder can be written, it is compiled anew in every run.
"""

from __future__ import annotations

import hashlib
import os
import sys
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

import op25b_pcap
from op25b_pcap.assembly import course, settle, skim, spell
from op25b_pcap.capture import runs
from op25b_pcap.forms import imap, message, pen, pop3, smtp, tls, write
from op25b_pcap.forms import spell as spell_forms
from op25b_pcap.scan import below_ip, dismissal, frame, ip, sweep, udp_tunnels, view
from op25b_pcap.scan.kernels import Kernels

_FORMS = (pen, message, tls, smtp, pop3, imap, write, spell_forms)
_MODULES = (
    runs,
    view,
    below_ip,
    ip,
    udp_tunnels,
    frame,
    dismissal,
    sweep,
    settle,
    skim,
    course,
    spell,
    *_FORMS,
)
"""In the order in which they call each other: a function comes after what it calls."""
_CALLED = (
    runs.pcap_walk,
    runs.pcapng_walk,
    frame.frame,
    sweep.sweep,
    settle.found,
    settle.where_of,
    settle.conversation_of,
    settle.settle,
    settle.gather,
    skim.skim,
    course.courses_of,
    spell.spell_digests,
    spell.spell_community_ids,
    spell.spell_ipv4,
    write.forms_of,
    spell_forms.measure_texts,
    spell_forms.fill_texts,
    spell_forms.add_numbers,
)
"""What is called from outside, in the order of `Kernels`."""
_SOURCES = ("wire", "scan", "capture", "decode", "assembly", "flows", "forms", "tables")
"""Folders whose modules go into the kernels, as code or as numbers."""


WORTHWHILE = 8 << 20
"""Octets of capture from which on compiled kernels save more than the third of a second that it
takes to load them; as Python, the scan takes some 8 µs a record."""
WORTH_COMPILING = 128 << 20
"""The same where they must be compiled first, which takes some fifteen seconds, once on a machine,
and as much again for those of `forms` where there are many dialogues."""


def is_available() -> bool:
    """Whether numba is installed."""
    return find_spec("numba") is not None


def is_at_hand() -> bool:
    """Whether they have been compiled before, and kept."""
    folder = _folder()
    return folder is not None and any(folder.rglob("sweep.*.nbc"))


@cache
def kernels() -> Kernels:
    """The compiled kernels. The first call imports numba, and on a new machine compiles."""
    import numba
    from numba.core import config

    folder = _folder()
    if folder is not None:
        vars(config)["CACHE_DIR"] = str(folder)
    compiled: dict[Any, Any] = {}
    for module in _MODULES:
        # Each module keeps its own names: two may use one for different things.
        scope = {name: compiled.get(id(value), value) for name, value in vars(module).items()}
        for name, function in _functions(module).items():
            copy = FunctionType(function.__code__, scope, name)
            # What only kernels call needs no way in from Python, which takes a third of the time.
            is_inside = function not in _CALLED
            scope[name] = numba.njit(
                copy,
                cache=folder is not None,
                nogil=True,
                # They make no arrays; to count who holds one takes two thirds of their time.
                _nrt=False,
                no_cpython_wrapper=is_inside,
                no_cfunc_wrapper=True,
            )
            compiled[id(function)] = scope[name]
    pcap, pcapng, *others = (compiled[id(function)] for function in _CALLED)
    return Kernels(partial(np.frombuffer, dtype=np.uint8), runs.Walks(pcap, pcapng), *others)


def kernels_for(octets: int | None) -> Kernels | None:
    """Compiled kernels where they save more time than they cost; None of `octets` is a pipe."""
    size = WORTH_COMPILING if octets is None else octets
    if size < WORTHWHILE:
        return None
    if not is_available() or (size < WORTH_COMPILING and not is_at_hand()):
        return None
    return kernels()


def _functions(module: ModuleType) -> dict[str, FunctionType]:
    """The functions that a module defines itself, by name."""
    return {
        name: function
        for name, function in vars(module).items()
        if isinstance(function, FunctionType) and function.__module__ == module.__name__
    }


def _folder() -> Path | None:
    """Where compiled code is kept; None if nowhere."""
    chosen = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    try:
        folder = (Path(chosen) if chosen else Path.home() / ".cache") / "op25b-pcap" / _fingerprint()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    # Code is run from there: it must be nobody else's.
    is_ours = folder.stat().st_uid == os.getuid() and not folder.stat().st_mode & 0o022
    return folder if is_ours and os.access(folder, os.W_OK) else None


def _fingerprint() -> str:
    """A name that changes with the text of any module that the kernels are made of, and of this one."""
    digest = hashlib.blake2b(sys.version.encode(), digest_size=8)
    root = Path(op25b_pcap.__file__).parent
    sources = [path for source in _SOURCES for path in sorted((root / source).glob("*.py"))]
    for path in (Path(__file__), *sources):
        digest.update(path.read_bytes())
    return digest.hexdigest()
