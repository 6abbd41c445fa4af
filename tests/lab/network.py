"""The lab's wires: a home, an access network, an ISP and the world, each a network namespace.

    home ── gateway ─┐
                     access ── router ── isp
    subscriber ──────┘            └───── world

Nothing can leave: the namespaces have no link to the host. The router holds the filter, one of
`FILTERS`; its interface `access` lies inside the filter, `border` outside. Addresses are those
of RFC 5737 and RFC 3849, but for the home's own net behind its NAT.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

HOME_CLIENT, HOME_SERVER = "192.168.0.10", "192.168.0.2"
HOME = "203.0.113.20"  # what the ISP sees of both
OWN_SERVER, OWN_SERVER_V6 = "203.0.113.10", "2001:db8:100:10::10"
BOT, STATIC = "203.0.113.66", "203.0.113.250"
ROUTER, ROUTER_V6 = "192.0.2.1", "2001:db8::1"
SMARTHOST, SMARTHOST_V6 = "192.0.2.25", "2001:db8:0:25::25"
LOCAL_MX, MAILBOX, RESOLVER = "192.0.2.30", "192.0.2.110", "192.0.2.53"
MX, MX_V6 = "198.51.100.25", "2001:db8:f::25"  # mx.example.com
MX_REFUSING, MX_BUSY, MX_OLD = "198.51.100.26", "198.51.100.27", "198.51.100.28"
CLOSED = "198.51.100.29"  # a host without a mail server
OTHER_MX = "198.51.100.35"  # mx.example.net
PROVIDER = "198.51.100.40"  # somebody else's submission and mailbox server
FRIEND = "198.51.100.200"  # a home server in another ISP's dynamic pool
SILENT, UNREACHABLE, PROHIBITED = "198.51.100.99", "198.51.100.98", "198.51.100.97"

LINKS = (  # namespace and interface, twice
    ("home", "wan", "gateway", "lan"),
    ("gateway", "wan", "access", "to_home"),
    ("subscriber", "wan", "access", "to_subscriber"),
    ("access", "wan", "router", "access"),
    ("isp", "wan", "router", "isp"),
    ("world", "wan", "router", "border"),
)
# What `ip -batch` is told in each namespace. Every host has addresses without a net of their own
# and one way out, so that nothing is on link by chance.
CONFIGURATIONS = {
    "home": f"""
        address add {HOME_CLIENT} dev wan
        address add {HOME_SERVER} dev wan
        route add default via 192.168.0.1 dev wan onlink""",
    "gateway": f"""
        address add 192.168.0.1/24 dev lan
        address add {HOME} dev wan
        route add default via 192.0.2.241 dev wan onlink""",
    "subscriber": f"""
        address add {OWN_SERVER} dev wan
        address add {BOT} dev wan
        address add {STATIC} dev wan
        address add {OWN_SERVER_V6} dev wan nodad
        address add fe80::2/64 dev wan nodad
        route add default via 192.0.2.241 dev wan onlink
        route add default via fe80::1 dev wan""",
    # Neighbours meet at the router only: what one says to the other passes its link twice.
    "access": f"""
        address add 192.0.2.241 dev to_home
        address add 192.0.2.241 dev to_subscriber
        address add fe80::1/64 dev to_subscriber nodad
        address add 192.0.2.241 dev wan
        address add fe80::2/64 dev wan nodad
        route add {HOME} dev to_home
        route add {OWN_SERVER} dev to_subscriber
        route add {BOT} dev to_subscriber
        route add {STATIC} dev to_subscriber
        route add {OWN_SERVER_V6} dev to_subscriber
        route add default via {ROUTER} dev wan onlink
        route add default via fe80::1 dev wan
        route add default via {ROUTER} dev wan onlink table 25
        rule add iif to_home lookup 25
        rule add iif to_subscriber lookup 25""",
    "router": f"""
        address add {ROUTER} dev access
        address add {ROUTER_V6} dev access nodad
        address add fe80::1/64 dev access nodad
        address add {ROUTER} dev isp
        address add fe80::1/64 dev isp nodad
        address add {ROUTER} dev border
        address add fe80::1/64 dev border nodad
        route add 203.0.113.0/24 via 192.0.2.241 dev access onlink
        route add 2001:db8:100::/48 via fe80::2 dev access
        route add 192.0.2.0/25 dev isp
        route add 2001:db8:0:25::/64 dev isp
        route add 198.51.100.0/24 via {MX} dev border onlink
        route add 2001:db8:f::/48 via fe80::2 dev border""",
    # The smarthost is the one that calls from here. Were it bound to its address, its port would be
    # drawn at random, and two attempts of a play would share one now and then.
    "isp": f"""
        address add {SMARTHOST} dev wan
        address add {LOCAL_MX} dev wan
        address add {MAILBOX} dev wan
        address add {RESOLVER} dev wan
        address add {SMARTHOST_V6} dev wan nodad
        address add fe80::2/64 dev wan nodad
        route add default via {ROUTER} dev wan onlink src {SMARTHOST}
        route add default via fe80::1 dev wan""",
    "world": f"""
        address add {MX} dev wan
        address add {MX_REFUSING} dev wan
        address add {MX_BUSY} dev wan
        address add {MX_OLD} dev wan
        address add {CLOSED} dev wan
        address add {OTHER_MX} dev wan
        address add {PROVIDER} dev wan
        address add {FRIEND} dev wan
        address add {MX_V6} dev wan nodad
        address add fe80::2/64 dev wan nodad
        route add default via {ROUTER} dev wan onlink
        route add default via fe80::1 dev wan
        route add blackhole {SILENT}
        route add unreachable {UNREACHABLE}
        route add prohibit {PROHIBITED}""",
}
SETTINGS = (
    "net.ipv4.ip_forward=1",
    "net.ipv6.conf.all.forwarding=1",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.ipv4.conf.all.send_redirects=0",
    "net.ipv4.conf.default.send_redirects=0",
    "net.ipv4.icmp_ratelimit=0",
    "net.ipv6.icmp.ratelimit=0",
)
# The world is some hops away: its packets can be told from the router's by their TTL.
WORLD_SETTINGS = ("net.ipv4.ip_default_ttl=57", "net.ipv6.conf.all.hop_limit=57")

FILTERED = (
    'iifname "access" ip saddr 203.0.113.0/24 ip saddr != 203.0.113.248/29 '
    f"ip daddr != {SMARTHOST} ip daddr != 203.0.113.0/24 tcp dport 25"
)
FILTERED_V6 = (
    f'iifname "access" ip6 saddr 2001:db8:100::/48 ip6 daddr != {SMARTHOST_V6} '
    "ip6 daddr != 2001:db8:100::/48 tcp dport 25"
)


def _forward(verdict: str, verdict_v6: str) -> str:
    return f"""table inet op25b {{
        chain forward {{
            type filter hook forward priority 0
            {FILTERED} {verdict}
            {FILTERED_V6} {verdict_v6}
        }}
    }}"""


FILTERS = {
    "open": "",
    "drop": _forward("drop", "drop"),
    "reset": _forward("reject with tcp reset", "reject with tcp reset"),
    "prohibited": _forward("reject with icmpx admin-prohibited", "reject with icmpx admin-prohibited"),
    "redirect": f"""
        table ip op25b {{
            chain prerouting {{
                type nat hook prerouting priority dstnat
                {FILTERED} dnat to {SMARTHOST}
            }}
        }}
        table ip6 op25b {{
            chain prerouting {{
                type nat hook prerouting priority dstnat
                {FILTERED_V6} dnat to {SMARTHOST_V6}
            }}
        }}""",
    "ipv4_only": _forward("drop", "accept"),
    # A mistake: submission and the customers with a static address are stopped too.
    "too_much": f"""table inet op25b {{
        chain forward {{
            type filter hook forward priority 0
            iifname != "access" accept
            ip daddr 203.0.113.0/24 accept
            ip daddr != {SMARTHOST} tcp dport {{ 25, 587 }} reject with icmpx admin-prohibited
            {FILTERED_V6} reject with icmpx admin-prohibited
        }}
    }}""",
}
NAT = """table ip home {
    chain postrouting {
        type nat hook postrouting priority srcnat
        oifname "wan" masquerade
    }
}"""
TOOLS = ("ip", "nft", "ethtool", "tcpdump", "tshark", "postfix", "dovecot", "dnsmasq", "swaks", "openssl")
CLONE_NEWNET = 0x40000000

_Result = TypeVar("_Result")


def why_not() -> str:
    """The reason why no lab can be built here, or the empty string."""
    if os.geteuid() != 0:
        return "lab: network namespaces need root"
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return f"lab: not installed: {', '.join(missing)}"
    trial = f"op25b-{os.getpid()}-trial"
    try:
        _run("ip", "netns", "add", trial)
        try:
            _run("ip", "netns", "exec", trial, "nft", "-f", "-", given=NAT)
        finally:
            _run("ip", "netns", "delete", trial)
    except RuntimeError as fault:
        return f"lab: no namespaces or no nftables: {fault}"
    return ""


class Network:
    """The namespaces, for as long as the `with` block lasts; all processes in them end with it."""

    def __init__(self) -> None:
        self._mark = f"op25b-{os.getpid()}-"
        self._threads: dict[str, ThreadPoolExecutor] = {}

    def __enter__(self) -> Network:
        _clear(abandoned=True)
        try:
            self._build()
        except BaseException:
            _clear()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        _clear()
        for threads in self._threads.values():
            threads.shutdown()

    def command(self, namespace: str, *words: str | Path) -> list[str]:
        """The command line that runs `words` in the namespace."""
        return ["ip", "netns", "exec", self._mark + namespace, *map(str, words)]

    def run(self, namespace: str, *words: str, given: str = "") -> str:
        """Runs a command to its end and returns what it printed; RuntimeError if it failed."""
        return _run(*self.command(namespace, *words), given=given)

    def submit(self, namespace: str, task: Callable[[], _Result]) -> Future[_Result]:
        """Runs `task` in a thread whose sockets belong to the namespace."""
        return self._threads[namespace].submit(task)

    def filter(self, name: str) -> None:
        """Puts one of `FILTERS` into the router, in place of the one before."""
        self.run("router", "nft", "-f", "-", given=f"flush ruleset\n{FILTERS[name]}")

    def capture(self, namespace: str, interface: str, path: Path) -> Capture:
        """Captures what passes the interface into `path` while the `with` block lasts."""
        return Capture(self.command(namespace), interface, path)

    def _build(self) -> None:
        for namespace in CONFIGURATIONS:
            _run("ip", "netns", "add", self._mark + namespace)
            self.run(namespace, "sysctl", "-qw", *SETTINGS)
            self.run(namespace, "ip", "link", "set", "lo", "up")
        for namespace, interface, peer, peer_interface in LINKS:
            _run(
                *("ip", "link", "add", interface, "netns", self._mark + namespace, "type", "veth"),
                *("peer", "name", peer_interface, "netns", self._mark + peer),
            )
            for end, name in ((namespace, interface), (peer, peer_interface)):
                # A real wire has checksums, and no packet larger than its MTU.
                self.run(end, "ethtool", "-K", name, *["tx", "off", "tso", "off", "gso", "off", "gro", "off"])
                self.run(end, "ip", "link", "set", name, "up")
        for namespace, lines in CONFIGURATIONS.items():
            self.run(namespace, "ip", "-batch", "-", given=lines)
            self._threads[namespace] = ThreadPoolExecutor(
                32, initializer=_enter, initargs=(Path("/run/netns", self._mark + namespace),)
            )
        self.run("world", "sysctl", "-qw", *WORLD_SETTINGS)
        self.run("gateway", "nft", "-f", "-", given=NAT)


class Capture:
    """tcpdump at one interface; RuntimeError if it cannot begin or loses packets."""

    def __init__(self, prefix: list[str], interface: str, path: Path) -> None:
        # ARP and neighbour discovery pass the wire too, but whether one happens is chance.
        self._command = [
            *prefix,
            *("tcpdump", "-i", interface, "-U", "-n", "-s", "2000", "-B", "16384", "-Z", "root"),
            *("--immediate-mode", "--time-stamp-precision=nano", "-w", str(path)),
            "tcp or icmp or udp port 53 or (icmp6 and ip6[40] < 128)",
        ]

    def __enter__(self) -> Capture:
        self._tcpdump = subprocess.Popen(self._command, stderr=subprocess.PIPE, text=True)
        assert self._tcpdump.stderr is not None
        said = ""
        for line in self._tcpdump.stderr:
            said += line
            if "listening on" in line:
                return self
        raise RuntimeError(f"tcpdump: {said}")

    def __exit__(self, *_: object) -> None:
        time.sleep(0.2)  # the last packets are on their way
        self._tcpdump.send_signal(signal.SIGINT)
        _, said = self._tcpdump.communicate(timeout=10)
        if not re.search(r"^0 packets dropped by kernel", said, re.M):
            raise RuntimeError(f"tcpdump: {said}")


def wait_until(holds: Callable[[], object], what: str, seconds: float = 10) -> None:
    """Waits for something that another process does; TimeoutError if it does not happen."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.02)


def _run(*words: str, given: str = "") -> str:
    done = subprocess.run(
        words, input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stdout.strip()}")
    return done.stdout


def _enter(namespace: Path) -> None:
    """Moves the calling thread into a network namespace (setns(2); in `os` from Python 3.12)."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(descriptor, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
    finally:
        os.close(descriptor)


def _clear(abandoned: bool = False) -> None:
    """Ends the processes in this run's namespaces and removes them; or those of runs that died."""
    for line in _run("ip", "netns", "list").splitlines():
        name = line.split()[0]
        made = re.match(r"op25b-(\d+)-", name)
        if made is None or abandoned == Path("/proc", made[1]).exists():
            continue
        if not abandoned and int(made[1]) != os.getpid():
            continue
        for _ in range(100):
            inside = [int(pid) for pid in _run("ip", "netns", "pids", name).split()]
            for pid in set(inside) - {os.getpid()}:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not set(inside) - {os.getpid()}:
                break
            time.sleep(0.02)
        _run("ip", "netns", "delete", name)
