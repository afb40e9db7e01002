# The dependency graph of the analysis. `make help` lists what a person may type.

ifeq ($(filter grouped-target,$(.FEATURES)),)
$(error This Makefile needs GNU Make 4.3 or newer and this is $(MAKE_VERSION). environment.yml brings one; so does Homebrew, as gmake)
endif

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help

# ---- what may be given on the command line ---------------------------------------------------------------------

DATASET ?= demo
EQ := =
D := data/$(DATASET)
WORLD := $(wildcard params/worlds/$(DATASET).yaml)
SHARED := utils.py images.py
R := $(D)/runs
F := figures/$(DATASET)
ifneq ($(or $(filter-out 1,$(words $(DATASET))),$(findstring /,$(DATASET)),$(filter .% -%,$(DATASET))),)
$(error DATASET=$(DATASET) should be one plain name, without blanks or slashes)
endif

# These are remembered in the dataset's folder: only the first `make` has to name them. The environment is not asked.
recall = $(if $(filter command,$(origin $(1))),$($(1)),$(file <$(D)/$(2)))
override SOURCE := $(call recall,SOURCE,source.txt)
override CSV := $(call recall,CSV,csv.txt)
override WEIGHTS := $(call recall,WEIGHTS,weights.txt)
override SUBMIT := $(call recall,SUBMIT,submit.txt)
override START := $(call recall,START,start.txt)
override TRAINING := $(call recall,TRAINING,training.txt)
# Recipes read paths from the environment, where blanks and quotation marks do no harm.
export CHAPTER_SOURCE := $(SOURCE)
export CHAPTER_CSV := $(CSV)
export CHAPTER_WEIGHTS := $(WEIGHTS)

ifneq ($(and $(WORLD),$(SOURCE)),)
$(error DATASET=$(DATASET) is simulated ($(WORLD)): give your own photographs another name, DATASET=mine SOURCE=...)
endif

# ENCODERS, CLUSTERERS: names of cards in params/, or the start of several: nested_kmeans is nested_kmeans_10, _20 and _30. An
# encoder may be a trainer's name, too: what that recipe makes of the encoder START, with the words TRAINING for chapter 03.
# Without them the dataset's card decides (the demo's for every other world), and without a card the short list here.
CARD := $(firstword $(wildcard params/datasets/$(DATASET).yaml $(and $(WORLD),params/datasets/demo.yaml)))
card = $(if $(CARD),$(shell sed -n 's/^$(1): *//p' $(CARD)))
ENCODERS ?= $(or $(call card,encoders),resnet50_double resnet50_single pixels)
CLUSTERERS ?= $(or $(call card,clusterers),nested_ward nested_kmeans flat_kmeans)
SEEDS ?= 0 1 2

override START := $(or $(START),$(call card,start),resnet18_double)
override TRAINING := $(or $(TRAINING),$(call card,training))

stems = $(strip $(foreach k,$(1),$(patsubst params/$(k)/%.yaml,%,$(wildcard $(foreach n,$(2),params/$(k)/$(n).yaml)))))
named = $(or $(call stems,$(1),$(2)),$(call stems,$(1),$(2)_*),$(error there is no params/$(firstword $(1))/$(2).yaml; there are: $(call stems,$(1),*)))
distinct = $(if $(1),$(firstword $(1)) $(call distinct,$(filter-out $(firstword $(1)),$(1))))
override ENCODERS := $(call distinct,$(foreach n,$(ENCODERS),$(call named,encoders trainers,$(n))))
override CLUSTERERS := $(call distinct,$(foreach n,$(CLUSTERERS),$(call named,clusterers,$(n))))

empty :=
comma := ,
listed = [$(subst $(empty) $(empty),$(comma) ,$(strip $(1)))]
runs := $(foreach e,$(ENCODERS),$(foreach c,$(CLUSTERERS),$(e)/$(c)))
SUBMITTED := $(or $(SUBMIT),$(firstword $(runs)))
PLAN := {encoders: $(call listed,$(ENCODERS)), clusterers: $(call listed,$(CLUSTERERS)), seeds: $(call listed,$(SEEDS)), \
  submit: $(SUBMITTED)}

# What was asked for is a prerequisite like any other: its file is rewritten when, and only when, it changes.
define remember
ifneq ($$(wildcard $(2)) $$(file <$(2)),$(2) $$($(1)))
$$(shell mkdir -p '$$(dir $(2))')
$$(file >$(2),$$($(1)))
endif
$(2): ;
endef
ifneq ($(filter all publish submission report sweep bench $(D)/% $(F)/%,$(MAKECMDGOALS)),)
$(eval $(call remember,SOURCE,$(D)/source.txt))
$(eval $(call remember,CSV,$(D)/csv.txt))
$(eval $(call remember,WEIGHTS,$(D)/weights.txt))
$(eval $(call remember,START,$(D)/start.txt))
$(eval $(call remember,TRAINING,$(D)/training.txt))
endif
ifneq ($(filter all publish submission report $(D)/% $(F)/%,$(MAKECMDGOALS)),)
$(eval $(call remember,SUBMIT,$(D)/submit.txt))
$(eval $(call remember,PLAN,$(D)/plan.yaml))
endif

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

FIGURES := $(addprefix $(F)/,scores.csv scores.png n_clusters.png maps.png $(if $(WORLD),families.jpg))
WORLD_FIGURES := $(if $(WORLD),$(addprefix $(F)/,tree.png barcode_gap.png))

.PHONY: all submission
all: $(D)/submission.csv $(FIGURES) $(WORLD_FIGURES) $(F)/family_sizes.png $(ENCODERS:%=$(F)/umap_%.png) ## photos to scored hierarchy: DATASET= SOURCE= [CSV= WEIGHTS= ENCODERS= ...]
submission: $(D)/submission.csv ## the Kaggle CSV; SUBMIT=encoder/clusterer chooses the run

# A dataset with a card in params/worlds/ is simulated, and its photographs are made here.
ifneq ($(WORLD),)
$(D)/truth.parquet $(D)/tree.nwk $(D)/photos/metadata.csv $(WORLD_FIGURES) $(R)/00_simulate_specimens.ipynb &: \
		notebooks/00_simulate_specimens.py $(WORLD) $(wildcard simulation/*.py) $(SHARED) | $(READY)
	@$(RUN) notebooks/00_simulate_specimens.py $(R)/00_simulate_specimens.ipynb dataset=$(DATASET) -f $(WORLD)

$(D)/metadata.parquet: $(D)/truth.parquet $(D)/photos/metadata.csv
endif

# Photographs are new if anything in their folder, which chapter 01 links to, is newer than the table made from them
# (and not from the future, as after a wrong camera clock).
ifneq ($(wildcard $(D)/metadata.parquet),)
ifneq ($(shell find -L $(D)/photos/ -newer $(D)/metadata.parquet ! -newermt now -print 2>/dev/null | head -n 1),)
$(D)/metadata.parquet: FORCE
endif
endif
.PHONY: FORCE
FORCE:

$(D)/metadata.parquet $(D)/rejected.csv $(D)/reported.csv $(F)/family_sizes.png $(R)/01_preprocess.ipynb &: \
		notebooks/01_preprocess.py $(SHARED) $(D)/source.txt $(D)/csv.txt | $(READY)
	@mkdir -p $(R)
	@$(RUN) notebooks/01_preprocess.py $(R)/01_preprocess.ipynb dataset=$(DATASET) \
	  source="$$CHAPTER_SOURCE" csv="$$CHAPTER_CSV"

define trainer_rules
$(addprefix $(D)/models/$(1),.safetensors .yaml .csv) $(R)/03_supcon_finetune-$(1).ipynb &: notebooks/03_supcon_finetune.py \
		params/trainers/$(1).yaml $(D)/embeddings/$(START)/_SUCCESS training.py encoders.py clustering.py $(SHARED) \
		$(D)/weights.txt $(D)/start.txt $(D)/training.txt | $(READY)
	@$(RUN) notebooks/03_supcon_finetune.py $(R)/03_supcon_finetune-$(1).ipynb dataset=$(DATASET) trainer=$(1) \
	  start=$(START) weights_dir="$$$$CHAPTER_WEIGHTS" $(TRAINING) -f params/trainers/$(1).yaml
endef

# An encoder (1) and its card (2), which lies in params/ or was left by chapter 03. A fused one is made of others (3).
FUSED := $(shell grep -l '^library: fused' params/encoders/*.yaml)
parts = $(if $(filter $(1),$(FUSED)),$(shell sed -n 's/^architecture: *//p' $(1)))
define encoder_rules
$(D)/embeddings/$(1)/_SUCCESS $(R)/02_extract_embeddings-$(1).ipynb &: notebooks/02_extract_embeddings.py \
		$(2) $(3:%=$(D)/embeddings/%/_SUCCESS) $(wildcard models/*.safetensors) $(D)/metadata.parquet encoders.py $(SHARED) $(D)/weights.txt | $(READY)
	@$(RUN) notebooks/02_extract_embeddings.py $(R)/02_extract_embeddings-$(1).ipynb \
	  dataset=$(DATASET) encoder=$(1) weights_dir="$$$$CHAPTER_WEIGHTS" -f $(2)

$(D)/maps/$(1)/default.parquet $(F)/umap_$(1).png $(R)/04_umap_visualization-$(1).ipynb &: \
		notebooks/04_umap_visualization.py $(D)/embeddings/$(1)/_SUCCESS $(SHARED) | $(READY)
	@$(RUN) notebooks/04_umap_visualization.py $(R)/04_umap_visualization-$(1).ipynb dataset=$(DATASET) encoder=$(1)
endef

clusters = $(foreach s,$(SEEDS),$(D)/clusters/$(1)/$(2)/seed$(EQ)$(s).parquet)
define clusterer_rules
$$(call clusters,$(1),$(2)) $(R)/05_hierarchical_clustering-$(1)-$(2).ipynb &: notebooks/05_hierarchical_clustering.py \
		params/clusterers/$(2).yaml $(D)/embeddings/$(1)/_SUCCESS clustering.py $(SHARED) | $(READY)
	@$(RUN) notebooks/05_hierarchical_clustering.py $(R)/05_hierarchical_clustering-$(1)-$(2).ipynb \
	  dataset=$(DATASET) encoder=$(1) clusterer=$(2) seeds="$(SEEDS)" -f params/clusterers/$(2).yaml
endef

$(foreach e,$(call stems,encoders,*),$(eval $(call encoder_rules,$(e),params/encoders/$(e).yaml,$(call parts,params/encoders/$(e).yaml))))
$(foreach t,$(call stems,trainers,*),$(eval $(call trainer_rules,$(t)))$(eval $(call encoder_rules,$(t),$(D)/models/$(t).yaml)))
$(foreach e,$(ENCODERS),$(foreach c,$(CLUSTERERS),$(eval $(call clusterer_rules,$(e),$(c)))))

PARTITIONS := $(foreach e,$(ENCODERS),$(foreach c,$(CLUSTERERS),$(call clusters,$(e),$(c))))
$(D)/scores.csv $(D)/submission.csv $(R)/06_evaluate.ipynb &: notebooks/06_evaluate.py $(PARTITIONS) \
		$(D)/metadata.parquet $(D)/plan.yaml clustering.py scoring.py $(SHARED) | $(READY)
	@$(RUN) notebooks/06_evaluate.py $(R)/06_evaluate.ipynb dataset=$(DATASET) \
	  encoders="$(ENCODERS)" clusterers="$(CLUSTERERS)" seeds="$(SEEDS)" submit="$(SUBMITTED)"

$(FIGURES) $(R)/99_figures.ipynb &: notebooks/99_figures.py $(D)/scores.csv \
		$(ENCODERS:%=$(D)/maps/%/default.parquet) $(wildcard $(F)/sweep_*.csv) scoring.py $(SHARED) | $(READY)
	@$(RUN) notebooks/99_figures.py $(R)/99_figures.ipynb dataset=$(DATASET) encoders="$(ENCODERS)" clusterers="$(CLUSTERERS)"

# What needs names: which index to go by, what the submitted run withstands, and taxon by taxon. Not part of `all`, for time.
LOOKED_AT := $(firstword $(subst /, ,$(SUBMITTED)))
.PHONY: report
report: $(F)/choosing.png $(F)/robustness.png $(F)/taxa.png $(F)/numbers.png ## after all, where taxa are known: indices, robustness, taxon by taxon

$(D)/choosing.csv $(addprefix $(F)/choosing,.png .csv) $(R)/10_choosing_without_labels.ipynb &: \
		notebooks/10_choosing_without_labels.py $(D)/scores.csv $(ENCODERS:%=$(D)/maps/%/default.parquet) \
		clustering.py encoders.py scoring.py $(SHARED) $(D)/weights.txt | $(READY)
	@$(RUN) $< $(R)/10_choosing_without_labels.ipynb dataset=$(DATASET) weights_dir="$$CHAPTER_WEIGHTS" \
	  encoders="$(ENCODERS)" clusterers="$(CLUSTERERS)" seeds="$(SEEDS)"

$(D)/robustness.csv $(addprefix $(F)/robustness,.png .csv) $(R)/11_robustness.ipynb &: notebooks/11_robustness.py \
		$(D)/embeddings/$(LOOKED_AT)/_SUCCESS clustering.py encoders.py scoring.py $(wildcard simulation/*.py) $(SHARED) \
		$(D)/weights.txt $(D)/submit.txt | $(READY)
	@$(RUN) $< $(R)/11_robustness.ipynb dataset=$(DATASET) encoder=$(LOOKED_AT) weights_dir="$$CHAPTER_WEIGHTS" seeds="$(SEEDS)"

$(D)/taxa.csv $(D)/confused.csv $(addprefix $(F)/,taxa.png taxa.csv confused.csv) $(R)/12_taxa.ipynb &: notebooks/12_taxa.py $(D)/scores.csv scoring.py $(SHARED) | $(READY)
	@$(RUN) $< $(R)/12_taxa.ipynb dataset=$(DATASET) run=$(SUBMITTED) seed=$(firstword $(SEEDS))

$(addprefix $(D)/,numbers.csv few.csv) $(addprefix $(F)/,numbers.png numbers.csv halves.csv few.csv) $(R)/13_how_many.ipynb &: notebooks/13_how_many.py \
		$(ENCODERS:%=$(D)/embeddings/%/_SUCCESS) clustering.py scoring.py $(SHARED) $(D)/plan.yaml | $(READY)
	@$(RUN) $< $(R)/13_how_many.ipynb dataset=$(DATASET) encoders="$(ENCODERS)"

# ---- sweeps ------------------------------------------------------------------------------------------------------

# params/sweeps/<SWEEP>.yaml names a notebook and what varies. Every point becomes a YAML of parameters, every YAML an executed
# notebook; points.mk holds the list of points, and Make writes and reads it before it does anything else.
ifneq ($(filter sweep,$(MAKECMDGOALS)),)
ifeq ($(wildcard params/sweeps/$(SWEEP).yaml),)
$(error SWEEP=$(SWEEP) should be one of: $(call stems,sweeps,*))
endif
S := $(D)/sweeps/$(SWEEP)
$(eval $(call remember,ENCODERS,$(S)/encoders.txt))
SWEEP_NOTEBOOK := notebooks/$(shell sed -n 's/^notebook: *//p' params/sweeps/$(SWEEP).yaml).py
SWEEP_DRAWN := $(if $(findstring /03_,$(SWEEP_NOTEBOOK)),97_tuned_encoders,98_sweep)
# of what the notebook imports, the modules and packages that lie here; and what else it is given: weights, a start
SWEEP_CODE := $(SWEEP_NOTEBOOK) $(SHARED) $(wildcard $(shell sed -nE 's,^(import|from) ([a-z]+).*,\2.py \2/*.py,p' $(SWEEP_NOTEBOOK)))
SWEEP_WEIGHTS := $(shell grep '^weights_dir =' $(SWEEP_NOTEBOOK))
SWEEP_START := $(if $(shell grep '^start =' $(SWEEP_NOTEBOOK)),$(or $(shell sed -nE 's/^  start: ([^ ]*).*/\1/p' params/sweeps/$(SWEEP).yaml),$(START)))
include $(S)/points.mk

$(S)/points.mk: params/sweeps/$(SWEEP).yaml $(S)/encoders.txt $(SWEEP_NOTEBOOK) | $(READY)
	@$(PYTHON) execute.py sweep $(SWEEP) $(S) --encoders $(ENCODERS) --data $(D)

$(SWEEP_POINTS:%=$(S)/%.ipynb): $(S)/%.ipynb: $(S)/%.yaml $(SWEEP_CODE) \
		$(if $(SWEEP_WEIGHTS),$(D)/weights.txt) \
		$(if $(SWEEP_START),$(D)/embeddings/$(SWEEP_START)/_SUCCESS $(D)/start.txt $(D)/training.txt) | $(READY)
	@$(RUN) $(SWEEP_NOTEBOOK) $@ dataset=$(DATASET) $(if $(SWEEP_WEIGHTS),weights_dir="$$CHAPTER_WEIGHTS") \
	  $(if $(SWEEP_START),start=$(SWEEP_START) $(TRAINING)) -f $<

$(S)/summary.csv $(addprefix $(F)/sweep_$(SWEEP),.png .csv) $(R)/$(SWEEP_DRAWN)-$(SWEEP).ipynb &: notebooks/$(SWEEP_DRAWN).py \
		$(S)/points.mk $(SWEEP_POINTS:%=$(S)/%.ipynb) execute.py clustering.py scoring.py $(SHARED) | $(READY)
	@$(RUN) $< $(R)/$(SWEEP_DRAWN)-$(SWEEP).ipynb dataset=$(DATASET) sweep=$(SWEEP) encoders="$(ENCODERS)"
endif

.PHONY: sweep
sweep: $(S)/summary.csv ## a grid of settings, one notebook per point: SWEEP= DATASET=; add -j2 for two at a time

# ---- work on the project -----------------------------------------------------------------------------------------

.PHONY: lab test lint pair publish pretrain bench lock clean help
lab: $(READY) ## open the notebooks in JupyterLab
	$(PYTHON) -m jupyterlab notebooks

test: $(READY) ## every test: utilities, notebooks end to end, the Makefile itself
	$(PYTHON) -m pytest

lint: $(READY) ## style of the code
	$(PYTHON) -m ruff check .

pair: $(READY) ## write every notebook's .ipynb from its .py; cells that did not change keep their outputs
	$(PYTHON) -m jupytext --quiet --update --to ipynb notebooks/*.py

# One run of each chapter, with the parameters that its notebook shows. The signal sweep is brought up to date with the encoders
# that it was last made with.
SHOWN := 00_simulate_specimens 01_preprocess 02_extract_embeddings-specimen_resnet18_double 03_supcon_finetune-simclr \
  04_umap_visualization-specimen_resnet18_double 05_hierarchical_clustering-specimen_resnet18_double-nested_ward 06_evaluate \
  09_recoverability 10_choosing_without_labels 11_robustness 12_taxa 13_how_many 97_tuned_encoders-trainers 98_sweep-signal 99_figures
SWEPT := $(D)/sweeps/signal/encoders.txt
$(R)/09_recoverability.ipynb: notebooks/09_recoverability.py encoders.py clustering.py scoring.py $(wildcard simulation/*.py) $(SHARED) | $(READY)
	@$(RUN) $< $@

ifneq ($(and $(filter publish,$(MAKECMDGOALS)),$(filter-out demo,$(DATASET))),)
$(error The notebooks show the demo: leave DATASET out)
endif
publish: all report $(R)/09_recoverability.ipynb ## keep what the demo and two of its sweeps give in the notebooks that are committed
	$(MAKE) sweep SWEEP=signal $(if $(wildcard $(SWEPT)),ENCODERS="$(file <$(SWEPT))")
	$(MAKE) sweep SWEEP=trainers
	$(MAKE) all # scores.csv takes in what the recipes reached
	$(PYTHON) execute.py publish $(foreach run,$(SHOWN),notebooks/$(firstword $(subst -, ,$(run))).py=$(R)/$(run).ipynb)

pretrain: ## train models/specimen_resnet18 again, from random weights on another world (about an hour on 2 cores)
	$(MAKE) data/pretraining/models/pretraining.safetensors DATASET=pretraining
	cp data/pretraining/models/pretraining.safetensors models/specimen_resnet18.safetensors
	cp data/pretraining/models/pretraining.csv models/specimen_resnet18.csv

bench: $(D)/metadata.parquet ## speed of extraction (against the plain loop, on the photographs of DATASET=) and of scoring
	$(PYTHON) tests/bench_extraction.py $(DATASET)
	$(PYTHON) tests/bench_scoring.py

lock: $(READY) ## compile requirements.in into requirements.txt (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes requirements.in -o requirements.txt

clean: ## remove what was computed for DATASET (not its photographs and not its figures)
	@if [ -d '$(D)' ]; then find '$(D)' -mindepth 1 -maxdepth 1 ! -name photos -exec rm -rf {} +; fi

help: ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20
	@echo; echo "DATASET=$(DATASET)  START=$(START)  ENCODERS=\"$(ENCODERS)\"  CLUSTERERS=\"$(CLUSTERERS)\"  SEEDS=\"$(SEEDS)\""
