# `make demo` shows the whole chain, `make test` proves it, `make results` writes recipes/README.md
# from the kept summaries. All make .venv first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo results test lint types unit clean

demo: $(VENV)/ready
	rm -rf out/demo
	PATH="$(CURDIR)/$(BIN):$$PATH" sh recipes/demo.sh data/demo/corpus out/demo

results: $(VENV)/ready
	PATH="$(CURDIR)/$(BIN):$$PATH" sh recipes/results.sh >recipes/README.md.new
	mv recipes/README.md.new recipes/README.md

test: lint types unit

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/ready
	$(BIN)/mypy

unit: $(VENV)/ready
	$(BIN)/python -m pytest -q

$(VENV)/ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

clean:
	rm -rf $(VENV) out build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
