# Gatehouse. `make` alone lists what there is.

SHELL         := bash
.SHELLFLAGS   := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS     += --no-print-directory

GO ?= go
# Two packages at a time: a race build of Caddy takes about 2 GB.
P  ?= 2

# What ships is pure Go. Linters and the browser tests use the same flags, so that nothing is compiled twice.
plain = CGO_ENABLED=0 GOFLAGS="$$($(GO) env GOFLAGS) -trimpath"

# The race detector watches Go's own memory. What SQLite was translated to from C keeps its memory elsewhere and is not
# ours: watched, it takes two thirds of the suite's time, and shows nothing.
race = -race -gcflags='modernc.org/sqlite/lib=-race=false -d=checkptr=0' -gcflags='modernc.org/libc=-d=checkptr=0' -gcflags='modernc.org/memory=-d=checkptr=0'

# Nor does each of some hundred short processes wait a second at its end for another race to show.
export GORACE ?= atexit_sleep_ms=0

# Vet is one of the linters of make lint, which shares its work among packages; here each build would run it anew.
suite = -shuffle=on -vet=off

# The collector runs a quarter as often: tests and compilers leave more garbage than they keep.
test: export GOGC ?= 400

# What Gatehouse does must not depend on the engine: these run on PostgreSQL as well. The others choose for themselves.
behavior = ./admin ./caddyauth $(addprefix ./internal/,account api assertion login oidc passkey runtime seal seed session web web/device)

# The modules beside the plugin's own, each with its go.mod so that none of it weighs on users.
modules = e2e internal/tools

##@ Use

.PHONY: run
run: ## the gate in front of the demo app on http://localhost:8080 (needs ADMIN_PASSWORD the first time)
	$(plain) $(GO) run ./cmd/caddy run --config Caddyfile.example

.PHONY: xcaddy
xcaddy: ## a Caddy with the plugin in bin/caddy, as xcaddy.json says
	$(GO) -C internal/tools run ./buildcaddy ../../xcaddy.json ../../bin/caddy
	./bin/caddy list-modules | grep -x http.handlers.gatehouse

.PHONY: image
image: ## the container image gatehouse, by docker (BUILDER=podman or buildah)
	$(or $(BUILDER),docker) build -t gatehouse .

##@ Check

.PHONY: test
test: prepare build ## everything: race detector, both engines, browsers; nothing is skipped
	$(GO) test $(race) $(suite) -timeout=25m -p=$(P) ./...
	GATEHOUSE_TEST_STORE=postgres $(plain) $(GO) test $(suite) -timeout=15m -p=$(P) $(behavior)
	$(GO) -C internal/tools test $(suite) ./...
	GATEHOUSE_TEST_BIN=$(CURDIR)/bin/caddy-dev $(plain) $(GO) -C e2e test $(suite) -timeout=10m ./...

.PHONY: example
example: # Caddyfile.example in the Caddy that make xcaddy built
	GATEHOUSE_TEST_BIN=$(CURDIR)/bin/caddy $(plain) $(GO) -C e2e test -count=1 -run='^TestExample' ./...

.PHONY: lint
lint: build golangci-lint ## .golangci.yml, architecture, templates, caddy fmt
	./bin/golangci-lint config verify
	scripts/prove-lint
	for m in . $(modules); do (cd $$m && $(plain) $(CURDIR)/bin/golangci-lint run ./...); done
	$(plain) $(GO) test -count=1 ./internal/arch
	$(plain) $(GO) -C internal/tools run ./htmlfmt -l ../../internal ../../admin
	@echo caddy fmt; ./bin/caddy-dev fmt Caddyfile.example | diff Caddyfile.example - || { echo "run: caddy fmt --overwrite Caddyfile.example"; exit 1; }

.PHONY: bench
bench: ## the table of docs/performance.md, then Go benchmarks (BENCH=pattern, COUNT=n, BENCH_FLAGS)
	$(plain) $(GO) run ./bench $(BENCH_FLAGS)
	$(GO) test -run='^$$' -bench='$(or $(BENCH),Gate|Nothing|Resolve|SessionByToken|Hash)' -benchmem -count=$(or $(COUNT),1) -timeout=60m ./caddyauth ./internal/... ./store/...

.PHONY: bench-growth
bench-growth: ## a hundred users against a million, on SQLite (takes up to half an hour)
	$(GO) test -run='^$$' -bench=Growth -benchtime=1000x -timeout=60m ./bench

.PHONY: differential
differential: ## random requests to random sites against a model of the gate (DIFF_N=100000, DIFF_SEED=1)
	DIFF_N=$(or $(DIFF_N),100000) DIFF_SEED=$(or $(DIFF_SEED),1) $(plain) $(GO) test ./caddyauth -run TestWhatTheModelDeniesNeverReachesTheApp -count=1 -timeout 1h

.PHONY: fuzz
fuzz: ## each fuzz target for a while (FUZZTIME=30s)
	FUZZTIME=$(or $(FUZZTIME),30s) scripts/fuzz

.PHONY: apps
apps: prepare build ## real applications behind the gate, in Chromium, with the lines of docs/apps (APPS=pattern)
	scripts/install-apps
	GATEHOUSE_TEST_BIN=$(CURDIR)/bin/caddy-dev $(plain) $(GO) -C e2e test -tags apps -count=1 -timeout=30m -v -run='$(or $(APPS),.)' ./apps

.PHONY: providers
providers: prepare build ## OpenID providers themselves, with the lines of docs/providers (PROVIDER=keycloak, dex or hydra)
	scripts/install-providers $(PROVIDER)
	GATEHOUSE_TEST_BIN=$(CURDIR)/bin/caddy-dev $(plain) $(GO) -C e2e test -tags providers -count=1 -timeout=30m -v -run='(?i)^Test$(PROVIDER)' ./providers

.PHONY: programs
programs: prepare build ## git, pip, cargo, skopeo and other clients through the gate, with the lines of docs/programs.md (PROGRAM=pattern)
	scripts/install-programs
	GATEHOUSE_TEST_BIN=$(CURDIR)/bin/caddy-dev $(plain) $(GO) -C e2e test -tags programs -count=1 -timeout=30m -v -run='(?i)^Test$(PROGRAM)' ./programs
	GATEHOUSE_TEST_BIN=$(CURDIR)/bin/caddy-dev $(plain) $(GO) -C e2e test -count=1 -run='^TestPro(grams|bes)' .

.PHONY: crash
crash: ## kill under load (CRASH_ROUNDS=1000) and after every write of a checkpoint, migration, restore, move (CRASH_SEED=n repeats)
	CRASH_ROUNDS=$(or $(CRASH_ROUNDS),1000) $(plain) $(GO) test -count=1 -timeout=120m -run='^Test' -v ./internal/crash

##@ Maintain

.PHONY: fmt
fmt: golangci-lint ## format all Go files and templates as lint wants them
	for m in . $(modules); do (cd $$m && $(plain) $(CURDIR)/bin/golangci-lint fmt ./...); done
	$(plain) $(GO) -C internal/tools run ./htmlfmt ../../internal ../../admin

.PHONY: golden
golden: ## rewrite the golden files; read the diff before you commit it
	$(GO) test ./caddyauth/... -update

.PHONY: screenshots
screenshots: prepare build ## rewrite the pictures in docs/images
	GATEHOUSE_TEST_BIN=$(CURDIR)/bin/caddy-dev $(plain) $(GO) -C e2e run ./screenshots ../docs/images

.PHONY: clean
clean: ## remove what the other targets made
	rm -rf bin e2e/node_modules

.PHONY: prepare build golangci-lint
prepare: # find or install PostgreSQL, Chromium and axe-core
	scripts/prepare

build: # the Caddy that tests run, in bin/caddy-dev
	$(plain) $(GO) build -o bin/caddy-dev ./cmd/caddy

golangci-lint: # at the version of internal/tools, so that a clone needs nothing but Go
	$(plain) $(GO) -C internal/tools build -o ../../bin/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: help
help: # this list
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } /^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
