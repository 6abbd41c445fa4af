"""Many dialogues at once: those with a form that is worth it get their rows from it.

A form is learnt from `mail`, which reads it in our words, and believed if a real dialogue of that
form, read by `mail` too, has the row that the form gives it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from op25b_pcap.assembly.flows import Usual
from op25b_pcap.forms.patterns import Patterns, Programs, Spoken
from op25b_pcap.forms.recite import recite
from op25b_pcap.forms.write import IN_IMAP, IN_POP3, IN_SMTP, IN_TLS, NO_FORM, PROTOCOLS, none_known
from op25b_pcap.mail.sessions import OVER, READ, read
from op25b_pcap.tables import RETRIEVAL_SESSIONS, SMTP_SESSIONS, SMTP_TRANSACTIONS
from op25b_pcap.tables.sessions import SHARED, Sessions
from op25b_pcap.tables.table import Table

if TYPE_CHECKING:
    from op25b_pcap.scan.kernels import Kernels

_WORTH_A_LOOK = 1_000
"""Dialogues met from which on the kernels are asked: to load them takes as long as to read these."""
_WORTH_LEARNING = 3
"""Dialogues of one form: to learn it costs what reading two of them does."""
_TABLES = (SMTP_SESSIONS, SMTP_TRANSACTIONS, RETRIEVAL_SESSIONS)
_SPOKEN = {
    "smtp": IN_SMTP,
    "submission": IN_SMTP,
    "smtp-alt": IN_SMTP,
    "pop3": IN_POP3,
    "imap": IN_IMAP,
    "submissions": IN_TLS,
    "pop3s": IN_TLS,
    "imaps": IN_TLS,
}
_SERVICES = list(_SPOKEN)
_LEAST_A_BLANK = 4
"""Octets of a dialogue for each of its blanks, at least: the blank's own and what stands around it."""


class Rows(NamedTuple):
    """Rows of one table."""

    whose: NDArray[np.int64]
    """Which of the dialogues each is about."""
    columns: dict[str, pa.Array]
    """All that their flows do not tell."""


class _Template(NamedTuple):
    """What is told of a form: numbers of rows with blanks."""

    smtp: int | None
    retrieval: int | None
    transactions: list[int]


class Forms:
    """The forms that were learnt, and those that were met."""

    def __init__(self, kernels: Kernels) -> None:
        self._kernels = kernels
        self._known = none_known()
        self._programs = Programs()
        self._patterns = {table: Patterns(table, self._programs, kernels) for table in _TABLES}
        self._templates: dict[int, _Template | None] = {}
        """By number of the form; None: it gives other rows than `mail` does."""
        self._met: dict[int, int] = {}
        self._dialogues = 0

    def are_worth_a_look(self, dialogues: int) -> bool:
        """Whether so many more are enough to ask for their forms, with all that were met before."""
        self._dialogues += dialogues
        return self._dialogues >= _WORTH_A_LOOK

    def rows(
        self, usual: Usual, speaking: NDArray[np.int64], flows: pa.Table
    ) -> tuple[dict[Table, Rows], NDArray[np.int64]]:
        """The rows of `speaking` attempts that have a form; and which are left to be read one by one.

        `flows` are their columns `mail.sessions.READ`, row by row.
        """
        told = np.empty((len(speaking), 2), np.int64)
        # What was passed over is in no form.
        around = np.where(usual.holed(speaking), -1, circumstances(flows))
        blanks = np.empty((len(usual.text) // _LEAST_A_BLANK + 1, 2), np.int64)
        known = self._known
        self._kernels.forms_of(
            usual.text,
            usual.runs,
            usual.begins[speaking],
            usual.ends[speaking],
            around,
            *known,
            told,
            blanks,
        )
        spoken = Spoken(usual.text, blanks)
        self._learn(told, usual, speaking, flows, spoken)
        has_template = np.zeros(int(known.counts[0]) + 1, bool)  # the last is NO_FORM's
        has_template[[form for form, template in self._templates.items() if template]] = True
        is_told = has_template[told[:, 0]]
        return self._filled(np.flatnonzero(is_told), told, spoken), np.flatnonzero(~is_told)

    def _learn(
        self,
        told: NDArray[np.int64],
        usual: Usual,
        speaking: NDArray[np.int64],
        flows: pa.Table,
        spoken: Spoken,
    ) -> None:
        forms, examples, counts = np.unique(told[:, 0], return_index=True, return_counts=True)
        learnt = []
        for form, example, count in zip(forms.tolist(), examples.tolist(), counts.tolist(), strict=True):
            if form == NO_FORM or form in self._templates:
                continue
            self._met[form] = self._met.get(form, 0) + count
            if self._met[form] >= _WORTH_LEARNING:
                row = flows.slice(example, 1).to_pylist()[0]
                self._templates[form] = self._template(form, row)
                learnt.append((form, example, row))
        for form, example, row in learnt:
            template, real = self._templates[form], read(row, usual.chunks(int(speaking[example])))
            if template and not self._agrees(template, real, int(told[example, 1]), spoken):
                self._templates[form] = None

    def _template(self, form: int, row: dict[str, Any]) -> _Template | None:
        """What `mail` tells of a form in our words."""
        begin, end = self._known.ends[form - 1 : form + 1].tolist()
        recital = recite(self._known.octets[begin + 1 : end].tobytes())
        if recital is None:
            return None
        own = {name: row[name] for name in READ if name not in SHARED or name == "service"}
        sessions = read({**dict.fromkeys(SHARED), **own}, recital.chunks)
        smtp, retrieval, transactions = (self._patterns[table] for table in _ROW_TABLES)
        return _Template(
            smtp.add(sessions.smtp, recital.numbers) if sessions.smtp else None,
            retrieval.add(sessions.retrieval, recital.numbers) if sessions.retrieval else None,
            [transactions.add(each, recital.numbers) for each in sessions.transactions],
        )

    def _agrees(self, template: _Template, real: Sessions, first: int, spoken: Spoken) -> bool:
        """Whether a form gives a dialogue the rows that `mail` does."""
        for table, rows, given in (
            (SMTP_SESSIONS, real.smtp, template.smtp),
            (RETRIEVAL_SESSIONS, real.retrieval, template.retrieval),
        ):
            if (rows is None) != (given is None):
                return False
            if rows is not None and given is not None and not self._is_row(table, given, rows, first, spoken):
                return False
        return len(real.transactions) == len(template.transactions) and all(
            self._is_row(SMTP_TRANSACTIONS, given, row, first, spoken)
            for given, row in zip(template.transactions, real.transactions, strict=True)
        )

    def _is_row(self, table: Table, given: int, row: dict[str, Any], first: int, spoken: Spoken) -> bool:
        columns = self._patterns[table].columns(np.array([given]), np.array([first]), spoken)
        return all(column.to_pylist() == [row.get(name)] for name, column in columns.items())

    def _filled(self, which: NDArray[np.int64], told: NDArray[np.int64], spoken: Spoken) -> dict[Table, Rows]:
        """The rows of dialogues whose forms are learnt."""
        forms, places = np.unique(told[which, 0], return_inverse=True)
        templates = [self._templates[form] for form in forms.tolist()]
        filled = {}
        for table, own in (
            (SMTP_SESSIONS, [[] if each is None or each.smtp is None else [each.smtp] for each in templates]),
            (
                RETRIEVAL_SESSIONS,
                [[] if each is None or each.retrieval is None else [each.retrieval] for each in templates],
            ),
            (SMTP_TRANSACTIONS, [[] if each is None else each.transactions for each in templates]),
        ):
            lengths = np.array([len(rows) for rows in own], np.int64)
            if not lengths.sum():
                continue
            before = np.cumsum(lengths) - lengths
            flat = np.array([row for rows in own for row in rows], np.int64)
            rows_of = lengths[places]
            ends = np.cumsum(rows_of)
            rows = flat[np.repeat(before[places] - (ends - rows_of), rows_of) + np.arange(ends[-1])]
            whose = np.repeat(which, rows_of)
            filled[table] = Rows(whose, self._patterns[table].columns(rows, told[whose, 1], spoken))
        return filled


_ROW_TABLES = (SMTP_SESSIONS, RETRIEVAL_SESSIONS, SMTP_TRANSACTIONS)


def circumstances(flows: pa.Table) -> NDArray[np.int64]:
    """What else a dialogue's reading depends on: the service, and whether its end was seen.

    -1 where its beginning was not, or one side was not heard: such dialogues have no form.
    """
    service = pc.index_in(_plain(flows["service"]), pa.array(_SERVICES))
    codes = pc.fill_null(service, -1).to_numpy().astype(np.int64)
    is_over = pc.is_in(_plain(flows["conn_state"]), pa.array(sorted(OVER))).to_numpy(zero_copy_only=False)
    spoken = np.array([*_SPOKEN.values(), -1], np.int64)[codes]
    from_start = pc.not_equal(_plain(flows["initiator_evidence"]), "port").to_numpy(zero_copy_only=False)
    heard = (flows["src_packets"].to_numpy() > 0) & (flows["dst_packets"].to_numpy() > 0)
    told = (codes * 2 + is_over) * PROTOCOLS + spoken
    return np.where(from_start & heard & (codes >= 0), told, -1)


def _plain(texts: pa.ChunkedArray) -> pa.Array:
    """Texts as they are, without a dictionary."""
    return texts.cast(pa.string()).combine_chunks()
