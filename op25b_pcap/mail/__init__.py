"""Streams to sessions: SMTP, POP3, IMAP and TLS as pure readers of octets."""
