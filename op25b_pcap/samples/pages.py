"""What stands beside a sample capture: README.md for people, expected.toml for the test.

Both print the same expected rows, so neither can drift from the other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from op25b_pcap.samples.story import Expected, Row, Story

_IN_TABLE = (
    "src_ip",
    "dst_ip",
    "service",
    "syn_packets",
    "outcome",
    "conn_state",
    "src_role",
    "dst_role",
    "traffic_class",
    "op25b_case",
    "policy_action",
    "finding",
    "confidence",
)


def page(story: Story, files: Sequence[str], expected: Sequence[Expected]) -> str:
    """README.md of a story."""
    title, _, words = story.text.partition("\n")
    folder = f"sample_pcaps/{story.name}"
    captures = " and ".join(f"`{name}`" for name in files)
    lines = [
        f"# {title}",
        words,
        "",
        "## Run it",
        "",
        f"    op25b-pcap analyze {folder} --policy sample_pcaps/policy.toml --envelope full --out /tmp/story",
        "",
        f"It reads {captures}.",
        "",
        "## What the tables must say",
        "",
        *_flows_table([e.flow for e in expected if e.flow]),
        "",
        *_sentences(expected),
        "",
        "Generated with the captures by `make samples`; `expected.toml` says the same to the test.",
    ]
    return "\n".join(lines) + "\n"


def list_of_stories(stories: Sequence[Story]) -> str:
    """README.md of the folder."""
    lines = [
        "# Sample captures",
        "",
        "Small invented captures, one story each: what mail looks like on the wire under Outbound",
        "Port 25 Blocking, and what the tables must say to it. Addresses are those set aside for",
        "documentation (RFC 5737, RFC 3849), names are `example.*`, passwords are dummies.",
        "[policy.toml](policy.toml) says who is who among them; the captures were taken on the",
        "subscriber's side of the filter.",
        "",
        "    op25b-pcap analyze sample_pcaps --policy sample_pcaps/policy.toml --out reports",
        "",
        "| story | what it shows |",
        "|---|---|",
        *(f"| [{s.name}]({s.name}/README.md) | {s.text.splitlines()[0]} |" for s in stories),
        "",
        "Every page has a sketch of the path and the rows that an analysis must find. All of it is",
        "generated (`make samples`), octet by octet the same each time.",
    ]
    return "\n".join(lines) + "\n"


def toml(expected: Sequence[Expected]) -> str:
    """expected.toml: one `[[attempt]]` per row of `flows`, its sessions below it.

    TOML knows no null: columns that must be null are named in the key `null`.
    """
    lines = ["# Rows that the tables must contain; columns not named here may hold anything."]
    for attempt in expected:
        if attempt.flow:
            lines += ["", "[[attempt]]", *_keys(attempt.flow)]
        if attempt.smtp_session:
            lines += ["", "[attempt.smtp_session]", *_keys(attempt.smtp_session)]
        for transaction in attempt.smtp_transactions:
            lines += ["", "[[attempt.smtp_transactions]]", *_keys(transaction)]
        if attempt.retrieval_session:
            lines += ["", "[attempt.retrieval_session]", *_keys(attempt.retrieval_session)]
        if attempt.subscriber:
            lines += ["", "[[subscriber]]", *_keys(attempt.subscriber)]
    return "\n".join(lines) + "\n"


def _keys(row: Row) -> Iterator[str]:
    # A JSON string, number, boolean or list of these is also a TOML one.
    yield from (f"{key} = {json.dumps(value)}" for key, value in row.items() if value is not None)
    if nulls := [key for key, value in row.items() if value is None]:
        yield f"null = {json.dumps(nulls)}"


def _flows_table(flows: Sequence[Row]) -> Iterator[str]:
    """One line per attempt, the columns that every story speaks of."""
    columns = [name for name in _IN_TABLE if any(name in flow for flow in flows)]
    yield f"| | {' | '.join(columns)} |"
    yield f"|{'---|' * (len(columns) + 1)}"
    for number, flow in enumerate(flows, start=1):
        cells = (_cell(flow[name]) if name in flow else "" for name in columns)
        yield f"| {number} | {' | '.join(cells)} |"


def _sentences(expected: Sequence[Expected]) -> Iterator[str]:
    """What else must hold; attempts of which the same must hold stand together."""
    shown = {*_IN_TABLE, "dst_port"}
    numbers_of: dict[str, list[str]] = {}
    for number, attempt in enumerate((e for e in expected if e.flow), start=1):
        places = [
            ("flows", {name: value for name, value in attempt.flow.items() if name not in shown}),
            ("smtp_sessions", attempt.smtp_session),
            *(("smtp_transactions", row) for row in attempt.smtp_transactions),
            ("retrieval_sessions", attempt.retrieval_session),
        ]
        for table, row in places:
            if row:
                numbers_of.setdefault(f"`{table}`: {_listed(row)}", []).append(str(number))
    yield from (f"- {', '.join(numbers)} in {sentence}" for sentence, numbers in numbers_of.items())
    yield from (f"- `subscribers`: {_listed(e.subscriber)}" for e in expected if e.subscriber)


def _listed(row: Row) -> str:
    return ", ".join(f"{name} {_cell(value)}" for name, value in row.items())


def _cell(value: object) -> str:
    return "null" if value is None else f"`{value}`" if isinstance(value, str) else json.dumps(value)
