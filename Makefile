# The commands of the house. `make` alone lists them.

.DEFAULT_GOAL := help
.PHONY: help run test check bench model chaos

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## build, then play the example in examples/ci until Ctrl-C
	cargo build -p goaround
	@examples/ci/play.sh

test: ## fetch what the tests need, then run all of them
	@.ci/test

check: ## format, lints, dependencies, fast tests: what every commit passes
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	@if command -v cargo-deny >/dev/null; then cargo deny --workspace check; \
	else echo "SKIPPED: cargo-deny is not there, so advisories and licences are not checked"; fi
	cargo nextest run --workspace -E 'not package(acceptance)'

bench: ## measure side by side with bare loops; ARGS="drain --rounds 3" for a part, "peers" for others
	cargo build --release -p goaround -p bench
	target/release/bench $(ARGS)

model: ## check the delivery protocol in every order of events, and that each rule is needed
	cargo run --release -p goaround-model -- $(ARGS)

chaos: ## break everything at random for MINUTES=5 from SEED=, then count; and the long tests in full
	cargo build -p goaround
	GOAROUND_LONG=1 MINUTES=$(or $(MINUTES),5) SEED=$(SEED) cargo nextest run -p acceptance \
		--profile chaos --no-capture -E 'binary(chaos) or binary(long_work)'
