# Everything here does its own set-up: `make train` or `make test` on a machine with only Python and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Images that are here already; nothing is downloaded then.
ifneq ($(wildcard ../shared/data),)
export BIONETS_DATA ?= $(abspath ../shared/data)
endif

.DEFAULT_GOAL := help
.PHONY: help train test test-quick test-full lint type index docs wheel bench lock clean

help: ## show this page
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "bionets needs Python 3.11, 3.12 or 3.13: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $(READY)

train: $(READY) ## train nBRC on binary addition: a few minutes on a laptop
	$(BIN)/python train.py model=nbrc task=binary_addition

# One thread in each worker: a thread of torch that waits for work would slow the other workers.
test test-quick test-full: export OMP_NUM_THREADS ?= 1
PYTEST := $(BIN)/python -m pytest -n auto --dist worksteal

test: $(READY) ## all tests but the slow ones
	$(PYTEST) -m "not slow"

test-quick: $(READY) ## of these, the tests that run no whole commands
	$(PYTEST) -m "not slow" --ignore tests/acceptance --ignore tests/fuzz --ignore tests/documentation

test-full: $(READY) ## all tests
	$(PYTEST)

lint: $(READY) ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(READY) ## mypy
	$(BIN)/mypy

index: $(READY) ## list all source files in docs/source_files.md
	$(BIN)/python docs/source_index.py

docs: $(READY) ## build the documentation site in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

wheel: $(READY) ## build the source distribution and the wheel in dist/
	$(BIN)/python -m build --no-isolation

bench: $(READY) ## time the layers beside their peers
	$(BIN)/python -m benchmarks

lock: $(READY) ## write requirements.lock anew from what is installed
	$(BIN)/pip freeze --all --exclude-editable > requirements.installed
	{ sed -n '/^#/p' requirements.lock; sed 's/+cpu//; /^triton==/d; /^pip==/d' requirements.installed; sed -n '/^triton/p' requirements.lock; } > requirements.new
	mv requirements.new requirements.lock
	rm requirements.installed

clean: ## remove what was installed and built, never outputs/
	rm -rf $(VENV) build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './outputs/*' -prune -exec rm -rf {} +
