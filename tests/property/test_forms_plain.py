"""Plain dialogues of whatever course have the rows that `mail` reads, and nothing is learnt of them."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from op25b_pcap.compiled import kernels
from op25b_pcap.forms.plain import Plain
from op25b_pcap.forms.reading import circumstances
from tests.hellos import ALERT, CLIENT_REST, HANDSHAKE, SERVER_REST, client_hello, record, server_hello
from tests.hellos import server_name as named
from tests.property.test_forms_equality import C, S, assert_equal, flow_rows, usual

EXTENSIONS = [
    *(
        "PIPELINING",
        "SIZE",
        "SIZE 1000",
        "STARTTLS",
        "AUTH PLAIN LOGIN",
        "AUTH=login",
        "XXXXXXXA",
        "8BITMIME",
    ),
    *("SMTPUTF8", "AUTH", "", " HELP", "-x", "X" * 80, "starttls ", "DSN x"),
]
PARAMETERS = [
    *("", " SIZE=77", " BODY=8BITMIME", " body=7bit SIZE=1", " SMTPUTF8", " BODY=BINARYMIME RET=HDRS X"),
]
ODD_PARAMETERS = [
    *(" SIZE", " SIZE=", " SIZE=x", " BODY", " BODY=9BIT", " SMTPUTF8=1", " SMTPUTF8X", " =x", "  SIZE=1"),
]
PATHS = ["", "a@example.org", "b", "a@[192.0.2.1]", "x" * 400]
ODD_PATHS = ["@a:b@c", '"a b"@c', "a b", "<a", "a\\b"]
TEXTS = [
    *("ok", "2.1.0 ok", "5.7.1", "4.7.12 <a@b> try  later ", "", "22.1.0 x", "2.1", "2.01.5 queued as 4F"),
    "x" * 300,
]
ODD_TEXTS = [" two", "\u00fc", "***", "a\tb"]
GREETINGS = ["mx.example.com ESMTP", "hello", "a  b", "5.7.1 away", "2.0.0"]
NAMES = ["pc.example.net", "[192.0.2.7]", "localhost"]
LOGINS = [
    *(("PLAIN AGEAYg==", 0), ("LOGIN", 2), ("cram-md5", 1), ("XOAUTH2", 1), (f"XOAUTH2 {'eA' * 999}", 0)),
    *(("DIGEST-MD5", 2), ("ntlm", 2), ("GSSAPI eA==", 2), ("SCRAM-SHA-256-PLUS eA==", 1), ("EXTERNAL =", 0)),
]
SILENT = ["NOOP", "RSET", "VRFY root", "HELP", "NOOP x", "XFORWARD NAME=a"]
REFUSALS = [450, 451, 500, 503, 550, 554]
SCARCE = 25
"""Of so many choices one is an odd one."""


class Talk:
    """A dialogue at random, out of which nothing must come that is not plain, as long as it is not `odd`."""

    def __init__(self, seed: int, *, odd: bool) -> None:
        self.rng, self._odd = random.Random(seed), odd
        self.runs: list[tuple[int, bytes]] = []
        self._pipelines = self.rng.random() < 0.5
        self._asked: list[str] = []
        self._answers: list[str] = []

    def one_of(self, usual_ones: list, odd_ones: list) -> str:
        is_odd = self._odd and self.rng.randrange(SCARCE) == 0
        return self.rng.choice(odd_ones if is_odd else usual_ones)

    def say(self, side: int, octets: str | bytes) -> None:
        self.runs.append((side, octets.encode() if isinstance(octets, str) else octets))

    def ask(self, line: str, code: int, *, last: bool = False, behind: str = "") -> int:
        """A command, octets behind it, and its reply, now or with those that follow."""
        rng = self.rng
        if self._odd and rng.randrange(SCARCE) == 0:
            code = rng.choice([220, 221, 235, 250, 251, 300, 334, 354, 421, 450, 550])
        count = rng.choice((1,) * 8 + (2, 3))
        texts = [self.one_of(TEXTS, ODD_TEXTS) for _ in range(count)]
        lines = [f"{code}-{text}" for text in texts[:-1]]
        lines.append(f"{code} {texts[-1]}" if texts[-1] else f"{code}")
        verb, bracket, rest = line.partition("<")
        self._asked.append(rng.choice((str, str, str.lower))(verb) + bracket + f"{rest}\r\n{behind}")
        self._answers.append("".join(f"{line}\r\n" for line in lines))
        if last or not self._pipelines or rng.random() < 0.2:
            self.flush()
        return code

    def flush(self) -> None:
        if self._asked:
            self.say(C, "".join(self._asked))
            self.say(S, "".join(self._answers))
        self._asked, self._answers = [], []

    def begin(self) -> bool:
        """Whether the server greets the client."""
        rng = self.rng
        greeting = rng.choices(GREETINGS, k=rng.choice((1, 1, 1, 3)))
        ends = ["-"] * (len(greeting) - 1) + [" "]
        code = rng.choice((220,) * 12 + (421, 554))
        self.say(S, "".join(f"{code}{end}{text}\r\n" for end, text in zip(ends, greeting, strict=True)))
        if code == 220 and rng.random() < 0.1:
            self.mail(503)
        return code == 220

    def introduce(self) -> None:
        rng = self.rng
        name = rng.choice(NAMES)
        if rng.random() < 0.1:
            self.ask(f"EHLO {name}", rng.choice(REFUSALS), last=True)
        if rng.random() < 0.3:
            self.ask(f"HELO {name}", 250, last=True)
            return
        offered = ["mx greets you", *rng.sample(EXTENSIONS, rng.randrange(6))]
        if "" in offered[-1:]:
            offered.append("HELP")
        self.say(C, f"EHLO {name}\r\n")
        self.say(S, "".join(f"250{'-' if text is not offered[-1] else ' '}{text}\r\n" for text in offered))

    def mail(self, refusal: int = 0) -> None:
        rng = self.rng
        path = self.one_of(PATHS, ODD_PATHS)
        is_taken = not refusal and rng.random() < 0.9
        sender = f"MAIL FROM:{rng.choice(('', ' '))}<{path}>{self.one_of(PARAMETERS, ODD_PARAMETERS)}"
        code = self.ask(sender, 250 if is_taken else rng.choice(REFUSALS))
        is_taken &= code < 300
        accepted = 0
        for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 7))):
            wanted = 250 if is_taken and rng.random() < 0.7 else rng.choice(REFUSALS)
            to = self.one_of(PATHS[1:], ODD_PATHS)
            accepted += self.ask(f"RCPT TO:<{to}>{rng.choice(('', ' NOTIFY=NEVER'))}", wanted) < 300
        if rng.random() < 0.3:
            self.chunks(is_taken=is_taken and accepted > 0)
            return
        if rng.random() < 0.85:
            goes_on = is_taken and (accepted > 0 or rng.random() < 0.2)
            code = self.ask("DATA", 354 if goes_on else rng.choice(REFUSALS), last=True)
            if code == 354:
                received = "Received: x\r\n\tfolded\r\n" * rng.choice((0, 0, 1, 3))
                self._asked.append(f"{received}Subject: x\r\n\r\n{'body ..' * rng.randrange(200)}\r\n.\r\n")
                code = rng.choice((250, 250, 250, 451, 552))
                self._answers.append(f"{code} {rng.choice(TEXTS) or 'x'}\r\n")
                if not self._pipelines or rng.random() < 0.8:
                    self.flush()
                return
        self.flush()
        if is_taken:
            self.ask("RSET", 250, last=True)

    def chunks(self, *, is_taken: bool) -> None:
        """A message by BDAT (RFC 3030), of which any chunk may be refused."""
        rng = self.rng
        left = rng.choice((1, 1, 2, 3))
        opening = "Received: x\r\n\tfolded\r\n" * rng.choice((0, 0, 1, 3)) + "Subject: x\r\n\r\n"
        while left:
            left -= 1
            body = opening + "x" * rng.choice((0, 9, 3_000))
            if not left and rng.random() < 0.2:
                body = ""
            last = "" if left else rng.choice((" LAST", " last"))
            is_taken &= rng.random() < 0.9
            octets = len(body) if rng.randrange(SCARCE) or not self._odd else rng.randrange(len(body) + 2)
            self.ask(f"BDAT {octets}{last}", 250 if is_taken else rng.choice(REFUSALS), behind=body)
            opening = ""
        self.flush()

    def log_in(self) -> None:
        rng = self.rng
        for _ in range(rng.choice((0, 0, 1))):
            what = self.one_of(["PLAIN AGEAYg=="], ["SECRET", "PLAINX", "SCRAM-SHA-512 eA=="])
            self.ask(f"AUTH {what}", rng.choice((504, 535)), last=True)
        mechanism, lines = rng.choice(LOGINS)
        self.ask(f"AUTH {mechanism}", 334 if lines else 235, last=True)
        for line in range(lines, 0, -1):
            self.ask("c2VjcmV0", 334 if line > 1 else rng.choice((235, 235, 535)), last=True)

    def secure(self) -> None:
        rng = self.rng
        if self.ask("STARTTLS", rng.choice((220, 220, 220, 454)), last=True) == 220:
            names = [named(b"mx.example.com")] if rng.random() < 0.7 else []
            self.say(C, record(HANDSHAKE, client_hello(*names), 0x0301))
            if rng.random() < 0.2:
                self.say(S, record(ALERT, rng.choice([b"\2\x28", b"\2\x46"])))
            elif rng.random() < 0.9:
                self.say(S, record(HANDSHAKE, server_hello(rng.choice([0x0301, 0x0303, 0x0304]))))
                self.say(
                    C, rng.choice((CLIENT_REST, record(ALERT, self.one_of([b"\2\0"], [b"\1\0", b"\2"]))))
                )
                self.say(S, SERVER_REST)

    def play(self) -> list[tuple[int, bytes]]:
        rng = self.rng
        if self.begin():
            self.introduce()
            if self.converse():
                self.leave()
        elif rng.random() < 0.5:
            self.leave()
        if rng.random() < 0.2:
            self.cut()
        if self._odd and self.runs and rng.randrange(SCARCE) == 0:
            del self.runs[rng.randrange(len(self.runs)) :]
        return self.runs

    def converse(self) -> bool:
        """Whether it goes on in clear up to the end."""
        rng = self.rng
        if rng.random() < 0.2:
            self.log_in()
        if rng.random() < 0.2:
            self.secure()
            if self.runs[-1][1][:1] in (b"\x15", b"\x16", b"\x17") or self.runs[-1][1] in (
                CLIENT_REST,
                SERVER_REST,
            ):
                return False
        for _ in range(rng.choice((0, 1, 1, 2, 4))):
            if rng.random() < 0.2:
                self.ask(rng.choice(SILENT), 250)
            if rng.random() < 0.1:
                self.ask(
                    self.one_of(["XFOO bar", "EXPN x", "HI"], ["XXXX x", "GET / HTTP/1.1", "SEND x"]), 502
                )
            if rng.random() < 0.1:
                self.flush()
                self.introduce()
            self.mail()
        self.flush()
        return True

    def leave(self) -> None:
        """QUIT or not; or the server goes, asked or not."""
        match self.rng.randrange(6):
            case 0:
                self.say(C, "QUIT\r\n")
            case 1 | 2:
                self.ask("QUIT", 221, last=True)
            case 3:
                self.ask(self.rng.choice(("NOOP", "RSET", "EHLO x", "QUIT")), 421, last=True)
            case 4:
                self.say(S, "421 4.4.2 away\r\n")

    def cut(self) -> None:
        """Some of the last replies do not come any more, nor what the client would have said then."""
        rng = self.rng
        servers = [number for number, (side, _) in enumerate(self.runs) if side == S]
        number = rng.choice(servers[1:] or servers)
        whole = [line for line in self.runs[number][1].split(b"\r\n") if line]
        del self.runs[number + rng.choice((0, 0, 1)) :]
        if (
            len(self.runs) == number
            and number
            and len(whole) > 1
            and whole[0][3:4] != b"-"
            and rng.random() < 0.5
        ):
            self.say(S, whole[0] + b"\r\n")


def plainness(dialogues) -> np.ndarray:
    flows = flow_rows(len(dialogues), service="smtp")
    around = circumstances(flows)
    return Plain(kernels()).rows(usual(dialogues), np.arange(len(dialogues)), around)[1]


@settings(max_examples=200)
@given(st.integers(0, 1 << 40), st.booleans(), st.sampled_from(["smtp", "submission", "smtp-alt"]))
def test_whatever_course_a_plain_dialogue_takes(seed, is_over, service):
    dialogues = [Talk(seed + number, odd=False).play() for number in range(20)]
    told = assert_equal(dialogues, service, conn_state="SF" if is_over else "S1")
    assert plainness(dialogues).mean() > 0.4
    assert len(told) >= plainness(dialogues).sum()


@settings(max_examples=300)
@given(st.integers(0, 1 << 40), st.booleans())
def test_and_one_that_is_nearly_plain(seed, is_over):
    dialogues = [Talk(seed + number, odd=True).play() for number in range(20)]
    assert_equal(dialogues, "smtp", conn_state="SF" if is_over else "S1")


HEAD = [(S, b"220 mx ESMTP\r\n"), (C, b"EHLO a\r\n"), (S, b"250-mx\r\n250 SIZE\r\n")]
MAIL = [(C, b"MAIL FROM:<a>\r\n"), (S, b"250 ok\r\n"), (C, b"RCPT TO:<b>\r\n"), (S, b"250 ok\r\n")]
GO, LATER = (S, b"354 go\r\n"), (S, b"421 4.4.2 timeout\r\n")
OK, NO, BYE = (S, b"250 2.0.0 ok\r\n"), (S, b"550 5.5.1 no\r\n"), (S, b"221 bye\r\n")
DATA, QUIT = (C, b"DATA\r\n"), (C, b"QUIT\r\n")
LOGIN = [*HEAD, (C, b"AUTH PLAIN\r\n"), (S, b"334 \r\n"), (C, b"eA==\r\n"), (S, b"535 no\r\n")]
HELLO, SERVER_HELLO = record(HANDSHAKE, client_hello(), 0x0301), record(HANDSHAKE, server_hello(0x0303))
SECURE = [*HEAD, (C, b"STARTTLS\r\n"), (S, b"220 go\r\n")]
PLAIN = {
    "nothing but a greeting": HEAD[:1],
    "nothing but EHLO": HEAD,
    "and no reply to it": HEAD[:2],
    "a greeting that refuses": [(S, b"554-5.7.1 no\r\n554 5.7.1 never\r\n")],
    "and is taken for an answer": [(S, b"554 5.7.1 no\r\n"), QUIT, BYE],
    "421 for a greeting": [(S, b"421 4.3.2 later\r\n"), QUIT],
    "no name": [*HEAD[:1], *MAIL],
    "no name, and that is asked for": [
        *HEAD[:1],
        MAIL[0],
        (S, b"503 5.5.1 EHLO first\r\n"),
        *HEAD[1:],
        *MAIL,
    ],
    "two names": [*HEAD, (C, b"EHLO b\r\n"), (S, b"250-mx\r\n250 XXXXXXXA\r\n"), QUIT, BYE],
    "HELO after all": [*HEAD[:2], (S, b"502 5.5.1 what\r\n"), (C, b"HELO [a\r\n"), OK, *MAIL, QUIT, BYE],
    "EHLO in the midst": [*HEAD, *MAIL, *HEAD[1:], *MAIL, QUIT, BYE],
    "the server goes": [*HEAD, *MAIL, (C, b"NOOP\r\n"), LATER],
    "the server goes, unasked": [*HEAD, *MAIL, LATER],
    "no message": [*HEAD, *MAIL, DATA, GO],
    "a message without an end": [*HEAD, *MAIL, DATA, GO, (C, b"Received: x\r\nx\r\nx")],
    "a message without a reply": [*HEAD, *MAIL, DATA, GO, (C, b"x\r\n.\r\nMAIL FROM:<b>\r\n")],
    "DATA without a reply": [*HEAD, *MAIL, DATA],
    "commands without replies": [*HEAD, MAIL[0], OK, (C, b"RCPT TO:<b>\r\nRCPT TO:<c>\r\nDATA\r\n"), OK],
    "a command without a reply": [*HEAD, *MAIL, (C, b"RSET\r\n")],
    "RSET that is refused": [*HEAD, *MAIL, (C, b"RSET\r\n"), NO, QUIT, BYE],
    "STARTTLS and nothing": SECURE,
    "TLS that the server gives up": [*SECURE, (C, HELLO), (S, b"\x15\3\3\0\2\2\x28")],
    "and the client": [*SECURE, (C, HELLO), (S, SERVER_HELLO), (C, b"\x15\3\3\0\2\2\x30x")],
    "another mechanism": [*HEAD, (C, b"AUTH NTLM\r\n"), (S, b"504 no\r\n"), *MAIL],
    "a long name": [*HEAD, (C, b"AUTH scram-sha-256-plus x\r\n"), (S, b"504 no\r\n"), *MAIL],
    "a long secret": [*HEAD, (C, b"AUTH GSSAPI %b\r\n" % (b"x" * 9_000)), (S, b"504 no\r\n"), *MAIL],
    "VRFY and others": [*HEAD, (C, b"VRFY root\r\nHELP\r\n"), (S, b"252 ?\r\n214-a\r\n214 b\r\n"), *MAIL],
    "no command": [*HEAD, (C, b"XFOO bar\r\n"), (S, b"500 what is XFOO bar\r\n"), *MAIL, QUIT, BYE],
    "AUTH without a reply": [*HEAD, (C, b"AUTH LOGIN\r\n")],
    "a chunk": [*HEAD, *MAIL, (C, b"BDAT 3 LAST\r\na\r\n"), OK],
    "chunks": [*HEAD, *MAIL, (C, b"BDAT 3\r\na\r\n"), OK, (C, b"BDAT 2\r\nabBDAT 0 LAST\r\n"), OK, OK],
    "a chunk that is refused": [*HEAD, *MAIL, (C, b"BDAT 3\r\na\r\nBDAT 1 LAST\r\nb"), NO, NO, *MAIL],
    "a last one that is": [*HEAD, *MAIL, (C, b"BDAT 3\r\na\r\n"), OK, (C, b"bdat 1 last\r\nb"), NO, *MAIL],
    "a chunk and no more": [*HEAD, *MAIL, (C, b"BDAT 3\r\na\r\n"), OK],
    "a chunk without a reply": [*HEAD, *MAIL, (C, b"BDAT 3\r\na\r\n")],
    "nothing in a chunk": [*HEAD, *MAIL, (C, b"BDAT 0 LAST\r\n"), OK, *MAIL],
}
NOT_PLAIN = {
    "a login that goes on": [*HEAD, (C, b"AUTH LOGIN\r\n"), (S, b"334 x\r\n")],
    "a login, and that is all": LOGIN,
    "and the server goes": [*LOGIN, LATER],
    "no command, and that is all": [*HEAD, (C, b"XFOO bar\r\n"), (S, b"500 what is XFOO bar\r\n")],
    "a masked command": [*HEAD, (C, b"XXXX bar\r\n"), (S, b"500 what\r\n"), QUIT, BYE],
    "HTTP": [*HEAD, (C, b"GET / HTTP/1.1\r\n"), (S, b"500 what\r\n"), QUIT, BYE],
    "a mechanism that nobody knows": [*HEAD, (C, b"AUTH FOO\r\n"), (S, b"504 no\r\n"), *MAIL],
    "a name in other letters": [*HEAD, (C, b"EHLO A\r\n"), OK],
    "two senders": [*HEAD, *MAIL, *MAIL],
    "a recipient without a sender": [*HEAD, *MAIL[2:]],
    "a greeting that is not heard": [(S, b"554 no\r\n"), *HEAD[1:], *MAIL],
    "a mail all the same": [(S, b"554 no\r\n"), MAIL[0]],
    "the server goes, and QUIT": [*HEAD, *MAIL, LATER, QUIT],
    "it goes within a message": [*HEAD, *MAIL, DATA, (S, b"354 go\r\n421 later\r\n")],
    "it goes between chunks": [*HEAD, *MAIL, (C, b"BDAT 3\r\na\r\n"), OK, LATER],
    "half a chunk": [*HEAD, *MAIL, (C, b"BDAT 3 LAST\r\na")],
    "half a field": [*HEAD, *MAIL, (C, b"BDAT 3\r\nRec"), OK, (C, b"BDAT 10 LAST\r\neived: x\r\n"), OK],
    "a chunk too early": [*HEAD, *MAIL[:2], (C, b"BDAT 3 LAST\r\na\r\n"), OK],
    "half a message": [*HEAD, *MAIL, (C, b"BDAT 3\r\na\r\n"), OK, (C, b"RSET\r\n"), OK],
}


@pytest.mark.parametrize("case", PLAIN)
@pytest.mark.parametrize("state", ["SF", "S1"])
def test_what_is_plain(case, state):
    assert plainness([PLAIN[case]]).tolist() == [True]
    assert_equal([PLAIN[case]] * 4, "smtp", conn_state=state)


@pytest.mark.parametrize("case", NOT_PLAIN)
def test_what_is_not_plain(case):
    assert plainness([[*HEAD, *MAIL], NOT_PLAIN[case]]).tolist() == [True, False]
    assert_equal([NOT_PLAIN[case]] * 4, "smtp")


@pytest.mark.parametrize("commands", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("quits", [False, True])
def test_the_server_may_go_at_any_step_of_a_mail(commands, quits):
    said = [b"MAIL FROM:<a>\r\n", b"RCPT TO:<b>\r\n", b"RCPT TO:<c>\r\n", b"DATA\r\n", b"x\r\n.\r\n"]
    answers = [b"250 ok\r\n"] * 3 + [b"354 go\r\n"]
    dialogue = list(HEAD)
    for step, answer in zip(said[:commands], answers, strict=False):
        dialogue += [(C, step), (S, answer)]
    dialogue += [(C, said[commands]), (S, b"421 4.3.2 shutting down\r\n")]
    if quits:
        dialogue.append((C, b"QUIT\r\n"))
    assert plainness([dialogue]).tolist() == [True]
    for state in ("SF", "S1", "RSTR"):
        assert_equal([dialogue] * 4, "smtp", conn_state=state)


def test_as_long_as_there_is_room():
    many = [
        part for number in range(900) for part in ((C, b"RCPT TO:<b%d>\r\n" % number), (S, b"250 ok\r\n"))
    ]
    dialogues = [[*HEAD, *MAIL, *many], [*HEAD, *MAIL, *many * 5], [*HEAD, *MAIL]]
    assert plainness(dialogues).tolist() == [True, False, True]
    assert_equal(dialogues, "smtp")
