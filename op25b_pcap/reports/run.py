"""run.json: what was read, how, and what was lost: all that is needed to trust the tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from op25b_pcap import __version__
from op25b_pcap.capture.disk import STDIN
from op25b_pcap.capture.observation import Capture
from op25b_pcap.faults import UsageFault
from op25b_pcap.policy import Policy, acl_rows
from op25b_pcap.tables.columns import flattened

MOST_DRAWN = 1000
"""Prefixes of an assumed list that are written; more than a person reads."""
_WITH_ANOMALIES = ("flows", "smtp_sessions", "retrieval_sessions")


def describe(
    captures: Sequence[Capture],
    packets: Mapping[str, Any],
    policy: Policy,
    tables: Mapping[str, pd.DataFrame],
    settings: Mapping[str, str],
    timings_s: Mapping[str, float],
) -> dict[str, Any]:
    """The content of run.json.

    `packets` holds `read`, `decoded`, `by_scapy` and `skipped` (a count by reason); `settings` what the
    caller chose (envelope, engine).
    """
    return {
        "tool": "op25b-pcap",
        "version": __version__,
        **settings,
        "inputs": [_input(capture) for capture in captures],
        "packets": dict(packets),
        **_judged(policy, tables, timings_s),
    }


def redescribe(
    run: Mapping[str, Any],
    policy: Policy,
    tables: Mapping[str, pd.DataFrame],
    timings_s: Mapping[str, float],
) -> dict[str, Any]:
    """The run.json of tables that were judged anew; `run` is that of the reports they come from."""
    return {**run, "version": __version__, **_judged(policy, tables, timings_s)}


def sources(run: Mapping[str, Any]) -> list[Path]:
    """The captures behind a run.json. Raises UsageFault for one that is not as it was."""
    paths = []
    for entry in run["inputs"]:
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


def _judged(
    policy: Policy, tables: Mapping[str, pd.DataFrame], timings_s: Mapping[str, float]
) -> dict[str, Any]:
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
        "tables": {name: len(frame) for name, frame in tables.items()},
        "findings": {
            str(word): int(count) for word, count in tables["flows"]["finding"].value_counts().items()
        },
        "anomalies": {name: _anomalies(tables[name]) for name in _WITH_ANOMALIES},
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
    }


def _iso(time_ns: int | None) -> str | None:
    return None if time_ns is None else pd.Timestamp(time_ns, unit="ns", tz="UTC").isoformat()


def _anomalies(frame: pd.DataFrame) -> dict[str, int]:
    """How often each anomaly stands in a table, most frequent first."""
    _, named = flattened(frame["anomalies"])
    rows = np.bincount(named.codes, minlength=len(named.known)).tolist()
    counted = Counter({name: count for name, count in zip(named.values, rows, strict=True) if count})
    return dict(counted.most_common())
