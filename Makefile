# What people and machines run. Every target works on a fresh Debian machine
# with Go; what else is needed is installed or named.
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
BIN     := bin/rollcall
TEST    ?= ./...

.PHONY: help build demo run test screens bench verify fuzz clean

help:
	@echo "make demo     phones enroll, a stranger is refused (KEEP=1 leaves the server running)"
	@echo "make run      the real server on SQLite, with sensible defaults"
	@echo "make test     everything, on both databases, with the race detector"
	@echo "make screens  the pictures of the console in docs/screens"
	@echo "make bench    measure this machine; writes docs/benchmarks.md"
	@echo "make verify   formatting, vet, linters, module and generated files"

build:
	@mkdir -p bin
	@$(GO) build -ldflags "-X main.version=$(VERSION)" -o $(BIN) ./cmd/rollcall

demo: build
	@$(BIN) demo $(if $(KEEP),--keep)

run: build
	@$(BIN) serve

test:
	@GO="$(GO)" scripts/test $(TEST)

# Pictures are taken on the way of the story that tests the console.
screens:
	@scripts/browser-check chromium
	@mkdir -p docs/screens
	@ROLLCALL_TEST_SCREENS="$(CURDIR)/docs/screens" $(GO) test ./cmd/rollcall/browser -count=1 -run 'TestStory/with_scripts'

bench: build
	@scripts/postgres-check
	@$(BIN) bench --write docs/benchmarks.md

verify:
	@GO="$(GO)" scripts/verify

fuzz:
	@GO="$(GO)" scripts/fuzz

clean:
	@rm -rf bin
