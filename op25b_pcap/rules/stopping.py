"""Who stopped an attempt: evidence in firewalls' logs, in ICMP errors, in RSTs and in silence.

A RST in the addressee's name is compared with the addressee's other packets: how many hops it
has left, and how soon it came. Silence is weighed by a bound on chance: if a share p of the
addressees that nothing blocks is silent, k or more of n blocked ones are silent by chance with
probability exp(-n KL(k/n, p)) at most (Chernoff; p^n where all are); p is estimated as
(silent + 1) / (all + 2), Laplace's rule, so that little knowledge gives a weak bound.
"""

from __future__ import annotations

import numpy as np

from op25b_pcap.policy.networks import Addresses
from op25b_pcap.rules.scene import Scene
from op25b_pcap.tables.columns import Coded, Flags, Numbers, coded_numbers, nanoseconds

CHANCE = 0.05
"""Bounds above this convince nobody."""
FIRST_RETRANSMISSION_S = 1.0
"""RFC 6298 section 2.1: a host waits a second before it repeats a SYN; until then silence may
only be an answer that is on its way when the capture ends."""
TOO_FAST = 0.5
"""A RST in less than half the addressee's shortest round trip cannot have come from there."""


def facts(scene: Scene) -> dict[str, Flags | Coded]:
    """Each fact by its name: for each flow whether it holds, or its text where it has figures."""
    return {**_filter(scene), **_icmp(scene), **_rst(scene), **_silence(scene)}


def _filter(scene: Scene) -> dict[str, Flags | Coded]:
    """What a firewall logged, where it is of the SYN: late packets of a connection are dropped, too.

    All packets of a silent attempt were; of others it is told where nothing but SYNs was logged.
    """
    silent, unknown = scene.has("outcome", "no_answer"), scene.has("outcome", None)
    only_syns = scene.number("syn_packets") == scene.number("src_packets")
    only_syns &= unknown & ~(scene.number("dst_packets") > 0)
    only_syns &= ~scene.list_has("anomalies", "filter_passed")
    said_so = scene.filter_stopped & (silent | only_syns)
    return {"filter_said_so": said_so, "outcome_not_logged": unknown & ~said_so}


def _icmp(scene: Scene) -> dict[str, Flags | Coded]:
    prohibited, unreachable = scene.has("outcome", "prohibited"), scene.has("outcome", "unreachable")
    version, type_ = scene.number("ip_version"), scene.number("icmp_type")
    expired = unreachable & (type_ == np.where(version == 4, 11, 3))
    told = prohibited | (unreachable & ~expired)
    own = scene.icmp_is_own
    addressee = scene.word("dst_ip").equals(scene.word("icmp_from"))
    return {
        "icmp_prohibited": prohibited,
        "icmp_from_own_router": told & own,
        "icmp_from_addressee": told & addressee & ~own,
        "icmp_unreachable": unreachable & ~expired,
        "icmp_time_exceeded": expired,
    }


def _rst(scene: Scene) -> dict[str, Flags | Coded]:
    refused, dst = scene.has("outcome", "refused"), scene.word("dst_ip")
    answers = scene.number("dst_ttl")
    low, high = dst.extreme(np.fmin, answers), dst.extreme(np.fmax, answers)
    trip = dst.extreme(np.fmin, scene.number("handshake_rtt_ms"))
    ttl, after = scene.number("rst_ttl"), scene.number("answer_ms")
    outside = (ttl < low) | (ttl > high)
    compared = refused & ~np.isnan(low) & ~np.isnan(ttl)
    too_fast = after < TOO_FAST * trip
    # Whoever takes as long as the addressee is as far away: its own router, say, not the provider's.
    from_far = after >= TOO_FAST * trip
    return {
        "rst_ttl_differs": compared & outside & ~from_far,
        "rst_too_fast": refused & too_fast,
        "rst_fits_addressee": compared & ~outside & ~too_fast,
        "rst_alike_for_many": _alike(scene, refused & scene.blocked & ~from_far, ttl),
    }


def _alike(scene: Scene, refused: Flags, ttl: Numbers) -> Flags | Coded:
    """Many addressees as far away as each other.

    By chance no likelier than p^(n-1), where p is the share of the commonest distance among
    addressees that answered, and n counts their networks: neighbours are as far away by nature.
    """
    if not refused.any():
        return refused
    dst = scene.word("dst_ip")
    nearest = np.full(len(dst.known), np.nan)
    np.fmin.at(nearest, dst.codes, scene.number("dst_ttl"))
    known = coded_numbers(nearest[~np.isnan(nearest)])
    commonest = np.bincount(known.codes).max(initial=0)
    share = (commonest + 1) / (len(known) + 2) if len(known) else 1.0
    distance = coded_numbers(ttl)
    counts = distance.count(Addresses(dst).neighbours(), refused).astype(np.float64)
    bound = share ** np.maximum(counts - 1, 0)
    return _figures("rst_alike_for_many", distance, refused, (counts, counts, bound))


def _silence(scene: Scene) -> dict[str, Flags | Coded]:
    silent = scene.has("outcome", "no_answer")
    dst, payer = scene.word("dst_ip"), scene.word("subscriber_key")
    answered = scene.has("outcome", "connected", "half_open")
    open_to = scene.smtp & ~scene.blocked
    asked = len(dst[open_to & (silent | answered)].present())
    heard = len(dst[open_to & answered].present())
    # Where nobody was heard, nothing is known of how many are silent by themselves.
    share = (asked - heard + 1) / (asked + 2) if heard else 1.0
    lasted = scene.number("watched_s") + _seconds(scene)
    once = scene.number("syn_packets") <= 1
    return {
        "silence": silent,
        "capture_ended": silent & once & (lasted < FIRST_RETRANSMISSION_S) & ~scene.filter_stopped,
        "addressee_answers_others": silent & scene.same_server(answered),
        "source_answered_elsewhere": silent & payer.anywhere(answered),
        "source_silent_on_25": _unanswered(scene, payer, share, "source_silent_on_25"),
        "pool_silent_on_25": _unanswered(scene, scene.word("ip_version"), share, "pool_silent_on_25"),
    }


def _seconds(scene: Scene) -> Numbers:
    lasted: Numbers = (nanoseconds(scene.flows["end_time"]) - nanoseconds(scene.flows["start_time"])) / 1e9
    return lasted


def _unanswered(scene: Scene, group: Coded, share: float, name: str) -> Flags | Coded:
    """Groups of blocked attempts of which hardly so many are unanswered by chance."""
    silent = scene.blocked & scene.has("outcome", "no_answer")
    if share >= 1 or not silent.any():
        return silent & False
    dst = scene.word("dst_ip")
    counts, tried = (group.count(dst, holds).astype(np.float64) for holds in (silent, scene.blocked))
    return _figures(name, group, silent, (counts, tried, tail_bound(counts, tried, share)))


def tail_bound(some: Numbers, all_: Numbers, share: float) -> Numbers:
    """At most how likely it is that `some` or more of `all_` hold, each with chance `share`."""
    if share >= 1:
        return np.ones(len(some))
    part = np.divide(some, all_, out=np.zeros(len(some)), where=all_ > 0)
    rest = 1 - part
    with np.errstate(divide="ignore", invalid="ignore"):
        yes = np.where(part > 0, part * np.log(part / share), 0)
        no = np.where(rest > 0, rest * np.log(rest / (1 - share)), 0)
    bound: Numbers = np.where(part > share, np.exp(-all_ * (yes + no)), 1.0)
    return bound


def _figures(name: str, group: Coded, holds: Flags, figures: tuple[Numbers, Numbers, Numbers]) -> Coded:
    """`name:12/12,p<=0.0003` where it holds and chance is hardly the cause, else null.

    The figures are those of the group's values: some, all, and the bound on chance.
    """
    convincing = figures[2] < CHANCE
    some, all_, bound = (coded_numbers(column[convincing]) for column in figures)

    def text(of: tuple[tuple[float, float], float]) -> str:
        (few, every), chance = of
        return f"{name}:{int(few)}/{int(every)},p<={chance:.1g}"

    told = some.beside(all_).beside(bound).mapped(text)
    texts = np.full(len(group.known), len(told.known))
    texts[convincing] = told.codes
    return Coded([*told.known, None], np.where(holds, texts[group.codes], len(told.known)))
