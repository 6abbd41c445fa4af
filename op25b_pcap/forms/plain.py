"""Plain SMTP dialogues to rows: what the scribe has told of many, as columns.

In: numbers, and where in the octets names and texts stand. Out: the rows that `mail` gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from op25b_pcap.assembly.flows import Usual
from op25b_pcap.forms import scribe, verbs
from op25b_pcap.forms.patterns import Programs, Spoken, texts
from op25b_pcap.forms.pen import MOST_WAITING, REGISTERS
from op25b_pcap.forms.write import PROTOCOLS, none_known
from op25b_pcap.mail.smtp.manner import REFUSED_AT_LEAST
from op25b_pcap.mail.smtp.record import Session
from op25b_pcap.mail.smtp.reply_lines import Reply
from op25b_pcap.mail.tls import VERSIONS
from op25b_pcap.tables import SMTP_SESSIONS, SMTP_TRANSACTIONS
from op25b_pcap.tables.sessions import CLIENT_KINDS, RESULTS, TLS_MODES
from op25b_pcap.tables.table import Table

if TYPE_CHECKING:
    from op25b_pcap.scan.kernels import Kernels

_LEAST_A_PIECE, _LEAST_A_MAIL, _LEAST_A_RECIPIENT = 5, 19, 17
"""Octets of a dialogue for each of these, at least: with what the server says."""
_HELLO_OK = 250
_VERSIONS = tuple(VERSIONS[0x0300 + octet] for octet in range(5))


class Rows(NamedTuple):
    """Rows of one table."""

    whose: NDArray[np.int64]
    """Which of the dialogues each is about."""
    columns: dict[str, pa.Array]
    """All that their flows do not tell."""


class _Offer(NamedTuple):
    """What a reply to EHLO offers."""

    extensions: list[str] | None
    auth: list[str] | None
    anomalies: list[str]


class Plain:
    """What was met so far of replies to EHLO, and room to work in."""

    def __init__(self, kernels: Kernels) -> None:
        self._kernels = kernels
        self._known = none_known()
        self._desk = scribe.Desk(
            np.empty(scribe.LONG_PAGE, np.uint8),
            np.zeros(REGISTERS, np.int64),
            np.empty((scribe.MOST_BLANKS, 2), np.int64),
            np.zeros(scribe.REGISTERS_HERE, np.int64),
            np.zeros((MOST_WAITING, scribe.QUEUE_CELLS), np.int64),
        )
        self._offers = [_Offer(None, None, [])]
        """By their numbers; 0 is HELO's, which offers nothing."""
        self._programs = Programs()
        self._joined: list[int] = []
        """The program of so many lines, one more each."""

    def rows(
        self, usual: Usual, speaking: NDArray[np.int64], around: NDArray[np.int64]
    ) -> tuple[dict[Table, Rows], NDArray[np.bool_]]:
        """The rows of those `speaking` attempts that are plain; and which these are.

        `around` are their `reading.circumstances`.
        """
        octets, known = len(usual.text), self._known
        told = scribe.Told(
            np.empty((len(speaking), scribe.SESSION), np.int64),
            np.empty((octets // _LEAST_A_PIECE + 1, 2), np.int64),
            np.empty((octets // _LEAST_A_MAIL + 1, scribe.MAIL_CELLS), np.int64),
            np.empty((octets // _LEAST_A_RECIPIENT + 1, scribe.RECIPIENT_CELLS), np.int64),
            np.zeros(3, np.int64),
        )
        self._kernels.plain_of(
            usual.text,
            usual.runs,
            usual.begins[speaking],
            usual.ends[speaking],
            around,
            (known.octets, known.ends, known.slots, known.counts),
            self._desk,
            told,
        )
        self._learn()
        sessions, pieces, mails, recipients, used = told
        is_plain = sessions[:, scribe.IS_PLAIN] == 1
        which = np.flatnonzero(is_plain)
        filled: dict[Table, Rows] = {}
        if len(which):
            submits = around[which] // PROTOCOLS // 2 > 0
            columns = self._sessions(sessions[which], pieces[: used[0]], usual.text, submits)
            filled[SMTP_SESSIONS] = Rows(which, columns)
        if used[1]:
            own = mails[: used[1]]
            columns = self._mails(own, recipients[: used[2]], usual.text)
            filled[SMTP_TRANSACTIONS] = Rows(own[:, scribe.WHOSE].copy(), columns)
        return filled, is_plain

    def _learn(self) -> None:
        """What the replies to EHLO offer that were not met before."""
        known = self._known
        for number in range(len(self._offers), int(known.counts[0])):
            begin, end = known.ends[number - 1 : number + 1].tolist()
            lines = known.octets[begin:end].tobytes().split(b"\r\n")[:-1]
            session = Session()
            session.offered(Reply(_HELLO_OK, [b"", *(line[4:] for line in lines)], is_whole=True))
            self._offers.append(_Offer(session.extensions, session.auth_offered, sorted(session.anomalies)))

    def _sessions(
        self,
        told: NDArray[np.int64],
        pieces: NDArray[np.int64],
        text: NDArray[np.uint8],
        submits: NDArray[np.bool_],
    ) -> dict[str, pa.Array]:
        cell = told.T
        offers, offer = self._offers, pa.array(cell[scribe.OFFER])
        extensions = pa.array([one.extensions for one in offers], pa.list_(pa.string()))
        starttls = pa.array(
            [None if one.extensions is None else "STARTTLS" in one.extensions for one in offers], pa.bool_()
        )
        auth = pa.array([one.auth for one in offers], pa.list_(pa.string()))
        hidden = cell[scribe.IS_HIDDEN]
        names = np.ascontiguousarray(told[:, scribe.NAME_BEGIN : scribe.NAME_END + 1])
        is_named = cell[scribe.NAME_END] > 0
        helo = np.ascontiguousarray(told[:, scribe.HELO_BEGIN : scribe.HELO_END + 1])
        is_helo_named = cell[scribe.HELO_END] > 0
        has_bracket = is_helo_named & (text[helo[:, 0]] == ord("["))
        return {
            "banner_code": pa.array(cell[scribe.BANNER_CODE].astype(np.uint16)),
            "banner_text": self._lines(cell[scribe.BANNER], cell[scribe.BANNER_LINES], pieces, text),
            "helo_verb": _words(cell[scribe.HELO_VERB] - 1, ("EHLO", "HELO")),
            "helo": self._texts(np.where(is_helo_named, 0, -1), np.arange(len(told)), Spoken(text, helo)),
            "extensions": extensions.take(offer),
            "starttls_offered": starttls.take(offer),
            "starttls_accepted": _truths(cell[scribe.HAS_STARTTLS]),
            "tls": _words(hidden, TLS_MODES),
            "tls_version": _words(cell[scribe.VERSION] - 1, _VERSIONS),
            "tls_sni": self._texts(np.where(is_named, 0, -1), np.arange(len(told)), Spoken(text, names)),
            "auth_offered": auth.take(offer),
            "auth_mechanism": _words(cell[scribe.MECHANISM] - 1, verbs.MECHANISMS),
            "auth_succeeded": _truths(cell[scribe.HAS_LOGGED_IN]),
            "transactions": pa.array(cell[scribe.MAILS]),
            "messages_accepted": pa.array(cell[scribe.ACCEPTED]),
            "recipients_accepted": pa.array(cell[scribe.RECIPIENTS]),
            "recipients_rejected": pa.array(cell[scribe.REJECTED]),
            "message_bytes": pa.array(cell[scribe.OCTETS]),
            "last_reply_code": pa.array(cell[scribe.LAST_CODE]),
            "last_enhanced_code": _status_codes(cell[scribe.LAST_ENHANCED]),
            "last_reply_text": self._lines(cell[scribe.LAST], cell[scribe.LAST_LINES], pieces, text),
            "quit": pa.array(cell[scribe.HAS_QUIT] == 1),
            "client_kind": _words(_client_kinds(cell, has_bracket, submits), CLIENT_KINDS),
            "result": _words(_results(cell), RESULTS),
            "anomalies": self._anomalies(told),
        }

    def _anomalies(self, told: NDArray[np.int64]) -> pa.Array:
        """What is odd about sessions and what was offered in them."""
        odd = told[:, [scribe.OFFER, scribe.FORMER_OFFER, scribe.ODDITIES]]
        kinds, which = np.unique(odd, axis=0, return_inverse=True)
        named = [
            {*self._offers[offer].anomalies, *self._offers[former].anomalies}.union(
                name for bit, name in enumerate(scribe.ANOMALIES) if oddities >> bit & 1
            )
            for offer, former, oddities in kinds.tolist()
        ]
        lists = pa.array([sorted(names) for names in named], pa.list_(pa.string()))
        return lists.take(pa.array(which.reshape(-1)))

    def _mails(
        self, told: NDArray[np.int64], recipients: NDArray[np.int64], text: NDArray[np.uint8]
    ) -> dict[str, pa.Array]:
        cell = told.T
        nothing, rows = np.zeros(len(told), np.int64), np.arange(len(told))
        whose = cell[scribe.WHOSE]
        firsts = np.flatnonzero(np.append(True, whose[1:] != whose[:-1])[: len(whose)])
        index = rows - np.repeat(firsts, np.diff(np.append(firsts, len(rows)))) + 1
        senders = np.ascontiguousarray(told[:, scribe.FROM_BEGIN : scribe.FROM_END + 1])
        edges = pa.array(np.append(cell[scribe.FIRST_RECIPIENT], len(recipients)).astype(np.int32))
        spans = np.ascontiguousarray(recipients[:, :2])
        addresses = self._texts(
            np.zeros(len(recipients), np.int64), np.arange(len(recipients)), Spoken(text, spans)
        )
        codes = pa.array(recipients[:, 2].astype(np.uint16), mask=recipients[:, 2] == 0)
        has_message = cell[scribe.MESSAGE_OCTETS] >= 0
        accepted = cell[scribe.IS_ACCEPTED]
        return {
            "transaction_index": pa.array(index),
            "mail_from": self._texts(nothing, rows, Spoken(text, senders)),
            "rcpt_to": pa.ListArray.from_arrays(edges, addresses),
            "rcpt_reply_codes": pa.ListArray.from_arrays(edges, codes),
            "declared_size": _known(cell[scribe.SIZE], cell[scribe.SIZE] >= 0),
            "body": _words(cell[scribe.BODY], scribe.BODIES),
            "smtputf8": pa.array(cell[scribe.IS_UTF8] == 1),
            "data_command": _words(cell[scribe.HAS_DATA] - 1, ("DATA", "BDAT")),
            "message_bytes": _known(cell[scribe.MESSAGE_OCTETS], has_message),
            "received_headers": _known(cell[scribe.MESSAGE_RECEIVED], has_message),
            "reply_code": _known(cell[scribe.REPLY], cell[scribe.REPLY] > 0),
            "enhanced_code": _status_codes(cell[scribe.ENHANCED]),
            "accepted": pa.array(accepted == 1, mask=accepted < 0),
        }

    def _lines(
        self,
        firsts: NDArray[np.int64],
        counts: NDArray[np.int64],
        pieces: NDArray[np.int64],
        text: NDArray[np.uint8],
    ) -> pa.Array:
        """Texts of several lines, of which so many stand from a piece on."""
        while len(self._joined) < counts.max(initial=0):
            self._joined.append(self._programs.of_lines(len(self._joined) + 1))
        programs = np.array(self._joined, np.int64)[counts - 1]
        return self._texts(programs, firsts, Spoken(text, np.ascontiguousarray(pieces)))

    def _texts(self, programs: NDArray[np.int64], firsts: NDArray[np.int64], spoken: Spoken) -> pa.Array:
        if not self._joined:
            self._joined.append(self._programs.of_lines(1))  # number 0, of one line
        return texts(self._kernels, self._programs, programs, np.ascontiguousarray(firsts), spoken)


def _known(numbers: NDArray[np.int64], is_known: NDArray[np.bool_]) -> pa.Array:
    return pa.array(np.where(is_known, numbers, 0), mask=~is_known)


def _truths(codes: NDArray[np.int64]) -> pa.Array:
    """1 for false, 2 for true, 0 for null."""
    return pa.array(codes == 2, mask=codes == 0)


def _words(codes: NDArray[np.signedinteger[Any]], words: tuple[str, ...]) -> pa.Array:
    """The word of each number; null where that is less than zero."""
    indices = pa.array(np.maximum(codes, 0).astype(np.int32), mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(words, pa.string()))


def _status_codes(numbers: NDArray[np.int64]) -> pa.Array:
    """Enhanced status codes as the scribe has numbered them; null for 0."""
    known, codes = np.unique(numbers, return_inverse=True)
    return pa.array([_status_code(number) for number in known.tolist()], pa.string()).take(pa.array(codes))


def _status_code(number: int) -> str | None:
    told = ""
    while number:
        number, digit = divmod(number, scribe.STATUS_DIGITS)
        told = ("0123456789."[digit - 1]) + told
    return told or None


def _client_kinds(
    cell: NDArray[np.int64], has_bracket: NDArray[np.bool_], submits: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """What `mail.smtp.manner.client_kind` says, where nothing is odd."""
    refused = cell[scribe.REJECTED]
    changes = (cell[scribe.ODDITIES] & scribe.HELO_CHANGED) > 0
    guesses = (refused >= REFUSED_AT_LEAST) & (refused > cell[scribe.RECIPIENTS])
    left = (cell[scribe.IS_REFUSED] == 1) & (cell[scribe.HAS_QUIT] == 0)
    needed = np.where(cell[scribe.MESSAGES] > 0, 1, 2)
    mua, mta, bot, unknown = (CLIENT_KINDS.index(word) for word in ("mua", "mta", "bot", "unknown"))
    logs_in, hidden = cell[scribe.MECHANISM] > 0, cell[scribe.IS_HIDDEN] == 1
    is_mua = logs_in.astype(np.int64) + has_bracket + submits >= needed
    hints = changes.astype(np.int64) + guesses + left
    kinds = [hints > 1, cell[scribe.RECEIVED] > 0, hidden, is_mua]
    return np.select(kinds, [bot, mta, unknown, mua], unknown)


def _results(cell: NDArray[np.int64]) -> NDArray[np.int64]:
    """What `mail.smtp.manner.result` says."""
    words = ("delivered", "opaque", "rejected", "aborted")
    delivered, opaque, rejected, aborted = map(RESULTS.index, words)
    is_refused = (cell[scribe.IS_REFUSED] == 1) | (cell[scribe.LAST_CODE] >= 400)
    seen = [cell[scribe.ACCEPTED] > 0, cell[scribe.IS_HIDDEN] == 1, is_refused]
    return np.select(seen, [delivered, opaque, rejected], aborted)
