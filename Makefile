# One word each. A fresh machine needs Python 3.11 or newer, gcc, make and pip; everything else is installed into .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.stamp
KERNELS := $(VENV)/.kernels
OUT    := out
PEERS  := $(OUT)/peers

# The core: what knows no engine, no clock and no files; and its tests.
ROOMS  := errors.py kernels schema features model monitor scorer learner language plan sessions testing
CORE   := $(ROOMS:%=stream_ml/%) $(wildcard $(ROOMS:%=tests/%)) tests/laws $(filter-out tests/test_house.py,$(wildcard tests/test_*.py))

.PHONY: help env demo demo-kafka test test-faults core lint peers-env bench bench-quick lock clean

help:           ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /	/' | expand -t 12

env: $(STAMP)   ## the environment in .venv: pinned dependencies, this package in place, bytecode compiled

# An existing .venv is brought to the pinned versions, never removed.
$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --compile -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q stream_ml
	@touch $@

# Compiled, or found in the cache, before two processes want them at once.
$(KERNELS): $(STAMP) $(wildcard stream_ml/kernels/*.py)
	@$(BIN)/python -c 'from stream_ml.cli.ready import settle; settle()'
	@touch $@

demo: env       ## a year of flights through the local engine, with a live table, a summary and a plot
	$(BIN)/stream-ml demo flights

demo-kafka: env ## a broker, a producer and two workers, one of them killed and back: a live view, a summary and a plot
	$(BIN)/stream-ml demo kafka

# Two processes: one has the broker and every test that needs it, the other one all the rest.
test: lint $(KERNELS) ## lint, then every test and every example in the docstrings
	$(BIN)/python -m pytest -n 2 --dist loadscope

core: env $(KERNELS) ## the core's quick tests: no kills, no unjitted runs, a share of what is generated
	STREAM_ML_TEST_PERCENT=5 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not kills and not unjitted" $(CORE)

test-faults: env ## the long faults on Kafka: storms of kills, brokers lost; prints a table
	$(BIN)/python -m pytest -m faults -s tests/kafka

lint: env       ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

peers-env: $(PEERS)/.stamp ## what the benchmarks compare with, in an environment of its own: out/peers

$(PEERS)/.stamp: benchmarks/peers/requirements.txt
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --compile -r $<
	@touch $@

bench: env $(KERNELS) peers-env ## the benchmarks; results go to benchmarks/results
	$(BIN)/python -m benchmarks

bench-quick:    ## every benchmark, small and once, two at a time; results go to out/bench and count for nothing
	@$(MAKE) --no-print-directory -j2 $(KERNELS) peers-env
	$(BIN)/python -m benchmarks --quick

lock: clean-lock ## pin what a clean environment resolves to today
	$(PYTHON) -m venv $(OUT)/lock
	$(OUT)/lock/bin/python -m pip install --quiet --disable-pip-version-check --upgrade setuptools
	$(OUT)/lock/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	{ echo "# What \`make env\` installs; written by \`make lock\`."; \
	  $(OUT)/lock/bin/python -m pip freeze --all --exclude-editable --exclude pip; } > requirements-dev.lock

.PHONY: clean-lock
clean-lock:
	@rm -rf $(OUT)/lock

clean:          ## caches, outputs and what the benchmarks compare with, not the environment
	rm -rf $(OUT) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
