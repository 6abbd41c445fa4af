"""Domain names: which of them belong to one registrant (the Public Suffix List)."""

from __future__ import annotations

from functools import lru_cache

from publicsuffixlist import PublicSuffixList


@lru_cache(maxsize=65_536)
def registrable(name: str) -> str | None:
    """`example.co.jp` of `mx1.example.co.jp`; None of an address literal or a bare word."""
    if "." not in name or name.startswith("["):
        return None
    suffix: str | None = _suffixes().privatesuffix(name.rstrip(".").lower())
    return suffix


@lru_cache(maxsize=1)
def _suffixes() -> PublicSuffixList:
    """The snapshot of the list that came with the package; nothing is fetched."""
    return PublicSuffixList()
