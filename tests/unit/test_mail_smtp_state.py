"""The table of states, and the names of oddities: whole, and said in one place."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import op25b_pcap.mail.smtp
from op25b_pcap.mail.smtp.anomalies import ANOMALIES
from op25b_pcap.mail.smtp.grammar import VERBS
from op25b_pcap.mail.smtp.state import TRANSITIONS, Answer, State, after, answer
from tests.smtp_talk import HELLO, read

OWN_WORDS = {"greeting", "end of data", "response", "BDAT LAST"}


def test_every_state_has_a_row_and_can_be_reached():
    assert set(TRANSITIONS) == set(State)
    reached = {following for row in TRANSITIONS.values() for following in row.values()}
    # UNKNOWN is entered where octets are missing, CONNECTED when the connection opens.
    assert reached == set(State) - {State.CONNECTED, State.UNKNOWN}


def test_every_event_has_a_known_command():
    assert {verb for row in TRANSITIONS.values() for verb, _ in row} <= VERBS | OWN_WORDS


def test_from_the_unknown_every_event_leads_where_it_leads_elsewhere():
    for state, row in TRANSITIONS.items():
        for (verb, said), following in row.items():
            if verb in ("greeting", "RSET", "QUIT") or state is State.UNKNOWN:
                continue  # RSET leads back to where EHLO had led
            assert TRANSITIONS[State.UNKNOWN][verb, said] is following


@pytest.mark.parametrize("state", State)
def test_421_ends_any_session(state: State):
    assert after(state, "NOOP", Answer.GOODBYE) == (State.CLOSING, True)


def test_what_is_refused_or_not_listed_changes_nothing():
    assert after(State.RCPT, "EHLO", Answer.NO) == (State.RCPT, True)
    assert after(State.RCPT, "NOOP", Answer.YES) == (State.RCPT, True)
    assert after(State.RCPT, "DATA", Answer.NO) == (State.RCPT, True)


def test_what_is_accepted_out_of_order_counts_and_is_named():
    assert after(State.READY, "RCPT", Answer.YES) == (State.RCPT, False)
    row = read(HELLO + "C: RCPT TO:<a@example.com>\nS: 250 Ok\n")
    assert row["anomalies"] == ["out_of_order"]
    assert (row["mails"][0]["mail_from"], row["mails"][0]["rcpt_to"]) == (None, ["a@example.com"])


def test_answers():
    codes = {220: "YES", 250: "YES", 354: "MORE", 334: "MORE", 450: "NO", 554: "NO", 421: "GOODBYE"}
    assert {code: answer(code).name for code in codes} == codes


def test_every_oddity_that_is_named_has_a_meaning():
    """Read from the code: what is added to `anomalies`, and the oddities of a command."""
    named: set[str] = set()
    for path in Path(op25b_pcap.mail.smtp.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("anomalies.add"):
                named |= strings(node)
            elif isinstance(node, ast.Tuple | ast.keyword) and path.stem == "grammar":
                named |= {name for name in strings(node) if name in ANOMALIES or "malformed" in name}
    assert len(named) > 25
    assert named <= set(ANOMALIES)


def strings(node: ast.AST) -> set[str]:
    found = {each.value for each in ast.walk(node) if isinstance(each, ast.Constant)}
    return {value for value in found if isinstance(value, str)}
