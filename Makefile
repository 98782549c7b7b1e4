# The main commands are `make reproduce`, `make check` and `make test`. Each sets up .venv on its first run.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup reproduce check types fast test test-all fuzz kills lab explore bench real notebooks course docs lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) scripts/setup_env.py
	@touch $@

setup: $(READY)  ## install the locked packages into .venv (the other targets do this if needed)

reproduce: $(READY)  ## run the notebooks on the bundled world; ends with one line per method and the path of the report
	@$(BIN)/cdir reproduce --jobs 2

check: $(READY)  ## check style and types and run the fast tests (two minutes on two idle cores)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(MAKE) --no-print-directory -j 2 types fast

types: $(READY)
	@$(BIN)/basedpyright

fast: $(READY)
	@$(PYTEST) -q -n 2 -m "not (medium or slow or browser or cluster)"

test: check  ## `make check`, all other tests but the slow ones, every notebook (15 min)
	@$(PYTEST) -n 2 -m "(medium or browser or cluster) and not slow"
	@CDIR_HEADLESS=1 OMP_NUM_THREADS=1 $(PYTEST) -n 2 --dist loadscope --nbval-lax --nbval-current-env -p no:cacheprovider notebooks

test-all: test fuzz  ## `make test`, `make fuzz` and the slow tests
	@$(PYTEST) -n 2 -m slow

fuzz: $(READY)  ## random and damaged input: 1,000,000 records, 100,000 labels, texts and stroke lines, 10,000 images and cards; a tenth: FRACTION=0.1
	@CDIR_FUZZ=$(or $(FRACTION),1) OMP_NUM_THREADS=1 $(PYTEST) -n 2 --dist worksteal tests/data/test_mutations.py tests/*/test_random_*.py

kills: $(READY)  ## kill a run of two jobs 100 times (KILLS=n) at random moments; its results are those of a run left alone
	@CDIR_KILLS=$(or $(KILLS),100) $(PYTEST) -q -s tests/run/test_kills.py

lab: $(READY)  ## open the notebooks in JupyterLab
	@$(BIN)/jupyter lab --notebook-dir=. notebooks/00_tour.ipynb

explore: $(READY)  ## the explorer as a page without code; your own images: make explore ARGS=<folder>
	@$(BIN)/cdir explore $(ARGS)

bench: $(READY)  ## time ranking and metrics against other libraries
	@$(BIN)/python bench/ranking.py

real: $(READY)  ## run the pacs profile on real images: make real PACS=<folder of PACS>
	@$(BIN)/cdir reproduce --profile pacs --data pacs=$(PACS) $(ARGS)

notebooks: $(READY)  ## run the notebooks in place and store their cleaned outputs
	@$(BIN)/python scripts/notebooks.py run

course: $(READY)  ## the exercises as notebooks, in course/: the students' copies, and the teacher's with solutions
	@$(BIN)/cdir handout --out course/students
	@$(BIN)/cdir handout --solutions --out course/teacher

docs: $(READY)  ## build the documentation site into docs/_build/html (offline; warnings are errors)
	@$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

lock: $(READY)  ## update requirements.lock from pyproject.toml
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile --quiet --universal --no-annotate --no-header --all-extras --python-version 3.11 pyproject.toml -o requirements.lock

clean:  ## remove run folders (caches and .venv stay)
	@rm -rf runs
