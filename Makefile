# One verb a target. `make` lists them.
PYTHON ?= python3.11
# Most tests wait more than they compute.
TEST_WORKERS ?= 3
PRESET ?= pipelines/presets/petstore.yaml
BIN := .venv/bin
# Images of Python often set it. Without bytecode, every process reads the sources of torch and vLLM anew.
unexport PYTHONDONTWRITEBYTECODE
UV_PIN := $(BIN)/uv pip compile --python-version 3.11 \
  --overrides containers/local/overrides.txt --no-emit-index-url --no-emit-find-links \
  --no-annotate --no-header --quiet --upgrade
UV_COMPILE := $(UV_PIN) pyproject.toml --extra dev
UV_CPU := --overrides containers/local/overrides-cpu.txt

.DEFAULT_GOAL := help
.PHONY: help setup run check test lint strip bench lock audit clean

help:  ## list the targets
	@sed -n 's/^\([a-z0-9]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 8

setup: .venv/installed  ## install everything into .venv (Python 3.11 is all that must be there)

.venv/installed: pyproject.toml $(wildcard containers/local/*)
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install it, or name another: make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) containers/local/install.py
	@touch $@

run: setup  ## the whole release from the pet store's dataset to its promoted endpoint
	@$(BIN)/tunegate run --preset $(PRESET)

# What is skipped here is told, and why.
check: setup lint  ## lint, types and every test that needs no real engine, no cluster and no release
	@$(BIN)/python -m pytest -q -rs -m "not (e2e or cluster or release or quiet)" -n $(TEST_WORKERS) --no-loadscope-reorder
	@$(BIN)/python -m pytest -q -rs -m quiet

test: setup lint  ## lint, types and every test, the real thing on a smaller preset included
	@$(BIN)/python -m pytest -m "not quiet" -n $(TEST_WORKERS) --no-loadscope-reorder
	@$(BIN)/python -m pytest -m quiet

lint: setup  ## style, types and who may import whom
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo --no-cache
	@$(BIN)/hadolint containers/*/Dockerfile tests/cluster/Dockerfile

strip: setup  ## take what a run left in the notebooks out of them, before a commit
	@$(BIN)/nbstripout --keep-id --extra-keys "metadata.language_info metadata.papermill cell.metadata.papermill" notebooks/*.ipynb

bench: setup  ## speed, as ratios measured side by side
	@for bench in tests/bench/bench_*.py; do $(BIN)/python $$bench || exit 1; done

lock: setup  ## pin every package anew from pyproject.toml; torch loses its local build label
	@$(UV_COMPILE) $(UV_CPU) --extra cpu -o containers/local/requirements-cpu.txt
	@$(UV_COMPILE) --extra gpu -o containers/local/requirements-gpu.txt
	@sed -i 's/^\(torch==[0-9.]*\)+.*/\1/' containers/local/requirements-*.txt
	@$(UV_PIN) containers/control/requirements.in -c containers/local/requirements-cpu.txt -o containers/control/requirements.txt
	@$(UV_PIN) containers/mlflow/requirements.in -c containers/local/requirements-cpu.txt -o containers/mlflow/requirements.txt
	@for image in serve train; do \
	  $(UV_PIN) $(UV_CPU) containers/$$image/requirements.in containers/$$image/requirements-cpu.in \
	    -c containers/local/requirements-cpu.txt -o containers/$$image/requirements-cpu.txt || exit 1; \
	  $(UV_PIN) containers/$$image/requirements.in containers/$$image/requirements-gpu.in \
	    -c containers/local/requirements-gpu.txt -o containers/$$image/requirements-gpu.txt || exit 1; \
	  done
	@sed -i 's/^\(torch==[0-9.]*\)+.*/\1/' containers/*/requirements-*.txt

# Not a part of check or of CI: it asks a service on the Internet, and its answer changes without a commit.
audit: setup  ## hold the images' pinned packages against known holes; OSV_URL= asks another service than PyPI
	@$(BIN)/python containers/audit.py $(if $(OSV_URL),--osv-url=$(OSV_URL))

clean: setup  ## stop what runs and delete all state
	@$(BIN)/tunegate down
	@rm -rf .tunegate
