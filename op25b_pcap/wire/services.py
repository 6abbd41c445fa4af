"""The watched TCP ports by their IANA service names (RFC 6335 registry, RFC 8314).

A new mail port is one line here.
"""

SERVICES: dict[int, str] = {
    25: "smtp",
    587: "submission",
    465: "submissions",
    110: "pop3",
    995: "pop3s",
    143: "imap",
    993: "imaps",
    2525: "smtp-alt",
}
"""`smtp-alt` is no IANA name: 2525 is a custom of mail providers for networks that block 25."""

SMTP_SERVICES = ("smtp", "submission", "submissions", "smtp-alt")
POP_SERVICES = ("pop3", "pop3s")
IMAP_SERVICES = ("imap", "imaps")
RETRIEVAL_SERVICES = POP_SERVICES + IMAP_SERVICES

DOMAIN = 53
"""DNS: not mail, but its answers tell which address is whose mail exchanger."""

WATCHED = frozenset(SERVICES) | {DOMAIN}
"""Packets between other ports are no engine's business."""
