"""How much of envelope addresses is written under each choice."""

from __future__ import annotations

import pytest

from op25b_pcap.reports.envelope import mask_text, mask_transactions
from op25b_pcap.tables import SMTP_SESSIONS, SMTP_TRANSACTIONS

TRANSACTIONS = SMTP_TRANSACTIONS.frame(
    [
        {"mail_from": "alice@example.com", "rcpt_to": ["bob@example.net", '"a@b c"@example.org', "root"]},
        {"mail_from": "", "rcpt_to": []},
        {"mail_from": None, "rcpt_to": None},
        {"mail_from": "x@[192.0.2.1]", "rcpt_to": ["carol@example.net"]},
    ]
)


def told(envelope: str) -> tuple[list, list]:
    masked = mask_transactions(TRANSACTIONS, envelope)
    lists = [
        None if value is None else list(value)
        for value in masked["rcpt_to"].array.__arrow_array__().to_pylist()
    ]
    return masked["mail_from"].array.__arrow_array__().to_pylist(), lists


def test_full_keeps_all():
    assert told("full")[0] == ["alice@example.com", "", None, "x@[192.0.2.1]"]


def test_domain_keeps_the_domains_and_the_null_sender():
    assert told("domain") == (
        ["@example.com", "", None, "@[192.0.2.1]"],
        [["@example.net", "@example.org", "@"], [], None, ["@example.net"]],
    )


def test_none_keeps_only_the_counts():
    assert told("none") == ([None, "", None, None], [None, None, None, None])


@pytest.mark.parametrize(
    ("envelope", "text"),
    [
        ("full", "<bob.b+x@example.net>: unknown; ask postmaster@example.net"),
        ("domain", "<@example.net>: unknown; ask @example.net"),
        ("none", "<@>: unknown; ask @"),
    ],
)
def test_addresses_in_replies_are_masked_likewise(envelope, text):
    frame = SMTP_SESSIONS.frame(
        [{"last_reply_text": "<bob.b+x@example.net>: unknown; ask postmaster@example.net"}]
    )
    assert mask_text(frame, envelope)["last_reply_text"][0] == text


@pytest.mark.parametrize(
    ("said", "of_domain", "of_none"),
    [
        ('550 <"john doe"@example.com> no', "550 <@example.com> no", "550 <@> no"),
        ("<frank[x]@example.com>", "<@example.com>", "<@>"),
        ("<o'brien@example.com> o'brien@example.com", "<@example.com> @example.com", "<@> @"),
        ("<bounces+alice=example.org@list.example>", "<@list.example>", "<@>"),
        ('<"gina\\"q"@example.com>', "<@example.com>", "<@>"),
        ("<@r1.example:erin@example.com>", "<@example.com>", "<@>"),
        ("to=<a@example.com>, b@example.org: no", "to=<@example.com>, @example.org: no", "to=<@>, @ no"),
    ],
)
def test_whatever_an_address_looks_like(said, of_domain, of_none):
    frame = SMTP_SESSIONS.frame([{"last_reply_text": said}])
    for envelope, masked in (("full", said), ("domain", of_domain), ("none", of_none)):
        assert mask_text(frame, envelope)["last_reply_text"][0] == masked


def test_an_empty_table_stays_empty():
    assert len(mask_transactions(SMTP_TRANSACTIONS.frame([]), "domain")) == 0
