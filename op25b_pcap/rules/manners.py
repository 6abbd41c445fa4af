"""What else a network engineer wants to be told of an attempt: each a named fact, no verdict."""

from __future__ import annotations

import numpy as np

from op25b_pcap.rules.scene import Scene
from op25b_pcap.tables.columns import Flags, Words


def facts(scene: Scene) -> dict[str, Flags | Words]:
    """Each fact by its name: for each flow whether it holds."""
    src, dst, payer = scene.word("src_ip"), scene.word("dst_ip"), scene.word("subscriber_key")
    said = scene.said
    dynamic = scene.has("src_role", "dynamic")
    stopped = scene.has("outcome", "prohibited", "refused", "no_answer", "unreachable")
    server = scene.word("dst_ip") + np.char.mod("#%d", scene.number("dst_port").astype(np.int64)).astype(
        object
    )
    offers = said["starttls_offered"].fillna(False).to_numpy(bool)
    lacks = (~said["starttls_offered"].fillna(True)).to_numpy(bool)
    answered = scene.number("dst_packets") > 0
    heard = set(zip(dst[answered], src[answered], strict=True))
    v6 = scene.number("ip_version") == 6
    blocked_v4 = scene.blocked & ~v6 & stopped
    return {
        "mail_accepted": (said["messages_accepted"].fillna(0) > 0).to_numpy(bool),
        "refused_in_smtp": (said["result"].fillna("") == "rejected").to_numpy(bool),
        "starttls_missing_here": lacks & scene.anywhere(server, offers),
        "pop_before_smtp": _fetched_before(scene),
        "submission_stopped": stopped & scene.has("traffic_class", "submission") & dynamic,
        "static_customer_stopped": stopped & scene.has("src_role", "static"),
        "half_duplex": scene.list_has("anomalies", "one_sided") & ~answered & bool(heard),
        "leaks_by_ipv6_only": scene.blocked
        & v6
        & scene.connected
        & bool(blocked_v4.any())
        & ~_leaks_v4(scene, v6),
        "in_tunnel": payer != src,
        "role_assumed": scene.has("dst_role_evidence", "assumed"),
        "opener_not_seen": scene.has("outcome", "midstream"),
    }


def _leaks_v4(scene: Scene, v6: Flags) -> Flags:
    """Whether anything blocked gets through by IPv4."""
    through = bool((scene.blocked & ~v6 & scene.connected).any())
    return np.full(len(v6), through)


def _fetched_before(scene: Scene) -> Flags:
    """A login by POP at the same server, then port 25 without one (abolished by draft 4.2)."""
    logins = scene.retrieved[scene.retrieved["auth_succeeded"].fillna(False)]
    logins = logins[logins["service"].isin(["pop3", "pop3s"])]
    first = logins.groupby(["src_ip", "dst_ip"])["start_time"].min().rename("login").reset_index()
    flows = scene.flows[["src_ip", "dst_ip", "start_time"]].merge(first, on=["src_ip", "dst_ip"], how="left")
    before = (flows["login"] < flows["start_time"]).fillna(False).to_numpy(bool)
    return before & scene.has("service", "smtp") & scene.said["auth_mechanism"].isna().to_numpy(bool)
