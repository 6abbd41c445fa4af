"""Bounded fuzzing of whole captures: whatever stands in one, both engines find the same, and soon."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from benchmarks.generate import generate
from op25b_pcap import compiled
from op25b_pcap.assembly import flows, store
from op25b_pcap.pipeline import analyse
from op25b_pcap.tables import TABLES

pytestmark = pytest.mark.fuzz

ROUNDS = 40
SECONDS = 60
"""Far more than any capture here takes, with kernels that must be compiled first; a quadratic walk takes
minutes."""
SAMPLES = sorted(Path(__file__).parents[2].glob("sample_pcaps/*/*.pcap*"))


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """Captures of real dialogues, and some of everything that the generator makes."""
    folder, made = tmp_path_factory.mktemp("seeds"), []
    for kind in ("mail", "mix", "bulk"):
        generate(kind, 1, folder / f"{kind}.pcap", 7)
        made.append((folder / f"{kind}.pcap").read_bytes()[:150_000])
    return [path.read_bytes() for path in SAMPLES] + made


def mutated(rng: random.Random, octets: bytes, others: list[bytes]) -> bytes:
    """Some octets other than they were, anywhere: in the format, in packets, in what is said."""
    data = bytearray(octets)
    for _ in range(rng.choice((1, 3, 10, 100))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(6):
            case 0 | 1:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 2:
                data[at : at + 4] = rng.choice((bytes(4), b"\xff" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80"))
            case 3:
                del data[at : at + rng.randrange(1, 60)]
            case 4:
                data[at:at] = data[at : at + rng.randrange(2_000)]
            case 5:
                other = rng.choice(others)
                begin = rng.randrange(len(other))
                data[at:at] = other[begin : begin + rng.randrange(2_000)]
    return bytes(data[: rng.choice((len(data), len(data), rng.randrange(len(data))))])


def found(path, engine, workers):
    began = time.monotonic()
    analysis = analyse([path], engine=engine, workers=workers)
    assert time.monotonic() - began < SECONDS
    (capture,) = analysis.observation.captures
    tables = {name: table.arrow(analysis.tables[name]) for name, table in TABLES.items()}
    return tables, analysis.tally, capture.packets, capture.damages, capture.sha256


@pytest.mark.parametrize("seed", range(4))
def test_mutated_captures(seed, seeds, tmp_path, monkeypatch):
    monkeypatch.setattr(compiled, "WORTHWHILE", 0)
    monkeypatch.setattr(compiled, "WORTH_COMPILING", 0)
    monkeypatch.setattr(flows, "_WORTH_A_SHARE", 20)
    rng, kept = random.Random(seed), 0
    for number in range(ROUNDS):
        # A store of few packets goes to disk, a long turn of a client is looked through.
        room = rng.choice((store.MOST_PACKETS, 50))
        monkeypatch.setattr(store.Store.__init__, "__defaults__", (None, room, store.MOST_OCTETS))
        monkeypatch.setattr(flows, "_LARGE_TURN", rng.choice((128 << 10, 2_000)))
        monkeypatch.setattr(flows, "_HEAD", 600)
        path = tmp_path / f"{number}.pcap"
        path.write_bytes(mutated(rng, rng.choice(seeds), seeds))
        expected = found(path, "scapy", 1)
        made = found(path, "auto", rng.choice((1, 2)))
        assert made[1:] == expected[1:], number
        for name, table in expected[0].items():
            assert made[0][name].equals(table), (number, name)
        kept += len(expected[0]["flows"])
        path.unlink()
    assert kept > ROUNDS / 2
