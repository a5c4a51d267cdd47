# `make` alone lists the targets. Everything installs into .venv, everything that runs keeps its state in var.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
HOME_OF_RUN = $${OCL_HOME:-var}
# The addresses of the server that runs here; what is set already wins.
ADDRESSES = set -a; if [ -f "$(HOME_OF_RUN)/addresses.env" ]; then . "$$(cd "$(HOME_OF_RUN)" && pwd)/addresses.env"; fi; set +a
V = .venv/bin
# Each process has its own servers. Files go out in the order of their names, which begins with the longest.
SIDE_BY_SIDE = -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help install run demo test format lint solr bench import reindex index-status index-check user

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/.installed ## Make .venv with the pinned packages (the other targets do it when needed)

.venv/.installed: config/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=...") if sys.version_info < (3, 11) else None'
	@test -x $(V)/python || $(PYTHON) -m venv .venv
	$(V)/pip install --quiet --disable-pip-version-check -r config/requirements.txt
	@touch $@

run: install ## Start everything on PORT (8000) and stay until Ctrl-C
	@$(V)/python -m oclapi.local.run

demo: install ## Load, release, export and download ICD-10-CM; the result is in var/demo
	@$(V)/python -m oclapi.local.demo

test: install ## Run the tests, files side by side; ARGS="tests/unit -k name" narrows them, and runs them in one process
	@$(V)/python -m pytest $(or $(ARGS),$(SIDE_BY_SIDE))

format: install ## Lay the code out as make lint expects it
	@$(V)/ruff format --quiet --config config/ruff.toml .
	@$(V)/ruff check --quiet --fix --select I --config config/ruff.toml .

lint: install ## Check style, types and import arrows
	@$(V)/ruff format --check --quiet --config config/ruff.toml . || { echo "make lint: run make format" >&2; exit 1; }
	@$(V)/ruff check --config config/ruff.toml .
	@$(V)/mypy
	@$(V)/lint-imports --config setup.cfg --no-logo

solr: install ## Fetch the jars of the local Solr (Java 17 and Maven; once, 84 MB)
	@$(V)/python -m oclapi.local.solr

bench: install ## Measure on made-up data of SIZE concepts (50000); writes bench/results
	@$(V)/python -m bench $(if $(SIZE),--size $(SIZE))

import: install ## Load FILE (JSON lines) into the running server; TYPE= and SOURCE= (its URL) for lines that lack them
	@test -n "$(FILE)" || { echo "make import: FILE=... is needed (- reads standard input)" >&2; exit 2; }
	@$(ADDRESSES); $(V)/python -m oclapi import "$(FILE)" $(if $(TYPE),--type "$(TYPE)") $(if $(SOURCE),--source "$(SOURCE)")

user: install ## Look after users; ARGS="list", ARGS="create amina --email amina@example.org --name Amina", ARGS="token amina", ...
	@$(ADDRESSES); $(V)/python -m oclapi user $(ARGS)

reindex: install ## Make the search index again, or only that of SOURCE= (its URL); searches go on meanwhile
	@$(ADDRESSES); $(V)/python -m oclapi reindex $(if $(SOURCE),"$(SOURCE)")

index-status: install ## Tell how far the search index is, per repository
	@$(ADDRESSES); $(V)/python -m oclapi index-status

index-check: install ## Compare the search index with the database, row by row; REPAIR=1 mends it, SAMPLE=100 compares so many of each
	@$(ADDRESSES); $(V)/python -m oclapi index-check $(if $(REPAIR),--repair) $(if $(SAMPLE),--sample "$(SAMPLE)")
