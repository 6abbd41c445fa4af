"""Who stopped an attempt: evidence in firewalls' logs, in ICMP errors, in RSTs and in silence.

A RST in the addressee's name is compared with the addressee's other packets: how many hops it
has left, and how soon it came. Silence is weighed by a bound on chance: if a share p of the
addressees that nothing blocks is silent, k or more of n blocked ones are silent by chance with
probability exp(-n KL(k/n, p)) at most (Chernoff; p^n where all are); p is estimated as
(silent + 1) / (all + 2), Laplace's rule, so that little knowledge gives a weak bound.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from op25b_pcap.policy.networks import Addresses
from op25b_pcap.rules.scene import Scene
from op25b_pcap.tables.columns import Coded, Flags, Numbers, coded, coded_numbers, nanoseconds, numbers
from op25b_pcap.tables.everywhere import Asked, Everywhere, Way, abreast
from op25b_pcap.wire.hops import FARTHER_HOPS, passed
from op25b_pcap.wire.icmp import PROHIBITED, REJECTED

CHANCE = 0.05
"""Bounds above this convince nobody."""
FIRST_RETRANSMISSION_S = 1.0
"""RFC 6298 section 2.1: a host waits a second before it repeats a SYN; until then silence may
only be an answer that is on its way when the capture ends."""
TOO_FAST = 0.5
"""A RST in less than half the addressee's shortest round trip cannot have come from there."""


def trips(flows: pd.DataFrame, everywhere: Everywhere) -> Asked:
    """The shortest round trip to each host; to be asked a barrier before `facts`, which ask by it."""
    return everywhere.least("shortest_trip", numbers(flows["handshake_rtt_ms"]), coded(flows["dst_ip"]))


def facts(scene: Scene) -> Way[dict[str, Flags | Coded]]:
    """Each fact by its name: for each flow whether it holds, or its text where it has figures."""
    icmp, rst, silence = yield from abreast(_icmp(scene), _rst(scene), _silence(scene))
    return {**_filter(scene), **_cut(scene), **icmp, **rst, **silence}


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


def _says(scene: Scene, errors: Iterable[tuple[int, int, int]]) -> Flags:
    """Whether an attempt's error is one of these: IP version, type and code."""
    columns = (scene.number(name) for name in ("ip_version", "icmp_type", "icmp_code"))
    version, type_, code = (np.nan_to_num(column, nan=-1) for column in columns)
    return np.isin((version * 256 + type_) * 256 + code, [(v * 256 + t) * 256 + c for v, t, c in errors])


def _icmp(scene: Scene) -> Way[dict[str, Flags | Coded]]:
    unreachable = scene.has("outcome", "unreachable")
    # Where a RST followed, the outcome goes by that.
    prohibited = scene.has("outcome", "prohibited", "refused") & _says(scene, PROHIBITED)
    version, type_ = scene.number("ip_version"), scene.number("icmp_type")
    expired = unreachable & (type_ == np.where(version == 4, 11, 3))
    told = prohibited | (unreachable & ~expired)
    cut = scene.list_has("anomalies", "icmp_quote_cut")
    src, dst, port = (scene.word(name)[cut] for name in ("src_ip", "dst_ip", "dst_port"))
    ports = scene.everywhere.count("ports_of_cut_quotes", port, {"ports": cut[cut]}, src, dst)
    too_fast, _ = _soon(scene)
    yield None
    # Without its ports a quote may mean any of several attempts.
    unsure = cut.copy()
    unsure[cut] = ports.numbers(name="ports") > 1
    # Of a quote that is cut short it is not sure that it means this attempt.
    own = scene.icmp_is_own & ~cut
    in_its_name = told & scene.word("dst_ip").equals(scene.word("icmp_from")) & ~own
    by_filter = prohibited | (unreachable & _says(scene, REJECTED))
    return {
        "icmp_prohibited": prohibited & ~unsure,
        "icmp_from_own_router": by_filter & own,
        "icmp_no_way": told & own & ~by_filter,
        "icmp_from_addressee": in_its_name & ~too_fast & ~unsure,
        "icmp_too_fast": in_its_name & too_fast & ~unsure,
        "icmp_unreachable": unreachable & ~expired & ~unsure,
        "icmp_time_exceeded": expired,
        "icmp_quote_unsure": told & unsure,
    }


def _cut(scene: Scene) -> dict[str, Flags | Coded]:
    """Connections of which nothing came, and what the network has to do with it.

    A RST in the called host's name is told from its own by hops: what guards a server stands near it.
    """
    in_vain = scene.connected & scene.ended_in_vain
    nearer = passed(scene.number("rst_ttl")) + FARTHER_HOPS <= passed(scene.number("dst_ttl"))
    sure = ~scene.list_has("anomalies", "icmp_quote_cut")
    forbidden = in_vain & sure & _says(scene, PROHIBITED)
    forbidden &= ~scene.word("dst_ip").equals(scene.word("icmp_from"))
    history = scene.word("history")
    repeated = history.where(["T" in (text or "") and not set("FRfr") & set(text) for text in history.values])
    return {
        "cut_by_nearer_rst": in_vain & nearer & np.isfinite(scene.number("dst_ttl")),
        "cut_by_icmp": forbidden,
        "cut_by_own_router": forbidden & scene.icmp_is_own,
        "said_in_vain": in_vain & repeated,
    }


def _rst(scene: Scene) -> Way[dict[str, Flags | Coded]]:
    refused, dst = scene.has("outcome", "refused"), scene.word("dst_ip")
    lowest = scene.everywhere.least("fewest_hops_left", scene.number("dst_ttl"), dst)
    highest = scene.everywhere.greatest("most_hops_left", scene.number("dst_ttl"), dst)
    too_fast, from_far = _soon(scene)
    rst_ttl = scene.number("rst_ttl")
    suspect, distance = refused & scene.blocked & ~from_far & ~np.isnan(rst_ttl), coded_numbers(rst_ttl)
    places = Addresses(dst[suspect].compact()).neighbours()
    of_all = np.ones(len(places), dtype=bool)
    alike = scene.everywhere.count("refused_at_distance", places, {"networks": of_all}, distance[suspect])
    yield None
    low, high = lowest.numbers(), highest.numbers()
    outside = (rst_ttl < low) | (rst_ttl > high)
    compared = refused & ~np.isnan(low) & ~np.isnan(rst_ttl)
    return {
        "rst_ttl_differs": compared & outside & ~from_far,
        "rst_too_fast": refused & too_fast,
        "rst_fits_addressee": compared & ~outside & ~too_fast,
        "rst_alike_for_many": _alike(suspect, distance, alike.of_values("networks"), lowest),
    }


def _soon(scene: Scene) -> tuple[Flags, Flags]:
    """Whether an answer came too fast to be the addressee's, and whether it took as long as one from there:
    then it may be from its own router, say, but not from the provider's.
    """
    after, trip = scene.number("answer_ms"), trips(scene.flows, scene.everywhere).numbers()
    return after < TOO_FAST * trip, after >= TOO_FAST * trip


def _alike(refused: Flags, distance: Coded, counts: Numbers, nearest: Asked) -> Flags | Coded:
    """Many addressees as far away as each other.

    By chance no likelier than p^(n-1), where p is the share of the commonest distance among
    addressees that answered, and n counts their networks: neighbours are as far away by nature.
    """
    if not refused.any():
        return refused
    known = coded_numbers(nearest.table["value"].to_numpy())
    commonest = np.bincount(known.codes).max(initial=0)
    share = (commonest + 1) / (len(known) + 2) if len(known) else 1.0
    bound = share ** np.maximum(counts - 1, 0)
    return _figures("rst_alike_for_many", distance, refused, (counts, counts, bound))


def _silence(scene: Scene) -> Way[dict[str, Flags | Coded]]:
    unanswered = scene.has("outcome", "no_answer")
    # What came of the called host, or is about the attempt, and does not say what became of it.
    undecided = unanswered & ((scene.number("dst_packets") > 0) | ~np.isnan(scene.number("icmp_type")))
    silent = unanswered & ~undecided
    dst, payer, pool = (scene.word(name) for name in ("dst_ip", "subscriber_key", "ip_version"))
    unheard = scene.blocked & silent
    answered = scene.has("outcome", "connected", "half_open")
    open_to = scene.smtp & ~scene.blocked
    everywhere = scene.everywhere
    called = everywhere.count(
        "called", dst, {"asked": open_to & (silent | answered), "heard": open_to & answered}
    )
    tried = {"silent": unheard, "tried": scene.blocked}
    by_pool = everywhere.count("called_by_pool", dst, tried, pool)
    # There are as many pairs as attempts: what else is to be counted of them is asked at once.
    counted = {"all": np.ones(len(dst), dtype=bool), "directly": scene.has("traffic_class", "direct_to_mx")}
    by_payer = everywhere.count("called_by_payer", dst, tried | counted, payer)
    server_answers = scene.same_server("server_answers", answered)
    payer_is_answered = everywhere.any("payer_is_answered", answered, payer)
    yield None
    asked, heard = called.number("asked"), called.number("heard")
    # Where nobody was heard, nothing is known of how many are silent by themselves.
    share = (asked - heard + 1) / (asked + 2) if heard else 1.0
    lasted = scene.number("watched_s") + _seconds(scene)
    once = scene.number("syn_packets") <= 1
    return {
        "silence": silent,
        "undecided_answer": undecided,
        "capture_ended": silent & once & (lasted < FIRST_RETRANSMISSION_S) & ~scene.filter_stopped,
        "addressee_answers_others": silent & server_answers.holds(),
        "source_answered_elsewhere": silent & payer_is_answered.holds(),
        "source_silent_on_25": _unanswered("source_silent_on_25", payer, unheard, by_payer, share),
        "pool_silent_on_25": _unanswered("pool_silent_on_25", pool, unheard, by_pool, share),
    }


def _seconds(scene: Scene) -> Numbers:
    lasted: Numbers = (nanoseconds(scene.flows["end_time"]) - nanoseconds(scene.flows["start_time"])) / 1e9
    return lasted


def _unanswered(name: str, group: Coded, silent: Flags, counted: Asked, share: float) -> Flags | Coded:
    """Groups of blocked attempts of which hardly so many are unanswered by chance."""
    if share >= 1 or not silent.any():
        return silent & False
    counts, tried = counted.of_values("silent"), counted.of_values("tried")
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
