# `make demo` and `make test` are all one needs; both set up .venv on first use.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint docs clean

demo: .venv/.installed
	$(BIN)/python app.py

test: .venv/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy leed_hub
	$(BIN)/python -m pytest

lint: .venv/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: .venv/.docs
	$(BIN)/mkdocs build --strict

.venv/.installed: constraints.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(INSTALL) -e ".[test]"
	touch $@

.venv/.docs: .venv/.installed
	$(INSTALL) -e ".[docs]"
	touch $@

clean:
	rm -rf .venv site
