# The two main commands are `make reproduce` and `make test`. Each sets up .venv on its first run.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup reproduce test fuzz lab explore bench real notebooks exercises lock clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] < (3, 13) else "error: Python 3.11 or 3.12 is needed, this is %d.%d; choose one: make PYTHON=python3.11 ..." % sys.version_info[:2])'
	@echo "setting up .venv (two to four minutes and 7 GB, once)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

setup: $(READY)  ## install the locked packages into .venv (the other targets do this if needed)

reproduce: $(READY)  ## run notebooks 00 to 10 on the bundled world; ends with one line per method and the path of the report
	@$(BIN)/cdir reproduce --jobs 2

test: $(READY)  ## check the style, run all tests, then check every notebook and the solutions of its exercises
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(PYTEST) -n 2 tests
	@$(BIN)/python scripts/notebooks.py exercises --into test-output/notebooks
	@CDIR_HEADLESS=1 OMP_NUM_THREADS=1 $(PYTEST) -n 2 --dist loadscope --nbval-lax --nbval-current-env -p no:cacheprovider test-output/notebooks

fuzz: $(READY)  ## read 10,000 mutated cards and 100,000 mutated stroke lines (a few minutes)
	@CDIR_FUZZ=1 $(PYTEST) -n 2 tests/data/test_mutations.py

lab: $(READY)  ## open the notebooks in JupyterLab
	@$(BIN)/jupyter lab --notebook-dir=notebooks

explore: $(READY)  ## the explorer as a page without code; your own images: make explore ARGS=<folder>
	@$(BIN)/cdir explore $(ARGS)

bench: $(READY)  ## time ranking and metrics against other libraries
	@$(BIN)/python bench/ranking.py

real: $(READY)  ## run the pacs profile on real images: make real PACS=<folder of PACS>
	@$(BIN)/cdir reproduce --profile pacs --data pacs=$(PACS) $(ARGS)

notebooks: $(READY)  ## run the notebooks in place and store their cleaned outputs
	@$(BIN)/python scripts/notebooks.py run

exercises: $(READY)  ## print what the solutions of all exercises print (as long as `make notebooks`)
	@$(BIN)/python scripts/notebooks.py exercises

lock: $(READY)  ## update requirements.lock from pyproject.toml
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile --quiet --universal --no-annotate --no-header --all-extras --python-version 3.11 pyproject.toml -o requirements.lock

clean:  ## remove run folders (caches and .venv stay)
	@rm -rf runs
