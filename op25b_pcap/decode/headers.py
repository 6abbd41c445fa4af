"""Scapy, quietly: its formats of headers, one header at a time.

Only this module imports Scapy. Its own way from layer to layer is not used: which header
follows is said in `wire.layers`, so that nesting stays bounded, payload stays payload, and
every engine goes the same way. Scapy reads the fields.
"""

from __future__ import annotations

import logging
from typing import Any

import scapy.interfaces  # noqa: F401 (makes conf.ifaces)
from scapy.config import conf

from op25b_pcap.decode.steps import Skip, View

# On import Scapy asks the kernel for this host's interfaces and routes. They are none of our
# business, and a sandbox may forbid the question. Nor is what it thinks of packets for the terminal.
_autoload = conf.route_autoload, conf.route6_autoload
conf.route_autoload = conf.route6_autoload = False
conf.ifaces.reload = lambda: None
logging.getLogger("scapy").setLevel(logging.CRITICAL)

from scapy.contrib.chdlc import CHDLC  # noqa: E402
from scapy.contrib.erspan import ERSPAN_II, ERSPAN_III  # noqa: E402
from scapy.contrib.geneve import GENEVE  # noqa: E402
from scapy.contrib.gtp import GTP_U_Header  # noqa: E402
from scapy.contrib.mpls import MPLS  # noqa: E402
from scapy.layers.inet import IP, TCP, UDP  # noqa: E402
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, IPv6ExtHdrRouting  # noqa: E402
from scapy.layers.l2 import (  # noqa: E402
    GRE,
    GRE_PPTP,
    LLC,
    SNAP,
    CookedLinux,
    CookedLinuxV2,
    Dot1AH,
    Dot1Q,
    Ether,
    LoopbackOpenBSD,
)
from scapy.layers.l2tp import L2TP  # noqa: E402
from scapy.layers.ppp import PPP, PPPoE  # noqa: E402
from scapy.layers.vxlan import VXLAN  # noqa: E402

del conf.ifaces.reload
conf.route_autoload, conf.route6_autoload = _autoload

__all__ = [
    "CHDLC",
    "ERSPAN_II",
    "ERSPAN_III",
    "GENEVE",
    "GRE",
    "GRE_PPTP",
    "IP",
    "L2TP",
    "LLC",
    "MPLS",
    "PPP",
    "SNAP",
    "TCP",
    "UDP",
    "VXLAN",
    "CookedLinux",
    "CookedLinuxV2",
    "Dot1AH",
    "Dot1Q",
    "Ether",
    "GTP_U_Header",
    "IPv6",
    "IPv6ExtHdrFragment",
    "IPv6ExtHdrRouting",
    "LoopbackOpenBSD",
    "PPPoE",
    "header",
]


_blank: dict[Any, Any] = {}
"""One packet of each format, used again and again: to make one takes as long as to dissect it."""


def header(format_: Any, view: View, most: int) -> tuple[dict[str, Any], View]:
    """The fields of one header, and what follows it.

    Scapy is shown `most` octets: the longest that the header can be, without the lists of
    options that nobody here reads.
    """
    shown = view.data[:most]
    packet = _blank.get(format_)
    if packet is None:
        packet = _blank[format_] = format_()
    packet.fields = {}
    try:
        rest = packet.do_dissect(shown)
    except Exception as fault:  # whatever it stumbles over, there is no whole header
        is_cut = len(shown) < most and len(shown) < view.length
        raise Skip("truncated" if is_cut else "malformed") from fault
    return packet.fields, view.after(len(shown) - len(rest))
