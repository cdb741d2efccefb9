# nanolake: `make demo` and `make test` each set up all they need in .venv. PYTHON=... names another interpreter.

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench clean

CANDIDATES := python3 python3.14 python3.13 python3.12
NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 12))'
PYTHON ?= $(firstword $(foreach python,$(CANDIDATES),$(shell $(python) $(NEW_ENOUGH) 2>/dev/null && echo $(python))))
BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

help: ## say what the targets do
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ -/'

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.12 or newer is needed; install it, or name it with make PYTHON=/path/to/python3.12"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(PIP_INSTALL) --editable .
	@touch $@

.venv/installed-dev: .venv/bin/python pyproject.toml constraints.txt
	$(PIP_INSTALL) --editable '.[dev]'
	@touch $@

demo: .venv/installed ## simulate six conditions, ingest, score, rank, draw: into demo/
	$(BIN)/nanolake demo demo

test: .venv/installed-dev ## run all tests
	$(BIN)/python -m pytest -n auto --dist loadfile $(PYTEST_ARGS)

lint: .venv/installed-dev ## ruff, mypy --strict and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/installed-dev ## measure, as ratios to named peers; writes bench.json
	$(BIN)/python tests/benchmarks/run.py --json bench.json $(BENCH_ARGS)

clean: ## delete what the other targets made
	rm -rf .venv demo bench.json .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
