"""run.json: what was read, how, and what was lost: all that is needed to trust the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from op25b_pcap import __version__
from op25b_pcap.capture.observation import Capture
from op25b_pcap.policy import Policy

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

    `packets` holds `read`, `decoded` and `skipped` (a count by reason); `settings` what the
    caller chose (envelope, engine).
    """
    return {
        "tool": "op25b-pcap",
        "version": __version__,
        **settings,
        "inputs": [_input(capture) for capture in captures],
        "packets": dict(packets),
        "policy": {
            "name": policy.name,
            "digest": policy.digest,
            "assumed": policy.assumed,
            "observation_point": policy.observation_point,
        },
        "tables": {name: len(frame) for name, frame in tables.items()},
        "anomalies": {name: _anomalies(tables[name]) for name in _WITH_ANOMALIES},
        "timings_s": dict(timings_s),
    }


def _input(capture: Capture) -> dict[str, Any]:
    return {
        "capture": capture.name,
        "path": str(capture.path),
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
    counted = frame["anomalies"].explode().dropna().value_counts()
    return {str(name): int(count) for name, count in counted.items()}
