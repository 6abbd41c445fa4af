"""Coverage-guided fuzzing of the POP3, IMAP and TLS readers, for a few seconds each.

An input is a talk: turns that end with 0xF5 (which no UTF-8 holds), each begun by `C` or `S` and
what that side says, or by `c` or `s` and as many octets as are missing. What is read of it must
be sound, and the same for another cut. By hand, for as long as one likes:
`python -m tests.fuzz.test_mail_retrieval_fuzz pop3 FOLDER`; FOLDER keeps what was found.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.fuzz

SECONDS = 5
SEEDS = {
    "pop3": [
        b"S+OK\r\n\xf5CAUTH PLAIN\r\n\xf5S+ \r\n\xf5CYg==\r\n\xf5S-ERR\r\n\xf5CAPOP a b\r\n\xf5S+OK\r\n",
        b"S+OK\r\n\xf5CUSER a\r\nPASS b\r\nRETR 1\r\nLIST\r\n\xf5S+OK\r\n+OK\r\n+OK\r\nx\r\n.\r\n-ERR\r\n",
        b"S+OK\r\n\xf5CSTLS\r\n\xf5S+OK\r\n\xf5C\x16\3\1\0\xff\1\xf5S\x16\3\3\0\xff\2",
        b"cxx\xf5CPASS b\r\nSTAT\r\n\xf5sx\xf5S\n+OK\n",
    ],
    "imap": [
        b"S* OK\r\n\xf5Ca LOGIN {3}\r\n\xf5S+ go\r\n\xf5Cabc {0+}\r\n\r\nb NOOP\r\n\xf5Sa OK\r\nb NO\r\n",
        b"S* OK\r\n\xf5Ca APPEND x {9}\r\n\xf5Sa NO\r\n\xf5Cb STARTTLS\r\n\xf5Sb OK\r\n\xf5C\x16\3\1\0\xff\1",
        b"S* PREAUTH\r\n\xf5Ca FETCH 1 BODY[]\r\n\xf5S* 1 FETCH (BODY[] {3}\r\nx\r\n)\r\na OK\r\n",
        b"S* OK\r\n\xf5Ca AUTHENTICATE PLAIN\r\n\xf5Cb COMPRESS DEFLATE\r\n\xf5Sa BAD\r\nb OK\r\n\xf5C\0",
    ],
    "tls": [],
}


@pytest.mark.parametrize("reader", SEEDS)
def test_nothing_breaks_a_reader(reader: str, tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name, reader, str(tmp_path), f"-max_total_time={SECONDS}"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=20 * SECONDS,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "INITED" in done.stderr


def talk_of(octets: bytes) -> list[tuple[str, bytes | int]]:
    turns = [(turn[:1], turn[1:]) for turn in octets.split(b"\xf5")]
    said = [(side.decode(), what) for side, what in turns if what and side in (b"C", b"S", b"c", b"s")]
    return [(side.upper(), len(what) if side.islower() else what) for side, what in said]


def reader_of(name: str) -> Callable[[bytes], None]:
    """The function to be fuzzed; its imports are instrumented."""
    from op25b_pcap.mail.imap import Imap
    from op25b_pcap.mail.pop3 import Pop3
    from op25b_pcap.mail.tls import Handshake, looks_like_tls
    from tests.retrievals import C, S, assert_sound, cut, play

    sides = {"C": C, "S": S}

    def read_session(octets: bytes) -> None:
        talk = [(sides[side], what) for side, what in talk_of(octets)]
        protocol = Pop3 if name == "pop3" else Imap
        begin = {"from_start": len(octets) % 3 > 0, "tls_port": len(octets) % 5 == 0}
        columns = play(protocol(**begin), talk).columns()
        assert_sound(columns)
        assert play(protocol(**begin), cut(talk, [1, 2, 5])).columns() == columns

    def read_handshake(octets: bytes) -> None:
        told = []
        for talk in ([(C, octets), (S, octets)], cut([(C, octets), (S, octets)], [1, 7])):
            handshake = Handshake()
            for side, data in talk:
                handshake.receive(side, data)
            told.append((handshake.version, handshake.sni, handshake.anomalies))
        assert told[0] == told[1]
        assert looks_like_tls(octets) in (True, False, None)

    return read_handshake if name == "tls" else read_session


def fuzz(name: str, corpus: Path, options: list[str]) -> None:
    import atheris

    with atheris.instrument_imports(include=["op25b_pcap.mail"]):
        target = reader_of(name)
    seeds = SEEDS[name]
    if name == "tls":
        from tests.hellos import CLIENT, SERVER, ssl2_client_hello

        seeds = [CLIENT, SERVER, ssl2_client_hello()]
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    limits = ["-max_len=600", "-timeout=10", f"-artifact_prefix={corpus}/"]
    atheris.Setup([sys.argv[0], *limits, *options, str(corpus)], target)
    atheris.Fuzz()


if __name__ == "__main__":
    fuzz(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
