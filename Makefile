# The commands of the README. A new machine needs Python 3.11, pip, make and git.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CATALOG := app/catalog.json
DISTILLED_HOME ?= $(CURDIR)/.distilled
PORT ?= 8000
# How many processes share the tests. Each file stays in one of them, and the longest go first (tests/conftest.py).
PROCESSES ?= 2

.PHONY: setup run test faults load check fuzz audit sbom fix catalog clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt "pip>=26" 
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[service,tracing]" --group dev
	# Without its dependencies, which name an older numpy: a test compares our scores with its own.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps "ddranking==0.2.0"
	@touch $@

# `make run` keeps serving; `make run ONCE=1` ends after the table.
run: setup
	$(BIN)/distilled quickstart --home "$(DISTILLED_HOME)" --port $(PORT) $(if $(ONCE),--once)

test: setup
	$(BIN)/python -m pytest -n $(PROCESSES)

# What a front end bears in a minute, and its memory over an hour's requests: benchmarks/results/load.md.
load: setup
	$(BIN)/python -m benchmarks.load

# Half an hour of harm on both stacks: `make faults FAULTS="--seed 7 --jobs 50"` repeats a run, or shortens it.
faults: setup
	$(BIN)/python -m pytest --long tests/faults/test_every_operation.py
	$(BIN)/python -m tests.faults $(FAULTS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python -m workers.distill.catalog --check

# The long fuzz: MINUTES of each; benchmarks/results/ keeps what a run found.
MINUTES ?= 10
fuzz: setup
	$(BIN)/python -m tests.fuzz parsers --minutes $(MINUTES)
	$(BIN)/python -m tests.fuzz api --minutes $(MINUTES)

# Known holes in the versions that run; needs the network. Findings are answered in SECURITY.md.
audit: setup
	$(BIN)/python -m pip_audit --disable-pip --no-deps --requirement constraints.txt

# What the service is made of, as CycloneDX: the same bytes for the same versions.
sbom: setup
	$(BIN)/python -m cyclonedx_py requirements constraints.txt --pyproject pyproject.toml --output-reproducible --no-validate \
		--of JSON --output-file sbom.cdx.json

fix: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# What the front end knows of the laboratory: regenerate after changing a knob, a preset or a data set.
catalog: setup
	$(BIN)/python -m workers.distill.catalog

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
