"""The kernels, compiled by numba and kept on disk for the next run.

The kernels' modules know nothing of numba: they run as they stand, and here a copy of their
functions is compiled that calls its like. What was compiled (`machine_code`) lies in a folder named
after the text of all modules that went into it, and is used from then on without numba. Where no
folder can be written, it is compiled anew in every run.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
from collections.abc import Sequence
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

import op25b_pcap
from op25b_pcap import machine_code
from op25b_pcap.assembly import copies, course, group, midst, settle, skim, spans, spell, text
from op25b_pcap.capture import runs
from op25b_pcap.capture.observation import Observation
from op25b_pcap.forms import imap, message, pen, pop3, retrieval, scribe, smtp, tls, write
from op25b_pcap.forms import spell as spell_forms
from op25b_pcap.machine_code import DATA, FLAGS, IS_C_CONTIGUOUS, LENGTHS, Kernel, Kind, entry_source
from op25b_pcap.scan import below_ip, dismissal, frame, ip, sweep, udp_tunnels, view
from op25b_pcap.scan.kernels import Kernels
from op25b_pcap.wire import dns, words

_FORMS = (pen, message, tls, smtp, retrieval, pop3, imap, write, scribe, spell_forms)
_MODULES = (
    words,
    runs,
    view,
    below_ip,
    ip,
    udp_tunnels,
    frame,
    dismissal,
    sweep,
    skim,
    settle,
    group,
    spans,
    copies,
    text,
    course,
    midst,
    spell,
    *_FORMS,
    dns,
)
"""In the order in which they call each other: a function comes after what it calls."""
_CALLED: tuple[Any, ...] = (
    runs.pcap_walk,
    runs.pcapng_walk,
    frame.frame,
    sweep.sweep,
    settle.found,
    settle.where_of,
    settle.conversation_of,
    settle.settle,
    settle.hear,
    settle.gather,
    settle.resettle,
    group.group,
    group.place,
    midst.pass_over,
    course.courses_of,
    spell.spell_digests,
    spell.spell_community_ids,
    spell.spell_ipv4,
    write.forms_of,
    scribe.plain_of,
    spell_forms.measure_texts,
    spell_forms.fill_texts,
    spell_forms.add_numbers,
    dns.read_messages,
)
"""What is called from outside, in the order of `Kernels`."""
_SOURCES = ("wire", "scan", "capture", "decode", "assembly", "flows", "forms", "tables")
"""Folders whose modules go into the kernels, as code or as numbers."""


WORTHWHILE = 2 << 20
"""Octets of capture from which on compiled kernels save more than the twentieth of a second that it
takes to load them; as Python, the scan takes some 8 µs a record, and a flow of mail .7 ms."""
WORTH_COMPILING = 128 << 20
"""The same where they must be compiled first, which takes some fifteen seconds, once on a machine,
and as much again for those of `forms` where there are many dialogues."""


def is_available() -> bool:
    """Whether numba is installed."""
    return find_spec("numba") is not None


def is_at_hand(kernel: str = "sweep") -> bool:
    """Whether it, and so those that are called with it, has been compiled before, and kept."""
    folder = _folder()
    return folder is not None and any(folder.glob(f"{kernel}-*.o"))


@cache
def kernels() -> Kernels:
    """The compiled kernels. On a new machine each is compiled when it is called first."""
    folder = _folder()
    pcap, pcapng, *others = (
        Kernel(function.__name__, _results(function), partial(_text, function), folder)
        for function in _CALLED
    )
    return Kernels(partial(np.frombuffer, dtype=np.uint8), runs.Walks(pcap, pcapng), *others)


def _results(function: Any) -> int:
    """How many numbers a kernel gives."""
    told: str = function.__annotations__["return"]
    return told.count("int")


def _text(function: Any, symbol: str, kinds: tuple[Kind, ...]) -> str:
    """LLVM's text of a kernel with an entry of that name for such arguments."""
    import numba

    _say_why_it_takes_so_long()
    source, names = entry_source(symbol, kinds, _results(function))
    scope = {"kernel": _jitted()[function], **_readers()}
    made: dict[str, Any] = {}
    exec(source, scope | names, made)
    entry = numba.njit(made[symbol], **_HOW)
    entry.compile((numba.int64,))
    (whole,) = entry.overloads.values()
    text: str = whole.library.get_llvm_str()
    return text.replace(f"@{whole.fndesc.llvm_func_name}(", f"@{symbol}(")


@cache
def _say_why_it_takes_so_long() -> None:
    logging.getLogger(__name__).warning("compiling for this machine, once: it takes about a minute")


_HOW = {
    # They make no arrays; to count who holds one takes two thirds of their time.
    "_nrt": False,
    # They are called by way of an entry's address only.
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}


def _readers() -> dict[str, Any]:
    """What an entry reads its arguments with, by name, for numba."""
    from numba.core import cgutils, types
    from numba.extending import intrinsic
    from numba.np import arrayobj

    def loaded(builder: Any, address: Any, offset: int, of: Any) -> Any:
        """What stands so far behind an address."""
        place = builder.add(address, address.type(offset))
        return builder.load(builder.inttoptr(place, of.as_pointer()))

    def made_array(context: Any, builder: Any, whole: Any, data: Any, lengths: Sequence[Any]) -> Any:
        found = arrayobj.make_array(whole)(context, builder)
        size = context.get_constant(types.intp, arrayobj.get_itemsize(context, whole))
        strides, step = [], size
        for length in reversed(lengths):
            strides.append(step)
            step = builder.mul(step, length)
        begin = builder.inttoptr(data, found.data.type)
        arrayobj.populate_array(found, begin, lengths, strides[::-1], size, meminfo=None)
        return found._getvalue()

    @intrinsic  # type: ignore[untyped-decorator]
    def words_at(_: Any, address: Any, count: Any) -> Any:
        whole = types.Array(types.int64, 1, "C")

        def made(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
            return made_array(context, builder, whole, arguments[0], [arguments[1]])

        return whole(types.int64, types.int64), made

    @intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
    def array(_: Any, address: Any, dtype: Any, dimensions: Any) -> Any:
        whole = types.Array(dtype.dtype, dimensions.literal_value, "C")

        def made(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
            at = arguments[0]
            lengths_at = loaded(builder, at, LENGTHS, at.type)
            lengths = [loaded(builder, lengths_at, 8 * one, at.type) for one in range(whole.ndim)]
            return made_array(context, builder, whole, loaded(builder, at, DATA, at.type), lengths)

        return whole(types.int64, dtype, dimensions), made

    @intrinsic  # type: ignore[untyped-decorator]
    def is_contiguous(_: Any, address: Any) -> Any:
        def made(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
            flags = loaded(builder, arguments[0], FLAGS, cgutils.int32_t)
            return cgutils.is_not_null(builder, builder.and_(flags, flags.type(IS_C_CONTIGUOUS)))

        return types.boolean(types.int64), made

    return {"words_at": words_at, "array": array, "is_contiguous": is_contiguous}


@cache
def _jitted() -> dict[Any, Any]:
    """Copies of the kernels' functions as numba wants them, by what they are copies of."""
    import numba

    compiled: dict[Any, Any] = {}
    for module in _MODULES:
        # Each module keeps its own names: two may use one for different things.
        scope = {name: compiled.get(id(value), value) for name, value in vars(module).items()}
        for name, function in _functions(module).items():
            copy = FunctionType(function.__code__, scope, name)
            scope[name] = compiled[id(function)] = numba.njit(copy, **_HOW)
    return {function: compiled[id(function)] for function in _CALLED}


def kernels_for(octets: int | None) -> Kernels | None:
    """Compiled kernels where they save more time than they cost; None of `octets` is a pipe."""
    size = WORTH_COMPILING if octets is None else octets
    if size < WORTHWHILE:
        return None
    if not is_available() or (size < WORTH_COMPILING and not is_at_hand()):
        return None
    return kernels()


def kernels_to_read(observation: Observation) -> Kernels | None:
    """Compiled kernels where captures are worth it; what seems small may unpack to much."""
    kernels = kernels_for(observation.octets_expected)
    return kernels or kernels_for(observation.octets_unpacked(WORTH_COMPILING))


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
    for path in (Path(__file__), Path(machine_code.__file__), *sources):
        digest.update(path.read_bytes())
    return digest.hexdigest()
