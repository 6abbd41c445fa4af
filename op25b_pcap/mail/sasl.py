"""The names of SASL mechanisms, and whether somebody repeats what else clients authenticate with."""

from __future__ import annotations

import binascii
import hashlib
import os
import re

MECHANISM = re.compile(
    rb"9798-[MU]-[A-Z0-9-]+|ANONYMOUS|CRAM-MD5|DIGEST-MD5|EAP-AES128(?:-PLUS)?|ECDH-X25519-CHALLENGE"
    rb"|ECDSA-NIST256P-CHALLENGE|EXTERNAL|GS2-[A-Z0-9]+(?:-PLUS)?|GSSAPI|GSS-SPNEGO|KERBEROS_V[45]"
    rb"|LOGIN|NMAS_AUTH|NMAS_LOGIN|NMAS-SAMBA-AUTH|NTLM|OAUTH10A|OAUTHBEARER|OPENID20|OTP|PLAIN"
    rb"|SAML20(?:EC)?|SCRAM-[A-Z0-9-]+|SECURID|SKEY|SPNEGO(?:-PLUS)?|SXOVER-PLUS|XOAUTH2?"
    rb"|MSN|X-GOOGLE-TOKEN|XYMCOOKIE"
)
"""IANA's registry of SASL mechanisms, then those in use outside of it. Whatever else stands in
the mechanism's place may be a password that somebody mistyped."""


def mechanism(arguments: bytes) -> str | None:
    """The mechanism that the arguments of AUTH or AUTHENTICATE begin with, if it is known."""
    word = arguments.split(None, 1)[0] if arguments.strip() else b""
    known = MECHANISM.fullmatch(word.upper())
    return known[0].decode() if known else None


_PART = re.compile(rb"[^\0-\x20,=]{2,}")
"""Names and passwords in a response: NUL, SOH, commas or blanks stand between them (RFC 4616, RFC 5802)."""
_MOST_PARTS, _MOST_TEXT = 16, 4_096
"""Of a response that are remembered; and octets of a text that are looked through for them."""
_KEY = os.urandom(16)

Trace = frozenset[tuple[int, bytes]]
"""Lengths and digests of what was said to authenticate: by them it is known again, and cannot be read."""


def trace(secret: bytes) -> Trace:
    """What stays of a line of an AUTH exchange: of each word, as it was sent and decoded."""
    words = secret.split()
    parts = [part for word in words for part in (*_PART.findall(word), *_PART.findall(_decoded(word)))]
    return frozenset((len(part), _digest(part)) for part in parts[:_MOST_PARTS])


def repeats(text: bytes, said: Trace) -> bool:
    """Whether a text holds anything of that; of a very long one that is not known, and so it may."""
    if not said or len(text) > _MOST_TEXT:
        return bool(said)
    return any(
        (length, _digest(text[at : at + length])) in said
        for length in {length for length, _ in said}
        for at in range(len(text) - length + 1)
    )


def _digest(octets: bytes) -> bytes:
    return hashlib.blake2b(octets, key=_KEY, digest_size=16).digest()


def _decoded(word: bytes) -> bytes:
    try:
        return binascii.a2b_base64(word, strict_mode=True)
    except binascii.Error:
        return b""
