# Two commands matter: `make demo` and `make test`; each sets up all it needs in .venv.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: setup demo docs wheel check test newest lint types clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    pre-train, fine-tune, test and draw on the packaged sample set (in about five minutes)"
	@echo "make check   style, types and the tests that are not slow, before each commit"
	@echo "make test    run all tests"
	@echo "make newest  tests of what touches dependencies, with the newest versions of all"
	@echo "make docs    the pages as a site in site/, with settings, commands and the Python interface"
	@echo "make wheel   build sdist and wheel into dist/, and try the wheel in an environment of its own"
	@echo "make setup   install the package, the viewer and the tools for tests into .venv"
	@echo "make lint    style;  make types   static types"

.venv/base: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; this is " + sys.version + "; try make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(PIP) torch
	$(PIP) --editable .
	@touch $@

.venv/dev: .venv/base
	$(PIP) --editable ".[dev]"
	@touch $@

.venv/docs: .venv/base
	$(PIP) --editable ".[docs]"
	@touch $@

setup: .venv/dev

demo: .venv/base
	$(BIN)/mv2mae demo

# Warnings are errors: a link that leads nowhere, a name that is not there.
docs: .venv/docs
	COLUMNS=110 NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "open site/index.html, or with its search: $(BIN)/python -m http.server --directory site --bind 127.0.0.1"

check: lint types
	$(BIN)/python -m pytest -q -m "not slow" --numprocesses logical --maxprocesses 8 --durations=0 --durations-min=2

test: .venv/dev
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 8 --dist loadfile

wheel: .venv/base
	scripts/test_wheel.sh

newest: .venv/dev
	scripts/test_newest.sh

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/dev
	$(BIN)/mypy

clean:
	rm -rf .venv site runs/demo
