# Every target runs with the same experiment: runtime/secret wipes what the
# signing code leaves in registers, stacks and freed memory.
export GOEXPERIMENT := runtimesecret
# Only the product is stamped with its commit, and only where git can tell it: in
# a checkout that somebody else owns, it cannot, and Go would refuse to build.
#
# Program, tools and tests are built in one way, so that each package is compiled
# once: without cgo, which only the race detector needs, without paths, and without the
# request log of grpc, whose templates look up methods by name: for that the linker
# keeps every method of every type, and pages under /debug come with it.
export GOFLAGS := -buildvcs=false -trimpath -tags=grpcnotrace $(GOFLAGS)
export CGO_ENABLED := 0

GO      ?= go
PREFIX  ?= /usr/local
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
STAMP   := $(shell git rev-parse HEAD >/dev/null 2>&1 && echo true || echo false)
# -s: without tables for a debugger, which nobody may attach: they were a third of the file.
LDFLAGS  = -s -X github.com/nsagent/nsagent/cmd/nsagent/command.version=$(VERSION)
TOOL     = $(GO) tool -modfile=tools/go.mod
RUN      = $(GO) run ./internal/testrun
# FUZZTIME is how long `make fuzz` gives each target; `make test` gives 1 s, and no
# coverage to go by.
FUZZTIME ?= 20s
# SOAKTIME is how long `make soak` goes on; `make test` has a form of 18 s.
SOAKTIME ?= 30m
# FAULTS are the tests that make faults: a call that fails, a kill, a power cut, a flip.
FAULTS   = Kill|Crash|SystemCall|CleaningUp|Roll|PowerCut|MayFail|Disk|Sweep|FlipAndCut|Writers
# ROWS are those of tools/mutation.toml that `make mutate` tries: all.
ROWS    ?=
# PKGS limits test, race and fuzz: make test PKGS=./vault/...
PKGS    ?= ./...
# A whole run is held against the table of docs/threat-model.md.
REQUIREMENTS = $(if $(filter ./...,$(PKGS)),-requirements docs/threat-model.md)
# PLAIN lists the packages that run a second time without the race detector, because most
# of their tests say something else then. Of the others only those tests do that the
# detector leaves out: they look at memory, count allocations, compute much in one
# goroutine, or run the program as shipped. `make plain` runs all of them without it.
PLAIN   ?= ./internal/secret ./internal/memscan ./signer ./cmd/...

.PHONY: all build test race plain fuzz script bench abuse faults soak compat mutate narrow lint vuln generate generate-check \
	tidy-check deps deps-check man man-check cover install clean check demo help

all: build

build: ## write bin/nsagent
	$(GO) build -buildvcs=$(STAMP) -ldflags '$(LDFLAGS)' -o bin/nsagent ./cmd/nsagent

demo: ## build, then show every channel against a NetSuite of our own
	@tools/setup demo
	@$(MAKE) --no-print-directory build
	bin/nsagent demo

test: build ## everything, with the race detector; fuzz targets for 1 s each
	@tools/setup test
	@NSAGENT_TEST_REQUIRE=all $(RUN) -race -plain '$(PLAIN)' -rest '$(PKGS)' -fuzztime 1s -unguided $(REQUIREMENTS) $(PKGS)

race: build ## the tests with the race detector only
	@tools/setup test
	@NSAGENT_TEST_REQUIRE=all $(RUN) -race $(PKGS)

plain: build ## the tests without the race detector only
	@tools/setup test
	@NSAGENT_TEST_REQUIRE=all $(RUN) $(PKGS)

fuzz: ## every fuzz target for FUZZTIME (20s)
	@$(RUN) -notests -fuzztime $(FUZZTIME) $(PKGS)

script: ## the command-line scripts only
	@tools/setup test
	NSAGENT_TEST_REQUIRE=all $(GO) test -count=1 -run 'Script' ./cmd/nsagent/...

bench: build ## the table of docs/benchmarks.md
	@tools/setup test
	$(GO) run ./internal/bench -bin bin/nsagent

abuse: build ## the table of docs/hostile.md: attacks, and an honest client meanwhile
	@tools/setup test
	$(GO) run ./internal/nsabuse -bin bin/nsagent

faults: ## every sweep of faults in its long form: half an hour and more
	@tools/setup test
	NSAGENT_TEST_REQUIRE=all NSAGENT_LONG=1 $(GO) test -count=1 -p 1 -timeout 3h -v -run '$(FAULTS)' \
		./internal/atomicfile ./vault/... ./agent/... ./cmd/nsagent

soak: build ## load, locks, kills and clock jumps for SOAKTIME (30m)
	@tools/setup test
	$(GO) run ./internal/soak -bin bin/nsagent -time $(SOAKTIME)

compat: ## the tables of docs/compat.md: client libraries, current and older ones
	@tools/setup compat
	NSAGENT_COMPAT=all NSAGENT_TEST_REQUIRE=all $(GO) test -count=1 -timeout 30m -run '^TestCompat$$' ./client
	@git diff --stat -- docs/compat.md

mutate: ## the table of docs/mutation.md: do tests notice changed code, and checks left out?
	$(GO) run ./internal/mutate -write $(ROWS)

narrow: ## narrow unlock tokens 1,000,000 times at random: none may widen
	NSAGENT_LONG=1 $(GO) test -count=1 -timeout 2h -v -run '^TestNarrowingNeverWidens$$' ./internal/unlocktoken | grep -E 'comparisons|^(---|ok|FAIL)'

check: lint vuln test ## what CI runs

lint: generate-check tidy-check deps-check man-check ## gofmt, vet, staticcheck, gosec and the generated files
	@tools/setup test
	@bad=$$(find . -name '*.go' ! -name '*.pb.go' -exec gofmt -l {} +); \
		if [ -n "$$bad" ]; then echo "gofmt would change:"; echo "$$bad"; exit 1; fi
	$(GO) vet ./...
	$(TOOL) staticcheck ./...
	@$(GO) build -C tools -o ../bin/gosec ./gosec
	bin/gosec ./...

vuln: ## known vulnerabilities in what is called, where their database can be reached
	@tools/vuln

generate: ## write the Go code of proto/, and the codes for Python and Node
	@tools/setup test
	@tools/generate .

generate-check: ## what is generated is what its source gives
	@tools/setup test
	@tools/generate -check

tidy-check: ## go.mod and go.sum are tidy
	@$(GO) mod tidy -diff
	@cd tools && $(GO) mod tidy -diff

deps: ## rewrite docs/deps.txt, the list of what is linked in
	@tools/deps > docs/deps.txt

deps-check: ## docs/deps.txt is what is linked in
	@tools/deps | diff -u docs/deps.txt - || { echo "run: make deps"; exit 1; }

man: ## write man/*.1 from the help text
	@rm -f man/*.1 && mkdir -p man && $(GO) run ./cmd/nsagent man-pages man

man-check: ## man/ is what the help text says
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && $(GO) run ./cmd/nsagent man-pages "$$tmp" && \
		diff -ru man "$$tmp" || { echo "run: make man"; exit 1; }

cover: ## write coverage.out and print the total
	@tools/setup test
	$(GO) test -coverprofile=coverage.out -coverpkg=./... $(PKGS)
	$(GO) tool cover -func=coverage.out | tail -n 1

install: build ## copy program, manual and completions below PREFIX
	install -D -m 0755 bin/nsagent '$(DESTDIR)$(PREFIX)/bin/nsagent'
	install -d '$(DESTDIR)$(PREFIX)/share/man/man1'
	install -m 0644 man/*.1 '$(DESTDIR)$(PREFIX)/share/man/man1/'
	install -d '$(DESTDIR)$(PREFIX)/share/bash-completion/completions' \
		'$(DESTDIR)$(PREFIX)/share/zsh/site-functions' '$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d'
	bin/nsagent completion bash > '$(DESTDIR)$(PREFIX)/share/bash-completion/completions/nsagent'
	bin/nsagent completion zsh > '$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_nsagent'
	bin/nsagent completion fish > '$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/nsagent.fish'

clean: ## remove what make wrote
	rm -rf bin coverage.out

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
