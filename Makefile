# The only command surface. `make` alone prints what there is.

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

NODES   ?= 2
SCALE   ?= 1
SUITE   ?= trixie
TARGET  ?= lab
RELEASE := target/release
LAB     := $(RELEASE)/warden-lab
VENV    := .venv
ANSIBLE := $(VENV)/bin/ansible-playbook
export WARDEN_LAB := $(abspath $(LAB))

# What the stand needs of this computer beside Rust. `make deploy` and `make test` install what is missing.
PACKAGES      := python3-venv build-essential debhelper help2man openssl
TEST_PACKAGES := postgresql haproxy dbus-daemon systemd curl prometheus lintian chromium chromium-driver prometheus-alertmanager

.PHONY: help
help: ## print this
	@echo "Warden keeps a fragile service alive. Commands:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "Variables: NODES=$(NODES) (bingo nodes)  SCALE=$(SCALE) (share of the database, 0.01 for the impatient)  SUITE=$(SUITE)  TARGET=$(TARGET)"

# ---------------------------------------------------------------- the stand

.PHONY: deploy
ifdef INVENTORY
deploy: need-cargo need-packages
	@ansible/deploy.sh "$(INVENTORY)" "$(VARS)"
else ifeq ($(TARGET),yandex)
deploy: need-cargo need-packages
	@NODES="$(NODES)" terraform/deploy.sh up "$(VARS)"
else
deploy: need-root need-cargo need-packages need-target ## bring up the Bingo stand here (or TARGET=yandex, or INVENTORY=file)
	@tests/deploy.sh "$(NODES)" "$(SCALE)" "$(SUITE)"
endif

.PHONY: status
status: need-stand ## the fleet as the balancer sees it
	@$(LAB) exec lb-1 -- agentctl fleet status

.PHONY: clean
ifeq ($(TARGET),yandex)
clean:
	@terraform/deploy.sh down
else
clean: need-root need-cargo need-target ## take the stand down; nothing of it is left but the cache
	@if [ -x $(LAB) ]; then $(LAB) down; else cargo run -q --release -p warden-lab -- down; fi
	@echo "kept: what was built and the cache of packages, so that the next start is quick; make distclean removes both"
endif

.PHONY: distclean
distclean: need-root need-cargo ## clean, and remove the lab's cache and all that was built
	@if [ -x $(LAB) ]; then $(LAB) down --cache; else cargo run -q --release -p warden-lab -- down --cache; fi
	@rm -rf target $(VENV)

# ---------------------------------------------------------------- packages

.PHONY: package
package: need-cargo need-packages ## Debian packages of agent, coordinator and agentctl, in target/package
	@tests/debs.sh

# ---------------------------------------------------------------- proof

.PHONY: test
test: need-root need-cargo need-packages need-test-packages need-nextest $(VENV)/.ready ## everything there is, lab included, with a summary
	@tests/run.sh all

.PHONY: test-fast
test-fast: need-root need-cargo need-packages need-test-packages need-nextest $(VENV)/.ready ## everything that needs no lab
	@tests/run.sh fast

.PHONY: scenarios
scenarios: need-root need-cargo need-packages need-test-packages need-nextest ## every scenario on a stand of its own, those too long for `make test` too
	@DEPLOY_VARS="-e @../tests/scenarios/stand.yml" tests/stand.sh
	@cargo nextest run --workspace --exclude warden-lab --locked --profile lab-all

# More arguments for it, as in CHECK="--short".
CHECK ?=
.PHONY: check-stand
ifdef ADDRESS
check-stand: need-cargo
	@cargo build -q --release -p warden-check
	@$(RELEASE)/check-stand --address "$(ADDRESS)" $(CHECK)
else
check-stand: need-cargo need-stand ## whether a stand keeps what its users were promised; ADDRESS=host for one elsewhere
	@cargo build -q --release -p warden-check
	@$(LAB) ns -- $(RELEASE)/check-stand --address 198.18.0.10 --lab --prometheus 198.18.0.6:9090 $(CHECK)
endif

.PHONY: bench
bench: need-cargo need-stand ## figures beside peers, on a running stand of three (make deploy NODES=3 SCALE=0.01), and of many agents; three quarters of an hour
	@tests/packages.sh haproxy && mkdir -p target/bench
	@cargo build -q --release -p warden-coordinator -p warden-bench
	@$(RELEASE)/warden-bench peers --folder target/bench
	@$(RELEASE)/warden-bench --json target/bench/bench.json
	@$(RELEASE)/warden-bench fleet --json target/bench/fleet.json
	@$(RELEASE)/warden-bench growth --json target/bench/growth.json

MINUTES ?= 60
SEED    ?= 1
.PHONY: soak
soak: need-cargo need-stand ## MINUTES under load on the running stand with faults at random (SEED); WITHOUT=1: the same without Warden; RESUME=1: go on
	@cargo build -q --release -p warden-bench
	@$(RELEASE)/warden-bench soak --minutes "$(MINUTES)" --seed "$(SEED)" --json target/soak$(if $(WITHOUT),-without).json $(if $(WITHOUT),--without) $(if $(RESUME),--resume)

FAULTS ?=
.PHONY: chaos
chaos: need-cargo need-stand ## what can go wrong, on the running stand: ALL=1, or FAULTS=a,b, or MINUTES at random (SEED), or REPLAY=file; RESUME=1: go on
	@cargo build -q --release -p warden-chaos
	@$(RELEASE)/warden-chaos $(if $(REPLAY),--replay "$(REPLAY)",$(if $(ALL),--all,$(if $(FAULTS),--only "$(FAULTS)",--minutes "$(MINUTES)" --seed "$(SEED)"))) $(if $(RESUME),--resume)

FUZZ_SECONDS ?= 60

.PHONY: fuzz
fuzz: need-cargo ## bytes that nobody expects, FUZZ_SECONDS for each place where they come in
	@tests/fuzz/run.sh "$(FUZZ_SECONDS)"

.PHONY: lint
lint: need-cargo $(VENV)/.ready ## format, clippy, ansible-lint
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets --locked -- -D warnings
	@cd ansible && ../$(VENV)/bin/ansible-lint --offline --profile production

.PHONY: fmt
fmt: need-cargo ## format the sources
	@cargo fmt --all

.PHONY: deny
deny: need-cargo ## licences, sources, bans and advisories by cargo-deny (make test holds all but the advisories)
	@cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny
	@cargo deny check

# ---------------------------------------------------------------- what the above needs

.PHONY: need-root
need-root:
	@[ "$$(id -u)" = 0 ] || { echo "This needs root, because it boots machines and makes network namespaces: run it again with sudo." >&2; exit 1; }

.PHONY: need-target
need-target:
	@[ "$(TARGET)" = lab ] || { echo "TARGET is lab (this computer) or yandex, not '$(TARGET)'; machines that are there already: INVENTORY=hosts.yml" >&2; exit 1; }

.PHONY: need-stand
need-stand: need-root
	@[ -x $(LAB) ] && $(LAB) exec lb-1 -- true 2>/dev/null || { echo "There is no stand on this computer: make deploy brings one up." >&2; exit 1; }

.PHONY: need-cargo
need-cargo:
	@command -v cargo >/dev/null || { echo "This needs a Rust toolchain ($$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or newer): install it with rustup, then run this again." >&2; exit 1; }

.PHONY: need-packages
need-packages:
	@tests/packages.sh $(PACKAGES)

.PHONY: need-test-packages
need-test-packages:
	@tests/packages.sh $(TEST_PACKAGES)

.PHONY: need-nextest
need-nextest:
	@cargo nextest --version >/dev/null 2>&1 || { echo "installing cargo-nextest (a few minutes, once)"; cargo install --locked cargo-nextest; }

$(VENV)/.ready: ansible/requirements.txt monitoring/requirements.txt terraform/tests/requirements.txt coordinator/tests/requirements.txt
	@echo "installing Ansible, and what makes dashboards, parses Terraform and tries the operators' interface, into $(VENV)"
	@python3 -m venv $(VENV)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check -r ansible/requirements.txt -r monitoring/requirements.txt -r terraform/tests/requirements.txt -r coordinator/tests/requirements.txt
	@touch $@
