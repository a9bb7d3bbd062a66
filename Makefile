# Each target makes .venv and installs what it needs, once. `make help` tells the targets and the variables.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
# the build of torch, and the package index that it comes from; empty: the usual index
TORCH ?= $(shell sed -n 's/^\(torch==.*\)/\1/p' constraints.txt)
TORCH_INDEX ?=
# test processes at once
JOBS ?= 2
# how often make bench measures each entry; empty: as often as each script does
ROUNDS ?=
REPEATS = $(ROUNDS:%=--repeats %)
# more for pytest: make test ARGS="tests/core -x"
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
CONSTRAINTS := $(VENV)/constraints.txt
SOURCES := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow check format docs bench wheel clean

help:
	@echo 'make demo        install, then: snn4 run digits (train, compare with the ANN, write the report)'
	@echo 'make test        every test that takes seconds, the doctests and the snippets of the README'
	@echo 'make test-slow   the tests that take minutes'
	@echo 'make check       style, types, floors, forbidden calls'
	@echo 'make format      put the code in the form that check asks for'
	@echo 'make docs        the documentation, in English and Japanese, to docs/_build'
	@echo 'make bench       the benchmarks, on an otherwise idle machine: half an hour; results in benchmarks/results'
	@echo 'make wheel       dist/*.whl with compiled kernels for this kind of machine'
	@echo 'make clean       remove .venv and everything that was built'
	@echo
	@echo 'PYTHON=...       the Python to use (now: $(PYTHON))'
	@echo 'TORCH=...        the build of torch (now: $(TORCH))'
	@echo 'TORCH_INDEX=...  the package index for torch alone, for instance the one for CPU builds that pytorch.org names'
	@echo 'JOBS=...         test processes at once (now: $(JOBS)); ARGS=... more for pytest'
	@echo 'ROUNDS=...       how often make bench measures each entry, in place of what each script takes'
	@echo 'Another torch after the first install: make clean first.'

# torch comes first and alone: what is installed next finds its wish for torch fulfilled, and does not fetch another build
$(VENV)/.torch:
	@echo 'Installing $(TORCH) into $(VENV); this takes a minute or two, once'
	$(PYTHON) -m venv $(VENV)
	$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) '$(TORCH)'
	@touch $@

# the pins without torch, which the line above has chosen, and without triton where torch has brought its own
$(CONSTRAINTS): $(SOURCES) $(VENV)/.torch
	@grep -v '^torch==' constraints.txt > $@
	@if $(BIN)/python -c 'import importlib.util as u; raise SystemExit(u.find_spec("triton") is None)'; \
	then grep -v '^triton==' $@ > $@.own; mv $@.own $@; fi

$(VENV)/.extra-%: $(CONSTRAINTS)
	@echo 'Installing snn4[$*]'
	$(PIP) -c $(CONSTRAINTS) -e '.[$*]'
	@touch $@

demo: $(VENV)/.extra-cli
	$(BIN)/snn4 run digits

test: $(VENV)/.extra-cli $(VENV)/.extra-dev
	$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

test-slow: $(VENV)/.extra-cli $(VENV)/.extra-dev
	$(BIN)/python -m pytest -m slow $(ARGS)

check: $(VENV)/.extra-cli $(VENV)/.extra-dev
	$(BIN)/ruff check src tests docs results conftest.py hatch_build.py benchmarks
	$(BIN)/ruff format --check src tests docs results conftest.py hatch_build.py benchmarks
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q --no-header tests/test_repository.py

format: $(VENV)/.extra-dev
	$(BIN)/ruff check --fix-only src tests docs results conftest.py hatch_build.py benchmarks
	$(BIN)/ruff format src tests docs results conftest.py hatch_build.py benchmarks

docs: $(VENV)/.extra-cli $(VENV)/.extra-docs
	$(BIN)/python -m sphinx -b html -W --keep-going -q docs docs/_build/html
	@echo 'Open docs/_build/html/index.html'

bench: $(VENV)/.extra-cli
	$(BIN)/python benchmarks/bench_layer.py $(REPEATS)
	$(BIN)/python benchmarks/bench_layer.py --keep-memory $(REPEATS)
	$(BIN)/python benchmarks/bench_layer.py --keep-memory --ours-only --shapes large $(REPEATS)
	$(BIN)/python benchmarks/bench_linear.py --sizes 512,1024 $(ROUNDS:%=--rounds %)
	set -e; for net in mlp conv resnet; do for type in '' --autocast; do \
	  $(BIN)/python benchmarks/bench_steps.py $$net $$type $(ROUNDS:%=--rounds %); done; done
	$(BIN)/python benchmarks/bench_recurrent.py $(ROUNDS:%=--rounds %)
	$(BIN)/python benchmarks/bench_memory.py $(REPEATS)
	$(BIN)/python benchmarks/bench_latency.py $(REPEATS)
	$(BIN)/python benchmarks/table.py

wheel: $(VENV)/.extra-cli
	$(PIP) -c $(CONSTRAINTS) hatchling
	SNN4_PREBUILD=1 $(BIN)/python -m hatchling build -t wheel

clean:
	rm -rf $(VENV) dist build docs/_build .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests docs -name __pycache__ -type d -prune -exec rm -rf {} +
