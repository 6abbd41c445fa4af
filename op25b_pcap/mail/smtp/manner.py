"""What the manner of a dialogue tells of the client, and how the session ended for the mail."""

from __future__ import annotations

from op25b_pcap.mail.smtp.record import Session

REFUSED_AT_LEAST = 3
"""Refused recipients in one session that are no slips of the pen."""

_BOT_SIGNS = frozenset({"early_talker", "ignores_refusal"})
_NOT_SURE = frozenset({"gap", "midstream", "client_unseen", "server_unseen"})


def client_kind(session: Session, anomalies: set[str], *, submits: bool, hidden: bool) -> str:
    """`mua`, `mta`, `bot` or `unknown`; `submits`: the port is one for submission.

    bot: it does what no mail software does. It speaks before it is greeted, or begins a mail
    although the greeting refused it; or two of these: it gives itself several names, sends its
    message before it is told to, guesses at recipients (most of at least three refused), leaves
    without QUIT after it was refused. Not said where packets are missing.

    mta: a message that it handed over opens with a Received: field, so it had come from
    somewhere before (RFC 5321 section 4.4).

    mua: its messages open without one, so they were written there, and it behaves as mail
    clients do: it logs in, calls itself by an address literal (RFC 5321 section 4.1.4), or uses
    a submission port. Where no message was seen, it takes two of these three.

    TLS hides messages; what was said before it does not suffice.
    """
    refused = session.recipients_rejected
    guesses = refused >= REFUSED_AT_LEAST and refused > session.recipients_accepted
    left = session.is_refused and not session.quit
    hints = ("helo_changed" in anomalies, "early_data" in anomalies, guesses, left)
    if (sum(hints) > 1 or anomalies & _BOT_SIGNS) and not anomalies & _NOT_SURE:
        return "bot"
    received = session.received
    if any(received):
        return "mta"
    if hidden:
        return "unknown"
    signs = (session.auth_mechanism is not None, (session.helo or "").startswith("["), submits)
    return "mua" if sum(signs) >= (1 if received else 2) else "unknown"


def result(session: Session, last_code: int | None, *, tls: str, spoken: bool, unheard: bool) -> str:
    """The word of the column `result`.

    `spoken`: something was said in clear. `unheard`: the server's packets were not captured, so
    what became of the mail cannot be seen, as if TLS hid it.
    """
    if session.messages_accepted:
        return "delivered"
    if tls != "none":
        return "opaque"
    if not spoken:
        return "no_dialogue"
    if unheard:
        return "opaque"
    return "rejected" if session.is_refused or (last_code or 0) >= 400 else "aborted"
