# The front door. `make help` lists what it does.
#
# Everything is built by cargo; CARGO_TARGET_DIR is respected, also when the programs built are run.

BUILT := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
STARLING := $(BUILT)/release/starling
SEEDS ?= 200
MINUTES ?= 5
FAULTS ?= 1000
NODES ?= 3
LINKS ?= wires
JOBS ?= $(shell nproc)
ARGS ?=
TARGET ?= all
SECONDS ?= 60

.DEFAULT_GOAL := help
.PHONY: emulators help demo test check fix bench sim model torture tamper fuzz mutants experiments needs

help: ## list these targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name what; do \
		printf '  make %-11s %s\n' "$$name" "$$what"; done

demo: ## three nodes on this machine, with sample photos (ARGS="--nodes 5 --json" and so on)
	cargo build --locked --release --package cli
	@exec $(STARLING) demo $(ARGS)

test: needs emulators ## every test: crates, simulator, three-process clusters, the tour of the README
	cargo test --locked --workspace --no-fail-fast
	python3 tests/readme_tour.py --starling $(BUILT)/debug/starling

check: ## formatting, lints, tidy rules, documentation warnings; never writes
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --package cli --features otel -- -D warnings
	cargo xtask tidy
	cargo xtask proto --check
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items

fix: ## formats, applies what lints suggest, regenerates generated files
	cargo xtask proto
	cargo xtask openapi
	cargo clippy --fix --allow-dirty --allow-staged --workspace --all-targets
	cargo fmt --all

bench: ## the comparison with etcd (needs Debian's etcd-server; about ten minutes)
	cargo build --locked --release --package cli --package bench
	$(BUILT)/release/starling-bench all $(ARGS)

sim: ## simulated clusters under faults (SEEDS=200)
	cargo run --locked --release --package sim -- run --seeds $(SEEDS) --jobs $(JOBS) --traces $(BUILT)/sim $(ARGS)

torture: ## random faults on real processes under load, the history checked (MINUTES=5 NODES=3 LINKS=wires)
	TORTURE_MINUTES=$(MINUTES) TORTURE_NODES=$(NODES) TORTURE_LINKS=$(LINKS) cargo test --locked --package cli --test it -- --nocapture random_faults

tamper: ## random changes of a minority's files: all found, repaired or refused (FAULTS=1000 SEED=)
	TAMPER_FAULTS=$(FAULTS) $(if $(SEED),TAMPER_SEED=$(SEED)) cargo test --locked --release --package cli --test it -- --nocapture tamper

fuzz: ## parsers under coverage guidance (TARGET=all SECONDS=60; needs cargo-fuzz and a nightly compiler)
	@fuzz/run.sh $(TARGET) $(SECONDS)

model: ## exhaustive searches of the engine's states (ARGS="--case crash" for one)
	cargo run --locked --release --package explore -- check --deep $(ARGS)

mutants: ## deliberate bugs, one per rule and more, that simulator and model must find (ARGS="--only NAME")
	cargo xtask mutants $(ARGS)

experiments: ## tables and charts of docs/experiments.md (ARGS=lan for one part; twelve minutes, ten of them as root)
	$(if $(MEASURED),cargo build --locked --release --package cli --package bench)
	$(foreach part,$(MEASURED),$(call measure,$(part)))
	cargo run --locked --release --package experiments -- write $(ARGS)

emulators: # servers that stand for object stores; what cannot be installed is said, and its tests are skipped
	@tests/emulators.sh $(BUILT)/emulators

# The parts of it that are measured with real processes, for which the rest of the machine should be idle.
MEASURED = $(filter losing slow,$(if $(ARGS),$(ARGS),losing slow))
define measure
$(BUILT)/release/starling-bench $(1) --clients 24 --seconds 8 --if-possible --json docs/experiments/$(1).json

endef

needs: # what the tests call besides cargo; installed when that can be done without asking
	@tests/needs.sh
