"""Write the pages that say what the code says: `make docs`; a test keeps them fresh."""

from __future__ import annotations

from pathlib import Path

from op25b_pcap.flowlogs.anomalies import ANOMALIES as LOGS
from op25b_pcap.flows.anomalies import ANOMALIES as PACKETS
from op25b_pcap.mail.retrieval import ANOMALIES as RETRIEVAL
from op25b_pcap.mail.smtp.anomalies import ANOMALIES as SMTP
from op25b_pcap.mail.smtp.state import TRANSITIONS, State
from op25b_pcap.mail.tls import ANOMALIES as TLS
from op25b_pcap.rules.catalogue import PRECEDENCE, rules
from op25b_pcap.rules.evidence import meanings
from op25b_pcap.tables import DOCUMENTED

DOCS = Path(__file__).parent


def columns() -> str:
    """docs/columns.md from the tables in code."""
    lines = [
        "# The tables and their columns",
        "",
        "Generated from `op25b_pcap/tables/` by `make docs`; `op25b-pcap tables` prints the same.",
        "Every Parquet field carries its meaning in the Arrow metadata under `description`.",
        "Times are nanoseconds in UTC. Null means not seen, never a guess.",
        "",
        "In CSV lists are JSON, and a text that a spreadsheet would run as a formula has a quote in front.",
        "",
        "In a lake of `batch`, flows, sessions and transactions lie in folders named `date=2026-11-24`,",
        "which DuckDB and Arrow show as a column `date`: the day (UTC) on which the attempt began.",
        "Only a lake has a `manifest`.",
        "",
        "## How they join",
        "",
        "`flow_id` is one attempt in `flows` and in the session tables: one row or none of sessions, any",
        "number of transactions. `subscriber_key` is one subscriber in `flows` and `subscribers`. `capture`",
        "is a file in `flows`, in `manifest` and in `inputs` of `run.json`.",
        "",
        "```sql",
        "select f.subscriber_key, f.finding, s.helo, t.mail_from, t.rcpt_to",
        "from 'reports/flows.parquet' f",
        "left join 'reports/smtp_sessions.parquet' s using (flow_id)",
        "left join 'reports/smtp_transactions.parquet' t using (flow_id)",
        "where f.finding in ('blocked', 'leak')",
        "```",
    ]
    for table in DOCUMENTED.values():
        lines += ["", f"## {table.name}", "", f"{table.meaning[0].upper()}{table.meaning[1:]}.", ""]
        lines += ["| column | type | meaning |", "|---|---|---|"]
        for column in table.columns:
            kind = column.type + (", null" if column.nullable else "")
            words = f" One of: {', '.join(f'`{w}`' for w in column.words)}." if column.words else ""
            meaning = column.meaning.replace("|", "\\|")
            lines.append(f"| `{column.name}` | {kind} | {meaning}.{words} |".replace("..", "."))
    return "\n".join(lines) + "\n"


def rules_page() -> str:
    """docs/rules.md from the rules and the meanings of evidence."""
    lines = [
        "# The rules, and the evidence behind findings",
        "",
        "Generated from `op25b_pcap/rules/op25b.toml` and `evidence.toml` by `make docs`.",
        f"Where several rules fit, {' outweighs '.join(f'`{word}`' for word in PRECEDENCE)}; their order",
        "does not matter. `[actions]` in the policy file overrides them by traffic class.",
        "",
        "| rule | when | action | meaning | reference |",
        "|---|---|---|---|---|",
    ]
    for rule in rules():
        when = "; ".join(f"`{column}` is {' or '.join(words)}" for column, words in rule.when.items())
        lines.append(f"| {rule.id} | {when} | `{rule.action}` | {rule.meaning} | {rule.reference} |")
    lines += [
        "",
        "## Findings",
        "",
        "| action | what the wire shows | finding |",
        "|---|---|---|",
        "| block | it got through | `leak` |",
        "| block | it got through, and evidence says that somebody else answered | `intercepted` |",
        "| block | only the addressee itself can have turned it away | `leak` |",
        "| block | seen beyond the filter, answered or not | `leak` |",
        "| block | it did not get through | `blocked` |",
        "| block | it did not get through, and the side of the filter is unknown | `inconclusive` |",
        "| block | a firewall's log says that it was dropped or rejected | `blocked` |",
        "| block | the capture ends right after the SYN | `inconclusive` |",
        "| allow | it got through | `allowed` |",
        "| allow | evidence says that the network stopped it | `disrupted` |",
        "| allow | it did not get through, and that may be the addressee's doing | `inconclusive` |",
        "| block, allow | a log does not tell how it ended, or that one rule let it pass | `inconclusive` |",
        "| none | anything | `out_of_scope` |",
        "| any | the roles are unknown | `inconclusive` |",
        "",
        "`proven` needs a fact that has no other explanation: the provider's own router said so, the",
        "server is called as DNS says, the SYN was seen beyond the filter. `likely` has evidence that",
        "could be otherwise. Without a policy file nothing is proven. A firewall's log alone proves nothing:",
        "the rule is believed by its name, which some bear that only log, and what is let pass here",
        "may be stopped further on.",
        "",
        "## Evidence",
        "",
        "A fact with figures is written `name:some/all,p<=bound`: by chance alone so much of it would be",
        "seen with that probability at most (`op25b_pcap/rules/stopping.py` says how it is reckoned).",
        "",
        "| fact | meaning |",
        "|---|---|",
        *(f"| `{name}` | {meaning} |" for name, meaning in meanings().items()),
    ]
    return "\n".join(lines) + "\n"


def anomalies_page() -> str:
    """docs/anomalies.md from the names that the stages give."""
    lines = [
        "# Anomalies",
        "",
        "Generated from the code by `make docs`. An anomaly names what was seen and accuses nobody;",
        "`run.json` counts them.",
    ]
    for title, names in (
        ("In `flows`: the packets", PACKETS),
        ("In `flows`: what flow logs do not tell", LOGS),
        ("In `smtp_sessions`", TLS | SMTP),
        ("In `retrieval_sessions`", TLS | RETRIEVAL),
    ):
        lines += ["", f"## {title}", "", "| anomaly | meaning |", "|---|---|"]
        lines += [f"| `{name}` | {meaning} |" for name, meaning in sorted(names.items())]
    return "\n".join(lines) + "\n"


def dialogue_page() -> str:
    """docs/dialogue.md: the table of SMTP's states as a drawing."""
    events: dict[tuple[State, State], list[str]] = {}
    for state, transitions in TRANSITIONS.items():
        for (verb, said), following in transitions.items():
            if state is not State.UNKNOWN:
                events.setdefault((state, following), []).append(f"{verb} {said.value}")
    lines = [
        "# The SMTP dialogue",
        "",
        "Generated from `op25b_pcap/mail/smtp/state.py` by `make docs`. An arrow bears what the client",
        "says and how the server answers (first digit of the reply). What is not drawn changes",
        "nothing. A session whose beginning was not captured, or that has a hole, stands in `unknown`,",
        "where every command is possible; 421 closes it from everywhere.",
        "",
        "```mermaid",
        "stateDiagram-v2",
        "    [*] --> connected",
    ]
    for (state, following), told in events.items():
        lines.append(f"    {state.value} --> {following.value}: {' / '.join(told).replace(':', '')}")
    return "\n".join([*lines, "    closing --> [*]", "```"]) + "\n"


PAGES = {
    "columns.md": columns,
    "rules.md": rules_page,
    "anomalies.md": anomalies_page,
    "dialogue.md": dialogue_page,
}


def main() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
