"""Where compiled kernels are kept, and when they are used."""

from __future__ import annotations

import numpy as np
import pytest

from op25b_pcap import compiled
from op25b_pcap.compiled import kernels_for
from op25b_pcap.samples.frames import ip
from tests.encapsulations import CLIENT, SERVER, record, segment
from tests.scans import as_runs, scanned


def test_small_captures_do_without():
    assert kernels_for(compiled.WORTHWHILE - 1) is None
    assert kernels_for(0) is None


def test_large_captures_and_pipes_are_compiled():
    assert kernels_for(compiled.WORTH_COMPILING) is compiled.kernels()
    assert kernels_for(None) is compiled.kernels()


@pytest.mark.parametrize("at_hand", [True, False])
def test_middling_captures_if_that_was_done_before(at_hand, monkeypatch):
    monkeypatch.setattr(compiled, "is_at_hand", lambda: at_hand)
    assert kernels_for(compiled.WORTHWHILE) is (compiled.kernels() if at_hand else None)


def test_at_hand_is_what_lies_in_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert not compiled.is_at_hand()
    (compiled._folder() / "sweep-0123456789abcdef.o").write_bytes(b"")
    assert compiled.is_at_hand()


def test_without_numba_everything_goes_as_python(monkeypatch):
    monkeypatch.setattr(compiled, "find_spec", lambda _: None)
    assert kernels_for(1 << 40) is None


@pytest.mark.parametrize("variable", ["NUMBA_CACHE_DIR", "XDG_CACHE_HOME"])
def test_the_folder_is_where_the_caller_says(variable, monkeypatch, tmp_path):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    folder = compiled._folder()
    assert folder is not None
    assert folder.parent == tmp_path / "op25b-pcap"
    assert folder.stat().st_mode & 0o777 == 0o700


def test_no_folder_is_no_fault(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    assert compiled._folder() is None


def test_a_folder_that_others_may_write_to_is_not_trusted(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    folder = compiled._folder()
    folder.chmod(0o777)
    assert compiled._folder() is None


def test_the_name_follows_the_sources(monkeypatch, tmp_path):
    before = compiled._fingerprint()
    (tmp_path / "wire").mkdir()
    (tmp_path / "wire" / "services.py").write_text("SERVICES = {26: 'smtp'}")
    monkeypatch.setattr(compiled.op25b_pcap, "__file__", str(tmp_path / "__init__.py"))
    assert compiled._fingerprint() != before


def test_a_run_without_kernels_is_refused():
    with pytest.raises(ValueError, match="no kernels"):
        scanned(as_runs([record(b"x")], 1))


def test_the_compiled_checksum_is_the_pythons():
    rng = np.random.default_rng(5)
    for size in range(40):
        data = ip(CLIENT, SERVER, 6, segment(payload=rng.bytes(size)), 64)
        for at in (36, 37, 39):
            octets = bytearray(data)
            octets[at] ^= 1 << size % 8
            runs = as_runs([record(bytes(octets), 101)], 1)
            plain = [run._replace(window=bytes(run.window)) for run in runs]
            (one,), (other,) = scanned([record(bytes(octets), 101)])[0], scanned(plain, compiled.kernels())[0]
            assert one == other
            assert one.checksum_ok is False
