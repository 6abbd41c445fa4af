"""The invented provider and the world around it; the policy that describes both.

Documentation addresses only: 203.0.113.0/24 and 2001:db8:100::/40 are the provider's
subscribers, 192.0.2.0/24 its servers, 198.51.100.0/24 and the rest of 2001:db8::/32 everybody
else.
"""

from __future__ import annotations

from op25b_pcap.samples.network import Host

SUBSCRIBER_TTL = 63  # one hop: the router at home
_NEAR_S = 0.0005


def subscriber(address: str) -> Host:
    """A subscriber at a global address."""
    return Host(address, SUBSCRIBER_TTL, _NEAR_S, is_inside=True)


ROUTER = Host("192.0.2.1", 254, 0.001)
ROUTER_V6 = Host("2001:db8:0:1::1", 254, 0.001)
SMARTHOST = Host("192.0.2.25", 61, 0.003)
INBOUND_SERVER = Host("192.0.2.30", 61, 0.003)
RESOLVER = Host("192.0.2.53", 62, 0.002)
RESOLVER_V6 = Host("2001:db8:0:1::53", 62, 0.002)
MAILBOX = Host("192.0.2.110", 61, 0.003)
TRANSLATOR_V6 = "2001:db8:0:2::1"
"""The provider's end of DS-Lite tunnels (AFTR, RFC 6333)."""

EXCHANGER = Host("198.51.100.25", 52, 0.011)
EXCHANGER_V6 = Host("2001:db8:c0de::25", 52, 0.012)
STRICT_EXCHANGER = Host("198.51.100.54", 50, 0.019)
CORRESPONDENT = Host("198.51.100.40", 47, 0.031)
HOSTING = Host("198.51.100.87", 53, 0.009)
"""A company that lets its customers submit mail and read it."""
FRIEND = Host("198.51.100.200", 49, 0.024)
"""A friend's home server: a subscriber of another provider."""

POLICY = f"""\
# Who is who in the sample captures. Everything not named here is somebody else's.
[policy]
name = "example-isp"
observation_point = "inside"      # the captures were taken between subscriber and filter

[networks]                        # the longest prefix wins
dynamic = ["203.0.113.0/24", "2001:db8:100::/40"]
static = ["203.0.113.248/29"]

[servers]
smarthosts = ["{SMARTHOST.address}"]
local_mx = ["{INBOUND_SERVER.address}"]
mailbox = ["{MAILBOX.address}"]
routers = ["{ROUTER.address}", "{ROUTER_V6.address}"]

[elsewhere]
dynamic_pools = ["198.51.100.128/25"]   # another provider's subscribers

[actions]
local_mx = "block"                # draft-akagiri-op25b-dynamicip section 4.3.4
"""
