# `make` lists the targets. Packages are installed into .venv; a run keeps its state in var.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
RUN_FOLDER = $${OCL_HOME:-var}
# Export the settings of the server that `make run` started. Variables that are set already win.
ADDRESSES = set -a; if [ -f "$(RUN_FOLDER)/addresses.env" ]; then . "$$(cd "$(RUN_FOLDER)" && pwd)/addresses.env"; fi; set +a
V = .venv/bin
REQUIREMENTS = $(patsubst %,config/requirements/%.txt,run local test)
# Each test process starts its own servers. Files run in the order of their names, so the slowest,
# in tests/acceptance, start first.
PARALLEL = -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help install run demo test soak format lint solr bench import lists reindex index-status index-check user

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/.installed ## Create .venv and install the pinned packages (other targets do this when needed)

# pysolr is published only as a source package, in pure Python. Everything else must be a wheel, so
# that nothing is compiled.
.venv/.installed: $(REQUIREMENTS)
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=...") if sys.version_info < (3, 11) else None'
	@test -x $(V)/python || $(PYTHON) -m venv .venv
	$(V)/pip install --quiet --disable-pip-version-check --only-binary :all: --no-binary pysolr $(REQUIREMENTS:%=-r %)
	@touch $@

run: install ## Start all servers, the web server on PORT (8000), and run until Ctrl-C
	@$(V)/python -m oclapi.local.run

demo: install ## Load, release, export and download ICD-10-CM; the archives are in var/demo
	@$(V)/python -m oclapi.local.demo

test: install ## Run the tests in parallel; ARGS="tests/unit -k name" selects tests and runs them in one process
	@$(V)/python -m pytest $(or $(ARGS),$(PARALLEL))

soak: install ## Attack a server for minutes and see what its other users notice; on a quiet machine
	@$(V)/python -m pytest -m soak $(ARGS)

format: install ## Format the code as `make lint` expects it
	@$(V)/ruff format --quiet --config config/ruff.toml .
	@$(V)/ruff check --quiet --fix --select I --config config/ruff.toml .

lint: install ## Check format, style, types and the direction of imports
	@$(V)/ruff format --check --quiet --config config/ruff.toml . || { echo "make lint: run make format" >&2; exit 1; }
	@$(V)/ruff check --config config/ruff.toml .
	@$(V)/mypy
	@$(V)/lint-imports --config setup.cfg --no-logo

solr: install ## Download the jars of the local Solr (once, 84 MB)
	@$(V)/python -m oclapi.local.solr

bench: install ## Run the benchmarks on generated data of SIZE concepts (50000); writes bench/results
	@$(V)/python -m bench $(if $(SIZE),--size $(SIZE))

import: install ## Import FILE (JSON lines) into the running server; TYPE= and SOURCE= (a URL) apply to lines without them
	@test -n "$(FILE)" || { echo "make import: FILE=... is needed (FILE=- reads standard input)" >&2; exit 2; }
	@$(ADDRESSES); $(V)/python -m oclapi import "$(FILE)" $(if $(TYPE),--type "$(TYPE)") $(if $(SOURCE),--source "$(SOURCE)")

lists: install ## Load the lookup lists of the schema OpenMRS into the running server
	@$(ADDRESSES); $(V)/python -m oclapi lists

user: install ## Manage users; for example ARGS="list", ARGS="token amina", ARGS="--help"
	@$(ADDRESSES); $(V)/python -m oclapi user $(ARGS)

reindex: install ## Rebuild the search index, or the part of one SOURCE= (its URL), without interrupting searches
	@$(ADDRESSES); $(V)/python -m oclapi reindex $(if $(SOURCE),"$(SOURCE)")

index-status: install ## Show how far the search index has come, for each repository
	@$(ADDRESSES); $(V)/python -m oclapi index-status

index-check: install ## Compare the search index with the database; REPAIR=1 repairs it, SAMPLE=100 compares 100 rows of each repository
	@$(ADDRESSES); $(V)/python -m oclapi index-check $(if $(REPAIR),--repair) $(if $(SAMPLE),--sample "$(SAMPLE)")
