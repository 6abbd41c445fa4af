"""What clients say in SMTP, as `pen.word` gives it: for those that write forms and those that read them."""

from __future__ import annotations

from op25b_pcap.forms.pen import packed

EHLO, HELO, MAIL, RCPT, DATA, BDAT, RSET, NOOP, QUIT, AUTH, STARTTLS = (
    packed(verb)
    for verb in (
        *(b"EHLO", b"HELO", b"MAIL", b"RCPT", b"DATA", b"BDAT", b"RSET", b"NOOP", b"QUIT", b"AUTH"),
        b"STARTTLS",
    )
)
KNOWN = (EHLO, HELO, MAIL, RCPT, DATA, BDAT, RSET, QUIT, AUTH, STARTTLS)
LENGTH = 4
"""Octets of the verbs that an argument follows."""
SILENT = tuple(packed(verb) for verb in (b"NOOP", b"VRFY", b"EXPN", b"HELP", b"ETRN", b"ONEX", b"XFORWARD"))
"""Those that tell nothing but that they were said, whatever follows them."""
OTHERS = tuple(
    packed(verb)
    for verb in (
        *(b"ATRN", b"BURL", b"SEND", b"SOML", b"SAML", b"TURN", b"LHLO", b"XCLIENT", b"XEXCH50"),
        *(b"CONNECT", b"PROXY"),
    )
)
"""What else `mail.smtp` knows (`grammar.VERBS`, `preamble`)."""
MECHANISMS = (
    *("PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2", "DIGEST-MD5", "NTLM", "GSSAPI", "EXTERNAL", "ANONYMOUS"),
    *("SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "OAUTHBEARER"),
)
LONGEST_MECHANISM = 24
MECHANISM_WORDS = tuple(
    tuple(packed(name.encode()[at : at + 8]) or -1 for at in range(0, LONGEST_MECHANISM, 8))
    for name in MECHANISMS
)
"""Each as three times `pen.word` gives it."""
