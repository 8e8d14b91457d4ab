# Everything a developer does, with nothing but Python 3.11 or newer and make.
#
#   make run      start Bursar on http://127.0.0.1:5050
#   make test     every check and every test
#
# `make PYTHON=/path/to/python3.12 run` picks the interpreter; `PYTEST_ARGS` and `BENCH_ARGS` are passed on.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
UV ?= uv
PYTEST_ARGS ?=
BENCH_ARGS ?=

# The first interpreter that really runs, is new enough and can build a virtual environment.
PYTHON ?= $(shell for candidate in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	if $$candidate -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
	then echo $$candidate; break; fi; done)

PIP_INSTALL = $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-input
# A lock file is complete, so nothing is resolved; `pip check` says so if it is not.
INSTALL_LOCK = $(PIP_INSTALL) --no-deps --require-hashes -r
INSTALL_BURSAR = $(PIP_INSTALL) --no-deps --no-build-isolation --editable . && $(BIN)/python -m pip check --quiet

.PHONY: help
help: ## show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: $(VENV)/.run ## start Bursar on http://127.0.0.1:5050; Ctrl-C stops it
	@BURSAR_DEV=1; export BURSAR_DEV; exec $(BIN)/bursar serve

.PHONY: test
test: check ## every check, then every test
	@echo "tests"
	@$(BIN)/python -m pytest --numprocesses auto $(PYTEST_ARGS)

.PHONY: check
check: $(VENV)/.dev ## format, lint, types and imports
	@echo "format"
	@$(BIN)/ruff format --quiet --check . || { echo "run 'make format'" >&2; exit 1; }
	@echo "lint"
	@$(BIN)/ruff check --quiet .
	@echo "types"
	@$(BIN)/mypy --no-error-summary
	@echo "imports"
	@$(BIN)/lint-imports --no-logo >$(VENV)/imports.txt || { cat $(VENV)/imports.txt >&2; exit 1; }

.PHONY: format
format: $(VENV)/.dev ## rewrite the code in the house format
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format .

.PHONY: bench
bench: $(VENV)/.dev ## measure the engine against the naive pattern, on a PostgreSQL of its own
	@$(BIN)/python -m tests.support.postgres -- $(BIN)/bursar bench $(BENCH_ARGS)

.PHONY: lock
lock: ## write both lock files anew (needs uv)
	@command -v $(UV) >/dev/null || { echo "uv is missing: 'pip install uv', or make UV=/path/to/uv lock" >&2; exit 1; }
	$(COMPILE) --output-file requirements.lock pyproject.toml --extra server --group build
	$(COMPILE) --output-file requirements-dev.lock pyproject.toml --extra server --group build --group dev \
		--constraint requirements.lock

# Universal: one file for every Python from 3.11 on, on Linux and macOS. No host, path or index is written down.
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --no-annotate --custom-compile-command "make lock" $(LOCK_ARGS)

.PHONY: clean
clean: ## remove what was built (the ledger under data/ stays)
	@rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then echo "Bursar needs Python 3.11 or newer (with venv) in PATH." >&2; exit 1; fi
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV)

$(VENV)/.run: requirements.lock pyproject.toml | $(BIN)/python
	@echo "installing what Bursar needs (the first time takes a minute)"
	@$(INSTALL_LOCK) requirements.lock
	@$(INSTALL_BURSAR)
	@touch $@

# A superset of .run: whoever tests can also run.
$(VENV)/.dev: requirements-dev.lock requirements.lock pyproject.toml | $(BIN)/python
	@echo "installing what the tests need (the first time takes a minute)"
	@$(INSTALL_LOCK) requirements-dev.lock
	@$(INSTALL_BURSAR)
	@touch $@ $(VENV)/.run
