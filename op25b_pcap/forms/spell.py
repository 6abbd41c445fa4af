"""The kernels that fill columns: literal pieces and what stood in blanks, one row after the other.

A program is pieces `pieces[bounds[p]:bounds[p + 1]]`, rows of two numbers: octets of `literals` from
here to there; or, if the second is -1, the blank of that number, counted from the row's first.
"""

from __future__ import annotations

from typing import Any


def measure_texts(programs: Any, firsts: Any, bounds: Any, pieces: Any, blanks: Any, ends: Any) -> None:
    """Of each row's text, where it ends; program -1 writes nothing."""
    end = 0
    for row in range(len(programs)):
        program = programs[row]
        if program >= 0:
            for piece in range(bounds[program], bounds[program + 1]):
                begin, close = pieces[piece, 0], pieces[piece, 1]
                if close < 0:
                    blank = firsts[row] + begin
                    begin, close = blanks[blank, 0], blanks[blank, 1]
                end += close - begin
        ends[row + 1] = end


def fill_texts(
    programs: Any, firsts: Any, bounds: Any, pieces: Any, literals: Any, blanks: Any, text: Any, filled: Any
) -> None:
    """Write these texts one after the other."""
    used = 0
    for row in range(len(programs)):
        program = programs[row]
        if program < 0:
            continue
        for piece in range(bounds[program], bounds[program + 1]):
            begin, close = pieces[piece, 0], pieces[piece, 1]
            if close >= 0:
                for at in range(begin, close):
                    filled[used] = literals[at]
                    used += 1
                continue
            blank = firsts[row] + begin
            for at in range(blanks[blank, 0], blanks[blank, 1]):
                filled[used] = text[at]
                used += 1


def add_numbers(programs: Any, firsts: Any, bounds: Any, pieces: Any, blanks: Any, sums: Any) -> None:
    """Of each row the sum of its blanks, which are numbers; of a literal piece the first number counts."""
    for row in range(len(programs)):
        program = programs[row]
        if program < 0:
            continue
        for piece in range(bounds[program], bounds[program + 1]):
            number = pieces[piece, 0]
            if pieces[piece, 1] < 0:
                number = blanks[firsts[row] + number, 0]
            sums[row] += number
