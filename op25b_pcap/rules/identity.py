"""Who answered: evidence that somebody spoke in the addressee's place, or that it was itself.

One name at many addresses is what a redirect looks like, but large providers have it too; so a
name counts only where DNS calls the address something else.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from op25b_pcap.rules.scene import Scene
from op25b_pcap.rules.stopping import TOO_FAST
from op25b_pcap.tables.columns import Coded, Flags, coded, flattened
from op25b_pcap.tables.everywhere import Way, abreast
from op25b_pcap.wire.domains import registrable

_TOGETHER = 1 << 16
"""Greetings that are cut into words at a time: of all, the words would be a hundred megabytes."""
_HOST = r"^([a-z0-9_-]+\.)+[a-z][a-z0-9-]*$"
"""Of a name in small letters: several labels, of which the last is no number (RFC 3696 section 2)."""
PLACES = 2
"""Addresses at which one foreign name must be met: one may be a customer's own name for it."""


def facts(scene: Scene) -> Way[dict[str, Flags | Coded]]:
    """Each fact by its name: for each flow whether it holds."""
    host = _greeted_names(coded(scene.said["banner_text"]))
    named = ~host.is_in(None)
    dns_known, exact, same_registrant = _compared(scene, host)
    # The provider's inbound server may be called like its relay: there only DNS can tell.
    stranger = ~scene.has("dst_role", "smarthost")
    stranger &= ~scene.has("dst_role", "local_mx") | (dns_known & ~exact)
    foreign = named & dns_known & ~same_registrant
    of_smarthost = scene.everywhere.any("name_of_smarthost", named & scene.has("dst_role", "smarthost"), host)
    strays, nearer, sooner = yield from abreast(
        _strays(scene, host, foreign, same_registrant), _nearer(scene), _sooner(scene)
    )
    posed = named & stranger & of_smarthost.holds() & ~exact
    return {
        "server_named_as_in_dns": named & dns_known & same_registrant & ~posed,
        "smarthost_name_elsewhere": posed,
        "one_name_at_many_addresses": named & strays,
        "nearer_than_on_other_ports": nearer,
        "foreign_name_and_nearer": nearer & foreign,
        "nearer_and_sooner": nearer & sooner,
    }


def _greeted_names(banners: Coded) -> Coded:
    """The names that servers give themselves in their greetings (RFC 5321 section 4.2)."""
    texts = pa.array(banners.known, pa.string())
    names = [_names(texts.slice(begin, _TOGETHER)) for begin in range(0, len(texts), _TOGETHER)]
    return banners.turned_into(pa.chunked_array(names, pa.string()))


def _names(greetings: pa.Array) -> pa.Array:
    """The first word of each, if it is the name of a host.

    Who refuses at once may begin with something else: a status code, `IP=203.0.113.1`.
    """
    words = pc.split_pattern(greetings, " ", max_splits=1)
    names = pc.utf8_rtrim(pc.utf8_lower(pc.list_element(words, 0)), ".:,")
    return pc.if_else(pc.match_substring_regex(names, _HOST), names, pa.scalar(None, pa.string()))


def _strays(scene: Scene, host: Coded, foreign: Flags, same_registrant: Flags) -> Way[Flags]:
    """Greetings with a name that is met at several addresses, and is nowhere the address's own.

    DNS must call at least one of the addresses something else and none of them so; and all must
    be as many hops away: there is one machine behind them.
    """
    everywhere, named = scene.everywhere, ~host.is_in(None)
    ttl = np.where(named, scene.number("dst_ttl"), np.nan)  # let go at the barrier: there many wait
    places = everywhere.count("places_of_name", scene.word("dst_ip"), {"places": named}, host)
    farthest = everywhere.greatest("most_hops_left_of_name", ttl, host)
    nearest = everywhere.least("fewest_hops_left_of_name", ttl, host)
    elsewhere = everywhere.any("foreign_somewhere", foreign, host)
    at_home = everywhere.any("own_somewhere", same_registrant, host)
    del ttl, named
    yield None
    equally_far = farthest.numbers() == nearest.numbers()
    strays: Flags = (
        (places.numbers(name="places") >= PLACES) & equally_far & elsewhere.holds() & ~at_home.holds()
    )
    return strays


def _compared(scene: Scene, host: Coded) -> tuple[Flags, Flags, Flags]:
    """Whether DNS names the address; names it as the server does; or the same registrant."""
    known, exact, same = (np.zeros(len(scene.flows), dtype=bool) for _ in range(3))
    for column in ("dst_names", "dst_mx_of"):
        rows, names = flattened(scene.flows[column])
        pair = host[rows].beside(names)
        registrants = [(registrable(one or ""), registrable(other)) for one, other in pair.values]
        same[rows[pair.where([one is not None and one == other for one, other in registrants])]] = True
        if column == "dst_names":
            known[rows] = True
            exact[rows[pair.where([one == other for one, other in pair.values])]] = True
    return known, exact, same


def _nearer(scene: Scene) -> Way[Flags]:
    """Whether an answer on port 25 has more hops left than every answer on other ports."""
    smtp = scene.has("service", "smtp")
    others = np.where(smtp, np.nan, scene.number("dst_ttl"))
    elsewhere = scene.everywhere.greatest("most_hops_left_on_other_ports", others, scene.word("dst_ip"))
    del others
    yield None
    return smtp & scene.connected & (scene.number("dst_ttl") > elsewhere.numbers())


def _sooner(scene: Scene) -> Way[Flags]:
    """Whether an answer on port 25 came in less than half the time of every one on other ports."""
    smtp = scene.has("service", "smtp")
    others = np.where(smtp, np.nan, scene.number("handshake_rtt_ms"))
    elsewhere = scene.everywhere.least("shortest_trip_on_other_ports", others, scene.word("dst_ip"))
    del others
    yield None
    return smtp & (scene.number("handshake_rtt_ms") < TOO_FAST * elsewhere.numbers())
