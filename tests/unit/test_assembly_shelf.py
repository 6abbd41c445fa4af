"""A layer gives back what was set down, whichever parts are asked for and however few share a batch."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from op25b_pcap.assembly import settle, shelf
from op25b_pcap.assembly.left import Left
from op25b_pcap.assembly.packet import ERROR, PACKET, carried, lying
from op25b_pcap.assembly.shelf import PARTS, Layer, Shelf
from op25b_pcap.assembly.store import Store, Where
from tests.scans import AS_PYTHON as SCANS

AS_PYTHON = SCANS._replace(gather=settle.gather, resettle=settle.resettle)


def filled(count: int, parts: int, seed: int, largest: int = 40) -> Store:
    """A store of packets in a few parts; some lie in captures, some errors belong to all parts."""
    rng = np.random.default_rng(seed)
    packets = np.zeros(count, PACKET)
    chosen = rng.choice(PARTS, parts, replace=False)
    packets["conversation"] = (rng.choice(chosen, count) - PARTS // 2) << 56 | rng.integers(0, 1 << 50, count)
    packets["number"] = np.arange(count)
    packets["captured"], packets["options"] = rng.integers(0, largest, count), rng.integers(0, 20, count)
    packets["kind"] = np.where(rng.random(count) < 0.1, ERROR, 0)
    packets["captured"][packets["kind"] == ERROR] = rng.choice([0, 8])
    is_left = (rng.random(count) < 0.2) & (packets["kind"] != ERROR)
    octets = rng.integers(0, 256, int(carried(packets).sum()), np.uint8)
    packets["at"] = np.cumsum(carried(packets)) - carried(packets)
    packets["at"][is_left] = ~packets["number"][is_left]
    store = Store(AS_PYTHON, packets=count, octets=len(octets))
    store.extend(packets, octets, [Where("", "", "", "")])
    return store


def told(packets, octets):
    """What each packet is, by its number."""
    sizes = carried(packets).tolist()
    return {
        packet["number"].item(): (
            packet["conversation"].item(),
            min(at, 0),
            octets[at : at + size].tobytes() if at >= 0 else at,
        )
        for packet, at, size in zip(packets, packets["at"].tolist(), sizes, strict=True)
    }


@given(
    count=st.integers(1, 60),
    parts=st.integers(1, 20),
    seed=st.integers(0, 1 << 30),
    together=st.sampled_from([1, 1_000, 64 << 10]),
    width=st.sampled_from([1, 2, 8, 32, 256]),
)
def test_any_range_of_parts(tmp_path_factory, count, parts, seed, together, width):
    store = filled(count, parts, seed)
    expected = told(store.packets, store.octets)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(shelf, "_OCTETS_OF_A_BATCH", together)
        layers = Shelf(AS_PYTHON, tmp_path_factory.mktemp("layers"))
        layers.put(store)
    assert len(layers.sizes[0]) == PARTS + 1
    layer, found, file = Layer(layers.paths[0]), {}, layers.paths[0].read_bytes()
    for begin in range(0, PARTS, width):
        octets_told = 0
        for packets, octets, lies_at in layer.parts(range(begin, begin + width)):
            assert file[lies_at : lies_at + len(octets)] == octets.tobytes()
            of_range = told(packets, octets)
            assert not of_range.keys() & found.keys()
            found |= of_range
            octets_told += int(carried(packets).sum()) + packets.nbytes
        assert octets_told == sum(layers.sizes[0][begin : begin + width])
        own = {number for number, what in found.items() if begin <= (what[0] >> 56) + PARTS // 2}
        packets, octets, _ = layer.everywhere(range(begin, begin + width))
        others = told(packets, octets)
        assert not others.keys() & own
        assert others.items() <= expected.items()
    assert found == expected


@pytest.mark.parametrize("compression", [None, "lz4"])
def test_what_a_layer_holds_can_be_read_there(tmp_path, compression):
    """Larger payloads are left in its file, if that is not packed; captures get other numbers."""
    store = filled(200, 20, 1, largest=1_000)
    is_its_own = store.packets["at"] >= 0
    store.packets["capture"] = np.arange(200) % 5
    layers = Shelf(AS_PYTHON, tmp_path, compression)
    layers.put(store)
    layer, ranks = Layer(layers.paths[0]), np.array([7, 5, 3, -1])
    other = Store(AS_PYTHON, packets=200, octets=len(store.octets))
    for rows in layer.parts(range(PARTS)):
        other.extend(rows.packets, rows.octets, layer.wheres, ranks, lying(0, rows.lies_at))
    is_left = other.packets["at"] < 0
    assert (is_left.sum() > (~is_its_own).sum()) == (compression is None)
    which = np.flatnonzero(is_its_own[other.packets["number"]])
    other.fetched = Left(layers.paths).fetch(other.packets, which)
    for index in which.tolist():
        before = store.packet(number := int(other.packets["number"][index]))
        seen = before.seen._replace(capture=int(ranks[min(number % 5, 3)]))
        assert other.packet(index) == before._replace(seen=seen)


def test_small_parts_share_a_batch(tmp_path):
    layers = Shelf(AS_PYTHON, tmp_path)
    layers.put(filled(60, 20, 1))
    assert pa.ipc.open_file(str(layers.paths[0])).num_record_batches == 2
