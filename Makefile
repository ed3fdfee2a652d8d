# Two commands: `make demo` and `make test`. Each does all of its own set-up; both may be run again at any time.
PYTHON ?= python3
BIN := .venv/bin
DEMO := build/demo

.PHONY: setup demo test check models photographs clean

setup: .venv/.demo models

demo: setup
	$(BIN)/maskloss models --demo-photographs $(DEMO)/input
	$(BIN)/maskloss run workflows/api/demo.json --input $(DEMO)/input --output $(DEMO)/output

test: .venv/.dev models photographs node_modules/.package-lock.json
	npm test --silent
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -q --cov --cov-report=term:skip-covered

check: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --project pyproject.toml

node_modules/.package-lock.json: package-lock.json
	npm ci --silent
	@touch $@

models: .venv/.demo
	$(BIN)/maskloss models --install

photographs: .venv/.dev
	$(BIN)/python -m benchmarks.photographs

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else "Python 3.10 or newer is needed, found " + sys.version.split()[0] + "; name one with: make demo PYTHON=python3.11")'
	$(PYTHON) -m venv .venv

.venv/.demo: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[standalone]'
	@touch $@

.venv/.dev: .venv/.demo
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

clean:
	rm -rf build .pytest_cache .ruff_cache .coverage
