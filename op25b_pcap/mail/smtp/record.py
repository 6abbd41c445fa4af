"""What is told of an SMTP session: the columns of `smtp_sessions` and `smtp_transactions`.

In: exchanges in order, each a command and the reply to it, or None where it was not seen. Out:
counts, names and addresses. Nothing of a message, of an AUTH response or of an unknown line
ever comes here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from op25b_pcap.mail.smtp.grammar import (
    END_OF_DATA,
    GREETING,
    LAST_CHUNK,
    MAX_TEXT,
    NO_OPTIONS,
    RESPONSE,
    Command,
    MailOptions,
    enhanced_code,
    mechanisms,
    visible,
)
from op25b_pcap.mail.smtp.message import Message
from op25b_pcap.mail.smtp.reply_lines import Reply
from op25b_pcap.mail.smtp.state import Answer

MAX_RECIPIENTS = 65_536
"""Recipients kept of a session; all are counted. RFC 5321 section 4.5.3.1.8 asks for 100 a mail."""
MAX_TRANSACTIONS = 65_536
"""Transactions kept of a session; all are counted."""
_MAX_NAMES = 8
"""Different HELO names remembered: two are odd."""

# A middlebox that knows no ESMTP leaves of the greeting only what it needs, as Cisco's "SMTP
# fixup" did: `220 ****0*2***`; a keyword it does not know becomes `XXXXXXXA`.
_MASKED_TEXT = re.compile(r"[*02 ]*\*{4}[*02 ]*")
# ehlo-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-") (RFC 5321 section 4.1.1.1); `AUTH=LOGIN` is
# AUTH, as Outlook once needed it.
_KEYWORD = re.compile(r"[A-Za-z0-9_][\w-]*")
_MASKED_KEYWORD = re.compile(r"X{4,}[A-Z]?")


@dataclass(slots=True)
class Transaction:
    """One MAIL FROM and what came of it."""

    mail_from: str | None = None
    rcpt_to: list[str] | None = None
    rcpt_reply_codes: list[int | None] = field(default_factory=list)
    options: MailOptions = NO_OPTIONS
    data_command: str | None = None
    message: Message | None = None
    reply_code: int | None = None
    enhanced_code: str | None = None
    accepted: bool | None = None
    is_open: bool = True
    """MAIL was not refused."""
    is_kept: bool = True
    is_settled: bool = False
    """What the server said to its last command was seen, so that nothing was taken unseen."""

    def columns(self, index: int) -> dict[str, Any]:
        """Its row, but for the flow."""
        return {
            "transaction_index": index,
            "mail_from": self.mail_from,
            "rcpt_to": self.rcpt_to,
            "rcpt_reply_codes": self.rcpt_reply_codes,
            "declared_size": self.options.size,
            "body": self.options.body,
            "smtputf8": None if self.mail_from is None else self.options.smtputf8,
            "data_command": self.data_command,
            "message_bytes": self.message and self.message.octets,
            "received_headers": self.message and self.message.received,
            "reply_code": self.reply_code,
            "enhanced_code": self.enhanced_code,
            "accepted": self.accepted,
        }


class Session:
    """What has been said so far."""

    def __init__(self) -> None:
        self.anomalies: set[str] = set()
        self.transactions: list[Transaction] = []
        self.begun = 0
        self.messages_accepted = 0
        self.recipients_accepted = 0
        self.recipients_rejected = 0
        self.is_refused = False
        """The greeting, a recipient, a sender or a message was refused."""
        self.banner: Reply | None = None
        self.helo_verb: str | None = None
        self.helo: str | None = None
        self.helo_names: set[str] = set()
        self.extensions: list[str] | None = None
        self.auth_offered: list[str] | None = None
        self.auth_mechanism: str | None = None
        self.auth_succeeded: bool | None = None
        self.starttls_accepted: bool | None = None
        self.quit = False
        self._banner_text: str | None = None
        self._current: Transaction | None = None
        self._octets_not_kept = 0
        self._recipients_kept = 0
        self._hello_accepted = False
        self._ehlo_refused = False

    def apply(self, command: Command, reply: Reply | None, said: Answer | None) -> None:
        """Take in an exchange."""
        tell = _TELLERS.get(command.verb)
        if tell is not None:
            tell(self, command, reply, said)

    def begin_message(self, message: Message, command: str) -> None:
        """Message data follows; without a transaction, of one that was begun unseen."""
        transaction = self._current or self._begin(Transaction())
        transaction.message, transaction.data_command = message, command

    def lose(self) -> None:
        """Commands are missing: what was begun must not mix with what follows."""
        self._finish()

    def end(self, *, is_over: bool) -> None:
        """Nothing more is said. `is_over`: the connection was seen to end."""
        if is_over:
            self._give_up()
        self._finish()

    @property
    def received(self) -> list[int]:
        """How many Received: fields opened each message, where that was seen."""
        messages = [each.message for each in self.transactions]
        return [each.received for each in messages if each and each.received is not None]

    def columns(self, last_reply: Reply | None) -> dict[str, Any]:
        """The row's columns that follow from what was said."""
        banner, last = self.banner, last_reply
        told = [enhanced_code(line) for line in reply_text(last).split("\n")] if last else [(None, "")]
        message_bytes = self._octets_not_kept
        for each in self.transactions:
            if each.message is not None:
                message_bytes += each.message.octets or 0
        return {
            "banner_code": banner.code if banner else None,
            "banner_text": self._banner_text if banner else None,
            "helo_verb": self.helo_verb,
            "helo": self.helo,
            "extensions": self.extensions,
            "starttls_offered": None if self.extensions is None else "STARTTLS" in self.extensions,
            "starttls_accepted": self.starttls_accepted,
            "auth_offered": self.auth_offered,
            "auth_mechanism": self.auth_mechanism,
            "auth_succeeded": self.auth_succeeded,
            "transactions": self.begun,
            "messages_accepted": self.messages_accepted,
            "recipients_accepted": self.recipients_accepted,
            "recipients_rejected": self.recipients_rejected,
            "message_bytes": message_bytes,
            "last_reply_code": last.code if last else None,
            "last_enhanced_code": told[0][0],
            "last_reply_text": "\n".join([text for _, text in told]) if last and last.lines else None,
            "quit": self.quit,
        }

    def _greeted(self, command: Command, reply: Reply | None, said: Answer | None) -> None:
        if reply is None:
            return
        self.banner, self._banner_text = reply, reply_text(reply)
        self.is_refused |= said in _REFUSALS
        if _MASKED_TEXT.fullmatch(self._banner_text):
            self.anomalies.add("banner_masked")

    def _hello(self, command: Command, reply: Reply | None, said: Answer | None) -> None:
        """A greeting that was accepted is told before one that was not."""
        accepted = said is Answer.YES
        if accepted or not self._hello_accepted:
            self.helo_verb, self.helo = command.verb, command.text
        if command.text and len(self.helo_names) < _MAX_NAMES:
            self.helo_names.add(command.text.lower())
            if len(self.helo_names) > 1:
                self.anomalies.add("helo_changed")
        if said is Answer.NO:
            self._ehlo_refused |= command.verb == "EHLO"
            return
        self._hello_accepted |= accepted
        if accepted and command.verb == "HELO" and self._ehlo_refused:
            self.anomalies.add("helo_fallback")
        if accepted and command.verb == "EHLO" and reply is not None:
            self.offered(reply)
        self._give_up()
        self._finish()

    def offered(self, reply: Reply) -> None:
        """The extensions behind the first line of the reply to EHLO, if all of it was seen."""
        if not reply.is_whole:
            return
        words: dict[str, None] = {}
        offered: dict[str, None] = {}
        for line in reply.lines[1:]:
            extension = _extension(line.strip()[:MAX_TEXT])  # more of it would not be told
            if extension.word is not None:
                words[extension.word] = None
            if extension.mechanisms is not None:
                offered |= dict.fromkeys(extension.mechanisms)
            if extension.is_masked:
                self.anomalies.add("starttls_masked")
        self.extensions = list(words)
        self.auth_offered = list(offered)

    def _mail(self, command: Command, reply: Reply | None, said: Answer | None) -> None:
        if command.text is None and said in _REFUSALS:
            return  # no MAIL FROM at all
        transaction = Transaction(command.text, [], options=command.options)
        if said in _REFUSALS and self._current is not None and self._current.is_open:
            # MAIL within a transaction: RFC 5321 section 4.1.4 wants 503, and the old one stands.
            self._keep(transaction)
        else:
            self._give_up()
            self._begin(transaction)
        transaction.is_settled = reply is not None
        if reply is not None and said in _REFUSALS:
            self._refuse(transaction, reply)
            transaction.is_open = False

    def _rcpt(self, command: Command, reply: Reply | None, said: Answer | None) -> None:
        if said is Answer.YES:
            self.recipients_accepted += 1
        elif said in _REFUSALS:
            self.recipients_rejected += 1
            self.is_refused = True
        if command.text is None or (self._current is None and reply and reply.code == _BAD_SEQUENCE):
            return  # the server says itself that there is no MAIL FROM
        transaction = self._current or self._begin(Transaction(rcpt_to=[]))
        transaction.is_settled |= reply is not None
        if self._recipients_kept == MAX_RECIPIENTS:
            self.anomalies.add("recipients_cut")
            return
        self._recipients_kept += 1
        if transaction.rcpt_to is None:
            transaction.rcpt_to = []
        transaction.rcpt_to.append(command.text)
        transaction.rcpt_reply_codes.append(reply.code if reply else None)

    def _data(self, command: Command, reply: Reply | None, said: Answer | None) -> None:
        transaction = self._current
        if transaction is None:
            return
        transaction.data_command = command.verb
        transaction.is_settled = reply is not None
        if reply is not None and said in _REFUSALS and transaction.is_open:
            self._refuse(transaction, reply)

    def _chunk(self, command: Command, reply: Reply | None, said: Answer | None) -> None:
        if self._current is None and said in _REFUSALS:
            return
        transaction = self._current or self._begin(Transaction())
        transaction.data_command, transaction.message = "BDAT", command.message
        transaction.is_settled = reply is not None
        if reply is not None and said in _REFUSALS:
            if transaction.accepted is None:  # what follows a refused chunk is refused with it
                self._refuse(transaction, reply)
        elif command.verb == LAST_CHUNK:
            self._ended(command, reply, said)

    def _ended(self, command: Command, reply: Reply | None, said: Answer | None) -> None:
        """The message's last octet was sent."""
        transaction = self._current or self._begin(Transaction())
        transaction.message = command.message
        if reply is not None:
            transaction.reply_code = reply.code
            transaction.enhanced_code = enhanced_code(reply_text(reply))[0]
            transaction.accepted = said is Answer.YES
            self.messages_accepted += transaction.accepted
            self.is_refused |= not transaction.accepted
        self._finish()

    def _reset(self, command: Command, reply: Reply | None, said: Answer | None) -> None:
        if said not in _REFUSALS:
            self._give_up()
            self._finish()

    def _quit(self, command: Command, reply: Reply | None, said: Answer | None) -> None:
        self.quit = True
        self._give_up()
        self._finish()

    def _starttls(self, command: Command, reply: Reply | None, said: Answer | None) -> None:
        if reply is not None:
            self.starttls_accepted = said is Answer.YES

    def _auth(self, command: Command, reply: Reply | None, said: Answer | None) -> None:
        """The last attempt is told, or the one that succeeded."""
        if self.auth_succeeded:
            return
        if command.text is None:
            self.anomalies.add("unknown_mechanism")
        self.auth_mechanism, self.auth_succeeded = command.text, None
        self._authenticated(command, reply, said)

    def _authenticated(self, command: Command, reply: Reply | None, said: Answer | None) -> None:
        if reply is not None and said is not Answer.MORE and not self.auth_succeeded:
            self.auth_succeeded = reply.code == _AUTHENTICATED

    def _begin(self, transaction: Transaction) -> Transaction:
        self._finish()
        self._keep(transaction)
        self._current = transaction
        return transaction

    def _keep(self, transaction: Transaction) -> None:
        self.begun += 1
        if len(self.transactions) < MAX_TRANSACTIONS:
            self.transactions.append(transaction)
        else:
            transaction.is_kept = False
            self.anomalies.add("transactions_cut")

    def _refuse(self, transaction: Transaction, reply: Reply) -> None:
        transaction.reply_code = reply.code
        transaction.enhanced_code = enhanced_code(reply_text(reply))[0]
        transaction.accepted = False
        self.is_refused = True

    def _give_up(self) -> None:
        """The current transaction ends without a message: the server has not taken any."""
        transaction = self._current
        if transaction is not None and transaction.is_settled and transaction.message is None:
            transaction.accepted = transaction.accepted or False

    def _finish(self) -> None:
        transaction, self._current = self._current, None
        if transaction is not None and transaction.message is not None and not transaction.is_kept:
            self._octets_not_kept += transaction.message.octets or 0


class _Extension(NamedTuple):
    """What a line of the reply to EHLO offers."""

    word: str | None
    mechanisms: list[str] | None
    """Those of AUTH; None: it is another extension."""
    is_masked: bool


@lru_cache(maxsize=256)
def _extension(line: bytes) -> _Extension:
    """Servers say the same few lines again and again."""
    text = visible(line)
    keyword = _KEYWORD.match(text)
    if keyword is None:
        return _Extension(None, None, False)
    word = keyword[0].upper()
    return _Extension(word, mechanisms(text), _MASKED_KEYWORD.fullmatch(word) is not None)


def reply_text(reply: Reply) -> str:
    """The text of a reply, its lines joined, without the codes."""
    if len(reply.lines) == 1:
        return visible(reply.lines[0].strip())
    return "\n".join([visible(line.strip()) for line in reply.lines])


_AUTHENTICATED = 235  # RFC 4954 section 6
_BAD_SEQUENCE = 503  # RFC 5321 section 4.2.3
_REFUSALS = (Answer.NO, Answer.GOODBYE)
_Teller = Callable[[Session, Command, Reply | None, Answer | None], None]
_TELLERS: dict[str, _Teller] = {
    GREETING.verb: Session._greeted,
    "EHLO": Session._hello,
    "HELO": Session._hello,
    "MAIL": Session._mail,
    "RCPT": Session._rcpt,
    "DATA": Session._data,
    "BDAT": Session._chunk,
    LAST_CHUNK: Session._chunk,
    END_OF_DATA: Session._ended,
    "RSET": Session._reset,
    "QUIT": Session._quit,
    "STARTTLS": Session._starttls,
    "AUTH": Session._auth,
    RESPONSE.verb: Session._authenticated,
}
