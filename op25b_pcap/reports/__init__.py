"""Tables and pages for people: Parquet, CSV, run.json, summary, terminal."""
