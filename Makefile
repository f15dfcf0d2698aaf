# Every target sets itself up and is quick when nothing has changed. Versions are locked in requirements/.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
UV_VERSION = 0.13.9
VENV = .venv
BIN = $(VENV)/bin
UV = $(shell command -v uv || echo $(BIN)/uv)
# Compiled programs are kept between runs.
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.cache/xla
# So are compiled modules, even where the environment says no: importing TensorFlow takes 14 s without them, 6 s with.
export PYTHONDONTWRITEBYTECODE :=
export PYTHONPYCACHEPREFIX ?= $(CURDIR)/.cache/pycache

.PHONY: setup demo test test-long fuzz check check-wheel dist docs bench peers clients beam lock clean

setup: $(VENV)/.stamp-all

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	command -v uv > /dev/null || $(BIN)/python -m pip install --quiet uv==$(UV_VERSION)

$(VENV)/.stamp-%: requirements/%.txt setup.py | $(BIN)/python
	$(UV) pip install --quiet --python $(BIN)/python -r requirements/$*.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps -e .
	touch $@

demo: $(if $(wildcard $(VENV)/.stamp-all),,$(VENV)/.stamp-demo)
	$(BIN)/blazepose demo --output demo

# A file's tests share what they compile, so a file stays with one worker; the slow ones first (tests/conftest.py).
PYTEST = $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: setup beam
	$(PYTEST) -m "not long"

# What takes minutes more and seldom fails by itself: larger nets, further forms of what `make test` shows, several processes.
test-long: setup beam
	BLAZEPOSE_TEST_ALL_PASSES=1 $(PYTEST) -m long

# Thousands of damaged files a parser, in child processes; an hour at the most.
fuzz: setup
	$(BIN)/python tests/fuzz/fuzzing.py

check: setup .venv-core/.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/pyright
	.venv-core/bin/python tools/check_core_import.py
	$(MAKE) --no-print-directory check-wheel

# The core must import with nothing but its own requirements.
.venv-core/.stamp: requirements/core.txt setup.py | $(BIN)/python
	$(PYTHON) -m venv .venv-core
	$(UV) pip install --quiet --python .venv-core/bin/python -r requirements/core.txt
	$(UV) pip install --quiet --python .venv-core/bin/python --no-deps -e .
	touch $@

# Wheel and sdist in dist/; the wheel is built from the sdist, so that nothing is missing there.
dist: | $(BIN)/python
	rm -rf dist
	$(UV) build --quiet --no-create-gitignore --build-constraints requirements/all.txt --python $(BIN)/python -o dist .

# The wheel and its extras alone, in an empty folder: what people get. litert-converter is all of the
# extra `export` that the check needs; the rest of it is TensorFlow.
check-wheel: dist .venv-wheel/.stamp
	$(UV) pip install --quiet --python .venv-wheel/bin/python --constraints requirements/all.txt \
	  --reinstall-package blazepose_jax "$$(echo dist/*.whl)[video,litert,demo]" litert-converter
	BLAZEPOSE_CACHE=$(CURDIR)/.cache .venv-wheel/bin/python tools/check_wheel.py

# Anew with every change of what is installed, so that nothing is left of before.
.venv-wheel/.stamp: requirements/all.txt setup.py | $(BIN)/python
	$(UV) venv --quiet --clear --python $(PYTHON) .venv-wheel
	touch $@

# Apache Beam, for `blazepose corpus`; beside the rest because it wants older versions.
beam: .venv-beam/.stamp

.venv-beam/.stamp: requirements/beam.txt setup.py | $(BIN)/python
	$(PYTHON) -m venv .venv-beam
	$(UV) pip install --quiet --python .venv-beam/bin/python -r requirements/beam.txt
	$(UV) pip install --quiet --python .venv-beam/bin/python --no-deps -e .
	touch $@

docs: .venv-docs/.stamp
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict

.venv-docs/.stamp: requirements/docs.txt | $(BIN)/python
	$(PYTHON) -m venv .venv-docs
	$(UV) pip install --quiet --python .venv-docs/bin/python -r requirements/docs.txt
	touch $@

bench: setup
	$(BIN)/python tools/benchmark.py --json benchmark.json

peers: .venv-mediapipe-0.10.21/.stamp .venv-mediapipe-1.2.2/.stamp

.venv-mediapipe-%/.stamp: | $(BIN)/python
	$(PYTHON) -m venv .venv-mediapipe-$*
	$(UV) pip install --quiet --python .venv-mediapipe-$*/bin/python mediapipe==$*
	touch $@

# What runs our .task: MediaPipe for Python, its web runtime, and a browser (Debian's; nothing else here needs apt).
clients: peers tools/web/node_modules/.stamp
	command -v chromium > /dev/null || (apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium)

tools/web/node_modules/.stamp: tools/web/package.json tools/web/package-lock.json
	cd tools/web && npm ci --silent --no-audit --no-fund
	touch $@

# Newer versions where setup.py wants them: `make lock UPGRADE=--upgrade` renews all.
lock: $(BIN)/python
	for extras in "core" "demo --extra video --extra litert --extra demo" "all --extra all" "docs --extra docs" \
	  "beam --extra video --extra litert --extra beam"; do \
	  set -- $$extras; name=$$1; shift; \
	  $(UV) pip compile --quiet $(UPGRADE) setup.py $$@ --universal --python-version 3.11 \
	    --no-annotate --no-header -o requirements/$$name.txt; \
	done

clean:
	rm -rf .venv .venv-core .venv-wheel .venv-docs .venv-mediapipe-* .cache build demo dist site tools/web/node_modules
