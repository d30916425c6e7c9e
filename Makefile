# `make demo` and `make test` are all one needs; both set up .venv on first use.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test test-versions lint docs clean

demo: .venv/.installed
	$(BIN)/python app.py

test: .venv/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy leed_hub
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

# The core's tests with the lowest versions that pyproject.toml allows, or with the newest: RESOLUTION=highest.
RESOLUTION ?= lowest-direct
test-versions:
	$(PYTHON) -m venv .venv-$(RESOLUTION)
	.venv-$(RESOLUTION)/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv-$(RESOLUTION)/bin/uv pip install --quiet --python .venv-$(RESOLUTION)/bin/python --resolution $(RESOLUTION) -e ".[test]"
	.venv-$(RESOLUTION)/bin/python -m pytest -m "not slow" tests/faces tests/losses tests/media tests/metrics tests/models \
	  tests/pipelines/test_editor.py tests/test_bundled.py tests/test_hub.py

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
	rm -rf .venv .venv-* site
