# make demo: environment, main job, picture.   make test: environment, tests.
# make test-all: also the tests that take long, see SLOW in tests/conftest.py.
# make figures: all of the paper's, one run on each core; ARGS="--seeds 1" is much shorter.
# EXTRAS=,deep installs JAX for the tests of deep networks, too, which are skipped without it.
# Set PYTHON to choose an interpreter (3.12 or newer).

PYTHON ?= $(shell for p in python3.12 python3 python3.13 python3.14; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
# one BLAS thread: at these sizes two threads wait for each other more than they work
export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-all coverage figures verify lint format docs clean

demo: $(VENV)/.ready
	$(BIN)/uf-diffusion compare relu-circle --out runs/relu-circle

test: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal --fast

test-all: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal

coverage: $(VENV)/.ready-test
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest -n 2
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --skip-covered

figures: $(VENV)/.ready
	$(BIN)/mpiexec -n $(shell nproc 2>/dev/null || echo 2) $(BIN)/uf-diffusion figures $(ARGS)

verify: $(VENV)/.ready
	$(BIN)/python scripts/verify.py

# style, format, types, that imports point down, and the other rules of the house
lint: $(VENV)/.ready-test
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_rules.py

# the documentation site; notebooks are executed, and a warning is an error
docs: $(VENV)/.ready-docs
	rm -rf docs/_build
	$(BIN)/python -m sphinx -b html -W --keep-going docs docs/_build/html
	@echo "The site is docs/_build/html/index.html"

format: $(VENV)/.ready-test
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist docs/_build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.ready: pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.12 or newer is needed; set PYTHON=/path/to/python."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[fem]"
	@touch $@

$(VENV)/.ready-test: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[fem,test$(EXTRAS)]"
	@touch $@

$(VENV)/.ready-docs: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[fem,docs]"
	@touch $@
