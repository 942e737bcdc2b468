# The lab's commands. Everything runs in .venv, whatever environment is active in the shell.
.DEFAULT_GOAL := help
.PHONY: help lab setup test quick notebooks clean

# The interpreter that .venv is made from; name another with: make lab PYTHON=/path/to/python3.12
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)

BIN := .venv/bin
READY := .venv/labkit-ready

# Tests and notebooks need no network: a hub that is asked would be a mistake, so it is shut off.
test quick notebooks: export HF_HUB_OFFLINE := 1
test: export OMP_NUM_THREADS ?= $(shell echo $$(($(CORES) > $(PROCESSES) ? $(CORES) / $(PROCESSES) : 1)))
export TOKENIZERS_PARALLELISM := false
# Packages of another environment must not shadow those of .venv.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

help:
	@echo "make lab        set up .venv where it is missing, then open the first notebook"
	@echo "make test       all that CI runs: format, lint, tests, doctests, every notebook"
	@echo "make quick      format, lint, and the tests of what has changed since the last commit: three minutes"
	@echo "make notebooks  execute every notebook from top to bottom and store its outputs"
	@echo "make setup      only set up .venv"
	@echo "make clean      remove caches and build products (your runs and .venv stay)"

setup: $(READY)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "labkit needs Python 3.11 or newer: install it, or name it: make PYTHON=/path/to/python"; exit 1; }
	@"$(PYTHON)" -m venv .venv || { rm -rf .venv; echo "$(PYTHON) cannot make a virtual environment (on Debian and Ubuntu: apt install python3-venv)"; exit 1; }

# A stamp: set up again only when what is needed has changed. The library is installed as a link to the checkout.
$(READY): requirements.txt pyproject.toml setup.py | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@touch $@

# Opens a browser where there is a screen; else prints the address to open.
lab: $(READY)
	@set --; \
	if [ "$$(id -u)" = 0 ]; then set -- "$$@" --allow-root; fi; \
	if [ -n "$$CI$$SSH_CONNECTION" ] || { [ "$$(uname -s)" = Linux ] && [ -z "$$DISPLAY$$WAYLAND_DISPLAY" ]; }; then \
		set -- "$$@" --no-browser; fi; \
	exec $(BIN)/python -m jupyterlab --ServerApp.root_dir="$(CURDIR)" \
		--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb "$$@"

# Two processes or more test, each whole files, and share the cores. One thread each where there are two cores: threads
# that wait for each other by spinning beside a second process cost several times what they save.
CORES := $(shell env -u OMP_NUM_THREADS nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 1)
PROCESSES := $(shell echo $$(($(CORES) > 3 ? $(CORES) / 2 : $(CORES))))
WORKERS := $(if $(filter-out 1,$(PROCESSES)),-n $(PROCESSES) --dist loadfile)

# pytest comes last, so that the output ends with its own closing line.
test: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m pytest tests labkit labkit_exercises notebooks --nbval-lax --nbval-current-env \
		--durations=10 $(WORKERS)

quick: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m tests.quick

# An error in a cell stops here and leaves that notebook as it was. Timings and machine details are not stored.
# Kernel and language are stored as JupyterLab writes them: else it shows a notebook as changed as soon as it is opened.
notebooks: $(READY)
	@for notebook in notebooks/*.ipynb notebooks/homework/*.ipynb; do \
		echo "$$notebook"; \
		$(BIN)/python -m nbconvert --log-level=WARN --to notebook --execute --inplace \
			--ExecutePreprocessor.timeout=900 \
			--ExecutePreprocessor.record_timing=False \
			--ExecutePreprocessor.store_widget_state=False \
			--CoalesceStreamsPreprocessor.enabled=True \
			--ClearMetadataPreprocessor.enabled=True \
			--ClearMetadataPreprocessor.preserve_nb_metadata_mask="{'kernelspec', 'language_info'}" \
			--ClearMetadataPreprocessor.preserve_cell_metadata_mask="{'tags', 'jupyter'}" \
			"$$notebook" || exit 1; \
	done

clean:
	rm -rf build dist ./*.egg-info .pytest_cache .ruff_cache .hypothesis
	find . \( -name .venv -o -name .git \) -prune -o \
		\( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -prune -exec rm -rf {} +
