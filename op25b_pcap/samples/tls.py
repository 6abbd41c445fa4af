"""TLS as a listener sees it: both hellos in clear, then opaque records (RFC 8446).

No cryptography: keys and what follows them are random octets of the right lengths, which is
all that can be told from real ones on the wire.
"""

from __future__ import annotations

import struct
from random import Random

_HANDSHAKE, _CHANGE_CIPHER_SPEC, _APPLICATION_DATA = 22, 20, 23
_CLIENT_HELLO, _SERVER_HELLO = 1, 2
_TLS_1_2, _TLS_1_3 = b"\x03\x03", b"\x03\x04"
_AES_128_GCM = b"\x13\x01"
_CIPHER_SUITES = bytes.fromhex("1301 1302 1303 c02b c02f c02c c030")
_X25519, _SECP256R1 = b"\x00\x1d", b"\x00\x17"
_SIGNATURES = bytes.fromhex("0403 0804 0401 0503 0805 0501")
_SERVER_NAME, _GROUPS, _SIGNATURE_ALGORITHMS, _SUPPORTED_VERSIONS, _KEY_SHARE = 0, 10, 13, 43, 51


def client_hello(server_name: str, random: Random) -> bytes:
    """The record with a ClientHello for TLS 1.3 that names the server (RFC 6066)."""
    name = _long(b"\0" + _long(server_name.encode()))
    extensions = (
        _extension(_SERVER_NAME, name)
        + _extension(_GROUPS, _long(_X25519 + _SECP256R1))
        + _extension(_SIGNATURE_ALGORITHMS, _long(_SIGNATURES))
        + _extension(_SUPPORTED_VERSIONS, _short(_TLS_1_3 + _TLS_1_2))
        + _extension(_KEY_SHARE, _long(_X25519 + _long(random.randbytes(32))))
    )
    suites = _long(_CIPHER_SUITES) + _short(b"\0")
    return _hello(_CLIENT_HELLO, suites + _long(extensions), random)


def server_hello(random: Random) -> bytes:
    """The server's first flight: a ServerHello that chooses TLS 1.3, the rest already opaque."""
    extensions = _extension(_SUPPORTED_VERSIONS, _TLS_1_3) + _extension(
        _KEY_SHARE, _X25519 + _long(random.randbytes(32))
    )
    hello = _hello(_SERVER_HELLO, _AES_128_GCM + b"\0" + _long(extensions), random)
    certificate_and_finished = 1180
    return hello + change_cipher_spec() + opaque(certificate_and_finished, random)


def client_finished(random: Random) -> bytes:
    """The client's second flight."""
    return change_cipher_spec() + opaque(53, random)


def change_cipher_spec() -> bytes:
    """A record without meaning, sent for the sake of old middleboxes (RFC 8446 appendix D.4)."""
    return _record(_CHANGE_CIPHER_SPEC, b"\x01")


def opaque(length: int, random: Random) -> bytes:
    """A record of encrypted octets."""
    return _record(_APPLICATION_DATA, random.randbytes(length))


def _hello(kind: int, rest: bytes, random: Random) -> bytes:
    body = _TLS_1_2 + random.randbytes(32) + _short(random.randbytes(32)) + rest
    return _record(_HANDSHAKE, struct.pack("!I", kind << 24 | len(body)) + body)


def _record(kind: int, content: bytes) -> bytes:
    return bytes([kind]) + _TLS_1_2 + _long(content)


def _extension(kind: int, content: bytes) -> bytes:
    return struct.pack("!H", kind) + _long(content)


def _long(content: bytes) -> bytes:
    return struct.pack("!H", len(content)) + content


def _short(content: bytes) -> bytes:
    return bytes([len(content)]) + content
