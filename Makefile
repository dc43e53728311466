# FrameWorks. `make up` starts the platform, `make test` proves it. `make help` lists every target.
.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
TOOLS := .venv-tools
BIN := $(VENV)/bin
PYTHON ?= python3
ARGS ?=
export PATH := $(CURDIR)/$(BIN):$(CURDIR)/$(TOOLS)/bin:$(PATH)
export UV_PROJECT_ENVIRONMENT := $(CURDIR)/$(VENV)
# Tests start hundreds of Python processes: without bytecode each of them would compile all it imports once more.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help up check test unit contract flows browser sdk clients faults explore lint types protos deps console bench bench-faults clean doctor

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | column -t -s "$$(printf '\t')"

doctor: ## Check that make, git and a Python with venv are here
	@sh tools/doctor.sh $(PYTHON)

$(VENV)/.installed: pyproject.toml uv.lock
	@sh tools/doctor.sh $(PYTHON)
	@test -x $(TOOLS)/bin/uv || { $(PYTHON) -m venv $(TOOLS) && \
	    $(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check "uv>=0.9"; }
	@$(TOOLS)/bin/uv sync --frozen --all-extras --quiet --python $(PYTHON)
	@touch $@

console: $(VENV)/.installed ## Build the web console
	@$(BIN)/python tools/console.py

up: $(VENV)/.installed console ## Start the whole platform with a demo stream (Ctrl-C stops it)
	@$(BIN)/frameworks up $(ARGS)

deps: ## Install ffmpeg, a browser and Java for the tests (Debian, as root or with sudo)
	@sh tools/deps.sh

lint: $(VENV)/.installed
	@ruff check .
	@ruff format --check .
	@lint-imports
	@$(BIN)/python -m tools.lint
	@$(BIN)/python tools/protos.py --check
	@$(BIN)/python tools/settings_docs.py --check
	@$(BIN)/python tools/row_policies.py --check
	@codespell -L trun,ue,te,ot README.md CHANGELOG.md CONTRIBUTING.md docs src proto tests tools bench --skip '*/static/*,*/pb/*,*.json'

types: $(VENV)/.installed
	@mypy

unit: $(VENV)/.installed ## Unit and model tests
	@pytest -q tests/unit tests/model tests/architecture tests/lint $(ARGS)

explore: $(VENV)/.installed ## Property tests with new examples, ten times as many (minutes)
	@HYPOTHESIS_PROFILE=explore pytest -q tests/unit tests/model $(ARGS)

check: lint types unit ## The fast part: lint, types, unit tests

contract: $(VENV)/.installed ## Every implementation of every port, on real engines
	@pytest -q tests/contract $(ARGS)

flows: $(VENV)/.installed console ## The whole platform, in one process and in several
	@pytest -q tests/flows $(ARGS)

sdk: $(VENV)/.installed console ## The official SDK, unmodified, against the platform
	@pytest -q tests/sdk $(ARGS)

browser: $(VENV)/.installed console ## The browser journey, and axe over the pages
	@pytest -q tests/browser $(ARGS)

clients: $(VENV)/.installed console
	@pytest -q tests/sdk tests/browser $(ARGS)

faults: $(VENV)/.installed
	@pytest -q tests/faults $(ARGS)

# Suites wait for engines and clocks much of their time, so two at a time share the machine; the longest begin.
TWO_AT_A_TIME := -j2 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

test: deps $(VENV)/.installed console ## Everything; does all its set-up
	@$(MAKE) $(TWO_AT_A_TIME) unit types lint
	@$(MAKE) $(TWO_AT_A_TIME) -o console flows contract clients faults

protos: $(VENV)/.installed ## Generate contracts/pb from proto/
	@$(BIN)/python tools/protos.py

bench: $(VENV)/.installed console ## Measure every claim (minutes)
	@for script in bench/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

bench-faults: $(VENV)/.installed ## Kill and pause every part in 50 seeded runs, and in 15 on Kafka where Java is (half an hour)
	@pytest -q tests/faults --seeds 50 --larger 2 $(ARGS)
	@if $(BIN)/python -c 'from frameworks.engines.kafka_maven import missing; raise SystemExit(bool(missing()))'; then \
		pytest -q tests/faults/test_seeds.py tests/faults/test_then_replayed.py --seeds 15 --log kafka $(ARGS); fi

clean: ## Remove what was built (not the data directory)
	@rm -rf $(VENV) $(TOOLS) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache src/frameworks/support/console/static web/console/node_modules
