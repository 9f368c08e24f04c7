# make book   executes every chapter and builds the site        make test   checks the code and the chapters
# Both set up .venv first, and do nothing where nothing changed since they last passed.

PROFILE ?= laptop
ifeq ($(filter smoke laptop,$(PROFILE)),)
$(error unknown PROFILE '$(PROFILE)': choose smoke or laptop)
endif
PYTHON  ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3.10 python3; do \
             $$p -c 'import sys, ensurepip; sys.exit(not (3, 10) <= sys.version_info < (3, 15))' 2>/dev/null && echo $$p && break; done)
BIN     := .venv/bin
# Cells and tests may call `handlib` itself.
export PATH := $(CURDIR)/$(BIN):$(PATH)

# The versions that CI installs; `CONSTRAINTS=` takes the newest.
CONSTRAINTS ?= constraints.txt

# Two threads on two busy cores make a small network many times slower.
export OMP_NUM_THREADS ?= 1

# How many files of tests, chapters and pages are run at once. A chapter takes up to 1.5 GB of memory.
WORKERS  ?= 2
PARALLEL := $(if $(filter-out 1,$(WORKERS)),-n $(WORKERS))

CODE      := $(shell find handlib -type f -not -path '*/__pycache__/*')
CHAPTERS  := $(shell grep -ls '^jupytext:' book/*.md)
NOTEBOOKS := $(CHAPTERS:.md=.ipynb)
RESULTS   := $(wildcard results/*.json results/*/*.json)
PAGES     := $(wildcard book/*.md book/*.bib book/slides/* book/_ext/*.py book/_static/*) _config.yml _toc.yml
TESTS     := $(shell find tests tools -type f -not -path '*/__pycache__/*')

# Each profile has its own site and its own cache of executed notebooks; the laptop's are at _build/html.
OUT   := $(if $(filter laptop,$(PROFILE)),.,_build/$(PROFILE))
SITE  := $(OUT)/_build/html
CACHE := $(OUT)/_build/.jupyter_cache
STAMP := $(OUT)/_build/stamp

.PHONY: help setup test quick fuzz lint book check-book slides pdf colab serve notebooks repository clean
.DELETE_ON_ERROR:

help:
	@echo 'make book         execute every notebook and build the site  (PROFILE=smoke|laptop; default laptop)'
	@echo 'make test         ruff, the rooms of handlib, spelling, pytest, and every notebook at the smoke profile'
	@echo 'make quick        the unit tests of what a reader would change first, without the check of shapes'
	@echo 'make fuzz         try thousands of arguments, files and options for ten minutes  (SEED=N: other ones; RESULTS_DIR=results: records the counts)'
	@echo 'make setup        only create .venv and install everything into it'
	@echo 'make check-book   open the built site in headless Chromium and try it'
	@echo 'make slides       write the decks anew from the built site, after a change of book/slides; make book does it too'
	@echo 'make pdf          print the built site into _build/book.pdf'
	@echo 'make colab        run every notebook outside of the repository against the wheel, at the smoke profile'
	@echo 'make serve        serve the built site at http://localhost:8000'
	@echo 'make notebooks    write book/*.ipynb from book/*.md, which are the sources; and those of a class to _build/notebooks'
	@echo 'make repository URL=https://github.com/you/handlib   tell all files where the repository lives'
	@echo 'make clean        remove what was built; .venv stays'

# ---- set-up

setup: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	@test -n '$(PYTHON)' || { echo 'No Python 3.10 to 3.14 with venv found. Install one (Debian: apt-get install python3-venv), or say which: make PYTHON=/path/to/python3'; exit 1; }
	@echo 'Installing into .venv: a few minutes, the first time.'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=24'  # older ones search for minutes among torch's CUDA packages
	$(BIN)/python -m pip install --quiet $(addprefix --constraint ,$(CONSTRAINTS)) torch --editable '.[book,test]'
	touch $@

# ---- test

test: lint _build/tested-code _build/tested-notebooks
	@echo 'make test: everything passes. What is unchanged was not run again; make clean test runs all.'

lint: setup
	$(BIN)/ruff check
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/codespell -D - -D tools/words.txt book handlib tools tests README.md CONTRIBUTING.md

_build/tested-code: .venv/installed $(CODE) $(TESTS) $(PAGES) $(NOTEBOOKS) $(RESULTS)
	$(BIN)/python -m pytest -rfEs $(PARALLEL) --dist loadfile
	@mkdir -p $(@D) && touch $@

# No outputs are stored, so nbval has none to compare: a chapter's checks are the asserts in its cells.
_build/tested-notebooks: .venv/installed $(CODE) $(NOTEBOOKS) $(RESULTS)
	HANDLIB_PROFILE=smoke TQDM_DISABLE=1 $(BIN)/python -m pytest --nbval-lax --durations=5 $(PARALLEL) --dist loadfile $(NOTEBOOKS)
	@mkdir -p $(@D) && touch $@

# What to run while editing: no check of shapes, no training, no experiment, no subprocess, no browser.
NOT_QUICK := training experiments kernels fuzz book cli tools viz teaching export photo test_dhpe_photo.py \
             test_augmentation.py test_refinement.py test_package.py support/test_jit.py data/test_cache_folder.py
quick: setup
	HANDLIB_UNCHECKED=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile -m 'not slow' tests $(NOT_QUICK:%=--ignore=tests/%)

# Ends with counts by outcome; raw errors, silent answers and crashes must be 0. `make test` has a short form of it.
fuzz: setup
	PYTHONPATH=tests:tests/fuzz $(BIN)/python tests/fuzz/run.py --cases 6000 --minutes 10 $(if $(RESULTS_DIR),--results-dir $(RESULTS_DIR)) $(if $(SEED),--seed $(SEED))

# ---- book

book: $(STAMP)
	@echo 'The book is built. Open file://$(abspath $(SITE))/index.html'

# WORKERS chapters at once fill the cache; jupyter-book, which runs one at a time, then finds all of them in it.
$(STAMP): export HANDLIB_PROFILE := $(PROFILE)
$(STAMP): export HANDBOOK := 1
$(STAMP): export TQDM_DISABLE := 1
$(STAMP): $(STAMP)-cache $(PAGES)
	$(BIN)/jcache notebook -p $(CACHE) add -r myst_nb_md $(CHAPTERS)
	printf '%s\n' $(CHAPTERS) | xargs -n 1 -P $(WORKERS) $(BIN)/jcache notebook -p $(CACHE) execute --no-force -t 900
	$(BIN)/jupyter-book build . --path-output $(OUT) --all -W --keep-going
	$(BIN)/python tools/slides.py $(OUT)/_build
	@touch $@

# jupyter-cache knows only the text of the cells: what they call, and read, it does not see.
$(STAMP)-cache: .venv/installed $(CODE) $(RESULTS)
	rm -rf $(CACHE)
	@mkdir -p $(CACHE) && touch $@

check-book: setup
	HANDLIB_SITE='$(abspath $(SITE))' $(BIN)/python -m pytest -rfEs $(PARALLEL) tests/book/test_browser.py

slides: setup
	$(BIN)/python tools/slides.py $(OUT)/_build

pdf: setup
	$(BIN)/python tools/print_book.py $(SITE) _build/book.pdf

colab: setup
	$(BIN)/python tools/run_notebooks.py

serve: setup
	$(BIN)/python -m http.server --directory $(SITE) --bind 127.0.0.1 8000

# ---- upkeep

notebooks: setup
	$(BIN)/python tools/notebooks.py

repository:
	$(PYTHON) tools/set_repository.py $(URL)

clean:
	rm -rf _build .pytest_cache .ruff_cache
