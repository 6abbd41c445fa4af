"""Pieces of dialogue that several stories share, as RFCs print them."""

from __future__ import annotations

GOODBYE = """
C: QUIT
S: 221 2.0.0 Bye
"""


def greeting(server: str, client: str, *extensions: str) -> str:
    """The server's greeting, EHLO and what the server offers."""
    offered = ["8BITMIME", *extensions]
    lines = [f"S: 220 {server} ESMTP", f"C: EHLO {client}", f"S: 250-{server}"]
    lines += [f"S: 250-{keyword}" for keyword in offered[:-1]]
    return "\n".join([*lines, f"S: 250 {offered[-1]}"]) + "\n"


def letter(mail_from: str, rcpt_to: str, received: str = "") -> str:
    """One message to one recipient, accepted; `received` is the trace of an earlier hop."""
    trace = f"C: Received: {received}; Sat, 18 Oct 2025 00:00:00 +0000\n" if received else ""
    return f"""
C: MAIL FROM:<{mail_from}>
S: 250 2.1.0 Ok
C: RCPT TO:<{rcpt_to}>
S: 250 2.1.5 Ok
C: DATA
S: 354 End data with <CR><LF>.<CR><LF>
{trace}C: From: <{mail_from}>
C: To: <{rcpt_to}>
C: Subject: The weather
C: Date: Sat, 18 Oct 2025 00:00:00 +0000
C:
C: Is it raining there too?
C: .
S: 250 2.0.0 Ok: queued
"""
