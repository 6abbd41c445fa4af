"""What a mail's replies come to in words."""

from __future__ import annotations

import pytest

from op25b_pcap.reports.explain import _answer


@pytest.mark.parametrize(
    ("accepted", "recipients", "reply", "words"),
    [
        (True, [250, 550], 250, "taken"),
        (None, [], None, "how it was answered is not known"),
        (False, [550], None, "refused (550)"),
        (False, [550, 554, 550], None, "refused (550, 554)"),
        (False, [250], 554, "refused (554)"),
        (False, [450, 451], None, "refused for now: to be tried again (450, 451)"),
        (False, [450, 550], None, "refused (450, 550)"),
        (False, [], None, "refused"),
    ],
)
def test_what_became_of_a_mail(accepted, recipients, reply, words):
    assert _answer({"accepted": accepted, "rcpt_reply_codes": recipients, "reply_code": reply}) == words
