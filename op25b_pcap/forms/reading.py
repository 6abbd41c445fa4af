"""Many dialogues at once: those with a form that is worth it get their rows from it.

A form is learnt from `mail`, which reads it in our words, and believed if a real dialogue of that
form, read by `mail` too, has the row that the form gives it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from op25b_pcap.assembly.flows import Usual
from op25b_pcap.forms.patterns import Patterns, Programs, Spoken
from op25b_pcap.forms.plain import Plain, Rows
from op25b_pcap.forms.recite import recite
from op25b_pcap.forms.write import IN_IMAP, IN_POP3, IN_SMTP, IN_TLS, NO_FORM, PROTOCOLS, none_known
from op25b_pcap.mail.sessions import OVER, READ, read
from op25b_pcap.tables import RETRIEVAL_SESSIONS, SMTP_SESSIONS, SMTP_TRANSACTIONS
from op25b_pcap.tables.sessions import SHARED
from op25b_pcap.tables.table import Table

if TYPE_CHECKING:
    from op25b_pcap.scan.kernels import Kernels

_WORTH_LOADING, _WORTH_COMPILING = 200, 1_000
"""Dialogues met from which on the kernels are asked, as they have been compiled before or not."""
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


_Template = dict[Table, list[int]]
"""What is told of a form: by table the numbers of rows with blanks."""


class _Example(NamedTuple):
    """A dialogue of a form that is to be believed."""

    form: int
    template: _Template
    first: int
    """Its first blank."""
    rows: dict[Table, list[dict[str, Any]]]
    """What `mail` tells of it."""


class Forms:
    """The forms that were learnt, and those that were met."""

    def __init__(self, kernels: Kernels, *, are_at_hand: bool = False) -> None:
        """`are_at_hand`: they have been compiled before."""
        self._kernels = kernels
        self._worth_asking = _WORTH_LOADING if are_at_hand else _WORTH_COMPILING
        self._known = none_known()
        self._plain = Plain(kernels)
        self._programs = Programs()
        self._patterns = {table: Patterns(table, self._programs, kernels) for table in _TABLES}
        self._templates: dict[int, _Template | None] = {}
        """By number of the form; None: it gives other rows than `mail` does."""
        self._met: dict[int, int] = {}
        self._dialogues = 0

    def are_worth_a_look(self, dialogues: int) -> bool:
        """Whether so many more are enough to ask for their forms, with all that were met before."""
        self._dialogues += dialogues
        return self._dialogues >= self._worth_asking

    def rows(
        self, usual: Usual, speaking: NDArray[np.int64], flows: pa.Table
    ) -> tuple[list[tuple[Table, Rows]], NDArray[np.int64]]:
        """The rows of `speaking` attempts that are plain or have a form; and which are left to `mail`.

        `flows` are their columns `mail.sessions.READ`, row by row.
        """
        told = np.empty((len(speaking), 2), np.int64)
        # What was passed over, or is missing, is in no form.
        around = np.where(usual.holed(speaking) | usual.gapped(speaking), -1, circumstances(flows))
        plain, is_plain = self._plain.rows(usual, speaking, around)
        around[is_plain] = -1
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
        formed = self._filled(np.flatnonzero(is_told), told, spoken)
        return [*plain.items(), *formed.items()], np.flatnonzero(~is_told & ~is_plain)

    def _learn(
        self,
        told: NDArray[np.int64],
        usual: Usual,
        speaking: NDArray[np.int64],
        flows: pa.Table,
        spoken: Spoken,
    ) -> None:
        forms, places, counts = np.unique(told[:, 0], return_index=True, return_counts=True)
        examples, fresh = [], dict[int, _Template | None]()
        for form, place, count in zip(forms.tolist(), places.tolist(), counts.tolist(), strict=True):
            if form == NO_FORM or form in self._templates:
                continue
            self._met[form] = self._met.get(form, 0) + count
            if self._met[form] >= _WORTH_LEARNING:
                row = flows.slice(place, 1).to_pylist()[0]
                template = fresh[form] = self._template(form, row)
                if template:
                    real = read(row, usual.chunks(int(speaking[place])))
                    examples.append(_Example(form, template, int(told[place, 1]), real.rows()))
        fresh.update(dict.fromkeys(self._wrong(examples, spoken)))
        self._templates |= fresh  # not before they are proven: a task may fail, and the next go on with them

    def _template(self, form: int, row: dict[str, Any]) -> _Template | None:
        """What `mail` tells of a form in our words."""
        begin, end = self._known.ends[form - 1 : form + 1].tolist()
        recital = recite(self._known.octets[begin + 1 : end].tobytes())
        if recital is None:
            return None
        own = {name: row[name] for name in READ if name not in SHARED or name == "service"}
        sessions = read({**dict.fromkeys(SHARED), **own}, recital.chunks)
        return {
            table: [self._patterns[table].add(each, recital.numbers) for each in rows]
            for table, rows in sessions.rows().items()
        }

    def _wrong(self, examples: Sequence[_Example], spoken: Spoken) -> set[int]:
        """The forms that give their example other rows than `mail` does."""
        wrong: set[int] = set()
        for table in _TABLES:
            alike = [each for each in examples if len(each.template[table]) == len(each.rows[table])]
            wrong |= {each.form for each in examples} - {each.form for each in alike}
            whose = [each for each in alike for _ in each.rows[table]]
            if not whose:
                continue
            real = [row for each in alike for row in each.rows[table]]
            given = np.array([number for each in alike for number in each.template[table]])
            firsts = np.array([each.first for each in whose])
            for name, column in self._patterns[table].columns(given, firsts, spoken).items():
                told = zip(whose, real, column.to_pylist(), strict=True)
                wrong |= {each.form for each, row, value in told if row.get(name) != value}
        return wrong

    def _filled(self, which: NDArray[np.int64], told: NDArray[np.int64], spoken: Spoken) -> dict[Table, Rows]:
        """The rows of dialogues whose forms are learnt."""
        forms, places = np.unique(told[which, 0], return_inverse=True)
        templates = [self._templates[form] or {} for form in forms.tolist()]
        filled = {}
        for table in _TABLES:
            own = [template.get(table, []) for template in templates]
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
