"""What else a network engineer wants to be told of an attempt: each a named fact, no verdict."""

from __future__ import annotations

import numpy as np

from op25b_pcap.policy import KINDS
from op25b_pcap.rules.scene import Scene
from op25b_pcap.tables.columns import Coded, Flags, coded, is_true, nanoseconds, numbers
from op25b_pcap.tables.everywhere import Asked, Way
from op25b_pcap.wire.services import POP_SERVICES

_NEVER_NS = np.iinfo(np.int64).max


def facts(scene: Scene) -> Way[dict[str, Flags | Coded]]:
    """Each fact by its name: for each flow whether it holds."""
    said = scene.said
    stopped = scene.has("outcome", "prohibited", "refused", "no_answer", "unreachable")
    offers, asked = is_true(said["starttls_offered"]), said["starttls_offered"].notna().to_numpy(bool)
    answered = scene.number("dst_packets") > 0
    v6 = scene.number("ip_version") == 6
    v4_through = scene.everywhere.any("v4_through", scene.blocked & ~v6 & scene.connected)
    v4_stopped = scene.everywhere.any("v4_stopped", scene.blocked & ~v6 & stopped)
    any_answered = scene.everywhere.any("any_answered", answered)
    offered = scene.same_server("starttls_offered", offers)
    logins = _logins(scene)
    yield None
    by_v6_only = v4_stopped.at_all() and not v4_through.at_all()
    return {
        "mail_accepted": numbers(said["messages_accepted"]) > 0,
        "refused_in_smtp": coded(said["result"]).is_in("rejected"),
        "nothing_said": scene.has("outcome", "connected", "half_open") & ~scene.spoken & ~_uncounted(scene),
        "starttls_missing_here": asked & ~offers & offered.holds(),
        "pop_before_smtp": _fetched_before(scene, logins),
        "half_duplex": scene.list_has("anomalies", "one_sided") & ~answered & any_answered.at_all(),
        "leaks_by_ipv6_only": scene.blocked & v6 & scene.connected & by_v6_only,
        "in_tunnel": ~scene.word("subscriber_key").equals(scene.word("src_ip")),
        "role_assumed": scene.has("dst_role_evidence", "assumed"),
        "source_role_assumed": _guessed_source(scene),
        "opener_not_seen": scene.has("outcome", "midstream"),
        "dialogue_not_logged": scene.connected & ~scene.spoken & _uncounted(scene),
    }


def _logins(scene: Scene) -> Asked:
    """Of an opener and a host the first login by POP; it begins when its connection does."""
    logins = scene.retrieved[is_true(scene.retrieved["auth_succeeded"])]
    logins = logins[coded(logins["service"]).is_in(*POP_SERVICES)]
    ends = (coded(logins[end]) for end in ("src_ip", "dst_ip"))
    return scene.everywhere.least("first_login_ns", nanoseconds(logins["start_time"]), *ends)


def _fetched_before(scene: Scene, logins: Asked) -> Flags:
    """A login by POP at the same server, then port 25 without one (abolished by draft 4.2)."""
    without_login = coded(scene.said["tls"]).is_in("none") & coded(scene.said["auth_mechanism"]).is_in(None)
    handed = scene.has("service", "smtp") & without_login & (numbers(scene.said["transactions"]) > 0)
    src, dst = scene.word("src_ip")[handed], scene.word("dst_ip")[handed]
    begun_ns = nanoseconds(scene.flows["start_time"])[handed]
    handed[handed] = logins.whole_numbers(_NEVER_NS, src, dst) < begun_ns
    return handed


def _uncounted(scene: Scene) -> Flags:
    """Neither octets nor letters tell what was sent."""
    octets = scene.number("src_bytes") + scene.number("dst_bytes")
    return np.isnan(octets) & scene.has("history", None)


def _guessed_source(scene: Scene) -> Flags:
    """A subscriber of whom the policy says nothing: only its private address speaks for it."""
    ends = (scene.ends.src, scene.ends.outer)
    named = (scene.policy.networks.of(end).within(*KINDS) for end in ends)
    return scene.has("src_role", "dynamic") & ~np.logical_or(*named)
