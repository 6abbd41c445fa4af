"""Rows with blanks in them: what `mail` tells of a form, to be filled for many dialogues at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from op25b_pcap.forms.recite import WORD
from op25b_pcap.tables.sessions import SHARED
from op25b_pcap.tables.table import Column, Table, arrow_type

if TYPE_CHECKING:
    from op25b_pcap.scan.kernels import Kernels

_TEXT, _TEXTS, _NUMBERS = "string", "list<string>", ("uint32", "uint64")
"""Types of columns in which blanks may stand."""
_NULL = -1


class Spoken(NamedTuple):
    """What stood in the blanks of many dialogues."""

    text: NDArray[np.uint8]
    blanks: NDArray[np.int64]
    """Begin and end in the text; or a number, and -1."""


class Arrays(NamedTuple):
    """Programs, as `spell` describes them."""

    bounds: NDArray[np.int64]
    pieces: NDArray[np.int64]
    literals: NDArray[np.uint8]


class Programs:
    """What `spell` follows: the values of columns as literal pieces and blanks."""

    def __init__(self) -> None:
        self._literals = bytearray()
        self._pieces: list[tuple[int, int]] = []
        self._bounds = [0]
        self._arrays: Arrays | None = None

    def of_text(self, told: str) -> int:
        """The program of a text in which our words stand for blanks."""
        for index, part in enumerate(WORD.split(told)):
            if index % 2:
                self._pieces.append((int(part), -1))
            elif part:
                begin = len(self._literals)
                self._literals += part.encode()
                self._pieces.append((begin, len(self._literals)))
        return self._close()

    def of_number(self, told: int, numbers: Mapping[int, int]) -> int:
        """The program of a size to which the numbers of a form have added up."""
        for number, blank in numbers.items():
            if told & number:
                self._pieces.append((blank, -1))
                told -= number
        if told:
            self._pieces.append((told, 0))
        return self._close()

    def of_lines(self, count: int) -> int:
        """The program of so many blanks, a line each."""
        for line in range(count):
            if line:
                begin = len(self._literals)
                self._literals += b"\n"
                self._pieces.append((begin, begin + 1))
            self._pieces.append((line, -1))
        return self._close()

    def arrays(self) -> Arrays:
        """All of them, as the kernels want them."""
        if self._arrays is None:
            self._arrays = Arrays(
                np.array(self._bounds, np.int64),
                np.array(self._pieces, np.int64).reshape(-1, 2),
                np.frombuffer(bytes(self._literals), np.uint8),
            )
        return self._arrays

    def _close(self) -> int:
        self._arrays = None
        self._bounds.append(len(self._pieces))
        return len(self._bounds) - 2


class Patterns:
    """The rows with blanks of one table."""

    def __init__(self, table: Table, programs: Programs, kernels: Kernels) -> None:
        self._columns = [column for column in table.columns if column.name not in SHARED]
        self._programs = programs
        self._kernels = kernels
        self._constants: dict[str, list[Any]] = {column.name: [] for column in self._columns}
        self._of: dict[str, list[Any]] = {
            column.name: [] for column in self._columns if column.type in (_TEXT, _TEXTS, *_NUMBERS)
        }
        """Of each row its program, or several of a list; None: the value is null."""
        self._has_blanks: dict[str, list[bool]] = {name: [] for name in self._of}

    def add(self, row: Mapping[str, Any], numbers: Mapping[int, int]) -> int:
        """Take a row that was read from a recital; gives its number."""
        program: Any
        for column in self._columns:
            told = row.get(column.name)
            self._constants[column.name].append(told)
            if column.type in _NUMBERS:
                has_blanks = told is not None and told >= min(numbers, default=told + 1)
                program = None if told is None else self._programs.of_number(told, numbers)
            elif column.type == _TEXT:
                has_blanks = told is not None and WORD.search(told) is not None
                program = None if told is None else self._programs.of_text(told)
            elif column.type == _TEXTS:
                has_blanks = told is not None and any(map(WORD.search, told))
                program = None if told is None else [self._programs.of_text(text) for text in told]
            else:
                continue
            self._of[column.name].append(program)
            self._has_blanks[column.name].append(has_blanks)
        return len(self._constants[self._columns[0].name]) - 1

    def columns(
        self, which: NDArray[np.int64], firsts: NDArray[np.int64], spoken: Spoken
    ) -> dict[str, pa.Array]:
        """For each dialogue the row of that number, its blanks filled with those from `firsts` on."""
        used, places = np.unique(which, return_inverse=True)
        return {column.name: self._column(column, used, places, firsts, spoken) for column in self._columns}

    def _column(
        self,
        column: Column,
        used: NDArray[np.int64],
        places: NDArray[np.int64],
        firsts: NDArray[np.int64],
        spoken: Spoken,
    ) -> pa.Array:
        name = column.name
        has_blanks = self._has_blanks.get(name)
        if has_blanks is None or not any(has_blanks[row] for row in used):
            constants = self._constants[name]
            few = pa.array([constants[row] for row in used], arrow_type(column.type))
            return few.take(pa.array(places))
        programs = [self._of[name][row] for row in used]
        if column.type == _TEXTS:
            return self._lists(programs, places, firsts, spoken)
        own = np.array([_NULL if program is None else program for program in programs], np.int64)[places]
        if column.type == _TEXT:
            return texts(self._kernels, self._programs, own, firsts, spoken)
        bounds, pieces, _ = self._programs.arrays()
        sums = np.zeros(len(own), np.int64)
        self._kernels.add_numbers(own, firsts, bounds, pieces, spoken.blanks, sums)
        return pa.array(sums, mask=own == _NULL).cast(arrow_type(column.type))

    def _lists(
        self,
        programs: Sequence[Sequence[int] | None],
        places: NDArray[np.int64],
        firsts: NDArray[np.int64],
        spoken: Spoken,
    ) -> pa.Array:
        lengths = np.array([len(each or ()) for each in programs])
        before = np.cumsum(lengths) - lengths
        flat = np.array([program for each in programs for program in each or ()], np.int64)
        rows = lengths[places]
        ends = np.cumsum(rows)
        offsets = np.concatenate([[0], ends]).astype(np.int32)
        own = flat[np.repeat(before[places] - (ends - rows), rows) + np.arange(ends[-1])]
        told = texts(self._kernels, self._programs, own, np.repeat(firsts, rows), spoken)
        is_null = np.array([each is None for each in programs])[places]
        return pa.ListArray.from_arrays(pa.array(offsets), told, mask=pa.array(is_null))


def texts(
    kernels: Kernels, programs: Programs, own: NDArray[np.int64], firsts: NDArray[np.int64], spoken: Spoken
) -> pa.Array:
    """The texts of programs, -1 for null, whose blanks are those from `firsts` on."""
    bounds, pieces, literals = programs.arrays()
    ends = np.zeros(len(own) + 1, np.int64)
    kernels.measure_texts(own, firsts, bounds, pieces, spoken.blanks, ends)
    filled = np.empty(ends[-1], np.uint8)
    kernels.fill_texts(own, firsts, bounds, pieces, literals, spoken.blanks, spoken.text, filled)
    valid = pa.array(own != _NULL).buffers()[1]
    buffers = [valid, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(filled)]
    return pa.StringArray.from_buffers(len(own), *buffers[1:], buffers[0])
