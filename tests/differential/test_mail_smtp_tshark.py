"""tshark as a second opinion on SMTP: the same commands and the same reply codes in every session.

Over all samples, and over dialogues of the tests put into segments. Where tshark is known to
read less, the dialogue says so.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from op25b_pcap.capture.observation import Observation
from op25b_pcap.decode import Tally
from op25b_pcap.flows import flows
from op25b_pcap.mail.smtp.dialogue import Dialogue
from op25b_pcap.mail.smtp.grammar import VERBS, Command
from op25b_pcap.mail.smtp.reply_lines import Reply
from op25b_pcap.wire.services import SERVICES, SMTP_SERVICES
from tests.capture_files import conversation
from tests.reference import decode
from tests.smtp_talk import BYE, DATA, ENVELOPE, HELLO, MAIL, S, Step, steps

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed"),
]

SAMPLES = Path(__file__).parents[2] / "sample_pcaps"
Said = Counter[tuple[int, tuple[str, ...], tuple[int, ...]]]
"""Sessions: the port that was called, its commands by their first four letters, its replies."""

AUTH_OK = "S: 235 2.7.0 Ok\n"
DIALOGUES = {
    "a mail": HELLO + MAIL + BYE,
    "three mails, one taken back": HELLO + MAIL + ENVELOPE + "C: RSET\nS: 250 Ok\n" + MAIL + MAIL + BYE,
    "HELO after EHLO": "S: 220 mx\nC: EHLO x\nS: 500 What?\nC: HELO x\nS: 250 mx\n" + MAIL + BYE,
    "refusals": HELLO
    + "C: MAIL FROM:<a@example.org>\nS: 550 5.7.1 No\nC: RSET\nS: 250 Ok\n"
    + ENVELOPE
    + "C: RCPT TO:<b@example.com>\nS: 450-4.2.0 Later\nS: 450 4.2.0 Come back\n"
    + DATA
    + BYE,
    # What follows tshark takes for a message, refused or not.
    "data refused": HELLO + ENVELOPE + "C: DATA\nS: 554 5.7.1 No\n",
    "other commands": HELLO + "C: NOOP\nS: 250 Ok\nC: VRFY x\nS: 252 Maybe\nC: EXPN x\nS: 502 No\n" + BYE,
    "greeting refuses": "S: 554-No\nS: 554 mail\n" + BYE,
    "421": HELLO + ENVELOPE + "S: 421 4.4.2 Timeout\n",
    "AUTH PLAIN": HELLO + "C: AUTH PLAIN AGEAYg==\n" + AUTH_OK + MAIL + BYE,
    "AUTH LOGIN": HELLO
    + "C: AUTH LOGIN\nS: 334 eA==\nC: YQ==\nS: 334 eQ==\nC: Yg==\n"
    + AUTH_OK
    + MAIL
    + BYE,
    "pipelined": HELLO
    + "C: MAIL FROM:<>\nC: RCPT TO:<a@example.com>\nC: RCPT TO:<b@example.com>\nC: DATA\n"
    + "S: 250 Ok\nS: 550 No\nS: 250 Ok\nS: 354 Go\nC: x\nC: .\nS: 250 Ok\n"
    + BYE,
    "commands in a message": HELLO
    + ENVELOPE
    + "C: DATA\nS: 354 Go\nC: QUIT\nC: ..\nC: RSET\nC: .\nS: 250 Ok\n"
    + BYE,
    "chunks": HELLO
    + ENVELOPE
    + r"C| BDAT 6\r\nQUIT\r\n"
    + "\nS: 250 Ok\n"
    + r"C| BDAT 3 LAST\r\na\r\n"
    + "\nS: 250 Ok\n"
    + BYE,
}


class Listener(Dialogue):
    """A dialogue that writes down what was asked and answered."""

    def __init__(self, **opening: bool) -> None:
        super().__init__(**opening)
        self.verbs: list[str] = []
        self.codes: list[int] = []

    def _ask(self, command: Command) -> None:
        if command.verb.partition(" ")[0] in VERBS:
            self.verbs.append(command.verb[:4])
        super()._ask(command)

    def _answer(self, reply: Reply) -> None:
        self.codes.append(reply.code)
        super()._answer(reply)


def by_us(captures: list[Path]) -> Said:
    said: Said = Counter()
    for flow in flows(decode(Observation(captures), Tally())):
        if flow.row["service"] not in SMTP_SERVICES or not flow.chunks:
            continue
        listener = Listener()
        for chunk in flow.chunks:
            if chunk.skipped:
                listener.gap(chunk.side, chunk.skipped)
            listener.receive(chunk.side, chunk.data)
        listener.close()
        if listener.verbs or listener.codes:
            said[flow.row["dst_port"], tuple(listener.verbs), tuple(listener.codes)] += 1
    return said


def by_tshark(capture: Path) -> Said:
    fields = ("tcp.stream", "tcp.srcport", "tcp.dstport", "smtp.req.command", "smtp.response.code")
    columns = [word for field in fields for word in ("-e", field)]
    read = [
        "tshark",
        "-n",
        "-r",
        capture,
        "-d",
        "tcp.port==2525,smtp",
        "-Y",
        "smtp",
        "-T",
        "fields",
        *columns,
    ]
    lines = subprocess.run(read, capture_output=True, text=True, check=True).stdout.splitlines()
    ports: dict[str, int] = {}
    verbs, codes = defaultdict[str, list[str]](list), defaultdict[str, list[int]](list)
    for line in lines:
        stream, src, dst, commands, replies = line.split("\t")
        ports[stream] = int(dst) if int(dst) in SERVICES else int(src)
        verbs[stream] += [verb.upper() for verb in commands.split(",") if verb]
        codes[stream] += [int(code) for code in replies.split(",") if code]
    return Counter(
        (ports[s], tuple(verbs[s]), tuple(codes[s])) for s in verbs.keys() | codes.keys() if s in ports
    )


@pytest.mark.parametrize("story", sorted(path.parent.name for path in SAMPLES.glob("*/expected.toml")))
def test_the_samples(story: str):
    for capture in sorted(SAMPLES.glob(f"{story}/*.pcap*")):
        assert by_us([capture]) == by_tshark(capture)


def test_the_samples_hold_dialogues():
    captures = sorted(SAMPLES.glob("*/*.pcap*"))
    assert by_us(captures).total() >= 20


def written(talk: list[Step], port: int, path: Path) -> Path:
    turns = [(side, data) for side, data in talk if isinstance(data, bytes)]
    assert len(turns) == len(talk)
    path.write_bytes(conversation(turns, port))
    return path


def one_by_one(talk: str) -> list[Step]:
    """Each command and each reply in a segment of its own: tshark tells one code of a segment."""
    return [
        (side, piece)
        for side, run in steps(talk)
        for piece in (
            re.findall(rb"(?:\d{3}-.*\r\n)*.*\r\n", run) if side is S else run.splitlines(keepends=True)
        )
    ]


@pytest.mark.parametrize("port", [25, 587, 2525])
@pytest.mark.parametrize("name", DIALOGUES)
def test_dialogues(name: str, port: int, tmp_path: Path):
    capture = written(one_by_one(DIALOGUES[name]), port, tmp_path / "talk.pcap")
    ours = by_us([capture])
    assert ours == by_tshark(capture)
    assert ours.total() == 1
