"""Attempts of known courses to columns of `flows`, all at once.

What a course means is told by a row of `flows` for one attempt of it; what differs from attempt
to attempt is in `ATTEMPT`. Addresses and digests are made for all of a batch together.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from op25b_pcap.assembly.spell import sheet
from op25b_pcap.assembly.store import Store, Where, address
from op25b_pcap.flows.flow import payer
from op25b_pcap.flows.identity import OCTETS
from op25b_pcap.wire.addresses import text
from op25b_pcap.wire.services import SERVICES

if TYPE_CHECKING:
    from op25b_pcap.scan.kernels import Kernel, Kernels

OF_COURSE = (
    "initiator_evidence",
    "conn_state",
    "history",
    "outcome",
    "icmp_type",
    "icmp_code",
    "anomalies",
)
"""Columns that are the same for all attempts of one course."""
_NS_PER_MS = 1_000_000
COMMUNITY_ID = 30
"""Characters of one."""
_TCP = 6


class _Ends(NamedTuple):
    """Both sockets of each attempt."""

    version: NDArray[Any]
    src_high: NDArray[np.int64]
    src_low: NDArray[np.int64]
    src_port: NDArray[Any]
    dst_high: NDArray[np.int64]
    dst_low: NDArray[np.int64]
    dst_port: NDArray[Any]


def flow_columns(
    attempts: NDArray[Any], store: Store, meanings: dict[str, pa.Array], kernels: Kernels
) -> dict[str, pa.Array | NDArray[Any]]:
    """Columns of `flows` for these attempts; `meanings` holds those of courses by their number."""
    first, by_opener = store.packets[attempts["first"]], store.packets[attempts["src_first"]]
    ends = _ends(first, attempts["is_turned"] != 0)
    src_ip = addresses(ends.version, ends.src_high, ends.src_low, kernels)
    dst_ip = addresses(ends.version, ends.dst_high, ends.dst_low, kernels)
    src_is_sender = (by_opener["src_port"] == ends.src_port) & (by_opener["src_low"] == ends.src_low)
    course = attempts["course"].astype(np.int32)
    return {
        "flow_id": flow_ids(ends, attempts["isn"], first["time_ns"], kernels),
        "community_id": community_ids(ends, kernels),
        "start_time": first["time_ns"],
        "end_time": attempts["end_ns"],
        "src_ip": src_ip,
        "dst_ip": dst_ip,
        "src_port": ends.src_port,
        "dst_port": ends.dst_port,
        "ip_version": ends.version,
        **_payers(by_opener["where"], src_is_sender, store.wheres, src_ip),
        "service": _services(ends.dst_port),
        **{name: _one_of(meanings[name], course) for name in OF_COURSE},
        **{
            name: attempts[name]
            for name in ("syn_packets", "src_packets", "dst_packets", "src_bytes", "dst_bytes")
        },
        "handshake_rtt_ms": _known(attempts["handshake_ns"]),
        "answer_ms": _known(attempts["answer_ns"]),
        **{
            name: pa.array(attempts[name], mask=attempts[name] < 0)
            for name in ("src_ttl", "dst_ttl", "rst_ttl")
        },
        "icmp_from": _reporters(attempts["error"], store),
        "capture": first["capture"],
        "first_packet": first["number"],
    }


def _ends(first: NDArray[Any], turned: NDArray[np.bool_]) -> _Ends:
    """Opener and called, by each attempt's first segment."""
    src, dst = (
        [np.where(turned, first[f"{b}_{part}"], first[f"{a}_{part}"]) for part in ("high", "low", "port")]
        for a, b in (("src", "dst"), ("dst", "src"))
    )
    return _Ends(first["version"], *src, *dst)


def _known(times_ns: NDArray[np.int64]) -> pa.Array:
    return pa.array(times_ns / _NS_PER_MS, mask=times_ns < 0)


def _reporters(errors: NDArray[np.int64], store: Store) -> pa.Array:
    """Who sent each attempt's first ICMP error; null without one."""
    place, told = np.full(len(errors), -1, np.int64), []
    which = np.flatnonzero(errors >= 0)
    place[which] = np.arange(len(which))
    for packet in store.packets[errors[which]]:
        at = int(packet["at"])
        told.append(text(store.octets[at : at + int(packet["options"])].tobytes()))
    return pa.array(told, pa.string()).take(pa.array(place, mask=place < 0))


def _one_of(values: pa.Array, codes: NDArray[Any]) -> pa.Array:
    """For each code its value; texts as codes of a dictionary in which each stands once."""
    which = pa.array(codes)
    if not pa.types.is_string(values.type):
        return values.take(which)
    known = values.dictionary_encode()
    return pa.DictionaryArray.from_arrays(known.indices.take(which), known.dictionary)


def _services(ports: NDArray[Any]) -> pa.Array:
    known, codes = np.unique(ports, return_inverse=True)
    return _one_of(pa.array([SERVICES[port] for port in known.tolist()], pa.string()), codes)


def _payers(
    where: NDArray[Any], src_is_sender: NDArray[np.bool_], wheres: Sequence[Where], src_ip: pa.Array
) -> dict[str, pa.Array]:
    """Encapsulation, and who pays: for each place and direction that occurs, once."""
    known, codes = np.unique(where * np.int64(2) + src_is_sender, return_inverse=True)
    told = []
    for number in known.tolist():
        _, encapsulation, outer_src, outer_dst = wheres[number // 2]
        told.append(payer(encapsulation, outer_src if number % 2 else outer_dst))
    encapsulations, payers, outers = (
        _one_of(pa.array([one[i] for one in told], pa.string()), codes) for i in range(3)
    )
    hidden = payers.null_count < len(payers)
    return {
        "encapsulation": encapsulations,
        "subscriber_key": pc.coalesce(_spelt_out(payers), _spelt_out(src_ip)) if hidden else src_ip,
        "outer_src_ip": outers,
    }


def _spelt_out(coded: pa.Array) -> pa.Array:
    return coded.cast(pa.string())


def addresses(
    version: NDArray[Any], high: NDArray[np.int64], low: NDArray[np.int64], kernels: Kernels
) -> pa.Array:
    """Canonical text of addresses in two words each, every different one once."""
    is_v4 = version == 4
    codes = np.empty(len(version), np.int32)
    v4 = pa.array(low[is_v4]).dictionary_encode()
    codes[is_v4] = v4.indices.to_numpy()
    dotted = v4.dictionary.to_numpy()
    octets, ends = np.empty(15 * len(dotted) + 1, np.uint8), np.zeros(len(dotted) + 1, np.int32)
    kernels.spell_ipv4(dotted, octets, ends)
    texts = pa.StringArray.from_buffers(len(dotted), pa.py_buffer(ends), pa.py_buffer(octets))
    if not is_v4.all():
        pairs = np.stack([high[~is_v4], low[~is_v4]], axis=1)
        pairs, which = np.unique(pairs, axis=0, return_inverse=True)
        codes[~is_v4] = len(dotted) + which.reshape(-1)
        texts = pa.concat_arrays(
            [texts, pa.array([text(address(6, *pair)) for pair in pairs.tolist()], pa.string())]
        )
    return pa.DictionaryArray.from_arrays(codes, texts)


def flow_ids(ends: _Ends, isn: NDArray[np.int64], start_ns: NDArray[np.int64], kernels: Kernels) -> pa.Array:
    """What `flows.identity.flow_id` says of each."""
    order = ("src", "src_port", "dst", "dst_port", "isn", "start")
    values = {**_by_name(ends), "isn": isn, "start": start_ns}
    return _spelt(ends.version, order, values, 2 * OCTETS, partial(kernels.spell_digests, OCTETS))


def community_ids(ends: _Ends, kernels: Kernels) -> pa.Array:
    """What `wire.community_id` says of each."""
    before = _is_before(ends)
    values: dict[str, Any] = {"seed": 0, "protocol": _TCP << 8}
    for name in ("high", "low", "port"):
        src, dst = getattr(ends, f"src_{name}"), getattr(ends, f"dst_{name}")
        values[f"src_{name}"], values[f"dst_{name}"] = np.where(before, src, dst), np.where(before, dst, src)
    order = ("seed", "src", "dst", "protocol", "src_port", "dst_port")
    return _spelt(ends.version, order, values, COMMUNITY_ID, kernels.spell_community_ids)


def _by_name(ends: _Ends) -> dict[str, Any]:
    return dict(zip(ends._fields, ends, strict=True))


def _is_before(ends: _Ends) -> NDArray[np.bool_]:
    """Whether the opener's socket stands before the other in the order of octets."""
    is_before = ends.src_port < ends.dst_port
    for name in ("low", "high"):
        src, dst = (getattr(ends, f"{end}_{name}").view(np.uint64) for end in ("src", "dst"))
        is_before = np.where(src == dst, is_before, src < dst)
    return is_before


_WIDTHS = {
    "seed": ">u2",
    "protocol": ">u2",
    "src_port": ">u2",
    "dst_port": ">u2",
    "isn": ">u4",
    "start": ">i8",
}


def _spelt(
    version: NDArray[Any],
    order: Sequence[str],
    values: dict[str, Any],
    width: int,
    spell: Kernel,
) -> pa.Array:
    """A text of that width for each row: spelt from the named values in network order, one after the other.

    An end of a connection is its address.
    """
    text = np.empty((len(version), width), np.uint8)
    for number in (4, 6):
        chosen = np.flatnonzero(version == number)
        address_type = ">u4" if number == 4 else ">i8,>i8"
        packed = np.empty(len(chosen), [(name, _WIDTHS.get(name, address_type)) for name in order])
        for name in order:
            if name in _WIDTHS:
                value = values[name]
                packed[name] = value if np.isscalar(value) else value[chosen]
            elif number == 4:
                packed[name] = values[f"{name}_low"][chosen]
            else:
                packed[name]["f0"] = values[f"{name}_high"][chosen]
                packed[name]["f1"] = values[f"{name}_low"][chosen]
        spelt = np.empty((len(chosen), width), np.uint8)
        spell(packed.view(np.uint8).reshape(len(chosen), packed.itemsize), spelt, *sheet())
        text[chosen] = spelt
    ends = np.arange(0, text.size + 1, width, dtype=np.int32)
    return pa.StringArray.from_buffers(len(version), pa.py_buffer(ends), pa.py_buffer(text))
