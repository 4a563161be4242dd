# What a person types. `make` alone lists it.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
ARGS =

BIN := .venv/bin
READY := .venv/.ready
IN_VENV := PATH="$(CURDIR)/$(BIN):$$PATH"

.PHONY: help
help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s%s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  More arguments go through ARGS:  make run ARGS='--config overlap=2'"
	@echo "                                   make test ARGS='-k tiles'"
	@echo "  Another Python:                  make setup PYTHON=python3.12"
	@echo "  Without an NVIDIA GPU:           make setup TORCH=cpu"

.PHONY: run
run: $(READY)  ## train everything the configuration asks for and write the report
	@$(IN_VENV) snakemake --cores all $(ARGS)

.PHONY: test
test: $(READY)  ## run the tests, except those below
	@$(IN_VENV) pytest -m "not browser and not slurm and not faults" \
		-n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: test-faults
test-faults: $(READY)  ## kill, fill up and damage real runs (some minutes; see docs/faults.md)
	@$(IN_VENV) pytest -m faults $(ARGS)

.PHONY: test-browser
test-browser: $(READY)  ## open the report in a headless Chromium (Debian package chromium)
	@$(IN_VENV) pytest -m browser $(ARGS)

.PHONY: test-slurm
test-slurm: $(READY)  ## run on a real SLURM of two nodes, started here (root; slurm-wlm, munge)
	@$(IN_VENV) pytest -m slurm tests/slurm $(ARGS)

# With the Python that has a torch for this machine's GPU; the project's own files are not needed.
.PHONY: test-gpu
test-gpu:  ## train on this machine's GPU (PYTHON=one with torch; see tests/gpu)
	@PYTHONPATH="$(CURDIR)/workflow" $(PYTHON) -m pytest -c /dev/null --rootdir=. --noconftest \
		-p no:cacheprovider -q -ra tests/gpu $(ARGS)

.PHONY: test-wheel
test-wheel: $(READY)  ## install the wheel elsewhere and use it there, with the model of make run
	@$(IN_VENV) bash .ci/wheel.sh

THEMES := training decomposition coarse startup tiling pipeline memory scaling gpu

.PHONY: bench
bench: $(READY) .venv-bench/.ready  ## measure all themes of benchmarks/ (half an hour; ARGS=--quick: smoke test)
	@for theme in $(THEMES); do \
		$(IN_VENV) PYTHONPATH="$(CURDIR)/workflow" OMP_NUM_THREADS=1 \
			python benchmarks/$$theme.py $(ARGS); \
	done

# Keras and TensorFlow are measured against, never used: a folder of their own beside .venv.
.venv-bench/.ready: benchmarks/requirements-keras.txt $(READY)
	@echo "bench: installing Keras and TensorFlow into .venv-bench (1.5 GB on disk)"
	@rm -rf .venv-bench
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --target .venv-bench --no-deps \
		--require-hashes --compile-bytecode -r benchmarks/requirements-keras.txt
	@touch $@

.PHONY: lint
lint: $(READY)  ## check style and workflow without changing a file
	@$(IN_VENV) ruff check .
	@$(IN_VENV) ruff format --check .
	@$(IN_VENV) snakefmt --check Snakefile workflow
	@$(IN_VENV) snakemake --lint

.PHONY: format
format: $(READY)  ## bring all files into the project's style
	@$(IN_VENV) ruff check --fix-only .
	@$(IN_VENV) ruff format .
	@$(IN_VENV) snakefmt Snakefile workflow

.PHONY: docs
docs: $(READY)  ## build the documentation into build/docs; a warning is an error
	@$(IN_VENV) sphinx-build --quiet --fail-on-warning --keep-going --fresh-env \
		--doctree-dir build/doctrees docs build/docs

.PHONY: setup
setup: $(READY)  ## install what is missing into .venv (run and test do it themselves)

# TORCH=cpu leaves out what only GPUs need. The environment remembers it.
CHOSEN := $(or $(shell cat .venv/.torch 2>/dev/null),gpu)
TORCH ?= $(CHOSEN)
ifeq ($(filter cpu gpu,$(TORCH)),)
$(error TORCH=$(TORCH): take TORCH=cpu or TORCH=gpu)
endif

# The environment is made again where there is none, where it is broken (its Python is gone), where
# it was copied or moved (it holds absolute paths and would run the code of the old place), and for
# another TORCH.
USABLE := $(shell grep -qsF " $(CURDIR)/.venv" .venv/pyvenv.cfg && $(BIN)/python -c "" \
	&& test -x $(BIN)/uv && test $(TORCH) = $(CHOSEN) && echo yes)
ifneq ($(USABLE),yes)
.PHONY: $(BIN)/uv
endif

$(BIN)/uv:
	@command -v $(PYTHON) >/dev/null || { echo "setup: there is no $(PYTHON):" \
		"install Python 3.11, 3.12 or 3.13" >&2; exit 1; }
	@$(PYTHON) envs/check_python.py
	@rm -rf .venv
	@echo "setup: making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv
	@echo $(TORCH) > .venv/.torch
	@sed -n '/^uv==/,/# via/p' envs/requirements.txt > .venv/uv.txt
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-deps \
		--require-hashes -r .venv/uv.txt

# Of what uv says, the downloads from 100 MiB on, errors and sums are enough.
ONLY_LARGE := /^ +([-+~]|Downloaded|Building|Built) /d; \
	/^Downloading .*\(([0-9.]+KiB|[0-9]{1,2}\.[0-9]MiB)\)/d

# The byte-code is compiled here because every job would pay for it otherwise: 13 s instead of 6 s
# from process start to the first training step.
KERNELS := $(wildcard workflow/ddcnn/nets/kernels/*.cpp workflow/ddcnn/nets/kernels/*.h)

$(READY): envs/requirements.txt envs/install.sh pyproject.toml $(KERNELS) $(BIN)/uv
	@envs/install.sh $(TORCH) 2>&1 | sed -uE "$(ONLY_LARGE)"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@echo "setup: kernels: $$($(BIN)/python -m ddcnn.nets.kernels)"
	@touch $@
	@echo "setup: ready"

.PHONY: lock
lock: $(BIN)/uv  ## renew envs/ after a change of dependencies (ARGS=--upgrade: newest versions)
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --all-extras --no-header $(ARGS) pyproject.toml -o envs/requirements.txt
	@$(BIN)/python envs/write_conda.py
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header $(ARGS) -c envs/requirements.txt \
		benchmarks/requirements-keras.in -o benchmarks/requirements-keras.txt

.PHONY: clean
clean:  ## remove results, logs and caches; keeps downloaded data and .venv
	@find results -mindepth 1 ! -type d ! -path results/README.md ! -path 'results/data/*/raw/*' -delete
	@find results -mindepth 1 -type d -empty -delete
	@rm -rf logs build dist .pytest_cache .ruff_cache .hypothesis
	@find workflow tests -name __pycache__ -prune -exec rm -rf {} +
	@rm -rf workflow/ddcnn/nets/kernels/*.so workflow/ddcnn/nets/kernels/.compiling-*
	@test ! -d .snakemake || find .snakemake -mindepth 1 -maxdepth 1 ! -name conda -exec rm -rf {} +

.PHONY: clean-all
clean-all: clean  ## remove the downloaded data, too
	@find results -mindepth 1 ! -path results/README.md -delete
