"""Coverage-guided fuzzing of the SMTP reader, for a few seconds.

An input is a talk as in `test_mail_retrieval_fuzz`: turns that end with 0xF5, begun by `C` or `S`
and what that side says, or by `c` or `s` and as many octets as are missing. What is read of it
must be sound, and the same for another cut. By hand, for as long as one likes:
`python -m tests.fuzz.test_mail_smtp_fuzz FOLDER`; FOLDER keeps what was found.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz.test_mail_retrieval_fuzz import talk_of

pytestmark = pytest.mark.fuzz

SECONDS = 5
TALKS = (
    r"""
    S220 mx\r\n
    CEHLO x\r\n
    S250-mx\r\n250 AUTH PLAIN\r\n
    CMAIL FROM:<a@b> SIZE=1\r\nRCPT TO:<c>\r\nDATA\r\n
    S250 2.1.0 Ok\r\n550 5.1.1 No\r\n354 Go\r\n
    CReceived: x\r\n\r\n..\r\n.\r\nQUIT\r\n
    S250 Ok\r\n221 Bye\r\n
    """,
    r"""
    S220 mx\r\n
    CAUTH LOGIN\r\n
    S334 x\r\n
    Cx\r\n
    S334 x\r\n
    C*\r\n
    S501 No\r\n
    """,
    r"""
    S220 mx\r\n
    CMAIL FROM:<>\r\nBDAT 3\r\nabcBDAT 0 LAST\r\nBDAT 99 LAST\r\n
    S250\r\n250\r\n250\r\n552 No\r\n
    CRSET\r\n
    """,
    r"""
    S220 mx\r\n
    CSTARTTLS\r\n
    S220 Go\r\n
    C\x16\3\1\0\xff\1
    S\x16\3\3\0\xff\2
    """,
    r"""
    CEHLO x\r\nMAIL FROM:<a>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n
    """,
    r"""
    S220 mx\r\n250-mx\r\n250 SIZE\r\n354\r\n250\r\n221\r\n
    """,
    r"""
    S220 mx\r\n
    CHELO x\r\n
    sxxx
    S250 Ok\r\n
    cxxxxx
    CRCPT TO:<a>\r\nDATA\r\n
    S354\r\n
    Cx
    cxx
    S250\r\n
    """,
    r"""
    S220 mx
    CEHLO x\r\n
    S250-a
    CDATA\n
    S250-a\r\n354 b\n
    Cx\n.\n
    S250 Ok\n
    """,
    r"""
    CCONNECT x HTTP/1.0\r\n\r\nEHLO x\r\n
    SHTTP/1.0 200\r\n\r\n220 mx\r\n
    """,
    r"""
    C\5\1\0\5\1\0\3\2mx\0\x19EHLO x\r\n
    S\5\0\5\0\0\1abcd\0\x19220 mx\r\n
    """,
)
SEEDS = [
    b"\xf5".join(
        line.strip().encode().decode("unicode_escape").encode("latin-1") for line in talk.strip().split("\n")
    )
    for talk in TALKS
]


def test_nothing_breaks_the_reader(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name, str(tmp_path), f"-max_total_time={SECONDS}"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=20 * SECONDS,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "INITED" in done.stderr


def reader() -> Callable[[bytes], None]:
    """The function to be fuzzed; its imports are instrumented."""
    from tests.smtp_talk import C, S, assert_sound, cut, heard, told

    sides = {"C": C, "S": S}

    def read_session(octets: bytes) -> None:
        talk = [(sides[side], what) for side, what in talk_of(octets)]
        opening = {"from_start": len(octets) % 3 > 0, "tls_port": len(octets) % 5 == 0}
        row = told(heard(talk, **opening))
        assert_sound(row)
        assert told(heard(cut(talk, [1, 2, 5]), **opening)) == row

    return read_session


def fuzz(corpus: Path, options: list[str]) -> None:
    import atheris

    with atheris.instrument_imports(include=["op25b_pcap.mail"]):
        target = reader()
    for number, seed in enumerate(SEEDS):
        (corpus / f"seed-{number}").write_bytes(seed)
    found = f"-artifact_prefix={corpus}/"
    atheris.Setup([sys.argv[0], *options, found, "-max_len=800", "-timeout=10", str(corpus)], target)
    atheris.Fuzz()


if __name__ == "__main__":
    fuzz(Path(sys.argv[1]), sys.argv[2:])
