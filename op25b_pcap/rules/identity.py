"""Who answered: evidence that somebody spoke in the addressee's place, or that it was itself.

One name at many addresses is what a redirect looks like, but large providers have it too; so a
name counts only where DNS calls the address something else.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from op25b_pcap.rules.scene import Scene
from op25b_pcap.tables.columns import Flags, Words, is_in
from op25b_pcap.wire.domains import registrable

PLACES = 2
"""Addresses at which one foreign name must be met: one may be a customer's own name for it."""


def facts(scene: Scene) -> dict[str, Flags | Words]:
    """Each fact by its name: for each flow whether it holds."""
    banner = scene.said["banner_text"].fillna("").astype(str).str.split(" ").str[0].str.lower()
    host = banner.where(banner.str.contains(".", regex=False), "").to_numpy(object)
    named = host != ""
    dst, role = scene.word("dst_ip"), scene.word("dst_role")
    dns_known, exact, same_registrant = _compared(scene, host)
    smarthosts = set(host[named & (role == "smarthost")])
    # The provider's inbound server may be called like its relay: there only DNS can tell.
    stranger = (role != "smarthost") & ((role != "local_mx") | (dns_known & ~exact))
    foreign = named & dns_known & ~same_registrant
    nearer = _nearer(scene, dst)
    of_smarthost = named & stranger & is_in(pd.Series(host), smarthosts) & ~exact
    return {
        "server_named_as_in_dns": named & dns_known & same_registrant & ~of_smarthost,
        "smarthost_name_elsewhere": of_smarthost,
        "one_name_at_many_addresses": _strays(scene, host, foreign, same_registrant),
        "nearer_than_on_other_ports": nearer,
        "foreign_name_and_nearer": nearer & foreign,
    }


def _strays(scene: Scene, host: Words, foreign: Flags, same_registrant: Flags) -> Flags:
    """Greetings with a name that is met at several addresses, and is nowhere the address's own.

    DNS must call at least one of the addresses something else and none of them so; and all must
    be as many hops away: there is one machine behind them.
    """
    met = pd.DataFrame(
        {
            "dst": scene.word("dst_ip"),
            "foreign": foreign,
            "own": same_registrant,
            "ttl": scene.number("dst_ttl"),
        }
    ).groupby(host)
    strays = (
        (met["dst"].nunique() >= PLACES)
        & met["foreign"].any()
        & ~met["own"].any()
        & (met["ttl"].max() == met["ttl"].min())
    )
    return is_in(pd.Series(host), set(strays.index[strays]) - {""})


def _compared(scene: Scene, host: Words) -> tuple[Flags, Flags, Flags]:
    """Whether DNS names the address; names it as the server does; or the same registrant."""
    said = pd.DataFrame(
        {
            "host": host,
            "name": scene.flows["dst_names"].reset_index(drop=True),
            "domain": scene.flows["dst_mx_of"].reset_index(drop=True),
        }
    )
    names = said[["host", "name"]].explode("name").dropna()
    domains = said[["host", "domain"]].rename(columns={"domain": "name"}).explode("name").dropna()
    rows = said.index
    exact = names.index[names["host"] == names["name"]]
    both = pd.concat([names, domains])
    registrants = both["host"].map(registrable) == both["name"].astype(str).map(registrable)
    same = both.index[registrants & both["host"].map(registrable).notna()]
    return rows.isin(names.index), rows.isin(exact), rows.isin(same)


def _nearer(scene: Scene, dst: Words) -> Flags:
    """Whether an answer on port 25 has more hops left than every answer on other ports."""
    smtp, ttl = scene.has("service", "smtp"), pd.Series(scene.number("dst_ttl"))
    elsewhere = ttl.where(~smtp).groupby(dst).transform("max").to_numpy(np.float64)
    return smtp & scene.connected & (ttl.to_numpy(np.float64) > elsewhere)
