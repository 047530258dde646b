# Troupe. `make help` lists what there is.
SHELL := /bin/bash
GO ?= go
PKG ?= ./...
FUZZTIME ?= 20s
SOAK ?= 30m
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
export CGO_ENABLED ?= 1

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 12

.PHONY: build
build: bin/troupe bin/troupe-agent ## build bin/troupe and bin/troupe-agent

.PHONY: bin/troupe
bin/troupe:
	$(GO) build -trimpath -ldflags '-X github.com/troupe-dev/troupe/internal/cli.Version=$(VERSION)' -o $@ ./cmd/troupe

.PHONY: bin/troupe-agent
bin/troupe-agent:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $@ ./cmd/troupe-agent

.PHONY: demo
demo: bin/troupe ## the whole tour on this machine: deploy, kill, heal, scale, remove
	./bin/troupe demo

.PHONY: setup
setup: ## install what the tests need (as root on Debian; elsewhere it says what is missing)
	@scripts/setup

.PHONY: test
test: setup ## all tests, with the race detector
	@scripts/with-openstack "$(PKG)" $(GO) test -race -timeout 30m $(PKG)

.PHONY: race
race: test ## the same as test

.PHONY: quick
quick: ## all tests without the race detector
	$(GO) test -timeout 10m $(PKG)

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (20s)
	@scripts/fuzz $(FUZZTIME)

.PHONY: bench
bench: ## the figures of docs/performance.md
	@scripts/bench

.PHONY: soak
soak: ## the long crash test and the long run under load (SOAK=30m)
	TROUPE_CRASH_ROUNDS=100 $(GO) test -count=1 -timeout 3h -v -run 'Crash' ./test/crash
	SOAK=$(SOAK) scripts/bench soak flood

.PHONY: lint
lint: ## gofmt, go vet, staticcheck, and govulncheck where its database can be reached
	@scripts/lint

.PHONY: clean
clean: ## remove what was built
	rm -rf bin
