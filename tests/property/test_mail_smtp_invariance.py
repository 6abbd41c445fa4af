"""No cut of the octets may change what is read of an SMTP session, and no loss may falsify it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from op25b_pcap.flows import flows
from op25b_pcap.mail.sessions import read as read_sessions
from tests.hellos import CLIENT, CLIENT_REST, SERVER, SERVER_REST
from tests.segments import Talk
from tests.smtp_talk import BYE, HELLO, MAIL, C, S, assert_sound, cut, heard, in_one_go, steps, told

WORDS = {
    C: b"EHLO a.example.org|HELO b|MAIL FROM:<a@example.org> SIZE=9|MAIL FROM:<>|RCPT TO:<b@example.com>"
    b"|DATA|.|..|Received: x|From: x||RSET|NOOP|QUIT|BDAT 3|BDAT 5 LAST|BDAT 0 LAST|BDAT 99999999999999999999"
    b"|abc|AUTH PLAIN YWJj|AUTH LOGIN|YWJj|*|STARTTLS|garbage|CONNECT x:25 HTTP/1.0",
    S: b"220 mx ESMTP|220-mx|250 Ok|250 2.1.0 Ok|250-mx|250 AUTH PLAIN LOGIN|354 go|221 Bye|550 5.1.1 no"
    b"|421 busy|334 eA==|235 ok|503 no|454 no|+OK|* OK x|garbage|HTTP/1.0 200 ok|",
}
OCTETS = [
    CLIENT,
    SERVER,
    CLIENT_REST,
    SERVER_REST,
    CLIENT[:20],
    b"\0",
    b"\xff\n",
    b"\n",
    b".\r\n",
    b"x",
    b"\x16",
]
REAL = [steps(HELLO), steps(HELLO + MAIL), steps(HELLO + MAIL + MAIL + BYE)]

said = {side: [line + b"\r\n" for line in words.split(b"|")] for side, words in WORDS.items()}
turn = st.one_of(
    *[st.tuples(st.just(side), st.sampled_from(lines)) for side, lines in said.items()] * 3,
    st.tuples(st.sampled_from([C, S]), st.sampled_from(OCTETS)),
    st.tuples(st.sampled_from([C, S]), st.binary(min_size=1, max_size=40)),
    st.tuples(st.sampled_from([C, S]), st.integers(1, 40)),
)
talks = st.builds(lambda first, more: first + more, st.sampled_from([[], *REAL]), st.lists(turn, max_size=30))
openings = st.fixed_dictionaries({"from_start": st.booleans(), "tls_port": st.booleans()})


@settings(max_examples=600)
@given(talks, openings, st.lists(st.integers(1, 50), min_size=1, max_size=5))
def test_any_cut_gives_the_same_session(talk, opening, sizes):
    whole = told(heard(talk, **opening))
    assert_sound(whole)
    assert told(heard(in_one_go(talk), **opening)) == whole
    assert told(heard(cut(talk, sizes), **opening)) == whole


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from([C, S]), st.binary(max_size=200)), max_size=10), openings)
def test_any_octets_can_be_read(octets, opening):
    assert_sound(told(heard(octets, **opening)))


@settings(max_examples=150)
@given(
    st.sampled_from(REAL),
    st.lists(st.integers(1, 40), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=10),
)
def test_segments_may_be_cut_and_sent_again(talk, sizes, repeated):
    """Retransmissions of any run of octets, at any later time, say nothing new."""
    rows = []
    for pieces, again in ((talk, []), (cut(talk, sizes), repeated)):
        connection = Talk().handshake()
        sent = {C: b"", S: b""}
        for number, (side, data) in enumerate(pieces):
            send = connection.client if side is C else connection.server
            send("PA", len(sent[side]), 0, data)
            sent[side] += data
            for begin, length in [run for run in again if sum(run) % 7 == number % 7]:
                old = sent[side][begin : begin + length]
                if old:
                    connection.wait(0.5)
                    send("PA", begin, 0, old)
        (flow,) = flows(connection.packets)
        session = read_sessions(flow.row, flow.chunks)
        rows.append((session.smtp, session.transactions))
    assert rows[0] == rows[1]
    assert rows[0][0]["helo"] == "home.example.org"


@st.composite
def sessions(draw) -> tuple[list[tuple], bool]:
    """A session as a server and a client that follow the RFCs hold it, in exchanges."""
    pipelines = draw(st.booleans())
    exchanges = [
        ("", "220 mx.example.com ESMTP"),
        ("EHLO home.example.org", "250-mx\r\n250-PIPELINING\r\n250 X"),
    ]
    if draw(st.booleans()):
        exchanges += [("AUTH LOGIN", "334 eA=="), ("aGFydWtv", "334 eQ=="), ("c2VzYW1l", "235 2.7.0 Ok")]
    for number in range(draw(st.integers(0, 3))):
        exchanges.append((f"MAIL FROM:<from{number}@example.org> SIZE={number}", "250 2.1.0 Ok"))
        answers = draw(
            st.lists(st.sampled_from(["250 2.1.5 Ok", "550 5.1.1 No", "450 4.2.0 Later"]), max_size=3)
        )
        for index, answer in enumerate(answers):
            exchanges.append((f"RCPT TO:<to{number}.{index}@example.com>", answer))
        if not any(answer.startswith("250") for answer in answers):
            exchanges.append(("RSET", "250 2.0.0 Ok"))
            continue
        taken = draw(st.sampled_from(["250 2.0.0 Queued", "554 5.7.1 Spam"]))
        text = draw(
            st.sampled_from(["Subject: x\r\n\r\nHello\r\n", "Received: a\r\n\r\n" + "x" * 70 + "\r\n"])
        )
        way = draw(st.sampled_from(["DATA", "BDAT", "refused"]))
        if way == "DATA":
            exchanges += [("DATA", "354 Go on"), (f"{text}.", taken)]
        elif way == "BDAT":
            exchanges.append((f"BDAT {len(text) - 2} LAST\r\n{text[:-4]}", taken))
        else:
            exchanges += [("DATA", "451 4.3.0 Not now"), ("RSET", "250 2.0.0 Ok")]
    if draw(st.booleans()):
        exchanges.append(("QUIT", "221 2.0.0 Bye"))
    return exchanges, pipelines


def spoken(exchanges, pipelines: bool) -> list[tuple]:
    """The exchanges as runs: one command at a time, or as many as RFC 2920 allows."""
    runs: list[tuple] = []
    asked, answered = b"", b""
    for command, reply in exchanges:
        asked += f"{command}\r\n".encode() if command else b""
        answered += f"{reply}\r\n".encode()
        if not pipelines or not command.startswith(("MAIL", "RCPT", "RSET", "BDAT")):
            runs += [(side, run) for side, run in ((C, asked), (S, answered)) if run]
            asked = answered = b""
    return runs + [(side, run) for side, run in ((C, asked), (S, answered)) if run]


def lossy(pieces: list[tuple], lost: set[int]) -> list[tuple]:
    """The pieces without those; a hole is known when the side's next octets come."""
    missing, left = {C: 0, S: 0}, []
    for number, (side, data) in enumerate(pieces):
        if number in lost:
            missing[side] += len(data)
            continue
        if missing[side]:
            left.append((side, missing[side]))
            missing[side] = 0
        left.append((side, data))
    return left


FACTS = (
    *("banner_code", "banner_text", "helo_verb", "helo", "extensions", "starttls_offered"),
    *("auth_mechanism", "auth_succeeded"),
)
OF_A_MAIL = (
    *("declared_size", "data_command", "message_bytes", "received_headers"),
    *("reply_code", "enhanced_code", "accepted"),
)


def falsehoods(row: dict, truth: dict) -> list[str]:
    """What the row says that was not so. To say less is allowed."""
    wrong = [name for name in FACTS if row[name] not in (None, truth[name])]
    counts = ("messages_accepted", "recipients_accepted", "recipients_rejected", "message_bytes", "quit")
    wrong += [name for name in counts if row[name] > truth[name]]
    for mail in row["mails"]:
        same = [each for each in truth["mails"] if is_part_of(mail, each)]
        if not same:
            wrong.append(f"no such mail: {mail}")
    return wrong


def is_part_of(mail: dict, truth: dict) -> bool:
    replies = dict(zip(truth["rcpt_to"], truth["rcpt_reply_codes"], strict=True))
    said = zip(mail["rcpt_to"] or [], mail["rcpt_reply_codes"], strict=True)
    return (
        mail["mail_from"] in (None, truth["mail_from"])
        and all(to in replies and code in (None, replies[to]) for to, code in said)
        and all(mail[name] in (None, truth[name]) for name in OF_A_MAIL)
    )


@settings(max_examples=600)
@given(sessions(), st.data(), st.lists(st.integers(20, 200), min_size=1, max_size=3))
def test_what_is_lost_is_never_made_up(session, data, sizes):
    """Segments that the capture lacks: some facts are not told, none is told wrongly.

    The last segments of both sides are there: what is cut off at the end leaves no trace.
    """
    exchanges, pipelines = session
    pieces = cut(spoken(exchanges, pipelines), sizes)
    truth = told(heard(pieces))
    last = {
        side: max((i for i, piece in enumerate(pieces) if piece[0] is side), default=0) for side in (C, S)
    }
    some = [number for number in range(len(pieces)) if number not in last.values()]
    lost = data.draw(st.sets(st.sampled_from(some), max_size=4)) if some else set()
    row = told(heard(lossy(pieces, lost)))
    assert_sound(row)
    assert falsehoods(row, truth) == []
    assert not lost or "gap" in row["anomalies"]
