# Fanal. `make demo` and `make test` are all the set-up there is: they make their own environment.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
TESTS  ?= tests
# More workers than most have cores: tests wait more than they reckon. A file stays together, since
# its tests share what is costly to make.
PYTEST ?= -n 4 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help system services demo sitting relay test hil bluez lint vectors bench mpy clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

demo: $(VENV)/.sim mpy ## one squeeze, end to end, with no hardware
	@$(BIN)/fanal demo

sitting: $(VENV)/.sim mpy ## eight blank boards become beacons, with no hardware
	@$(BIN)/fanal demo sitting

relay: $(VENV)/.sim mpy ## thirty beacons, two volunteers and a hub, with no hardware
	@$(BIN)/fanal demo hub

test: services $(VENV)/.dev mpy ## everything that needs no hardware
	$(BIN)/pytest $(PYTEST) $(TESTS)

hil: $(VENV)/.dev mpy ## the hardware suite and its page; HIL='--beacon PORT --radio bluetooth'
	$(BIN)/pytest tests/hil --hil-report build/hil/report.html --junitxml build/hil/junit.xml $(HIL)

bluez: $(VENV)/.dev mpy ## a real BlueZ hears the virtual air, in a virtual machine
	$(BIN)/pytest tests/bluez --bluez

lint: $(VENV)/.dev ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

vectors: $(VENV)/.dev ## the test vectors on both interpreters; VECTORS=FILES for others
	$(BIN)/python tests/vectors/run_vectors.py $(VECTORS)
	MICROPYPATH=protocol:firmware:tests/vectors:.frozen $(BIN)/micropython tests/vectors/run_vectors.py $(VECTORS)

bench: $(VENV)/.dev ## what is measured, against whom
	$(BIN)/python bench/schedule.py
	$(BIN)/python bench/signature.py
	$(BIN)/python bench/flashing.py
	$(BIN)/python bench/line.py
	$(BIN)/python bench/place.py
	$(BIN)/python bench/hub.py
	$(BIN)/python bench/resolver.py

mpy: $(VENV)/.sim ## the firmware as .mpy files with a manifest of SHA-256 sums
	@$(BIN)/python -m fanal.firmware_image

clean: ## everything that make made
	rm -rf $(VENV) build host/fanal/_firmware host/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Debian and Ubuntu split venv from Python. Everything else comes from PyPI.
system: ## the Debian packages that the rest needs (only if they are missing)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    SUDO=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	    $$SUDO apt-get update && $$SUDO apt-get install -y python3-venv; }

services: ## the Debian packages of the services that tests start (only if they are missing)
	@tests/install_services.sh

$(VENV)/bin/python:
	@$(MAKE) --no-print-directory system
	$(PYTHON) -m venv $(VENV)

$(VENV)/.sim: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[sim]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.sim
