# The one door for people and CI. Every target installs what it needs first: Debian packages, the virtual
# environment in .venv, and llama-cpp-python, which is compiled once and kept as a wheel in .cache/wheels.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
export PATH := $(PATH):/usr/sbin:/sbin
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
LLAMA := $(shell sed -n 's/^llama-cpp-python==\([^ ;]*\).*/\1/p' constraints.txt)
WHEEL := .cache/wheels/llama-cpp-python-$(LLAMA)-no-amx.built
# Without AMX: on virtual machines that show it, its kernels end the process (llama.cpp issue 20824, pull request 26954).
NO_AMX := -DCMAKE_C_FLAGS=-U__AMX_INT8__ -DCMAKE_CXX_FLAGS=-U__AMX_INT8__
LLAMA_FLAGS := $(NO_AMX) -DLLAVA_BUILD=OFF
INSTALLED := .venv/.installed
PROGRAMS := mosquitto mosquitto_rr cmake ninja g++ systemd-analyze strace faketime shellcheck sshd openssl
PACKAGES := mosquitto mosquitto-clients cmake ninja-build g++ systemd strace faketime shellcheck openssh-server openssl python3-dev python3-venv
SYSTEM := .cache/system
SYSTEM_PROGRAMS := systemd-nspawn debootstrap mosquitto ip nsenter unshare ansible-playbook ansible-lint
SYSTEM_PACKAGES := systemd-container debootstrap debian-archive-keyring mosquitto iproute2 util-linux ansible-core ansible-lint
SOURCES := agent provisioning tests benchmarks demo_model

.PHONY: help demo test test-system check format bench chaos soak install wheelhouse bundle deb clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

demo: install ## the main job: a broker, the agent, the embedded model, real prompts
	@$(BIN)/promptd demo $(DEMO)

test: install ## every test but those that need a GPU: real engines, a real broker, real TLS
	@$(BIN)/pytest $(TESTS)

# Boxes and their network are in namespaces of their own: what the tests make there ends with them.
test-system: install ## boots boxes with a real systemd, installs promptd as a customer would, breaks things; needs root
	@[ "$$(id -u)" = 0 ] || { echo "boxes can only be booted by root: sudo make test-system"; exit 1; }
	@for program in $(SYSTEM_PROGRAMS); do command -v $$program > /dev/null || missing=yes; done; \
	[ -z "$${missing:-}" ] || { apt-get update -qq; \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(SYSTEM_PACKAGES) > /dev/null; }
	@PYTHON=$(BIN)/python LLAMA_FLAGS="$(LLAMA_FLAGS)" provisioning/scripts/build-wheelhouse $(SYSTEM)/wheels --native-llama
	@for release in first second; do \
		PYTHON=$(BIN)/python provisioning/scripts/build-bundle $(SYSTEM)/wheels $(SYSTEM) $$release; done
	@PYTHONPATH=tests $(BIN)/python -m system.tree $(SYSTEM)/debian-12
	@unshare --net --mount --pid --fork --kill-child --mount-proc $(BIN)/pytest --timeout 600 $(or $(TESTS),tests/system)

check: install ## format, lint and types, as CI runs them
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/mypy

format: install ## format and mend what can be mended
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/ruff check --fix $(SOURCES)

bench: install ## the figures of docs/benchmarks.md; BENCH=eight for one of them, BENCH=--quick for a look
	@$(BIN)/python -m benchmarks $(BENCH)

chaos: install ## break everything around the agent, and count; CHAOS=--short for a look, CHAOS=--help for more
	@PYTHONPATH=tests $(BIN)/python -m chaos $(or $(CHAOS),--markdown docs/reliability.md)

soak: install ## hours of steady load with kills and restarts, and what grows; SOAK="--minutes 480", default 20
	@PYTHONPATH=tests $(BIN)/python -m chaos.soak $(or $(SOAK),--markdown docs/reliability.md)

# ARCH and ARM_ARCH, given to any of the three, reach build-wheelhouse in its environment.
wheelhouse: | .venv/bin/pip ## portable wheels for a whole fleet; ARCH=aarch64 for arm64 boxes, WHEELS=--native-llama for this box only
	@PYTHON=$(BIN)/python LLAMA_FLAGS="$(LLAMA_FLAGS)" provisioning/scripts/build-wheelhouse dist/wheelhouse $(WHEELS)

bundle: wheelhouse ## what is carried to a box: dist/promptd-VERSION-ARCHITECTURE.tar.gz; RELEASE=0.1.0-2 names another build
	@PYTHON=$(BIN)/python provisioning/scripts/build-bundle dist/wheelhouse dist $(RELEASE)

deb: wheelhouse ## the same as a Debian package for the distribution that this runs on: dist/promptd_VERSION_ARCHITECTURE.deb
	@PYTHON=$(BIN)/python provisioning/scripts/build-deb dist/wheelhouse dist $(RELEASE)

install: $(INSTALLED) ## only install

$(INSTALLED): constraints.txt pyproject.toml $(WHEEL)
	@echo "installing the packages of constraints.txt: half a minute"
	@awk '/^[a-z0-9]/ { skip = /^llama-cpp-python==/ } !skip' constraints.txt > .cache/packages.txt
	@$(BIN)/pip install -q --require-hashes -r .cache/packages.txt
	@$(BIN)/pip install -q --no-deps --force-reinstall .cache/wheels/llama_cpp_python-$(LLAMA)-*.whl
	@$(BIN)/pip install -q --no-deps -e .
	@touch $@

$(WHEEL): | .venv/bin/pip
	@mkdir -p .cache/wheels
	@echo "compiling llama-cpp-python $(LLAMA), once: 6 minutes on 2 cores"
	@awk '/^[a-z0-9]/ { keep = /^llama-cpp-python==/ } keep' constraints.txt > .cache/llama.txt
	@CMAKE_ARGS="$(LLAMA_FLAGS)" $(BIN)/pip wheel -v --no-deps --no-cache-dir --require-hashes \
		-r .cache/llama.txt -w .cache/wheels 2>&1 | tee .cache/llama.log \
		| awk 'match($$0, /\[[0-9]+\/[0-9]+\]/) { printf "\r  compiled %s ", substr($$0, RSTART, RLENGTH); fflush() } \
		END { print "" }' || { tail -n 30 .cache/llama.log; exit 1; }
	@touch $@

.venv/bin/pip:
	@for program in $(PROGRAMS); do command -v $$program > /dev/null || missing=yes; done; \
	$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || missing=yes; \
	if [ -n "$${missing:-}" ]; then \
		echo "installing Debian packages: $(PACKAGES)"; \
		as_root=$$([ "$$(id -u)" = 0 ] || command -v sudo || echo missing); \
		[ "$$as_root" != missing ] || { echo "ask root to install: $(PACKAGES)"; exit 1; }; \
		$$as_root apt-get update -qq; \
		has_sshd=$$(command -v sshd || true); \
		DEBIAN_FRONTEND=noninteractive $$as_root apt-get install -y -qq $(PACKAGES) > /dev/null 2>&1; \
		[ -n "$$has_sshd" ] || [ ! -d /run/systemd/system ] || $$as_root systemctl disable -q --now ssh; \
	fi  # tests start an sshd of their own; nobody asked for one on this machine
	@$(PYTHON) -m venv .venv

clean: ## remove what was installed and built, but not the compiled wheel
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache
