# Every command of the project; `make help` lists them. Nothing here needs root, except that `make test` on a machine
# without MariaDB installs it when it may.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.installed-runtime
TOOLS := $(VENV)/.installed-tools
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes

SUITE := tests/unit tests/property tests/contract tests/architecture tests/integration tests/faults tests/simulation
WHOLE := tests/chaos tests/system
PYTEST_ARGS ?=
BENCHES = $(shell grep -l '^if __name__ ==' bench/*.py | xargs -n1 basename -s .py)

.PHONY: help
help: ## List these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

.PHONY: install
install: $(RUNTIME) ## Make .venv with the locked requirements and the obsync command

.PHONY: up
up: $(RUNTIME) ## Run everything against the simulator; CAMPUS=DIR takes a folder of CSV files
	@exec $(BIN)/obsync up $(if $(CAMPUS),--campus "$(CAMPUS)") $(UP_ARGS)

.PHONY: test
test: lint mariadb ## Lint, then every test on SQLite and MariaDB
	$(BIN)/python -m pytest $(SUITE) -n 4 --dist worksteal $(PYTEST_ARGS)
	@# Whole installations, three at a time, in this order: by default a long file of one test begins when all others end.
	$(BIN)/python -m pytest $(WHOLE) -n 3 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

.PHONY: prove
prove: $(TOOLS) mariadb ## Simulate HISTORIES (1000000) of crashes, then send CASES (100000) of requests; each ends with JSON
	@$(BIN)/python -m tests.simulation --histories $(or $(HISTORIES),1000000) --seed $(or $(SEED),1000000)
	@$(BIN)/python -m tests.fuzz --cases $(or $(CASES),100000) --seed $(or $(SEED),1)

.PHONY: chaos
chaos: $(TOOLS) mariadb ## Hurt the whole product for SECONDS (120) from SEED (1); ends with what was lost and doubled
	@$(BIN)/python -m tests.chaos --seconds $(or $(SECONDS),120) --seed $(or $(SEED),1)

.PHONY: lint
lint: $(TOOLS) ## Style, types, and which folder may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: bench
bench: $(TOOLS) ## Measure; BENCH=NAME for one, BENCH_ARGS for its options
	@for name in $(or $(BENCH),$(BENCHES)); do \
	  echo "== bench.$$name"; $(BIN)/python -m bench.$$name --json $(BENCH_ARGS); \
	done

.PHONY: lock
lock: $(TOOLS) ## Resolve requirements*.in again into the hashed locks
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.13'
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	  requirements.in -o requirements.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	  requirements-dev.in -o requirements-dev.txt

.PHONY: clean
clean: ## Remove .venv and caches; data in ./var stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.PHONY: mariadb
mariadb:
	@bash tests/install_mariadb.sh

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; name one: make install PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) \
	  || { echo "The venv module is missing: install python3-venv, or name another Python with PYTHON=" >&2; exit 1; }

# Through sh, because a shebang line may hold no more than 127 bytes and checkouts lie deeper.
ENTRY := import sys; sys.argv[0] = \"obsync\"; from workers.cli import main; sys.exit(main())

# The sources are run where they are: a .pth file names this folder, so nothing is built and nothing can be stale.
$(RUNTIME): requirements.txt | $(BIN)/python
	@echo "Installing the locked requirements into $(VENV) ..."
	@$(PIP) -r requirements.txt
	@$(BIN)/python -c 'import pathlib, sysconfig; pathlib.Path(sysconfig.get_path("purelib"), "obsync.pth").write_text(str(pathlib.Path.cwd()) + "\n")'
	@printf '%s\n' '#!/bin/sh' "exec \"$(CURDIR)/$(BIN)/python\" -P -c '$(ENTRY)' \"\$$@\"" > $(BIN)/obsync
	@chmod +x $(BIN)/obsync
	@touch $@

$(TOOLS): requirements-dev.txt $(RUNTIME)
	@echo "Installing the tools of make test ..."
	@$(PIP) -r requirements-dev.txt
	@touch $@
