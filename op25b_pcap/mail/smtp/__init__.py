"""SMTP: octets of both sides to what was said, one small file an idea."""
