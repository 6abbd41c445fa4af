"""Write the pages that say what the code says: `make docs`; a test keeps them fresh."""

from __future__ import annotations

from pathlib import Path

from op25b_pcap.tables import TABLES

DOCS = Path(__file__).parent


def columns() -> str:
    """docs/columns.md from the tables in code."""
    lines = [
        "# The tables and their columns",
        "",
        "Generated from `op25b_pcap/tables/` by `make docs`; `op25b-pcap tables` prints the same.",
        "Every Parquet field carries its meaning in the Arrow metadata under `description`.",
        "Times are nanoseconds in UTC. Null means not seen, never a guess.",
    ]
    for table in TABLES.values():
        lines += ["", f"## {table.name}", "", f"{table.meaning[0].upper()}{table.meaning[1:]}.", ""]
        lines += ["| column | type | meaning |", "|---|---|---|"]
        for column in table.columns:
            kind = column.type + (", null" if column.nullable else "")
            words = f" One of: {', '.join(f'`{w}`' for w in column.words)}." if column.words else ""
            meaning = column.meaning.replace("|", "\\|")
            lines.append(f"| `{column.name}` | {kind} | {meaning}.{words} |".replace("..", "."))
    return "\n".join(lines) + "\n"


PAGES = {"columns.md": columns}


def main() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
