"""Where the capture was taken: on which side of the filter, by the policy or by what proves it."""

from __future__ import annotations

import numpy as np

from op25b_pcap.rules.scene import Scene
from op25b_pcap.tables.everywhere import Way
from op25b_pcap.wire.hops import INITIAL_TTLS


def is_inside(scene: Scene) -> Way[bool | None]:
    """Whether the filter lies beyond the point of capture; None where nothing tells.

    A blocked attempt that the provider's router prohibited had not passed the filter; inside of the
    subscriber's own line (PPPoE, a tunnel to the provider) nothing has been filtered yet, nor
    where no router at all has passed the packet on.
    """
    on_line = ~scene.word("subscriber_key").equals(scene.word("src_ip"))
    told = scene.has("outcome", "prohibited") & scene.icmp_is_own
    at_source = np.isin(scene.number("src_ttl"), INITIAL_TTLS) & scene.has("initiator_evidence", "syn")
    shown = scene.everywhere.any("observed_inside", scene.blocked & (told | on_line | at_source))
    yield None
    point = scene.policy.observation_point
    if point != "unknown":
        return point == "inside"
    return True if shown.at_all() else None
