# Needs Python 3.11 or newer and make; everything else is fetched by `make setup`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
TOOLS := .tools
UV := $(or $(shell command -v uv 2>/dev/null),$(TOOLS)/bin/uv)
RUN := $(UV) run --no-sync
# How many tests run at once.
WORKERS ?= 2

# The other supported line of the engine, in an environment of its own.
DUCKDB_2 := 2.0.1
DUCKDB_2_ENV := $(TOOLS)/duckdb-2

.PHONY: help setup demo airflow test test-fast test-duckdb-2 mutation lint format clean

help: ## Show this help
	@echo "Receivables warehouse. Targets:"
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "First time here? 'make demo' shows everything on a demo company; then 'uv run receivables --help'."

# Only when the machine has no uv: a private one under .tools/, from the package index.
$(TOOLS)/bin/uv:
	@echo "uv is not installed; putting it into $(TOOLS)/"
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check "uv>=0.5"

.venv/.synced: pyproject.toml uv.lock | $(filter $(TOOLS)/bin/uv,$(UV))
	$(UV) sync --frozen
	@touch $@

setup: .venv/.synced ## Install everything into .venv (fetches uv itself when missing)

demo: setup ## Create a demo company, run two business days through Airflow, show the result
	$(RUN) receivables demo

airflow: setup ## Start Airflow (scheduler and UI) with the DAGs; Ctrl-C stops it
	$(RUN) receivables airflow

test: setup ## Run all tests
	$(RUN) pytest -n $(WORKERS) --dist loadgroup

test-fast: setup ## Run the tests that take less than ten seconds each
	$(RUN) pytest -n $(WORKERS) --dist loadgroup -m "not slow"

# The lock names DuckDB 1.5; this takes all else from it.
$(DUCKDB_2_ENV)/.synced: uv.lock Makefile | setup
	UV_PROJECT_ENVIRONMENT=$(DUCKDB_2_ENV) $(UV) sync --frozen --quiet
	$(UV) pip install --no-config --quiet --python $(DUCKDB_2_ENV)/bin/python duckdb==$(DUCKDB_2)
	@touch $@

test-duckdb-2: $(DUCKDB_2_ENV)/.synced ## Run the worked scenarios and the publishing tests with DuckDB 2
	$(DUCKDB_2_ENV)/bin/python -m pytest -n $(WORKERS) --dist loadgroup tests/close/test_golden.py tests/publish

mutation: setup ## Show that the tests notice a wrong sign, inequality or join in each important model (35 changes, about 40 CPU-seconds each)
	$(RUN) python -m tests.mutation.mutate $(MODELS)

lint: setup ## Check Python (ruff) and SQL (sqlfluff)
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) sqlfluff lint --processes 2 --disable-progress-bar dbt_project

format: setup ## Rewrite Python to the project's format
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

clean: ## Delete what runs have written (var/) and caches; keeps .venv
	rm -rf var .pytest_cache .ruff_cache .hypothesis dbt_project/target dbt_project/logs
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
