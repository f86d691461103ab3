# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CELL_EVAL := .venv-cell-eval
CELL_EVAL2 := .venv-cell-eval2
AXE := .axe
PORT ?= 3000

.PHONY: help setup demo test test-slow lint types bench bench-delta ui clean

help: ## What can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY) ## The virtual environment with everything in it

# torch first and pinned: other packages then leave it alone.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,ray,app]'
	touch $(READY)

demo: setup ## Generated data -> report, registered model, ten ranked drugs
	$(BIN)/drug-pipeline synth --preset demo --out data/raw
	$(BIN)/drug-pipeline run --preset demo

test: setup ## The test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto

# The published cell-eval and cell-eval2, which our figures are compared with; their pins are their own.
$(CELL_EVAL)/.ready:
	$(PYTHON) -m venv $(CELL_EVAL)
	$(CELL_EVAL)/bin/python -m pip install --quiet cell-eval==0.8.2
	touch $@

$(CELL_EVAL2)/.ready:
	$(PYTHON) -m venv $(CELL_EVAL2)
	$(CELL_EVAL2)/bin/python -m pip install --quiet cell-eval2==0.20.0
	touch $@

# The rules by which pages are looked at; chromium itself comes from the system.
$(AXE)/.ready: | $(READY)
	$(BIN)/python -m pip install --quiet --no-deps --target $(AXE) axe-playwright-python==0.1.8
	touch $@

test-slow: setup $(CELL_EVAL)/.ready $(CELL_EVAL2)/.ready $(AXE)/.ready ## The tests that take minutes
	$(BIN)/python -m pytest -q -m "slow and not gpu"

lint: setup ## Style, floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: setup ## Static types
	$(BIN)/mypy

bench: bench-delta ## Every benchmark

bench-delta: setup ## The Δ kernel against its peers and the speed of reading
	$(BIN)/python benchmarks/delta.py

# With DAGSTER_MODULE_NAME in its environment `dagster dev` finds the module twice and never serves.
ui: setup ## Dagster's web UI on http://localhost:3000
	env -u DAGSTER_MODULE_NAME DAGSTER_HOME="$$PWD" $(BIN)/dagster dev --port $(PORT)

clean: ## Forget everything made (keeps data/raw)
	find data -mindepth 1 -maxdepth 1 ! -name raw ! -name README.md -exec rm -rf {} +
