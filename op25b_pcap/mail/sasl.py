"""The names of SASL mechanisms, and nothing else of what clients authenticate with."""

from __future__ import annotations

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
