"""Kernels as machine code: kept on disk, and loaded without the compiler that made it.

numba needs half a second to be imported and to make ready what it has compiled before, a worker
some tenths more. Machine code itself is there in milliseconds. So a kernel is compiled together
with an entry, a function of one address at which words stand for what it is called with: a number
for itself, an array for where its object lies, in which NumPy says where it begins and how long it
is in each dimension. Bytes are an array of octets, and tuples stand for their members.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Lock
from typing import Any

import numpy as np

Kind = Any
"""What an argument is: None, a number; (dtype, dimensions), an array; (class, kinds …), a tuple."""
Compile = Callable[[str, tuple[Kind, ...]], str]
"""LLVM's text of an entry, by its own name and the kinds of arguments."""
OBJECT = object.__basicsize__
DATA, LENGTHS, FLAGS = OBJECT, OBJECT + 16, OBJECT + 48
"""Where an array's object says this (NumPy's C API, `PyArrayObject_fields`)."""
IS_C_CONTIGUOUS = 1
_OCTETS = (np.dtype(np.uint8), 1)
_STATUS_WORDS = 2
"""Before the others: what the entry gives, which is 0 if all is well; and for numba's use."""
_RESULTS = 3
"""The first of the others are the kernel's results, so many at most."""
_FIRST = _STATUS_WORDS + _RESULTS
_DIGEST = 32
_ONE_AT_A_TIME = Lock()
_IN_EVERY_PROCESS = ("llvm.", "mem")
"""How names begin of what code may call that is not in it: LLVM's own, and C's memcpy and the like."""


class Kernel:
    """A function of numbers, arrays and tuples of these."""

    def __init__(self, name: str, results: int, compile_: Compile, folder: Path | None) -> None:
        """`results`: how many numbers it gives; `folder`: where code is kept, if anywhere."""
        self._name = name
        self._results = results
        self._compile = compile_
        self._folder = folder
        self._entries: dict[tuple[Kind, ...], Any] = {}

    def __call__(self, *arguments: Any) -> Any:
        """The kernel's number, or numbers, if it gives any."""
        words, held = [0] * _FIRST, list[Any]()
        kinds = tuple([_told(argument, words, held) for argument in arguments])
        entry = self._entries.get(kinds) or self._entry(kinds)
        packed = (ctypes.c_int64 * len(words))(*words)
        at = ctypes.addressof(packed)
        if entry(at, at + 8, at + 16) or packed[0]:
            raise ValueError(f"kernel {self._name} takes arrays only as C lays them out")
        if self._results == 1:
            return packed[_STATUS_WORDS]
        return tuple(packed[_STATUS_WORDS : _STATUS_WORDS + self._results]) if self._results else None

    def _entry(self, kinds: tuple[Kind, ...]) -> Any:
        """The entry for such arguments: from disk, or compiled now."""
        with _ONE_AT_A_TIME:
            if kinds not in self._entries:
                self._entries[kinds] = self._made(kinds)
            return self._entries[kinds]

    def _made(self, kinds: tuple[Kind, ...]) -> Any:
        cpu = _machine_name()
        told = hashlib.blake2b(f"{cpu} {kinds_text(kinds)}".encode(), digest_size=8).hexdigest()
        symbol = f"op25b_{self._name}_{told}"
        path = self._folder / f"{self._name}-{told}.o" if self._folder else None
        code = _kept(path) if path else None
        if code is None:
            code = _object_code(self._compile(symbol, kinds), symbol)
            if path:
                _keep(path, code)
        return _loaded(code, symbol)


def entry_source(name: str, kinds: tuple[Kind, ...], results: int) -> tuple[str, dict[str, Any]]:
    """Python of an entry, and what it names beside `kernel`, `words_at`, `array` and `is_contiguous`."""
    names: dict[str, Any] = {}
    numbers = iter(range(_RESULTS, 1 << 16))
    arrays: list[str] = []
    told = ", ".join(_expression(kind, numbers, names, arrays) for kind in kinds)
    lines = [f"words = words_at(address, {next(numbers)})"]
    lines += [f"if not is_contiguous({array}): return 1" for array in arrays]
    lines.append(f"result = kernel({told})")
    if results == 1:
        lines.append("words[0] = result")
    elif results:
        lines += [f"words[{index}] = result[{index}]" for index in range(results)]
    return f"def {name}(address):\n    " + "\n    ".join([*lines, "return 0"]), names


def _expression(kind: Kind, numbers: Iterator[int], names: dict[str, Any], arrays: list[str]) -> str:
    """How an entry reads an argument out of its words."""
    if kind is None:
        return f"words[{next(numbers)}]"
    what, *more = kind
    name = f"what{len(names)}"
    names[name] = what
    if isinstance(what, np.dtype):
        arrays.append(f"words[{next(numbers)}]")
        return f"array({arrays[-1]}, {name}, {more[0]})"
    members = "".join(f"{_expression(one, numbers, names, arrays)}, " for one in more)
    return f"({members})" if what is tuple else f"{name}({members})"


def kinds_text(kinds: tuple[Kind, ...]) -> str:
    """Kinds in words that are the same in every process."""
    told = []
    for kind in kinds:
        if kind is None:
            told.append("number")
        elif isinstance(kind[0], np.dtype):
            told.append(f"{kind[0].descr} {kind[0].isalignedstruct} {kind[1]}")
        else:
            told.append(f"{kind[0].__name__}({kinds_text(kind[1:])})")
    return "; ".join(told)


def _told(argument: Any, words: list[int], held: list[Any]) -> Kind:
    """Put an argument into words, and what must be there as long into `held`; gives its kind."""
    if isinstance(argument, np.ndarray):
        words.append(id(argument))
        return argument.dtype, argument.ndim
    if isinstance(argument, tuple):
        return (type(argument), *[_told(member, words, held) for member in argument])
    if isinstance(argument, (bytes, bytearray, memoryview)):
        held.append(np.frombuffer(argument, np.uint8))
        words.append(id(held[-1]))
        return _OCTETS
    words.append(int(argument))
    return None


def _object_code(text: str, symbol: str) -> bytes:
    """Machine code of LLVM's text, in which one function is seen from outside."""
    from llvmlite import binding

    module = binding.parse_assembly(text)
    for each in (*module.functions, *module.global_variables):
        if not each.is_declaration:
            each.linkage = "external" if each.name == symbol else "internal"
        elif not each.name.startswith(_IN_EVERY_PROCESS):
            raise ImportError(f"kernel {symbol} needs {each.name}")
    code: bytes = _machine().emit_object(module)
    return code


def _loaded(code: bytes, symbol: str) -> Any:
    from llvmlite import binding

    engine = _engine()
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = engine.get_function_address(symbol)
    if not address:
        raise ImportError(f"kernel {symbol} is not in its code")
    # Called so, the lock on Python's objects is free meanwhile.
    return ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 3)(address)


@cache
def _engine() -> Any:
    from llvmlite import binding

    return binding.create_mcjit_compiler(binding.parse_assembly(""), _machine())


@cache
def _machine() -> Any:
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    target = binding.Target.from_default_triple()
    features = binding.get_host_cpu_features().flatten()
    return target.create_target_machine(opt=3, jit=True, cpu=binding.get_host_cpu_name(), features=features)


@cache
def _machine_name() -> str:
    """What this machine can do: code of another may be lost on it, and its folder may be shared."""
    from llvmlite import binding

    features = binding.get_host_cpu_features().flatten()
    return f"{binding.get_process_triple()} {binding.get_host_cpu_name()} {features}"


def _kept(path: Path) -> bytes | None:
    """Code from disk; None if it isn't there, or isn't whole."""
    try:
        octets = path.read_bytes()
    except OSError:
        return None
    digest, code = octets[:_DIGEST], octets[_DIGEST:]
    return code if hashlib.sha256(code).digest() == digest else None


def _keep(path: Path, code: bytes) -> None:
    """Put code on disk, all at once; without room there it is made again next time."""
    try:
        with NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(hashlib.sha256(code).digest() + code)
        Path(file.name).replace(path)
    except OSError:
        return
