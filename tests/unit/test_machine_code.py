"""Machine code of kernels: called as they are, kept on disk, and not trusted blindly."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest

from op25b_pcap import compiled
from op25b_pcap.machine_code import Kernel, _object_code

PAIR = np.dtype([("one", "i8"), ("other", "i8")], align=True)


class Both(NamedTuple):
    pairs: object
    factor: int


def weighed(octets: object, both: Both, table: object, shift: int) -> tuple[int, int]:
    total = 0
    for index in range(len(octets)):
        total += octets[index] * both.pairs[index]["other"] + table[index, 1]
    table[0, 0] = total * both.factor + shift
    return total, len(table)


def doubled(numbers: object) -> None:
    for index in range(len(numbers)):
        numbers[index] *= 2


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A kernel of a function, its code kept in a folder."""

    def kernel(function, folder=tmp_path, text=compiled._text):
        return Kernel(function.__name__, compiled._results(function), partial(text, function), folder)

    def jitted():
        import numba

        return {function: numba.njit(function, **compiled._HOW) for function in (weighed, doubled)}

    monkeypatch.setattr(compiled, "_jitted", jitted)
    return kernel


def refused(*_):
    raise AssertionError("this must come from disk")


def arguments():
    pairs = np.array([(1, 10), (2, 20), (3, 65_535)], PAIR)
    return b"\1\2\xff", Both(pairs, -3), np.arange(6, dtype=np.int64).reshape(3, 2), np.int32(7)


def test_what_goes_in_and_comes_out(made):
    ours, pythons = arguments(), arguments()
    assert made(weighed)(*ours) == weighed(*pythons)
    assert ours[2].tolist() == pythons[2].tolist()


def test_code_is_compiled_once(made, tmp_path, caplog):
    compiled._say_why_it_takes_so_long.cache_clear()
    expected = made(weighed)(*arguments())
    assert len(list(tmp_path.iterdir())) == 1
    assert made(weighed, text=refused)(*arguments()) == expected
    assert [record.getMessage().partition(",")[0] for record in caplog.records] == [
        "compiling for this machine"
    ]


@pytest.mark.parametrize(
    "damage", [lambda octets: octets[:-1], lambda octets: b"", lambda octets: octets[::-1]]
)
def test_code_that_is_not_whole_is_made_anew(made, tmp_path, damage):
    expected = made(weighed)(*arguments())
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(damage(kept.read_bytes()))
    assert made(weighed)(*arguments()) == expected
    assert made(weighed, text=refused)(*arguments()) == expected


def test_without_a_folder(made, tmp_path):
    assert made(weighed, folder=None)(*arguments()) == weighed(*arguments())
    assert made(weighed, folder=tmp_path / "gone")(*arguments()) == weighed(*arguments())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", ["i8", "i4", "u1"])
def test_each_type_has_its_own_code(made, dtype):
    numbers = np.arange(5).astype(dtype)
    assert made(doubled)(numbers) is None
    assert numbers.tolist() == [0, 2, 4, 6, 8]


def test_only_arrays_as_c_lays_them_out(made):
    numbers = np.arange(6, dtype=np.int64)
    with pytest.raises(ValueError, match="doubled takes arrays only as C"):
        made(doubled)(numbers[::2])
    assert numbers.tolist() == [0, 1, 2, 3, 4, 5]


def test_many_threads_call_at_once(made, tmp_path):
    kernel = made(weighed)
    with ThreadPoolExecutor(8) as threads:
        told = {future.result() for future in [threads.submit(kernel, *arguments()) for _ in range(32)]}
    assert told == {weighed(*arguments())}
    assert len(list(tmp_path.iterdir())) == 1


def test_code_that_needs_what_is_not_there_is_refused():
    text = "declare i64 @nowhere()\ndefine i64 @f() {\n  %1 = call i64 @nowhere()\n  ret i64 %1\n}"
    with pytest.raises(ImportError, match="f needs nowhere"):
        _object_code(text, "f")
