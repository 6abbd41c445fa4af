"""TLS as a listener sees it: the version that was agreed on, and the name that was asked for.

In: the octets of both sides from the first TLS octet on, cut anywhere, and gaps. Out: version,
server name, named oddities. Of each side only its hello is read; then records are counted off
until they are encrypted, for the sake of alerts. Nothing is decrypted, no certificate is read.
Refuses nothing: what is no TLS is `tls_malformed`, and that side is not looked at any more.
"""

from __future__ import annotations

import re

from op25b_pcap.mail.lines import printable
from op25b_pcap.tables.streams import CLIENT, SERVER, SIDES, Side

TELLING_OCTETS = 11
"""As many octets as `looks_like_tls` may need to see."""
MAX_HELLO = 65_536
"""Octets of a hello that are waited for. Post-quantum ClientHellos measure about 1,800."""
MAX_RECORD = (1 << 14) + 2048
"""The longest record that any version allows (RFC 5246 section 6.2.3)."""
VERSIONS = {
    0x0002: "SSLv2",
    0x0300: "SSLv3",
    0x0301: "TLSv1.0",
    0x0302: "TLSv1.1",
    0x0303: "TLSv1.2",
    0x0304: "TLSv1.3",
}
_DRAFT_VERSIONS = range(0x7F00, 0x8000)  # of TLS 1.3, in use until it became RFC 8446

ANOMALIES: dict[str, str] = {
    "gap": "octets of a handshake are missing",
    "tls_malformed": "what should be a TLS handshake is none, or cannot be read",
    "tls_odd_sni": "the name that the ClientHello asks for is no domain name",
    "tls_empty_record": "a TLS record without content",
    "tls_alert": "one side gave the handshake up, with an alert in clear",
}
"""The named oddities of a handshake."""

# Record types and alert levels (RFC 8446 sections 5.1 and 6; heartbeat: RFC 6520).
_RECORD_TYPES = range(20, 25)
_CHANGE_CIPHER_SPEC, _ALERT, _HANDSHAKE, _APPLICATION_DATA, _HEARTBEAT = _RECORD_TYPES
_FATAL = 2
_HEADER = 5
# Handshake messages and extensions (RFC 8446 section 4; server_name: RFC 6066 section 3).
_HELLO = {CLIENT: 1, SERVER: 2}
_SERVER_NAME, _HOST_NAME, _SUPPORTED_VERSIONS = 0, 0, 43
# SSLv2 messages, whose records open with their length and a set high bit (RFC 6101 appendix E).
_SSL2_HELLO = {CLIENT: 1, SERVER: 4}

_DOMAIN_NAME = re.compile(rb"[!-~]{1,255}")  # as long as RFC 1035 allows; some clients send an address


def looks_like_tls(data: bytes) -> bool | None:
    """Whether octets that open a stream are TLS records; None: too few of them to tell.

    Records from the middle of a connection are TLS too, and so is the ClientHello in SSLv2's
    form with which old clients ask for TLS (RFC 5246 appendix E.2). No text begins like either.
    """
    if data[:1] >= b"\x80":
        return _looks_like_ssl2(data)
    # What has not come yet is taken for a record's: is it impossible even so?
    header = data[:_HEADER] + bytes([_HANDSHAKE, 3, 0, 0, 0])[len(data) :]
    length = _number(header[3:])
    if header[0] not in _RECORD_TYPES or header[1] != 3 or header[2] > 4 or length > MAX_RECORD:
        return False
    return length > 0 if len(data) >= _HEADER else None


def _looks_like_ssl2(data: bytes) -> bool | None:
    message, major = data[2:4] + bytes([_SSL2_HELLO[CLIENT], 3])[len(data[2:4]) :]
    if message != _SSL2_HELLO[CLIENT] or major not in (0, 3):
        return False
    if len(data) < TELLING_OCTETS:
        return None
    suites, session, challenge = (_number(data[at : at + 2]) for at in (5, 7, 9))
    return (
        _number(data[3:5]) in VERSIONS
        and suites % 3 == 0
        and session in (0, 16)
        and 16 <= challenge <= 32
        and _number(data[:2]) & 0x7FFF == 9 + suites + session + challenge
    )


class Handshake:
    """What both hellos of one connection say."""

    def __init__(self) -> None:
        self.version: str | None = None
        """What the server chose, one of `VERSIONS`."""
        self.sni: str | None = None
        """The server's name in the ClientHello, lower case."""
        self.anomalies: set[str] = set()
        self._records: dict[Side, _Records] = {}

    @property
    def is_done(self) -> bool:
        """There is nothing more to learn from either side."""
        return len(self._records) == len(SIDES) and all(each.is_over for each in self._records.values())

    def is_over(self, side: Side) -> bool:
        """There is nothing more to learn from that side."""
        return side in self._records and self._records[side].is_over

    def receive(self, side: Side, data: bytes) -> None:
        """The side sent these octets."""
        records = self._records_of(side)
        if records.is_over:
            return
        hello = records.receive(data)
        if hello is not None and side is CLIENT:
            self._read_client_hello(_Fields(hello))
        elif hello is not None:
            self._read_server_hello(_Fields(hello))
        elif records.is_ssl2 and side is SERVER:
            self.version = VERSIONS[0x0002]
        self.anomalies |= records.anomalies

    def gap(self, side: Side) -> None:
        """Octets of that side are missing here: if it was still in clear, its rest stays unread."""
        records = self._records_of(side)
        if not records.is_over:
            self.anomalies.add("gap")
            records.is_over = True

    def close(self) -> None:
        """Nothing more comes: what is unfinished is forgotten."""
        self._records.clear()

    def _records_of(self, side: Side) -> _Records:
        records = self._records.get(side)
        if records is None:
            records = self._records[side] = _Records(side)
        return records

    def _read_client_hello(self, hello: _Fields) -> None:
        """RFC 8446 section 4.1.2; RFC 6066 section 3 for the name."""
        hello.octets(2 + 32)  # legacy_version, random
        for length_octets in (1, 2, 1):  # session_id, cipher_suites, compression_methods
            hello.vector(length_octets)
        names = _Fields(_extensions(hello).get(_SERVER_NAME, b"\0\0")).vector(2)
        while names.left and self.sni is None:
            kind, name = names.number(1), names.vector(2).data
            if kind == _HOST_NAME and not names.is_short:
                self.sni = printable(name.lower(), 255)
                if not _DOMAIN_NAME.fullmatch(name):
                    self.anomalies.add("tls_odd_sni")
        if hello.is_short or names.is_short:
            self.anomalies.add("tls_malformed")

    def _read_server_hello(self, hello: _Fields) -> None:
        """RFC 8446 section 4.1.3. A HelloRetryRequest has the same form and names the version too."""
        chosen = hello.number(2)
        if chosen not in _DRAFT_VERSIONS:  # early drafts changed what follows
            hello.octets(32)
            hello.vector(1)
            hello.octets(2 + 1)  # cipher_suite, compression_method
            chosen = _number(_extensions(hello).get(_SUPPORTED_VERSIONS, b"")) or chosen
        self.version = "TLSv1.3" if chosen in _DRAFT_VERSIONS else VERSIONS.get(chosen)
        if hello.is_short or self.version is None:
            self.anomalies.add("tls_malformed")


class _Records:
    """One side's records up to where they are encrypted, and the hello in them."""

    def __init__(self, side: Side) -> None:
        self.anomalies: set[str] = set()
        self.is_over = False
        """Nothing more can be learned from this side."""
        self.is_ssl2 = False
        self._side = side
        self._header = bytearray()
        self._kind: int | None = None  # of the record under way; None before the first
        self._left = 0  # octets of it that have not come yet
        self._hello: bytearray | None = bytearray()  # as far as it is there; None once it was read
        self._alert = bytearray()

    def receive(self, data: bytes) -> bytes | None:
        """Read on; returns the body of the hello when it has become whole."""
        hello = None
        at = 0
        while at < len(data) and not self.is_over:
            if self._left:
                content = data[at : at + self._left]
                at += len(content)
                self._left -= len(content)
                hello = self._read(content) or hello
            else:
                header = data[at : at + _HEADER - len(self._header)]
                at += len(header)
                self._header += header
                if len(self._header) == _HEADER:
                    self._begin_record(bytes(self._header))
                    self._header.clear()
        return hello

    def _begin_record(self, header: bytes) -> None:
        first, self._kind = self._kind is None, header[0]
        if first and header[0] & 0x80 and header[2] == _SSL2_HELLO[self._side]:
            self.is_ssl2 = True
            self.is_over = self._side is SERVER
            self._hello = None  # a client goes on with records of TLS, if the server chose it
            self._left = max((_number(header[:2]) & 0x7FFF) - (_HEADER - 2), 0)
            return
        self._left = _number(header[3:])
        if self._kind not in _RECORD_TYPES or header[1] != 3 or self._left > MAX_RECORD:
            self._malformed()
        elif self._kind in (_CHANGE_CIPHER_SPEC, _APPLICATION_DATA):
            self.is_over = True
        elif self._kind == _ALERT and self._left != 2:
            self.is_over = True  # encrypted
        elif not self._left:
            self.anomalies.add("tls_empty_record")  # forbidden, but harmless (RFC 8446 section 5.1)

    def _read(self, content: bytes) -> bytes | None:
        """Content of the record under way."""
        if self._kind == _ALERT:
            self._alert += content
            if len(self._alert) == 2:
                if self._alert[0] == _FATAL:
                    self.anomalies.add("tls_alert")
                    self.is_over = True
                self._alert.clear()
        if self._kind != _HANDSHAKE or self._hello is None:
            return None
        self._hello += content
        if self._hello[0] != _HELLO[self._side]:
            self._malformed()
        elif len(self._hello) >= 4:
            end = 4 + _number(self._hello[1:4])
            if end > MAX_HELLO:
                self._malformed()
            elif len(self._hello) >= end:
                hello = bytes(self._hello[4:end])
                self._hello = None
                return hello
        return None

    def _malformed(self) -> None:
        self.anomalies.add("tls_malformed")
        self.is_over = True
        self._hello = None


class _Fields:
    """Reads fields one after another; what is beyond the end is empty, and `is_short` tells."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.is_short = False
        self._at = 0

    @property
    def left(self) -> int:
        """Octets not read yet."""
        return len(self.data) - self._at

    def octets(self, count: int) -> bytes:
        """The next octets."""
        part = self.data[self._at : self._at + count]
        self._at += len(part)
        self.is_short |= len(part) < count
        return part

    def number(self, count: int) -> int:
        """The next octets as a number."""
        return _number(self.octets(count))

    def vector(self, length_octets: int) -> _Fields:
        """A field that its length precedes (RFC 8446 section 3.4)."""
        return _Fields(self.octets(self.number(length_octets)))


def _extensions(hello: _Fields) -> dict[int, bytes]:
    """The extensions that end a hello, if there are any, by their number."""
    found: dict[int, bytes] = {}
    if hello.left:
        extensions = hello.vector(2)
        while extensions.left:
            kind = extensions.number(2)
            found.setdefault(kind, extensions.vector(2).data)
        hello.is_short |= extensions.is_short
    return found


def _number(octets: bytes | bytearray) -> int:
    return int.from_bytes(octets, "big")
