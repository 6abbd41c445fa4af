"""The policy file: who is who, and what is allowed. TOML in, a frozen `Policy` out.

Every fault is one sentence with file, line, key and what is allowed there; nothing is guessed
and no key is ignored. Lists may name files of prefixes (`file:pools.txt`, one a line, `#`
comments), found beside the policy.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import tomllib
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from op25b_pcap.faults import UsageFault
from op25b_pcap.tables.flows import ACTIONS, TRAFFIC_CLASSES

if TYPE_CHECKING:
    from op25b_pcap.policy.networks import Networks

OBSERVATION_POINTS = ("inside", "outside", "unknown")
Prefix = ipaddress.IPv4Network | ipaddress.IPv6Network

_LISTS = {
    "networks": ("dynamic", "static"),
    "servers": ("smarthosts", "local_mx", "mailbox", "routers"),
    "elsewhere": ("dynamic_pools", "mx"),
}
KINDS = tuple(kind for kinds in _LISTS.values() for kind in kinds)
"""What a prefix may be listed as."""
_KEYS = {"policy": ("name", "observation_point"), **_LISTS, "actions": TRAFFIC_CLASSES}
_APART = ({"dynamic", "static"}, {"dynamic", "dynamic_pools"}, {"static", "dynamic_pools"})
"""Lists that contradict each other where they hold the very same prefix."""
_MOST_SHOWN = 80
_MOST_FAULTS = 100
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
"""RFC 4291 section 2.5.5.2: how hosts write IPv4 to themselves."""


class PolicyFault(UsageFault):
    """The policy file is not sound; the message says where and why."""


@dataclass(frozen=True)
class Policy:
    """Who is who, and what is allowed."""

    name: str
    observation_point: str = "unknown"
    prefixes: Mapping[str, Sequence[Prefix]] = field(default_factory=dict)
    """By the list they stand in, one of KINDS."""
    actions: Mapping[str, str] = field(default_factory=dict)
    """Traffic classes whose action differs from the rules' own."""
    digest: str = ""
    """SHA-256 (hex) of the file and of every file it names."""
    assumed: bool = False
    """Nobody wrote it: it was drawn from what the captures show."""

    def of(self, kind: str) -> Sequence[Prefix]:
        """The prefixes of one list."""
        return self.prefixes.get(kind, ())

    @cached_property
    def networks(self) -> Networks:
        """All lists, to look addresses up in."""
        from op25b_pcap.policy.networks import Networks

        return Networks(self.prefixes)


def _ambiguous(policy: Policy) -> list[tuple[Prefix, list[str]]]:
    """Prefixes that stand in several lists of our own servers; the first of these says the role."""
    kinds: dict[Prefix, list[str]] = {}
    for kind in _LISTS["servers"]:
        for one in dict.fromkeys(policy.of(kind)):
            kinds.setdefault(one, []).append(kind)
    return [(one, several) for one, several in kinds.items() if len(several) > 1]


def doubts(policy: Policy) -> Iterator[str]:
    """What is sound, and perhaps not meant; a sentence each."""
    if not policy.of("dynamic"):
        yield "it names no dynamic networks: nothing that it sees would be blocked"
    for one, kinds in _ambiguous(policy):
        yield f"{one} stands in {' and '.join(kinds)}: it counts as {kinds[0]}"
    if policy.observation_point == "unknown":
        yield "it does not say on which side of the filter captures are taken (observation_point)"


def acl_rows(policy: Policy) -> int:
    """Rows of a router's access list that says the policy: draft-akagiri section 4.

    For each block of dynamic addresses (the static ones taken out) one row a permitted block of
    the same family, and one that denies the rest.
    """
    rows = 0
    for version in (4, 6):
        dynamic, static, permitted = (
            [one for one in policy.of(kind) if one.version == version]
            for kind in ("dynamic", "static", "smarthosts")
        )
        blocks = _blocks_left(dynamic, static)
        rows += blocks * (len(list(ipaddress.collapse_addresses(permitted))) + 1)  # type: ignore[type-var]
    return rows


def _blocks_left(prefixes: list[Prefix], holes: list[Prefix]) -> int:
    """How many blocks the prefixes are, aggregated, without the holes in them."""
    blocks = [_range(one) for one in ipaddress.collapse_addresses(prefixes)]  # type: ignore[type-var]
    begins = [begin for begin, _ in blocks]

    def around(hole: Any) -> int:
        """The number of the block that a hole is in; -1 if in none."""
        begin, end = _range(hole)
        at = bisect_right(begins, begin) - 1
        return at if at >= 0 and end <= blocks[at][1] else -1

    taken: list[list[tuple[int, int]]] = [[] for _ in blocks]
    inside: list[Any] = [hole for hole in holes if around(hole) >= 0]
    for hole in ipaddress.collapse_addresses(inside):
        taken[around(hole)].append(_range(hole))
    count = 0
    for (begin, end), own in zip(blocks, taken, strict=True):
        for hole_begin, hole_end in [*own, (end, end)]:
            count += _blocks_between(begin, hole_begin)
            begin = hole_end
    return count


def _range(prefix: Any) -> tuple[int, int]:
    begin = int(prefix.network_address)
    return begin, begin + prefix.num_addresses


def _blocks_between(begin: int, end: int) -> int:
    """How many blocks all addresses are from one to before another: each as large as its place lets it be."""
    count = 0
    while begin < end:
        room = 1 << (end - begin).bit_length() - 1
        begin += min(begin & -begin or room, room)
        count += 1
    return count


def load(path: Path) -> Policy:
    """Read and check a policy file. Raises PolicyFault, which tells every fault, a line each."""
    source = _read(path)
    try:
        content = tomllib.loads(source)
    except RecursionError:
        raise PolicyFault(f"{path}: no valid TOML: lists in lists beyond measure") from None
    except ValueError as fault:  # also of a number with thousands of digits
        raise PolicyFault(f"{path}: no valid TOML: {fault}") from None
    reading = _Reading(path, source)
    policy = reading.policy(content)
    if reading.faults:
        more = [f"{path}: and {reading.more} more"] if reading.more else []
        raise PolicyFault("\n".join([*reading.faults, *more]))
    return policy


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as fault:
        raise PolicyFault(f"{path}: cannot be read ({fault.strerror})") from None
    except (UnicodeDecodeError, ValueError):
        raise PolicyFault(f"{path}: no UTF-8 text") from None


class _Reading:
    """One policy file being checked: all its faults are gathered, not only the first."""

    def __init__(self, path: Path, source: str) -> None:
        self.faults: list[str] = []
        self.more = 0
        """Faults that are counted only: each is sought in the file."""
        self._path = path
        self._lines = source.splitlines()
        self._digest = hashlib.sha256(source.encode())

    def policy(self, content: Mapping[str, Any]) -> Policy:
        self._known_keys(content)
        head = self._section(content, "policy")
        name = head.get("name", self._path.stem)
        if not isinstance(name, str):
            self._fault("policy", "name", "must be a text in quotes")
        point = head.get("observation_point", "unknown")
        if point not in OBSERVATION_POINTS:
            self._fault("policy", "observation_point", f"is {_shown(point)}; {_one_of(OBSERVATION_POINTS)}")
        prefixes = {
            key: tuple(self._prefixes(section, key, self._section(content, section)))
            for section, keys in _LISTS.items()
            for key in keys
        }
        self._contradictions(prefixes)
        actions = self._section(content, "actions")
        for traffic_class, action in actions.items():
            if traffic_class in TRAFFIC_CLASSES and action not in ACTIONS:
                self._fault("actions", traffic_class, f"is {_shown(action)}; {_one_of(ACTIONS)}")
        return Policy(str(name), str(point), prefixes, dict(actions), self._digest.hexdigest())

    def _section(self, content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        section = content.get(name, {})
        return section if isinstance(section, dict) else {}

    def _known_keys(self, content: Mapping[str, Any]) -> None:
        for section, keys in content.items():
            if section not in _KEYS:
                self._fault(section, "", f"no such section; {_one_of(tuple(_KEYS))}")
            elif not isinstance(keys, dict):
                self._fault(section, "", f"must be a section, written [{section}]")
            else:
                for key in keys:
                    if key not in _KEYS[section]:
                        self._fault(section, key, f"no such key; {_one_of(_KEYS[section])}")

    def _prefixes(self, section: str, key: str, values: Mapping[str, Any]) -> Iterator[Prefix]:
        entries = values.get(key, [])
        if not isinstance(entries, list):
            self._fault(section, key, 'must be a list, as in ["192.0.2.0/24"]')
            return
        for entry in entries:
            if not isinstance(entry, str):
                self._fault(section, key, f"{_shown(entry)} is no address or prefix in quotes", str(entry))
            elif entry.startswith("file:"):
                yield from self._prefixes_of_file(section, key, entry)
            else:
                try:
                    yield prefix(entry)
                except ValueError as fault:
                    self._fault(section, key, str(fault), entry)

    def _prefixes_of_file(self, section: str, key: str, entry: str) -> Iterator[Prefix]:
        path = self._path.parent / entry.removeprefix("file:").strip()
        try:
            text = _read(path)
        except PolicyFault as fault:
            self._fault(section, key, str(fault), entry)
            return
        self._digest.update(text.encode())
        for number, line in enumerate(text.splitlines(), 1):
            if written := line.partition("#")[0].strip():
                try:
                    yield prefix(written)
                except ValueError as fault:
                    self.faults.append(f"{path}:{number}: {fault}")

    def _contradictions(self, prefixes: Mapping[str, tuple[Prefix, ...]]) -> None:
        first: dict[Prefix, str] = {}
        for section, keys in _LISTS.items():
            for key in keys:
                for one in prefixes[key]:
                    other = first.setdefault(one, key)
                    if {key, other} in _APART:
                        self._fault(section, key, f"{one} is also listed as {other}", str(one))

    def _fault(self, section: str, key: str, reason: str, value: str = "") -> None:
        if len(self.faults) >= _MOST_FAULTS:
            self.more += 1
            return
        where = f"{section}.{key}" if key else f"[{section}]"
        self.faults.append(f"{self._path}:{self._line_of(section, key, value)}: {where}: {reason}")

    def _line_of(self, section: str, key: str, value: str) -> int:
        """The line on which a value, its key or at least its section stands (TOML tells none)."""
        at = self._find(rf"\s*\[?\s*\"?{re.escape(section)}\b", 0)
        if key:
            at = self._find(rf"\s*\"?{re.escape(key)}\b", at)
        if value:
            at = self._find(rf".*{re.escape(value)}", at)
        return at + 1

    def _find(self, pattern: str, start: int) -> int:
        """Index of the first line from `start` on that matches; `start` if none does."""
        return next(
            (at for at in range(start, len(self._lines)) if re.match(pattern, self._lines[at])), start
        )


def prefix(text: str) -> Prefix:
    """An address or prefix. Raises ValueError with a sentence that says what is wrong."""
    if "%" in text:
        raise ValueError(f"{_shown(text)} has a zone, which means nothing in another host's capture")
    try:
        found = ipaddress.ip_network(text)
    except ValueError:
        pass
    else:
        if found.version == 6 and found.subnet_of(_MAPPED):
            raise ValueError(f"{_shown(text)} is no address on the wire; write the IPv4 prefix itself")
        return found
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            f"{_shown(text)} is no address or prefix; write 192.0.2.0/24, 192.0.2.25 or 2001:db8::/32"
        ) from None
    raise ValueError(f"{_shown(text)} has bits set beyond its length; write {_shown(str(meant))}")


def _shown(value: object) -> str:
    """A value as a fault quotes it: short, and without what a terminal would obey."""
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "…"


def _one_of(words: tuple[str, ...]) -> str:
    return f"allowed: {', '.join(words)}"
