# The commands of Tradewind. CI calls only these. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help dev test check fmt bench chaos connector lock openapi docs clean

PYTHON ?= python3
TESTARGS ?= -n 3 --dist worksteal
BIN := .venv/bin
READY := .venv/.ready
# Bytecode is kept, whatever the machine says otherwise: compiling anew costs every process of ours a second.
export PYTHONDONTWRITEBYTECODE :=
COMPILE := $(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11

help: ## list the commands
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' Makefile | expand -t 20

dev: $(READY) ## start everything on 127.0.0.1:8000, with a demo shop whose orders flow (Ctrl-C stops it)
	@$(BIN)/tradewind dev

test: $(READY) ## run all tests, then the recipes' own (TESTARGS="tests/unit -x" runs some)
	$(BIN)/pytest $(TESTARGS)
	$(BIN)/tradewind recipes test

check: $(READY) ## lint, format, types, import rules, known weaknesses, recipes, generated files
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit -q -ll -r app connectors -c pyproject.toml
	@$(BIN)/python -m tests.advisories
	$(BIN)/tradewind recipes check
	$(BIN)/python -m app.cli export --check

fmt: $(READY) ## format the code and mend what the linter can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(READY) ## measure throughput, latency, memory and where the time goes
	$(BIN)/python -m bench

chaos: $(READY) ## kill processes under load, count every effect, print the table
	$(BIN)/python -m tests.chaos

connector: $(READY) ## write a connector that already passes: make connector name=acme
	@test -n "$(name)" || { echo "say which: make connector name=acme"; exit 2; }
	@$(BIN)/tradewind connectors new $(name)
	@$(BIN)/python -m app.cli export

lock: $(READY) ## pin what pyproject.toml asks for (UPGRADE=--upgrade takes newer versions)
	$(COMPILE) $(UPGRADE) --extra dev -o requirements.lock pyproject.toml
	$(COMPILE) -c requirements.lock -o requirements-production.lock pyproject.toml

openapi: $(READY) ## write the API description, the schemas and the reference page of recipes
	$(BIN)/python -m app.cli export

docs: $(READY) ## write the reference part of the connectors' pages, and print which actions' requests are checked
	$(BIN)/python -m tests.support.pages

clean: ## remove the environment, caches and builds; your data in .tradewind/ stays
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find app connectors tests demo bench -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment: everything pinned by hash, uv itself too. A second call costs nothing.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Tradewind needs Python 3.11 or newer; $(PYTHON) is older or missing: make PYTHON=python3.12"; exit 1; }
	@echo "building the environment in .venv"
	@$(PYTHON) -m venv .venv
	@awk '/^uv==/ { ours = 1 } ours { print } ours && !/\\$$/ { exit }' requirements.lock > .venv/uv.txt
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r .venv/uv.txt
	@$(BIN)/uv pip sync -q --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --build-constraints requirements.lock -e .
	@touch $@
