"""Whether payload stays in the capture or is copied makes no difference to any table."""

from __future__ import annotations

import gzip
import random

import pytest

from benchmarks.generate import generate
from op25b_pcap import compiled
from op25b_pcap.assembly import flows, store
from op25b_pcap.pipeline import analyse


@pytest.fixture(scope="module")
def mail(tmp_path_factory):
    path = tmp_path_factory.mktemp("left") / "mail.pcap"
    generate("mail", 3, path, 5)
    return path.read_bytes()


def laid(folder, octets, *, packed):
    """The same capture under the same name, as it is or packed."""
    folder.mkdir()
    path = folder / "mail.pcap"
    path.write_bytes(gzip.compress(octets, 1) if packed else octets)
    return path


def spelled(table):
    """Without dictionaries, whose order says in which batch a conversation was."""
    return table.astype({name: object for name in table if "dictionary" in str(table[name].dtype)})


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("packets", [store.MOST_PACKETS, 500], ids=["in memory", "in layers"])
@pytest.mark.parametrize("damages", [0, 40])
@pytest.mark.parametrize("head", [None, 1_000, 0], ids=["kept", "skimmed", "skimmed too far"])
def test_left_or_copied(mail, head, damages, packets, workers, tmp_path, monkeypatch):
    if head is not None:
        monkeypatch.setattr(flows, "_LARGE_TURN", 1)
        monkeypatch.setattr(flows, "_HEAD", head)
    monkeypatch.setattr(compiled, "WORTHWHILE", 0)
    monkeypatch.setattr(compiled, "WORTH_COMPILING", 0)
    monkeypatch.setattr(flows, "_WORTH_A_SHARE", 1_000)
    monkeypatch.setattr(store.Store.__init__, "__defaults__", (None, packets, store.MOST_OCTETS))
    octets, rng = bytearray(mail), random.Random(damages)
    for _ in range(damages):
        octets[rng.randrange(24, len(octets))] ^= 1 << rng.randrange(8)
    left = analyse([laid(tmp_path / "left", octets, packed=False)], workers=workers)
    copied = analyse([laid(tmp_path / "copied", octets, packed=True)], workers=workers)
    assert left.tally == copied.tally
    assert left.tally.decoded > 1_000
    for name, table in left.tables.items():
        assert spelled(table).equals(spelled(copied.tables[name])), name
