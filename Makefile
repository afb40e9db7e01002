# What a person may type: `make help` lists it. The rules of the chapters are written by plan.py, which checks every word
# first; data/.plans/ holds the makefiles that it wrote last.

ifeq ($(filter grouped-target,$(.FEATURES)),)
$(error This Makefile needs GNU Make 4.3 or newer and this is $(MAKE_VERSION). environment.yml brings one; so does Homebrew, as gmake)
endif

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help

# ---- words on the command line -----------------------------------------------------------------------------------

WORDS := DATASET SOURCE CSV WEIGHTS ENCODERS CLUSTERERS SEEDS START TRAINING SUBMIT SWEEP PYTHON
MACHINE := TMPDIR CUDA_VISIBLE_DEVICES OMP_NUM_THREADS HF_HOME TORCH_HOME # handed on to the programs
FROM_ENVIRONMENT := DATASET ENCODERS CLUSTERERS SEEDS SWEEP # the others have to be typed

typed := $(foreach v,$(.VARIABLES),$(if $(filter command,$(origin $(v))),$(v)))
found := $(foreach v,$(FROM_ENVIRONMENT),$(if $(filter environment,$(origin $(v))),$(v)))
unknown := $(firstword $(filter-out $(WORDS) $(MACHINE),$(typed)))
ifneq ($(unknown),)
$(error $(or $(shell python3 plan.py nearest $(unknown) $(WORDS)),there is no variable $(unknown)))
endif
# as plan.py takes them: 'NAME=value', whatever blanks and signs the value holds
GIVEN := $(foreach v,$(filter-out PYTHON,$(filter $(WORDS),$(typed)) $(found)),'$(v)=$(subst ','\'',$(value $(v)))')

DATASET ?= demo
D := data/$(DATASET)

# ---- environment -------------------------------------------------------------------------------------------------

# .venv is built from the lock when a target needs it; PYTHON=python takes the active environment instead.
ifdef PYTHON
READY :=
else
PYTHON := .venv/bin/python
READY := .venv/.ready
endif
RUN := $(PYTHON) execute.py run

.PHONY: setup
setup: $(READY) ## build .venv from requirements.txt

.venv/.ready: requirements.txt
	@for python in python3 python3.14 python3.13 python3.12 python3.11 none; do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then break; fi; done; \
	if [ $$python = none ]; then echo "Python 3.11 or newer is needed and none was found on the PATH" >&2; exit 1; fi; \
	echo "setting up .venv with $$("$$python" --version) (a few minutes, once)"; "$$python" -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements.txt
	@.venv/bin/python -m compileall -q -j 0 -x /tests/ .venv/lib >/dev/null || true # on all cores; some ship files for other Pythons
	@touch $@

# ---- chapters ----------------------------------------------------------------------------------------------------

.PHONY: all submission report sweep FORCE
all: ## photos to scored hierarchy: DATASET= SOURCE= [CSV= WEIGHTS= ENCODERS= ...]
submission: ## the Kaggle CSV; SUBMIT=encoder/clusterer chooses the run
report: ## after all, where taxa are known: indices, robustness, taxon by taxon
sweep: ## a grid of settings, one notebook per point: SWEEP= DATASET=; add -j2 for two at a time
FORCE:

# The plan adds what these need, and the rules of every chapter. FORCE stands where words or photographs have changed.
ifneq ($(filter all submission report sweep bench publish data/% figures/%,$(MAKECMDGOALS)),)
include $(READY) # empty: where it is missing or old, make builds .venv and starts again
ifeq ($(wildcard $(READY)),$(READY))
PLAN := $(shell $(PYTHON) plan.py rules --goals '$(MAKECMDGOALS)' $(GIVEN))
include $(or $(PLAN),$(error nothing was done))
endif
endif

# ---- work on the project -----------------------------------------------------------------------------------------

.PHONY: lab test lint docs pair publish pretrain bench lock clean help
lab: $(READY) ## open the notebooks in JupyterLab
	$(PYTHON) -m jupyterlab notebooks

test: $(READY) ## every test: utilities, notebooks end to end, the Makefile itself
	$(PYTHON) -m pytest

lint: $(READY) ## style of the code
	$(PYTHON) -m ruff check .

docs: $(READY) ## fill the tables of README.md and docs/ in from figures/
	$(PYTHON) docs.py

pair: $(READY) ## write every notebook's .ipynb from its .py; cells that did not change keep their outputs
	$(PYTHON) -m jupytext --quiet --update --to ipynb notebooks/*.py

# One run of each chapter, with the parameters that its notebook shows.
SHOWN := 00_simulate_specimens 01_preprocess 02_extract_embeddings-specimen_resnet18_double 03_supcon_finetune-simclr \
  04_umap_visualization-specimen_resnet18_double 05_hierarchical_clustering-specimen_resnet18_double-nested_ward 06_evaluate \
  09_recoverability 10_choosing_without_labels 11_robustness 12_taxa 13_how_many 97_tuned_encoders-trainers 98_sweep-umap 99_figures
ifneq ($(and $(filter publish,$(MAKECMDGOALS)),$(filter-out demo,$(DATASET))),)
$(error The notebooks show the demo: leave DATASET out)
endif
publish: ## keep what the demo and two of its sweeps give in the notebooks that are committed
	$(MAKE) sweep SWEEP=umap
	$(MAKE) sweep SWEEP=trainers
	$(MAKE) all # scores.csv takes in what tuning reached
	$(PYTHON) execute.py publish $(foreach run,$(SHOWN),notebooks/$(firstword $(subst -, ,$(run))).py=$(D)/runs/$(run).ipynb)

pretrain: ## train models/specimen_resnet18 again, from random weights on another world (about an hour on 2 cores)
	$(MAKE) data/pretraining/models/pretraining.safetensors DATASET=pretraining
	cp data/pretraining/models/pretraining.safetensors models/specimen_resnet18.safetensors
	cp data/pretraining/models/pretraining.csv models/specimen_resnet18.csv

bench: ## speed of extraction (against the plain loop, on the photographs of DATASET=) and of scoring
	$(PYTHON) tests/bench_extraction.py $(DATASET)
	$(PYTHON) tests/bench_scoring.py

lock: $(READY) ## compile requirements.in into requirements.txt (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes requirements.in -o requirements.txt

ANY_PYTHON = $(or $(shell command -v $(PYTHON)),python3)
clean: ## remove what was computed for DATASET (not its photographs and not its figures)
	@$(ANY_PYTHON) plan.py clean $(GIVEN)

help: ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20
	@if [ -n "$$(command -v $(PYTHON))" ]; then echo; $(PYTHON) plan.py words $(GIVEN); fi
