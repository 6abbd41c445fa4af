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
LENGTH = 4
"""Octets of the verbs that an argument follows."""
MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2")
PLAIN, LOGIN, CRAM_MD5, XOAUTH2 = (packed(name.encode()) for name in MECHANISMS)
