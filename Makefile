# The targets that a user may call; `make help` lists them. plan.py checks all settings and writes the rules of the chapters to
# a makefile in data/.plans/, which is included below.

ifeq ($(filter grouped-target,$(.FEATURES)),)
$(error This Makefile needs GNU Make 4.3 or newer and this is $(MAKE_VERSION). environment.yml brings one; so does Homebrew, as gmake)
endif

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help

# ---- settings on the command line --------------------------------------------------------------------------------

SETTINGS := DATASET SOURCE CSV LABELS WEIGHTS ENCODERS CLUSTERERS SEEDS START TRAINING SUBMIT REVIEW ENGINE SWEEP LIST PYTHON
FROM_ENVIRONMENT := DATASET ENCODERS CLUSTERERS SEEDS SWEEP # read from environment variables, too
# not used here, but by the programs
PASSED_ON := TMPDIR CUDA_VISIBLE_DEVICES OMP_NUM_THREADS OPENBLAS_NUM_THREADS HF_HOME TORCH_HOME RAY_ADDRESS

typed := $(foreach v,$(.VARIABLES),$(if $(filter command,$(origin $(v))),$(v)))
exported := $(foreach v,$(FROM_ENVIRONMENT),$(if $(filter environment,$(origin $(v))),$(v)))
unknown := $(firstword $(filter-out $(SETTINGS) $(PASSED_ON),$(typed)))
ifneq ($(unknown),)
$(error $(or $(shell python3 plan.py nearest $(unknown) $(SETTINGS)),there is no variable $(unknown)))
endif
# arguments of plan.py, each in quotes: 'NAME=value'
GIVEN := $(foreach v,$(filter-out PYTHON,$(filter $(SETTINGS),$(typed)) $(exported)),'$(v)=$(subst ','\'',$(value $(v)))')

DATASET ?= demo
D := data/$(DATASET)

# ---- environment -------------------------------------------------------------------------------------------------

# .venv is built from requirements.txt when a target needs it; PYTHON=python uses the active environment instead.
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
	@sed -n '/^uv==/,/[^\]$$/p' requirements.txt > .venv/uv.txt # the release of uv that is locked, with its hashes
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.txt
	@.venv/bin/uv pip install --quiet --python .venv/bin/python --require-hashes -r requirements.txt || \
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements.txt # it knows pip's own settings
	@.venv/bin/python -m compileall -q -j 0 -x /tests/ .venv/lib >/dev/null || true # on all cores; some packages contain files for other Python versions
	@touch $@

# NumPy and SciPy compute on one core, and chapters divide their work among the cores themselves. Otherwise threads of matrix
# products and decompositions wait for each other: beside another program, a PCA took six times and a QR thirty times as long.
export OPENBLAS_NUM_THREADS ?= 1

# ---- chapters ----------------------------------------------------------------------------------------------------

.PHONY: all submission atlas report barcodes referee align sweep FORCE
all: ## specimens to scored clusters: DATASET= SOURCE= [CSV= LABELS=folders WEIGHTS= REVIEW= ENCODERS= ENGINE=ray ...]
submission: ## the CSV for Kaggle; SUBMIT=encoder/clusterer chooses the run
atlas: ## map, tree and photographs in one HTML file, data/<dataset>/atlas/, in which clusters can be corrected
report: ## after all, where taxa are known: the atlas, indices without labels, robustness, scores of every taxon
barcodes: ## where specimens have DNA barcodes: k-mers and a pretrained language model, on unseen species
referee: ## where photographs have DNA barcodes: clusters of image, DNA and both; barcodes as referee of the image clusters
align: ## where photographs have DNA barcodes: train image, DNA and name into one space, tested on unseen species
sweep: ## a grid of settings, one notebook per point: SWEEP= DATASET=; -j2 runs two at a time
FORCE:

.PHONY: fetch
fetch: $(READY) ## photographs from Kaggle or BioTrove, or by a table of addresses: DATASET=biotrove, or DATASET= LIST=
	$(PYTHON) fetch.py '$(subst ','\'',$(DATASET))' --list='$(subst ','\'',$(value LIST))'

# The plan has the rules of all chapters and the prerequisites of the targets above. A chapter whose parameters or photographs
# have changed has the prerequisite FORCE.
ifneq ($(filter all submission atlas report barcodes referee align sweep bench publish data/% figures/%,$(MAKECMDGOALS)),)
include $(READY) # an empty file: make builds .venv if it is missing or old, and starts again
ifeq ($(wildcard $(READY)),$(READY))
PLAN := $(shell $(PYTHON) plan.py rules --goals '$(MAKECMDGOALS)' $(GIVEN))
include $(or $(PLAN),$(error nothing was done))
# A dry run counts the chapters, so that each can say which of how many it was (execute.py).
ifeq ($(findstring n,$(filter-out --%,$(firstword -$(MAKEFLAGS)))),)
export STEPS := $(shell $(MAKE) -n $(MAKECMDGOALS) $(if $(filter command,$(origin PYTHON)),PYTHON='$(PYTHON)') $(GIVEN) 2>/dev/null | \
  grep -c 'execute.py run') $(shell date +%s)
endif
endif
endif

# ---- work on the project -----------------------------------------------------------------------------------------

.PHONY: lab test lint docs pair publish pretrain pretrain_barcodes bench lock clean help
lab: $(READY) ## open the notebooks in JupyterLab
	$(PYTHON) -m jupyterlab notebooks

test: $(READY) ## the tests: modules, notebooks end to end, the Makefile itself
	$(PYTHON) -m pytest

lint: $(READY) ## check the style of the code
	$(PYTHON) -m ruff check .

docs: $(READY) ## fill the tables of README.md and docs/ from figures/, and build the website, site/html/
	$(PYTHON) docs.py
	$(PYTHON) -m sphinx --quiet --fail-on-warning -d site/doctrees -c docs . site/html

pair: $(READY) ## write the .ipynb of every notebook from its .py; unchanged cells keep their outputs
	$(PYTHON) -m jupytext --quiet --update --to ipynb notebooks/*.py

# One run of each chapter, as make runs it for the demo.
SHOWN := 00_simulate_specimens 01_preprocess 02_extract_embeddings-specimen_resnet18_double 03_supcon_finetune-simclr \
  04_umap_visualization-specimen_resnet18_double 05_hierarchical_clustering-specimen_resnet18_double-pooled_average 06_evaluate \
  07_dna_barcodes 08_align_image_dna_text \
  09_recoverability 10_choosing_without_labels 11_robustness 12_taxa 13_how_many 14_tuned_or_frozen-simclr 15_stress_test 16_trust \
  17_naming_effort 18_how_sure 19_contact_sheets 20_atlas-specimen_resnet18_double 21_review 22_image_and_dna 23_report 24_trees \
  25_maps 26_what_the_encoder_sees 27_what_can_be_read 28_speed 29_learned_heads \
  95_sweep_recoverability-signal 96_sweep_maps-umap 97_sweep_training-trainers 98_sweep_clusters-clusterers 99_figures
ifneq ($(and $(filter publish,$(MAKECMDGOALS)),$(filter-out demo,$(DATASET))),)
$(error The notebooks show the demo: leave DATASET out)
endif
publish: ## run the demo, its measurements and four sweeps, and keep the outputs in the .ipynb files that are committed
	$(MAKE) sweep SWEEP=signal
	$(MAKE) sweep SWEEP=umap
	$(MAKE) sweep SWEEP=trainers
	$(MAKE) sweep SWEEP=clusterers ENCODERS=specimen_resnet18_double
	$(MAKE) bench
	$(PYTHON) execute.py publish $(foreach run,$(SHOWN),notebooks/$(firstword $(subst -, ,$(run))).py=$(D)/runs/$(run).ipynb)

DIGESTS = $(PYTHON) -c "import utils; [print(utils.file_digest(p), p.name, sep='  ') for p in sorted((utils.ROOT / 'models').glob('*.safetensors'))]"
pretrain: ## train models/specimen_resnet18 again, from random weights on another simulated world (minutes with a graphics card)
	$(MAKE) data/pretraining/models/pretraining.safetensors DATASET=pretraining
	cp data/pretraining/models/pretraining.safetensors models/specimen_resnet18.safetensors
	cp data/pretraining/models/pretraining.csv models/specimen_resnet18.csv
	$(DIGESTS) > models/SHA256SUMS

pretrain_barcodes: ## train models/dna_mlm again, on the barcodes in SOURCE= (about 10 minutes on 2 cores)
	$(MAKE) data/coi_barcodes/models/dna_mlm.safetensors DATASET=coi_barcodes
	cp data/coi_barcodes/models/dna_mlm.safetensors data/coi_barcodes/models/dna_mlm.csv models/
	$(DIGESTS) > models/SHA256SUMS

bench: ## speed and memory on this machine: chapters of DATASET=, embeddings, clusters, scores and the atlas (half an hour)
	$(PYTHON) tests/bench_steps.py $(DATASET)
	$(PYTHON) tests/bench_extraction.py $(DATASET)
	$(PYTHON) tests/bench_clustering.py $(DATASET)
	$(PYTHON) tests/bench_scoring.py
	$(PYTHON) tests/bench_atlas.py
	$(PYTHON) execute.py run notebooks/28_speed.py $(D)/runs/28_speed.ipynb dataset=$(DATASET)

lock: $(READY) ## compile requirements.in into requirements.txt
	$(PYTHON) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes requirements.in -o requirements.txt

ANY_PYTHON = $(or $(shell command -v $(PYTHON)),python3)
clean: ## remove what was computed for DATASET, but not its photographs and figures
	@$(ANY_PYTHON) plan.py clean $(GIVEN)

help: ## this list
	@awk -F ':[^#]*## ' '/^[a-z_]+:[^#]*## / { printf "  make %-18s%s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@if [ -n "$$(command -v $(PYTHON))" ]; then echo; $(PYTHON) plan.py settings $(GIVEN); fi
