# `make check` and `make test` are all that a newcomer needs; both set up .venv first.

PYTHON ?= python3
BIN = .venv/bin

.PHONY: check test lint types unit format clean

check: .venv/ready
	$(BIN)/chatlab check --solutions
	@echo
	@echo "The kit works: these were the model answers. Now it is your turn:"
	@echo "  1. read exercises/ex1_chat/README.md"
	@echo "  2. run  $(BIN)/chatlab check 1  (it fails, and says why)"
	@echo "  3. edit exercises/ex1_chat/pubsub.py until it passes"

test: lint types unit

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready
	$(BIN)/mypy

unit: .venv/ready
	$(BIN)/pytest -n auto --dist loadgroup

format: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch .venv/ready

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
