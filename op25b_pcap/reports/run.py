"""run.json: what was read, how, and what was lost: all that is needed to trust the tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from op25b_pcap import __version__
from op25b_pcap.capture.disk import STDIN
from op25b_pcap.capture.observation import Capture
from op25b_pcap.capture.reading import FORMATS
from op25b_pcap.faults import UsageFault
from op25b_pcap.policy import Policy, acl_rows
from op25b_pcap.tables.columns import coded, flattened
from op25b_pcap.tables.everywhere import Everywhere, Known

MOST_DRAWN = 1000
"""Prefixes of an assumed list that are written; more than a person reads."""
_ROWS, _ANOMALIES = "rows_of_", "anomalies_of_"


def describe(
    captures: Sequence[Capture],
    packets: Mapping[str, Any],
    policy: Policy,
    counted: Mapping[str, Any],
    settings: Mapping[str, str],
    timings_s: Mapping[str, float],
) -> dict[str, Any]:
    """The content of run.json.

    `counted` is what `numbers` gives; `packets` holds `read`, `decoded`, `by_scapy` and `skipped` (a count
    by reason); `settings` what the caller chose (envelope, engine).
    """
    return {
        "tool": "op25b-pcap",
        "version": __version__,
        **settings,
        "inputs": [_input(capture) for capture in captures],
        "lost": _lost(captures),
        "packets": dict(packets),
        **_judged(policy, counted, timings_s),
    }


def redescribe(
    run: Mapping[str, Any], policy: Policy, counted: Mapping[str, Any], timings_s: Mapping[str, float]
) -> dict[str, Any]:
    """The run.json of tables that were judged anew; `run` is that of the reports they come from."""
    return {**run, "version": __version__, **_judged(policy, counted, timings_s)}


def tell_numbers(tables: Mapping[str, pd.DataFrame], everywhere: Everywhere) -> None:
    """What large tables tell, or some rows of them: how many rows, findings and anomalies there are."""
    for name, frame in tables.items():
        everywhere.each(f"{_ROWS}{name}", {"rows": ("sum", np.ones(len(frame)))})
        if "anomalies" in frame:
            _, named = flattened(frame["anomalies"])
            everywhere.each(f"{_ANOMALIES}{name}", {"rows": ("sum", np.ones(len(named)))}, named)
    finding = coded(tables["flows"]["finding"])
    everywhere.each("findings", {"rows": ("sum", np.ones(len(finding)))}, finding)


def numbers(known: Known, counting: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """These numbers, of all rows; and how many rows the tables have that count."""
    everywhere = Everywhere(known)
    large = {name.removeprefix(_ROWS): name for name in known if name.startswith(_ROWS)}
    return {
        "tables": {name: everywhere.asked(question).number("rows") for name, question in large.items()}
        | {name: len(frame) for name, frame in counting.items()},
        "findings": _most_first(known["findings"]),
        "anomalies": {
            name.removeprefix(_ANOMALIES): _most_first(table)
            for name, table in known.items()
            if name.startswith(_ANOMALIES)
        },
    }


def _most_first(table: pa.Table) -> dict[str, int]:
    counted = Counter(dict(zip(*(column.to_pylist() for column in table.columns), strict=True)))
    return dict(counted.most_common())


def sources(run: Mapping[str, Any], begin_ns: int, end_ns: int) -> list[Path]:
    """The captures behind a run.json that have packets of a time. Raises UsageFault for one that is not as
    it was.
    """
    paths = []
    for entry in run["inputs"]:
        span = [entry.get(name) and pd.Timestamp(entry[name]).value for name in ("first_time", "last_time")]
        if entry["format"] not in FORMATS or None in span or not (span[0] <= end_ns and begin_ns <= span[1]):
            continue
        path = Path(entry["path"])
        if path == STDIN:
            raise UsageFault("the packets came from stdin: they cannot be read again")
        try:
            size = path.stat().st_size
        except OSError as fault:
            raise UsageFault(f"{path}: cannot be read again ({fault.strerror})") from None
        if size != entry["size"]:
            raise UsageFault(f"{path}: has {size} octets, but had {entry['size']} when it was analysed")
        paths.append(path)
    return paths


def _judged(policy: Policy, counted: Mapping[str, Any], timings_s: Mapping[str, float]) -> dict[str, Any]:
    """The part that depends on the policy."""
    return {
        "policy": {
            "name": policy.name,
            "digest": policy.digest,
            "assumed": policy.assumed,
            "observation_point": policy.observation_point,
            "acl_rows": None if policy.assumed else acl_rows(policy),
            "drawn": _drawn(policy) if policy.assumed else None,
        },
        **counted,
        "timings_s": dict(timings_s),
    }


def _drawn(policy: Policy) -> dict[str, list[str]]:
    """What an assumed policy took for what, so that it can be checked; the first of very many."""
    return {kind: [str(one) for one in prefixes[:MOST_DRAWN]] for kind, prefixes in policy.prefixes.items()}


def _input(capture: Capture) -> dict[str, Any]:
    return {
        "capture": capture.name,
        "path": str(capture.path if capture.path == STDIN else capture.path.absolute()),
        "size": capture.size,
        "sha256": capture.sha256,
        "format": capture.format,
        "compression": capture.compression,
        "packets": capture.packets,
        "first_time": _iso(capture.first_time_ns),
        "last_time": _iso(capture.last_time_ns),
        "damages": [{"offset": d.offset, "reason": d.reason} for d in capture.damages],
        "octets_lost": capture.unread,
    }


def _lost(captures: Sequence[Capture]) -> dict[str, Any]:
    """How much there is of what could not be read; null octets: of some input that is not known."""
    damaged = [capture for capture in captures if capture.damages]
    octets = [capture.unread for capture in damaged]
    return {
        "inputs": len(damaged),
        "damages": sum(len(capture.damages) for capture in damaged),
        "octets": None if None in octets else sum(one or 0 for one in octets),
    }


def _iso(time_ns: int | None) -> str | None:
    return None if time_ns is None else pd.Timestamp(time_ns, unit="ns", tz="UTC").isoformat()
