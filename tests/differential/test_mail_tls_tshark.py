"""tshark as a second opinion on real TLS handshakes: which version, and which name was asked for.

Both ends are OpenSSL's, talking through memory. What they said is read by us as octets, and by
tshark out of a capture in which it stands in small segments.
"""

from __future__ import annotations

import shutil
import ssl
import subprocess
import warnings
from pathlib import Path

import pytest

from op25b_pcap.mail.imap import Imap
from op25b_pcap.mail.pop3 import Pop3
from tests.capture_files import conversation
from tests.retrievals import C, S, Turn, cut, play, script

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed"),
]

CLEAR = {
    110: (Pop3, "S: +OK ready\nC: CAPA\nS: +OK\nS: STLS\nS: .\nC: STLS\nS: +OK Begin TLS"),
    143: (Imap, "S: * OK ready\nC: a CAPABILITY\nS: * CAPABILITY STARTTLS\nS: a OK\nC: b STARTTLS\nS: b OK"),
    993: (Imap, ""),
    995: (Pop3, ""),
}
VERSIONS = {"TLSv1.0": 0x0301, "TLSv1.1": 0x0302, "TLSv1.2": 0x0303, "TLSv1.3": 0x0304}
WAYS = [(version, "") for version in VERSIONS]
WAYS += [("TLSv1.3", way) for way in ("retry", "large hello", "no name")]
WAYS += [("TLSv1.2", way) for way in ("large hello", "no name", "distrust")]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key, and a certificate that it signed itself."""
    key = tmp_path_factory.mktemp("certificate") / "key.pem"
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=example.org")
    made = subprocess.run(["openssl", "req", "-x509", *kind, "-keyout", key], check=True, capture_output=True)
    key.write_bytes(key.read_bytes() + made.stdout)
    return key


def handshake(certificate: Path, version: str, way: str) -> list[Turn]:
    """What both ends send, up to the first octets of content."""
    client, server = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_REQUIRED if way == "distrust" else ssl.CERT_NONE
    for context in (client, server):
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # old versions are what we want here
            context.minimum_version = ssl.TLSVersion.TLSv1
            server.maximum_version = ssl.TLSVersion(VERSIONS[version])
    if way == "retry":
        server.set_ecdh_curve("secp521r1")  # the client has it, but sent a share of another
    if way == "large hello":
        client.set_alpn_protocols(["x" * 200] * 30)
    into, out = ({side: ssl.MemoryBIO() for side in (C, S)} for _ in range(2))
    name = None if way == "no name" else "Imap.Example.ORG"
    ends = {
        C: client.wrap_bio(into[C], out[C], server_hostname=name),
        S: server.wrap_bio(into[S], out[S], server_side=True),
    }
    turns: list[Turn] = []
    for side, other in [(C, S), (S, C)] * 3:
        try:
            ends[side].do_handshake()
            ends[side].write(b"content")
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            assert way == "distrust"
        if out[side].pending:
            turns.append((side, out[side].read()))
            into[other].write(turns[-1][1])
    return turns


def by_tshark(path: Path, side_filter: str, *fields: str) -> list[list[str]]:
    columns = [word for field in fields for word in ("-e", field)]
    command = ["tshark", "-n", "-r", path, "-Y", side_filter, "-T", "fields", *columns]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [line.split("\t") for line in lines]


@pytest.mark.parametrize("port", CLEAR)
@pytest.mark.parametrize(("version", "way"), WAYS)
def test_tshark_reads_the_same_handshake(certificate, tmp_path, port: int, version: str, way: str):
    protocol, clear = CLEAR[port]
    turns = cut([*script(clear), *handshake(certificate, version, way)], [300, 7, 1400])
    ours = play(protocol(tls_port=port > 900), turns).columns()

    path = tmp_path / "handshake.pcap"
    path.write_bytes(conversation(turns, port))
    names = by_tshark(path, "tls.handshake.type == 1", "tls.handshake.extensions_server_name")
    assert {name.lower() for (name,) in names} == {ours["tls_sni"] or ""}
    chosen = by_tshark(
        path,
        "tls.handshake.type == 2",
        "tls.handshake.extensions.supported_version",
        "tls.handshake.version",
    )
    assert {extension or legacy for extension, legacy in chosen} == {f"0x{VERSIONS[version]:04x}"}
    alerts = by_tshark(path, "tls.alert_message.level == 2", "frame.number")

    assert ours["tls_version"] == version
    assert ours["tls_sni"] == (None if way == "no name" else "imap.example.org")
    assert ours["tls"] == ("implicit" if port > 900 else "starttls")
    assert ours["anomalies"] == (["tls_alert"] if alerts else [])
    assert bool(alerts) == (way == "distrust")
    assert len(names) == (2 if way == "retry" else 1)
