# make demo        train TIGER and SpecGR++ on MovieLens 100k and show them side by side
# make test        lint, types and tests
# make lint        format and fix what the linter can
# make benchmark   the speed table
# make gpu-check    everything that needs a GPU, in ten minutes, and a report of it in build/gpu-check
# make leaderboard  draw tables, plots and page anew from the records
# make docs        the site of docs/ with the API reference, in build/site
# make venv        only the environment, in .venv; the other targets make it when it is missing or out of date
# make clean       remove the environment and caches; runs/, dataset/ and .cache/ stay
#
# Another interpreter: make venv PYTHON=python3.12
# With CUDA:           make venv TORCH=torch==2.13.0 TORCH_INDEX=https://download.pytorch.org/whl/cu126

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed

# The CPU build by name where there is one, so that pip can't choose the CUDA build and its gigabytes.
TORCH ?= torch==2.13.0$(if $(filter Linux,$(shell uname -s)),+cpu)
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: venv demo test lint benchmark gpu-check leaderboard docs clean

venv: $(STAMP)

# RecBole goes in without its own dependencies: it pins an old ray, which it does not need here and which Python 3.12
# and later can't install.
$(STAMP): constraints.txt setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install --extra-index-url $(TORCH_INDEX) -c constraints.txt $(TORCH)
	$(PIP) install -r constraints.txt
	$(PIP) install --no-deps recbole==1.2.1
	$(PIP) install --no-deps --no-build-isolation -e .
	touch $@

# An interrupted demo goes on where it was.
demo: $(STAMP)
	$(BIN)/python run_recbole.py --model=TIGER --resume=auto
	$(BIN)/python run_recbole.py --model=SpecGRPP --resume=auto
	$(BIN)/python scripts/leaderboard.py --dataset=ml-100k --small

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2

lint: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmark: $(STAMP)
	$(BIN)/python scripts/benchmark.py

gpu-check: $(STAMP)
	$(BIN)/python scripts/gpu_check.py $(if $(DEVICE),--device=$(DEVICE))

leaderboard: $(STAMP)
	$(BIN)/python scripts/leaderboard.py --all

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
