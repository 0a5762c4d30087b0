# make run    the lecture replayed, then a regression on 336,776 real flights
# make test   the tests
# Both set up .venv from nothing, and are quick when nothing has changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := $(VENV)/.peers
TRAINERS := $(VENV)/.trainers

.PHONY: run test test-watch check bench clean

run: $(READY)
	PATH="$(BIN):$$PATH" $(BIN)/python examples/main_job.py

test: $(READY)
	$(BIN)/python -m pytest -n auto --maxprocesses 4

# Trainers of others under bh.watch. Apart from the tests: to install them takes longer than a minute.
test-watch: $(TRAINERS)
	$(BIN)/python -m pytest tests/test_watching_trainers.py

# What continuous integration asks for, besides the tests.
check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest README.md README.ko.md docs

# Ours beside the peers, in one run; R is used where Rscript is installed.
bench: $(PEERS)
	$(BIN)/python benchmarks/digits.py
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/speed_general.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/watching.py

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test,examples]"
	touch $(READY)

$(PEERS): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[bench]"
	touch $(PEERS)

$(TRAINERS): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test-watch]"
	touch $(TRAINERS)

clean:
	rm -rf $(VENV) examples/output
