"""What else a network engineer wants to be told of an attempt: each a named fact, no verdict."""

from __future__ import annotations

import numpy as np

from op25b_pcap.policy import KINDS
from op25b_pcap.policy.networks import Addresses
from op25b_pcap.rules.scene import Scene
from op25b_pcap.tables.columns import Coded, Flags, coded, is_true, nanoseconds, numbers
from op25b_pcap.wire.services import POP_SERVICES


def facts(scene: Scene) -> dict[str, Flags | Coded]:
    """Each fact by its name: for each flow whether it holds."""
    said = scene.said
    stopped = scene.has("outcome", "prohibited", "refused", "no_answer", "unreachable")
    offers, asked = is_true(said["starttls_offered"]), said["starttls_offered"].notna().to_numpy(bool)
    answered = scene.number("dst_packets") > 0
    v6 = scene.number("ip_version") == 6
    v4_through = bool((scene.blocked & ~v6 & scene.connected).any())
    v4_stopped = bool((scene.blocked & ~v6 & stopped).any())
    return {
        "mail_accepted": numbers(said["messages_accepted"]) > 0,
        "refused_in_smtp": coded(said["result"]).is_in("rejected"),
        "starttls_missing_here": asked & ~offers & scene.same_server(offers),
        "pop_before_smtp": _fetched_before(scene),
        "half_duplex": scene.list_has("anomalies", "one_sided") & ~answered & answered.any(),
        "leaks_by_ipv6_only": scene.blocked & v6 & scene.connected & (v4_stopped and not v4_through),
        "in_tunnel": ~scene.word("subscriber_key").equals(scene.word("src_ip")),
        "role_assumed": scene.has("dst_role_evidence", "assumed"),
        "source_role_assumed": _guessed_source(scene),
        "opener_not_seen": scene.has("outcome", "midstream"),
        "dialogue_not_logged": scene.connected & ~scene.spoken & _uncounted(scene),
    }


def _fetched_before(scene: Scene) -> Flags:
    """A login by POP at the same server, then port 25 without one (abolished by draft 4.2)."""
    logins = scene.retrieved[is_true(scene.retrieved["auth_succeeded"])]
    logins = logins[coded(logins["service"]).is_in(*POP_SERVICES)]
    if logins.empty:
        return scene.blocked & False
    src, dst = scene.word("src_ip"), scene.word("dst_ip")
    callers, called = coded(logins["src_ip"]).in_words_of(src), coded(logins["dst_ip"]).in_words_of(dst)
    pair = callers.pairs(called)
    login_ns = nanoseconds(logins["start_time"])
    in_time = np.argsort(login_ns, kind="stable")
    known, first = np.unique(pair[in_time], return_index=True)
    without_login = coded(scene.said["tls"]).is_in("none") & coded(scene.said["auth_mechanism"]).is_in(None)
    fetched = scene.has("service", "smtp") & without_login & (numbers(scene.said["transactions"]) > 0)
    sought = src[fetched].pairs(dst[fetched])
    at = np.minimum(np.searchsorted(known, sought), len(known) - 1)
    begun_ns = nanoseconds(scene.flows["start_time"])[fetched]
    fetched[fetched] = (known[at] == sought) & (login_ns[in_time][first][at] < begun_ns)
    return fetched


def _uncounted(scene: Scene) -> Flags:
    """Neither octets nor letters tell what was sent."""
    octets = scene.number("src_bytes") + scene.number("dst_bytes")
    return np.isnan(octets) & scene.has("history", None)


def _guessed_source(scene: Scene) -> Flags:
    """A subscriber of whom the policy says nothing: only its private address speaks for it."""
    ends = (Addresses(scene.word(end)) for end in ("src_ip", "outer_src_ip"))
    named = (scene.policy.networks.of(end).within(*KINDS) for end in ends)
    return scene.has("src_role", "dynamic") & ~np.logical_or(*named)
