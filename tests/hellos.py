"""TLS hellos by struct: what a test wants to see read, octet for octet."""

from __future__ import annotations

import struct

HANDSHAKE, ALERT, CHANGE_CIPHER_SPEC, APPLICATION_DATA = 22, 21, 20, 23
RANDOM = bytes(range(32))
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")  # RFC 8446 4.1.3


def record(kind: int, content: bytes, version: int = 0x0303) -> bytes:
    return struct.pack(">BHH", kind, version, len(content)) + content


def message(kind: int, body: bytes) -> bytes:
    return struct.pack(">I", kind << 24 | len(body)) + body


def vector(content: bytes, length_octets: int = 2) -> bytes:
    return len(content).to_bytes(length_octets, "big") + content


def extension(kind: int, content: bytes) -> bytes:
    return struct.pack(">H", kind) + vector(content)


def server_name(name: bytes, kind: int = 0) -> bytes:
    return extension(0, vector(bytes([kind]) + vector(name)))


def client_hello(*extensions: bytes, legacy_version: int = 0x0303) -> bytes:
    body = struct.pack(">H", legacy_version) + RANDOM + vector(b"s" * 32, 1)
    body += vector(bytes.fromhex("1301c02f")) + vector(b"\0", 1)
    return message(1, body + (vector(b"".join(extensions)) if extensions else b""))


def server_hello(version: int, *extensions: bytes, random: bytes = RANDOM) -> bytes:
    """What chooses TLS 1.3 says so in an extension."""
    if version >= 0x0304:
        extensions = (*extensions, extension(43, struct.pack(">H", version)))
        version = 0x0303
    body = struct.pack(">H", version) + random + vector(b"s" * 32, 1) + bytes.fromhex("130100")
    return message(2, body + (vector(b"".join(extensions)) if extensions else b""))


def ssl2_client_hello(version: int = 0x0301) -> bytes:
    fields = struct.pack(">BHHHH", 1, version, 6, 0, 16) + b"\x01\x00\x80\x00\x00\x2f" + RANDOM[:16]
    return struct.pack(">H", 0x8000 | len(fields)) + fields


CLIENT = record(HANDSHAKE, client_hello(server_name(b"mail.example.org")), 0x0301)
SERVER = record(HANDSHAKE, server_hello(0x0304)) + record(CHANGE_CIPHER_SPEC, b"\1")
CLIENT_REST = record(CHANGE_CIPHER_SPEC, b"\1") + record(APPLICATION_DATA, RANDOM)
SERVER_REST = record(APPLICATION_DATA, RANDOM * 30)
