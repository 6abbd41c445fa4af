"""Domain names: which of them belong to one registrant (the Public Suffix List)."""

from __future__ import annotations

from functools import lru_cache

from publicsuffixlist import PublicSuffixList

_ENCODED = "xn--"


@lru_cache(maxsize=65_536)
def registrable(name: str) -> str | None:
    """`example.co.jp` of `mx1.example.co.jp`; None of an address literal or a bare word."""
    if "." not in name or name.startswith("["):
        return None
    name = name.rstrip(".").lower()
    suffix: str | None = _suffixes(encoded=_ENCODED in name).privatesuffix(name)
    return suffix


@lru_cache(maxsize=2)
def _suffixes(*, encoded: bool) -> PublicSuffixList:
    """The snapshot of the list that came with the package; nothing is fetched.

    With suffixes encoded for DNS (RFC 5890) it takes twice as long to load; hardly a name needs them.
    """
    return PublicSuffixList(accept_encoded_idn=encoded)
