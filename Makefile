# Two commands do everything: `make pipeline` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1
export HF_HUB_DISABLE_TELEMETRY := 1
export TOKENIZERS_PARALLELISM := false
CODE := lib stages tests benchmarks

.PHONY: help setup pipeline results verify lint types test test-long test-fast lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

setup: $(VENV)/.installed $(VENV)/.converter node_modules/.installed ## install the locked Python and npm packages and llama.cpp's converter

pipeline: setup ## run the pipeline (dvc repro), print the results and the path of the report
	@potstill preflight
	@dvc repro || { status=$$?; dvc checkout --quiet; \
	  echo "The run stopped; the outputs of the last good run are back in place." >&2; exit $$status; }
	@potstill results

results: setup ## print the table of the last run
	@potstill results

verify: setup ## hash every output and cache object with SHA-256 and name what differs
	@potstill verify --cache

lint: setup ## ruff and codespell
	ruff check $(CODE)
	ruff format --check $(CODE)
	codespell lib stages tests benchmarks docs README.md

types: setup ## mypy, strict
	mypy

test: lint types ## lint, types and every test that this machine can run
	pytest -n 2 --dist loadgroup -m "not gpu and not long"

test-long: setup ## the tests that take a quarter of an hour (kill -9 of the real pipeline)
	pytest -m long

test-fast: setup ## the tests that take seconds
	pytest -n 2 -m "not slow and not real and not gpu"

lock: ## solve requirements.in anew into requirements.lock (needs uv)
	uv pip compile requirements.in --python $(PYTHON) --torch-backend cpu -o requirements.lock
	sed -i 's/^torch==\([0-9.]*\)+cpu/torch==\1/' requirements.lock

clean: ## delete scratch files and caches of tools, no outputs and no teacher's answers
	find .potstill -mindepth 1 -maxdepth 1 ! -name answers -exec rm -rf {} + 2>/dev/null || true
	rm -rf .pytest_cache .mypy_cache .ruff_cache build

# A missing tool is named with the Debian package that brings it.
define need
	@command -v $(1) >/dev/null || { echo "$(1) is missing: install the Debian package $(2)" >&2; exit 1; }
endef

$(VENV)/.installed: requirements.lock pyproject.toml
	$(call need,$(PYTHON),python3.11 and python3.11-venv)
	$(call need,g++,g++)
	$(call need,cmake,cmake)
	$(call need,git,git)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

# llama.cpp's converter, out of the source package of llama-cpp-python
$(VENV)/.converter: $(VENV)/.installed lib/potstill/export/converter.py
	$(BIN)/python -m potstill.export.converter
	@touch $@

node_modules/.installed: package-lock.json
	$(call need,node,nodejs)
	$(call need,npm,npm)
	npm ci --no-audit --no-fund --loglevel=error
	@touch $@
