# One verb, one script. `make gameday` and `make test` are all a newcomer needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: gameday test conformance lint docs bench clean help

help: ## show the verbs
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

$(VENV)/.runtime: requirements.lock pyproject.toml scripts/install
	@PYTHON="$(PYTHON)" scripts/install $(VENV) requirements.lock
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.lock
	@PYTHON="$(PYTHON)" scripts/install $(VENV) requirements-dev.lock
	@touch $@

gameday: $(VENV)/.runtime ## run a game day on the embedded cluster: verdict, exit code, runs/<id>/report.html
	@$(BIN)/gameday run $(ARGS)

test: $(VENV)/.dev ## lint, types, contracts, unit tests, and the features on the embedded cluster
	@BIN=$(BIN) scripts/test $(ARGS)

conformance: $(VENV)/.dev ## replay recordings of a real cluster: table, exit code 1 on a difference
	@$(BIN)/python -m tests.conformance $(ARGS)

lint: $(VENV)/.dev ## ruff, mypy, import contracts, gameday lint
	@BIN=$(BIN) scripts/lint

docs: $(VENV)/.runtime ## write the generated pages: docs/steps.md, activities.md, coverage.md
	@BIN=$(BIN) scripts/docs

bench: $(VENV)/.dev ## print the benchmark table
	@$(BIN)/python -m benchmarks

clean: ## remove the environment, run folders and caches
	rm -rf $(VENV) runs .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
