"""Dialogues told by their form have the rows that `mail` reads, whatever stands in their blanks."""

from __future__ import annotations

import random
import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from op25b_pcap.assembly.flows import Usual
from op25b_pcap.assembly.text import RUN
from op25b_pcap.compiled import kernels
from op25b_pcap.forms import pen, smtp, verbs
from op25b_pcap.forms.reading import Forms
from op25b_pcap.mail import sasl
from op25b_pcap.mail.sessions import READ, read
from op25b_pcap.mail.smtp import grammar
from op25b_pcap.mail.smtp.replies import can_answer
from op25b_pcap.tables import RETRIEVAL_SESSIONS, SMTP_SESSIONS, SMTP_TRANSACTIONS
from op25b_pcap.tables.sessions import SHARED
from tests.hellos import ALERT, CLIENT_REST, HANDSHAKE, SERVER_REST, client_hello, record, server_hello
from tests.hellos import server_name as named

C, S = range(2)
ALIKE = 4
"""Dialogues of one script: more than are worth learning."""
SCRIPTS = {
    "smtp": [
        """S: 220 $0 ESMTP $1
        C: EHLO $2
        S: 250-$0 greets $2|250-PIPELINING|250-SIZE 1000|250-AUTH PLAIN LOGIN|250-STARTTLS|250 8BITMIME
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: $3
        S: 334 UGFzc3dvcmQ6
        C: $4
        S: 235 2.7.0 $5
        C: MAIL FROM:<$6@example.org> SIZE=$n BODY=8BITMIME
        S: 250 2.1.0 $7
        C: RCPT TO:<$8> NOTIFY=NEVER
        S: 550 5.1.1 <$8>: $1
        C: RCPT TO:<$9>
        S: 250 2.1.5 Ok
        C: DATA
        S: 354 $1
        C: Received: $1|Received: x|	folded|From: $2||$b|.
        S: 250 2.0.0 $3
        C: QUIT
        S: 221 2.0.0 $4""",
        """S: 220-$0|220 $1
        C: HELO [$2]
        S: 250 $0
        C: MAIL FROM:<$3>|RCPT TO:<$4>|RCPT TO:<$5>|DATA
        S: 250 ok|250 ok|452 4.5.3 $6|354 go
        C: From: $2||$b|.|MAIL FROM:<>|RCPT TO:<$6>|DATA
        S: 250 $7|250 ok|250 ok|354 go
        C: Subject: $8||$b
        """,
        """S: 220 $0
        C: EHLO $2
        S: 250-$0|250-CHUNKING|250 HELP
        C: MAIL FROM:<$3> SMTPUTF8|RCPT TO:<$4>
        S: 250 ok|250 ok
        C: BDAT 9|From: x|BDAT 6 LAST|abcd
        S: 250 $5|250 2.0.0 $6
        C: RSET|EHLO $2
        S: 250 flushed $7|250 $0
        C: QUIT
        S: 221 bye""",
        """S: 554 5.7.1 $0
        C: QUIT
        S: 221 $1""",
        """S: 220 $0
        C: EHLO $1
        S: 250-$0|250 STARTTLS
        C: STARTTLS
        S: 220 2.0.0 $2
        C: $client
        S: $server
        C: $more
        S: $rest""",
    ],
    "submissions": [
        """C: $client
        S: $server
        C: $more
        S: $rest"""
    ],
    "imaps": [
        """C: $client
        S: $server"""
    ],
    "pop3": [
        """S: +OK $0
        C: USER $1
        S: +OK
        C: PASS $2
        S: +OK $3
        C: STAT
        S: +OK 1 $n
        C: LIST
        S: +OK|1 $n|.
        C: RETR 1
        S: +OK $n octets|From: $4||$b|.
        C: DELE 1
        S: -ERR $5
        C: QUIT
        S: +OK bye""",
        """S: +OK $0
        C: CAPA
        S: +OK|PIPELINING|SASL PLAIN|.
        C: AUTH PLAIN
        S: +
        C: $1
        S: -ERR $2
        C: APOP $1 $2
        S: +OK
        C: UIDL|LIST 1|RETR 1|LANG
        S: +OK|1 $3|.|+OK 1 $n|-ERR $5|+OK|.
        C: XTND $4|QUIT""",
        """S: +OK $0
        C: STLS
        S: +OK $2
        C: $client
        S: $server
        C: $more
        S: $rest""",
    ],
    "imap": [
        """S: * OK $0
        C: a1 LOGIN $1 $2
        S: a1 OK $3
        C: a2 SELECT INBOX|a3 NOOP
        S: * 1 EXISTS|* FLAGS ($4)|a2 OK [READ-WRITE] $5|a3 OK
        C: a4 FETCH 1 BODY[]
        S: * 1 FETCH (BODY[] {6}|abcd|)|a4 NO $6
        C: a5 LOGOUT
        S: * BYE $7|a5 OK""",
        """S: * OK $0
        C: $1 CAPABILITY
        S: * CAPABILITY IMAP4rev1|$1 OK $3
        C: $2 AUTHENTICATE PLAIN
        S: +
        C: $3
        S: $2 NO [AUTHENTICATIONFAILED] $4
        C: x AUTHENTICATE LOGIN $5
        S: x OK
        C: $4 IDLE
        S: + idling|* 2 EXISTS
        C: DONE|$5 UID SEARCH ALL|$6 LIST "" *
        S: $4 OK|* SEARCH 1 2|$5 OK|$6 BAD $7""",
        """S: * OK $0
        C: a STARTTLS
        S: a OK $2
        C: $client
        S: $server
        C: $more
        S: $rest""",
    ],
}
ODD = [
    *("", "q7x0000x7q", "[x", "]", "@x", "a b", " a", "a ", "*** **** *", "2.1.0", "5.1.1 x", "5.1.1234 x"),
    *("ü", "\x07", "\t", "x" * 1_200, '"a b"', "<x>", "{6}", "a\r\nb", "X", ".", "STARTTLS", "-", "\\"),
]
LINES = [
    *("NOOP", "RSET", "QUIT", "DATA", "STARTTLS", "EHLO $2", "HELO other", "EHLO a b", "MAIL FROM:<$3>"),
    *("MAIL FROM: <$3>", "MAIL FROM:$3", "RCPT TO:<$4> x", "RCPT TO:<@a:b@c>", "BDAT 0 LAST", "BDAT 3 last"),
    *(
        "AUTH PLAIN abc",
        "auth cram-md5",
        "AUTH X",
        "VRFY x",
        ".",
        "..",
        "",
        "\x16\x03\x01",
        "quit",
        "Received: x",
    ),
    *("220 $0", "250 ok", "250-x", "250 2.1.0", "354 go", "421 $5", "334 x", "235 x", "503 5.5.1 $1", "99 x"),
    *("XFOO $3", "AUTH NTLM $4", "EHLO $5", "BDAT 0", "421 4.4.2 $3", "250-a|250 XXXXXXXA", "HELP", "ONEX x"),
    *(
        "AUTH SCRAM-SHA-256-PLUS x",
        "AUTH GSSAPI",
        "a3 AUTHENTICATE DIGEST-MD5",
        "a3 AUTHENTICATE SCRAM-SHA-1 x",
    ),
    *("221 x", "250ok", "250  two", "+OK", "-ERR", "* 1 FETCH {3}", "a1 OK", "a2 BAD x", "+ go", "* OK {2}"),
    *("RETR 2", "CAPA", "USER", "a9 STARTTLS", "a9 LOGIN {3}", "$b", "\tx", "a.b", "MAIL FROM:<> SIZE=x"),
    *(
        "AUTH",
        "LIST ",
        "LIST 1",
        "STLS",
        "APOP a b",
        "PASS",
        "a1 LOGIN a b",
        "a1 STATUS b",
        "a2 COMPRESS DEFLATE",
    ),
    *(
        "a3 AUTHENTICATE",
        "a3 AUTHENTICATE plain",
        "* BAD x",
        "* PREAUTH x",
        "x@ NOOP",
        "a NO",
        "b OK",
        "+OK x",
    ),
]
word = st.one_of(st.from_regex(r"[a-z0-9.+-]{1,20}", fullmatch=True), st.sampled_from(ODD))
polite = st.from_regex(r"[a-z0-9][a-z0-9.+-]{0,20}", fullmatch=True)


@st.composite
def instances(draw, words):
    """What stands in the places of one dialogue."""
    names = draw(st.lists(words, min_size=10, max_size=10))
    places = {str(number): name.encode("utf-8") for number, name in enumerate(names)}
    places["n"] = b"%d" % draw(st.integers(0, 10**15 - 1))
    places["b"] = b"x" * draw(st.integers(0, 3_000)) + draw(st.sampled_from([b"", b"\r\n..\r\ny", b"\r\n"]))
    host = draw(polite).encode()
    version = draw(st.sampled_from([0x0301, 0x0303, 0x0304]))
    places["client"] = record(HANDSHAKE, client_hello(*([named(host)] if host[0] > 0x33 else [])), 0x0301)
    places["server"] = record(HANDSHAKE, server_hello(version))
    places["more"] = draw(st.sampled_from([CLIENT_REST, CLIENT_REST[:-5], record(ALERT, b"\2\0"), b"x"]))
    places["rest"] = draw(st.sampled_from([SERVER_REST, b"", record(HANDSHAKE, b"\x0b\0\0\1x")]))
    return places


def runs_of(script):
    """Runs of a script: a side, and its lines."""
    return [
        ({"C": C, "S": S}[line.lstrip()[0]], line.lstrip()[3:].split("|"))
        for line in script.splitlines()
        if line.strip()
    ]


def said(lines, places):
    """The octets of lines with all places filled; TLS has no line endings."""
    told = b""
    for line in lines:
        octets = line.encode("utf-8")
        for place, what in places.items():
            octets = octets.replace(b"$" + place.encode(), what)
        told += octets if line[:2] in ("$c", "$s", "$m", "$r") else octets + b"\r\n"
    return told


@st.composite
def disturbed(draw, script):
    """A script of which lines are missing, new, or in another place."""
    runs = [(side, list(lines)) for side, lines in runs_of(script)]
    for _ in range(draw(st.integers(1, 3))):
        if not runs:
            break
        number = draw(st.integers(0, len(runs) - 1))
        lines = runs[number][1]
        at = draw(st.integers(0, len(lines)))
        match draw(st.integers(0, 4)):
            case 0:
                del lines[at : at + 1]
            case 1:
                lines.insert(at, draw(st.sampled_from(LINES)))
            case 2:
                lines[at : at + 1] = [draw(st.sampled_from(LINES))]
            case 3:
                runs = runs[:number]
            case 4:
                runs[number : number + 2] = runs[number : number + 2][::-1]
    return runs


def usual(dialogues):
    """Dialogues as the kernels of `assembly` tell them."""
    runs, begins, text = [], [], bytearray()
    for dialogue in dialogues:
        begins.append(len(runs))
        for side, octets in dialogue:
            if runs and len(runs) > begins[-1] and runs[-1][0] == side:
                runs[-1] = (side, runs[-1][1], runs[-1][2] + len(octets), 0)
            elif octets:
                runs.append((side, len(text), len(text) + len(octets), 0))
            text += octets
    ends = [*begins[1:], len(runs)]
    told = np.array(runs, RUN) if runs else np.empty(0, RUN)
    octets = np.frombuffer(bytes(text), np.uint8)
    return Usual({}, np.array(begins), np.array(ends), np.zeros(len(begins), np.int64), told, octets)


def flow_rows(count, **known):
    rows = []
    for number in range(count):
        row = {"flow_id": f"f{number}", "start_time": None, "src_ip": "198.51.100.1", "src_port": number}
        row |= {"dst_ip": "203.0.113.1", "dst_port": 25, "conn_state": "SF", "initiator_evidence": "syn"}
        rows.append(row | {"src_packets": 9, "dst_packets": 9} | known)
    return pa.table({name: [row[name] for row in rows] for name in READ})


def by_form(dialogues, flows, forms=None):
    """Sessions of those dialogues that have a form, and their numbers."""
    forms = forms or Forms(kernels())
    item = usual(dialogues)
    filled, left = forms.rows(item, np.arange(len(dialogues)), flows)
    told = {number: [] for number in range(len(dialogues)) if number not in left}
    for table in (SMTP_SESSIONS, RETRIEVAL_SESSIONS, SMTP_TRANSACTIONS):
        unknown = dict.fromkeys(name for name in table.names if name not in SHARED)
        for _, (whose, columns) in (each for each in filled if each[0] is table):
            for number, row in zip(whose.tolist(), pa.table(columns).to_pylist(), strict=True):
                told[number].append(unknown | row)
    return told


def by_mail(dialogue, row):
    sessions = read(row, usual([dialogue]).chunks(0))
    rows = [sessions.smtp, sessions.retrieval, *sessions.transactions]
    return [{name: told for name, told in row.items() if name not in SHARED} for row in rows if row]


def assert_equal(dialogues, service, **known):
    flows = flow_rows(len(dialogues), service=service, **known)
    told = by_form(dialogues, flows)
    for number, rows in told.items():
        assert rows == by_mail(dialogues[number], flows.slice(number, 1).to_pylist()[0])
    return told


scripts = st.sampled_from([(service, script) for service, known in SCRIPTS.items() for script in known])


@settings(max_examples=150)
@given(scripts, st.lists(instances(word), min_size=ALIKE, max_size=ALIKE), st.booleans())
def test_dialogues_in_good_order(chosen, places, is_over):
    service, script = chosen
    dialogues = [[(side, said(lines, one)) for side, lines in runs_of(script)] for one in places]
    assert_equal(dialogues, service, conn_state="SF" if is_over else "S1")


@settings(max_examples=500)
@given(st.data(), scripts)
def test_dialogues_in_disorder(data, chosen):
    service, script = chosen
    runs = data.draw(disturbed(script))
    places = data.draw(st.lists(instances(polite), min_size=ALIKE, max_size=ALIKE))
    dialogues = [[(side, said(lines, one)) for side, lines in runs] for one in places]
    assert_equal(dialogues, service)


RETRIEVAL = {
    "pop3": (
        "+OK a",
        """USER a > +OK|PASS b > -ERR no|PASS c > +OK|APOP a b > -ERR|STAT > +OK 1 2|LIST > -ERR
        LIST > +OK, 1 2, .|LIST 1 > +OK 1|RETR 1, DELE 1 > +OK, .., ., +OK|RETR 1 > +OK|UIDL > +OK, .|CAPA >
        AUTH PLAIN > +|x y > +OK|STLS > -ERR|QUIT > +OK bye| > -ERR bye|AUTH > +OK, PLAIN, .|FOO > -ERR x""",
    ),
    "imap": (
        "* OK a",
        """$ LOGIN a b > $ OK|$ LOGIN a b > $ NO x|$ AUTHENTICATE PLAIN > +|YQ== > $ OK
        $ SELECT a > * 1 EXISTS, $ OK|$ LIST a b > $ BAD|$ FETCH 1 x > * 1 FETCH {5}, $ O, ), $ OK
        $ IDLE > + x, * 1 RECENT|DONE > $ OK|$ LOGIN a b, $ NOOP > $ OK| > * BYE x|$ STARTTLS > $ NO
        $ LOGOUT > * BYE, $ OK|$ X-A b > $ BAD|$ > |$ LOGIN {1} > +|a b c > a OK| > z OK""",
    ),
}
"""How a server greets, and what may follow: lines of the client, and of the server."""


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.sampled_from([*RETRIEVAL]), st.booleans())
def test_retrieval_in_any_order(seed, service, has_few_tags):
    """Of which hardly two dialogues take the same course."""
    rng = random.Random(seed)
    greeting, may_follow = RETRIEVAL[service]
    steps = [step.split(">") for step in re.split(r"\||\n", may_follow)]
    steps += [["NOOP, " * 70, "+OK, " * 70], ["$ NOOP, " * 70, "$ OK, " * 70]][service == "imap" :][:1]
    dialogues = []
    for _ in range(200):
        runs, tag = [(S, said([greeting], {}))], 0
        for _ in range(rng.randrange(12)):
            tag += rng.random() < 0.9
            name = f"a{tag % 3 if has_few_tags else tag}"
            for side, lines in zip((C, S), rng.choice(steps), strict=True):
                if rng.random() < 0.98:
                    each = [line.strip().replace("$", name) for line in lines.split(",") if line.strip()]
                    runs.append((side, said(each, {})))
        dialogues.append(runs)
    told = assert_equal(dialogues, service)
    assert len(told) > len(dialogues) // 20


def test_commands_that_tell_nothing_are_counted():
    dialogues = []
    for count in range(100):
        runs = [(S, b"+OK a\r\n")]
        for _ in range(count):
            runs += [(C, b"RETR 1\r\n"), (S, b"+OK\r\na\r\n.\r\n")]
        dialogues.append(runs)
    told = assert_equal(dialogues, "pop3")
    assert [rows[0]["commands"] for _, rows in sorted(told.items())] == [*range(100)]


@pytest.mark.parametrize("service", [*RETRIEVAL])
def test_who_tries_many_passwords_has_no_form(service):
    command, reply = {"pop3": (b"PASS x\r\n", b"-ERR\r\n"), "imap": (b"a LOGIN b c\r\n", b"a NO\r\n")}[
        service
    ]
    for count in (40, 64, 70, 130):
        runs = [(S, said([RETRIEVAL[service][0]], {}))] + [(C, command), (S, reply)] * count
        told = assert_equal([runs] * ALIKE, service)
        assert bool(told) == (count == 40)


@settings(max_examples=80)
@given(st.data(), scripts)
def test_any_octet_may_be_another(data, chosen):
    """Not only the places: each of many dialogues may differ from the others anywhere."""
    service, script = chosen
    places = data.draw(instances(polite))
    whole = [(side, said(lines, places)) for side, lines in runs_of(script)]
    dialogues = [whole] * ALIKE
    for _ in range(20):
        changed = list(whole)
        number = data.draw(st.integers(0, len(whole) - 1))
        side, octets = changed[number]
        if octets:
            at = data.draw(st.integers(0, len(octets) - 1))
            octet = data.draw(st.sampled_from(b" \r\n.-<>[]{}*+059AZaz\0\xff"))
            changed[number] = (side, octets[:at] + bytes((octet,)) + octets[at + 1 :])
        dialogues += [changed] * 3
    assert_equal(dialogues, service)


@pytest.mark.parametrize(
    ("service", "number"), [(s, n) for s, known in SCRIPTS.items() for n in range(len(known))]
)
def test_usual_dialogues_have_forms(service, number):
    """What the properties hold of must be there."""
    places = {str(n): b"w%d" % n for n in range(10)} | {"n": b"77", "b": b"body" * 300}
    places["client"] = record(HANDSHAKE, client_hello(named(b"mx.example.com")), 0x0301)
    places |= {"server": record(HANDSHAKE, server_hello(0x0304)), "more": CLIENT_REST, "rest": SERVER_REST}
    script = runs_of(SCRIPTS[service][number])
    told = assert_equal([[(side, said(lines, places)) for side, lines in script]] * ALIKE, service)
    assert len(told) == ALIKE


def test_few_of_a_form_are_left_to_mail():
    dialogue = [(S, b"+OK POP3\r\n")]
    assert by_form([dialogue] * 2, flow_rows(2, service="pop3")) == {}


def test_begun_unseen_or_half_heard_has_no_form():
    dialogues = [[(S, b"554 5.7.1 go away\r\n")]] * ALIKE
    for known in ({"initiator_evidence": "port"}, {"src_packets": 0}, {"dst_packets": 0}):
        assert by_form(dialogues, flow_rows(ALIKE, service="smtp", **known)) == {}


def test_what_lacks_octets_has_no_form():
    item = usual([[(S, b"554 5.7.1 go away\r\n")]] * ALIKE)
    item.runs["skipped"][::2] = 7
    _, left = Forms(kernels()).rows(item, np.arange(ALIKE), flow_rows(ALIKE, service="smtp"))
    assert set(range(0, ALIKE, 2)) <= set(left.tolist())
    assert item.chunks(0)[0].skipped == 7


def test_verbs_and_mechanisms_are_those_of_mail():
    known = {*verbs.KNOWN, *verbs.SILENT, *verbs.OTHERS}
    assert known - {pen.packed(b"CONNECT"), pen.packed(b"PROXY")} == {
        pen.packed(verb.encode()) for verb in grammar.VERBS
    }
    assert [sasl.mechanism(name.encode()) for name in verbs.MECHANISMS] == [*verbs.MECHANISMS]
    for number, name in enumerate(verbs.MECHANISMS, 1):
        text = np.frombuffer(name.lower().encode() + b"X", np.uint8)
        assert smtp.mechanism_number(text, 0, len(name)) == number
        assert smtp.mechanism_number(text, 0, len(name) + 1) == 0
        assert smtp.mechanism_number(text, 0, len(name) - 1) == 0


def test_replies_go_to_the_same_commands():
    verbs = {
        smtp.GREETING: [grammar.GREETING.verb],
        smtp.DATA: ["DATA"],
        smtp.AUTH: ["AUTH", grammar.RESPONSE.verb],
        smtp.STARTTLS: ["STARTTLS"],
        smtp.QUIT: ["QUIT"],
        smtp.UNKNOWN: [""],
        smtp.EXTENDED: ["EHLO"],
        smtp.OTHER: [
            *(
                "HELO",
                "MAIL",
                "RCPT",
                "RSET",
                "NOOP",
                "BDAT",
                "VRFY",
                "EXPN",
                "HELP",
                "ETRN",
                "ONEX",
                "XFORWARD",
            ),
            *(grammar.LAST_CHUNK, grammar.END_OF_DATA),
        ],
    }
    for command, meant in verbs.items():
        for verb in meant:
            for code in range(200, 600):
                assert smtp.may_answer(code, command) == can_answer(code, verb), (code, verb)
