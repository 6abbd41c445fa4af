# Two commands for a fresh machine (Python 3.11, pip, venv, git): `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint types imports unit docs samples lock clean

# The main job on the sample captures: tables in reports/, a summary on the terminal.
demo: $(VENV)/.run
	$(BIN)/op25b-pcap analyze sample_pcaps --policy sample_pcaps/policy.toml --out reports

# Every check and every test.
test: lint types imports unit

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

unit: $(VENV)/.dev
	$(BIN)/pytest

# What is generated: the columns page, the rules page, the dialogue diagram, the sample captures.
docs: $(VENV)/.dev
	$(BIN)/python docs/generate.py

samples: $(VENV)/.dev
	$(BIN)/op25b-pcap samples sample_pcaps

# Pinned names with hashes; re-made when a dependency in pyproject.toml changes.
lock: $(VENV)/.dev
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header \
		--python-version 3.11 pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header \
		--python-version 3.11 --group dev --extra cluster -c requirements.lock pyproject.toml -o requirements-dev.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info

$(VENV)/.made:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.run: requirements.lock pyproject.toml | $(VENV)/.made
	$(BIN)/pip install -q --require-hashes -r requirements.lock
	$(BIN)/pip install -q --no-deps -e .
	touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	$(BIN)/pip install -q --require-hashes -r requirements-dev.lock
	touch $@
