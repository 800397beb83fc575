# One command per thing that a person wants. Every target uses the one profile, `release`.
SHELL := /bin/bash
CARGO ?= cargo
export HESPER_VECTORS ?= $(abspath ../shared/vectors)
TARGET_DIR := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
HESPER := $(TARGET_DIR)/release/hesper

.PHONY: help packages build demo test test-long bench bench-identity bench-kernels asan fuzz lint fmt doc

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

packages: ## Install the system packages that the build needs (root), or print the command
	@scripts/packages

build: packages ## Build the binary
	$(CARGO) build --release --locked --workspace

demo: build ## Seal a file on 3 nodes and 2 executors while the leader is killed twice
	HESPER=$(HESPER) HESPER_DEMO=$(TARGET_DIR)/release/hesper-demo scripts/demo

lint: ## Formatting and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings

doc: ## Documentation, with warnings as errors
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --locked --workspace --no-deps --document-private-items

test: packages ## Everything that CI checks
	@scripts/test

test-long: packages ## 8 MiB C2 and 512 MiB to C1: half an hour, 4 GiB of memory, 8 GiB of disc
	$(CARGO) test --release --locked --workspace --no-run
	$(CARGO) test --release --locked --workspace --test stages --test params -- --ignored --nocapture --test-threads=1

bench: build ## Benchmarks against peers; NAME=row runs one
	HESPER=$(HESPER) $(TARGET_DIR)/release/hesper-bench $(if $(NAME),--name $(NAME))

asan: packages ## The kernels' tests at small sizes under AddressSanitizer
	scripts/asan

fuzz: packages ## Every decoder that meets the network, 10 minutes each; FUZZ_SECONDS=n for less
	scripts/fuzz $(or $(FUZZ_SECONDS),600)

bench-identity: build ## Benchmarks of signatures, tokens and the wallet
	HESPER=$(HESPER) $(TARGET_DIR)/release/hesper-bench --group identity $(if $(NAME),--name $(NAME))

bench-kernels: build ## Own kernels against the proof library; NAME=row runs one, FULL=1 whole sectors
	@scripts/packages libhwloc-dev
	scripts/peer
	$(if $(FULL),FULL=1) $(TARGET_DIR)/release/hesper-bench --group kernels $(if $(NAME),--name $(NAME))
