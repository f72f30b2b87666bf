# Needs make and Python 3.11 or newer; everything else goes into .venv, with plain pip.
PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
PROJECTS := pyproject.toml $(wildcard packages/*/pyproject.toml plugins/*/pyproject.toml)
OURS := -e packages/hopward -e packages/authority -e plugins/mcp

# pyright would ask the registry whether there is a newer one.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: help demo test check docs bench servers clean

help:
	@echo "make demo     a guarded MCP server, a permitted call, refusals, and the decision log, in a minute"
	@echo "make test     every test (ARGS='tests/core -k name' for some)"
	@echo "make check    lint, format, types, architecture"
	@echo "make docs     what the documentation takes from the code: reference tables, schemas"
	@echo "make bench    what a guarded call costs: bench/results.json and docs/performance.md"
	@echo "make servers  the servers, clients and conformance suite of others that tests also use (Keycloak needs mvn)"

demo: .venv/demo.stamp
	@$(BIN)/python examples/support_desk/demo.py $(ARGS)

test: .venv/dev.stamp
	@$(BIN)/python -m pytest -q $(ARGS)

check: .venv/dev.stamp
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/pyright --level error
	@$(BIN)/python -m pytest -q tests/architecture

docs: .venv/dev.stamp
	@$(BIN)/python -m tests.docs.generate

bench: .venv/dev.stamp
	@tests/servers/gateways.sh >/dev/null
	@$(BIN)/python -m bench $(ARGS)

servers: .venv/dev.stamp
	@tests/servers/agentdojo.sh
	@tests/servers/conformance.sh
	@tests/servers/everything.sh
	@tests/servers/filesystem.sh
	@tests/servers/gateways.sh
	@tests/servers/git.sh
	@tests/servers/inspector.sh
	@tests/servers/keycloak.sh
	@tests/servers/langchain.sh
	@tests/servers/memory.sh
	@tests/servers/oidc-provider.sh
	@if command -v go >/dev/null; then tests/servers/spire.sh; \
	    else echo "go (1.26 or newer) is missing: SPIRE is not built, and its tests are skipped"; fi
	@tests/servers/time.sh
	@tests/servers/typescript.sh

clean:
	rm -rf .venv .cache .pytest_cache .ruff_cache .hypothesis demo-run

.venv/dev.stamp: OURS += -e plugins/langchain
.venv/dev.stamp: ALSO := .venv/demo.stamp

# One group of dependencies, with the distributions of this repository in place of released ones.
.venv/%.stamp: constraints.txt $(PROJECTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
	    { echo "python3 -m venv failed (on Debian: apt-get install python3-venv)"; exit 1; }
	@echo "Installing the $* dependencies into .venv ..."
	@$(PIP) install --upgrade --constraint constraints.txt pip
	@$(PIP) install --constraint constraints.txt --group $* $(OURS)
	@touch $@ $(ALSO)
