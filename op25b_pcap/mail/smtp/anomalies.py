"""The named oddities of SMTP dialogues, and what each means; those of TLS stand in `tls`."""

from __future__ import annotations

ANOMALIES: dict[str, str] = {
    # What the capture lacks.
    "midstream": "the capture begins within the session",
    "gap": "octets of the dialogue are missing",
    "server_unseen": "no packet of the server was captured",
    "client_unseen": "no packet of the client was captured",
    "decided_by_client": "a reply was not seen; what it said was told by what the client did next",
    # Who speaks when.
    "early_talker": "the client spoke before it was greeted",
    "early_data": "the client sent message data before 354",
    "out_of_order": "the server accepted a command that RFC 5321 does not allow there",
    "command_without_reply": "a later command was answered first",
    "unexpected_reply": "a reply that the command cannot have",
    "surplus_reply": "more replies than commands",
    "many_unanswered": "so many commands without a reply that the oldest were given up",
    "ignores_refusal": "the client began a mail though the greeting had refused it",
    "helo_changed": "the client gave itself several names",
    "helo_fallback": "EHLO was refused, HELO was not",
    # How it is written.
    "bare_lf": "lines end with LF alone",
    "bare_lf_end_of_data": "the server took an end of data that is not CRLF.CRLF for one",
    "long_line": "a line too long to be kept",
    "text_cut": "a name, an address or a reply too long to be kept whole",
    "unknown_command": "a line of the client that is no command",
    "malformed_command": "MAIL or RCPT without a path",
    "malformed_path": "an address that is not in angle brackets",
    "malformed_size": "a SIZE that is no number of 64 bits",
    "malformed_body": "a BODY that no RFC knows",
    "malformed_chunk_size": "a BDAT without a size, or with one that cannot be",
    "chunk_unfinished": "BDAT was answered before all its octets had come, and the client went on",
    "source_route": "an address with a source route, which was left out",
    "reply_without_code": "a line of the server that is no reply",
    "reply_without_end": "a reply whose last line did not end, and a new one began",
    "reply_code_changed": "the lines of one reply bear different codes",
    "recipients_cut": "more recipients than are kept; all are counted",
    "transactions_cut": "more transactions than are kept; all are counted",
    "unknown_mechanism": "AUTH with a mechanism that is not known; it is not kept",
    # Boxes on the way.
    "banner_masked": "the greeting is overwritten with asterisks",
    "starttls_masked": "an extension is overwritten with X",
    "command_masked": "a command is overwritten with X",
    "http_connect": "HTTP CONNECT before the dialogue",
    "socks": "a SOCKS request before the dialogue",
    "proxy_header": "a PROXY header before the dialogue",
    "http_request": "the client speaks HTTP",
    # TLS, and its lack.
    "starttls_without_tls": "STARTTLS was accepted, and the client went on in clear",
    "commands_after_starttls": "commands in clear right behind STARTTLS (CVE-2011-0411)",
    "unasked_tls": "one side speaks TLS, the other does not",
    "clear_text": "a dialogue in clear on a port for implicit TLS",
    # Other protocols.
    "pop3_greeting": "the server greets as a POP3 server does",
    "imap_greeting": "the server greets as an IMAP server does",
    "other_port": "SMTP on a port for fetching mail",
}
