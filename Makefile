# `make check` and `make test` are all that a newcomer needs; both set up .venv first. What needs a browser,
# Locust or Jupyter sets up more of it: `make test-all`, `make notebooks`. Nothing but `make check-typescript` and
# `make packages` asks for Node.

PYTHON ?= python3
BIN = .venv/bin
TYPESCRIPT = exercises/typescript

.PHONY: check check-typescript packages wheel test test-all lint types unit extra stress notebooks mutants format clean

check: .venv/ready
	$(BIN)/chatlab check --solutions --track python
	@echo
	@echo "The kit works: these were the model answers. Now it is your turn:"
	@echo "  1. read exercises/ex1_chat/README.md  (en français : README.fr.md)"
	@echo "  2. run  $(BIN)/chatlab watch 1  (it judges each time you save: at first it fails, and says why; --lang fr does so in French)"
	@echo "  3. edit exercises/ex1_chat/pubsub.py until it passes"

check-typescript: .venv/ready $(TYPESCRIPT)/node_modules/.package-lock.json
	$(BIN)/chatlab check --solutions --track typescript
	@echo
	@echo "The TypeScript track works: these were the model answers. Now it is your turn:"
	@echo "  1. read exercises/ex1_chat/README.md  (en français : README.fr.md)"
	@echo "  2. run  $(BIN)/chatlab watch 1 --track typescript  (it judges each time you save; --lang fr does so in French)"
	@echo "  3. edit $(TYPESCRIPT)/src/pub-sub.ts until it passes"

test: lint types unit

test-all: test extra

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready
	$(BIN)/mypy

# Three workers, however many cores: two play against real servers, where time is judged, and one does the rest.
unit: .venv/ready
	$(BIN)/pytest -n 3 --dist loadgroup

# Whole files for each worker, the long ones first: tests/conftest.py has their order.
extra: .venv/ready-all
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m "extra and not thorough"

# Fuzzing, a soak and long plays, for a few minutes; tests/stress/sizes.py says how to have more of it.
stress: .venv/ready
	$(BIN)/pytest tests/stress -m stress -s

notebooks: .venv/ready-all
	$(BIN)/python notebooks/run.py

# Changes the checkers in thousands of small ways, and sees which of them no test notices; and components in hundreds,
# and sees which of those a check does not notice: an hour.
mutants: .venv/ready
	$(INSTALL) "mutmut>=3.8,<3.9"
	$(BIN)/mutmut run
	$(BIN)/mutmut results
	$(BIN)/python -m tests.mutation.components

# Two files in dist: one with the model answers, and one of version …+students without them.
wheel: .venv/ready
	$(BIN)/python -m harness.grading.handouts.wheels dist

format: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(INSTALL) --editable ".[dev]"
	touch .venv/ready

.venv/ready-all: .venv/ready
	$(INSTALL) --editable ".[dev,load,notebooks,browser,cluster]"
	touch .venv/ready-all

# What npm installs, for each package-lock.json; npm writes this file last. Such packages need no scripts of theirs.
%/node_modules/.package-lock.json: %/package-lock.json
	@node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' 2>/dev/null && npm --version >/dev/null 2>&1 \
	|| { echo "Install Node.js 20 or newer, with npm, and open a new terminal: here" \
	    "node is $$(node --version 2>/dev/null || echo missing)" \
	    "and npm $$(npm --version 2>/dev/null || echo missing)." >&2; exit 1; }
	cd $* && npm ci --include=dev --ignore-scripts --no-audit --no-fund --no-update-notifier

# All of them: what the tests ask of Node.
packages: $(TYPESCRIPT)/node_modules/.package-lock.json tests/servers/javascript/node_modules/.package-lock.json

clean:
	rm -rf $(TYPESCRIPT)/node_modules $(TYPESCRIPT)/dist tests/servers/javascript/node_modules
	rm -rf .venv mutants .mypy_cache .ruff_cache .pytest_cache .hypothesis
