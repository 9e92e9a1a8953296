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
# MUTATE lists the packages that `make mutate` changes, CHECKS those of which it leaves
# out every check.
MUTATE  ?= ./internal/pathglob ./internal/grantlimits ./internal/totp
# DECIDES are the files of agent/policy that decide, READS those that read a policy and
# find its rules, SAYS those that compare, explain and propose rules.
DECIDES ?= decide.go,match.go,who.go,whokeys.go,rule.go,hours.go
READS   ?= operation.go,path.go,index.go,parse.go,scan.go,table.go,pack.go,copied.go,issuer.go,ca.go
SAYS    ?= diff.go,compare.go,words.go,lint.go,reach.go,learn.go,explain.go,cases.go,errors.go
CHECKS  ?= ./internal/pathglob ./internal/grantlimits ./internal/grantkey ./internal/totp ./agent/oidc ./agent/approval ./internal/unlocktoken ./vault/bundle
# TOKENS are the files of agent that take unlock tokens and open bundles, SHOWN the tests
# that show some.
TOKENS  ?= bundleopen.go,redeem.go,granted.go,own.go,presented.go,grantclock.go,grantmarks.go
SHOWN    = ^Test(Bundle(Serves|Narrowed|IsRefused|ForAJob|ClockSetBack|HasNoVault|SignsTheSame|Belongs|Opens|Parts|InA|Without)|Words|Redeem|Token(On|Is|Across|After|With|While|That|Opens|Whose|InAnother)|Hostile(Tokens|Shares)|DamagedChains|UnknownCaveat|Presentation|StreamBefore|MadeUp|Revocation(s|$$|Outlives|Waits)|Grant(Narrows|Says|IsNo|Shows|From|Socket$$|sThat|Clock|OfAClock|Ends)|RevokedGrant|NoGrant|VaultOfState|ClockThatWasAhead|Own|Rights|NewGrantWithout|OnlyGrants|RotateAfter|Opened|Marking)
# CALLS are the files of agent that decide on each call, COUNTS those that count it, and
# WORDS those that say who asks, what the policy is, and whom to ask; ASKED, COUNTED and
# TOLD are the tests of that.
CALLS   ?= decide.go,caller.go,obligations.go
ASKED    = ^Test(EveryUse|TimeLimits|LimitsHold|PolicyDecides|CertificateExpires|Refreshed$$|Authorization|Grant(Narrows|IsNo|Shows|IsIn)|Revoked|NoGrant|TokenIs|TokenOn|Life$$|Assertion$$|APISecret|Form$$|Approve$$|ApprovalIsNot|Obligations|Concurrency|Use|Caller|InheritedConnection|NoLog|QuotasOf|UnlockAgain|LedgerThatCannot)
COUNTS  ?= quotas.go,counters.go,grantlimits.go
COUNTED  = ^Test(Counters|Rate$$|Use|Reserve|Subjects|Quotas|Life|Limits|NewGrantRefuses)
WORDS   ?= identify.go,rules.go,evidence.go,approve.go
TOLD     = ^Test(Approv|ParentIn|Evidence|Rules|StepUp|Timeout|Fault|Unreadable|PolicyOf|Adopt|ManyRules|RedeemForAJob|IDToken|Identi|Issuers|BundleForAJob|TokenWithAChanged)
# LEARNS are the files of agent that read what a grant says of itself, and learn of those that
# others end; LEARNT are the tests of that.
LEARNS  ?= grantmeta.go,grantlearn.go
LEARNT   = ^Test(GrantMetaIs|GrantOfAnOdd|LedgerIs(Known|LookedAt)|LedgerThatCannotBeReadIs|RevocationsAre)
# OPENS are the files of vault that keep grants and the policy, and SEALS those of vault/envelope
# that seal them; OPENED and SEALED are the tests of that.
OPENS   ?= grant.go,granted.go,policy.go
OPENED   = ^Test(OpenGranted|Grant(s$$|Follows|sUnpinned|sWithoutRoom|Rollback|AtLeast|Needs)|Policy|EndGrants|GoldenGrant|Forged|Misplaced|Unreadable|Proved|LaterObjects|LargestGrant|Rekey)
SEALS   ?= grant.go,grant_seal.go,policy.go
SEALED   = ^Test(Grant|SealGrant|DecodeGrant|Rekey|Policy)
# SHOWS are the files of client that show unlock tokens and ID tokens, and GIVEN the tests of
# that.
SHOWS   ?= unlocktoken.go,idtoken.go,redeem.go
GIVEN    = ^Test(Token|BadToken|ForeignToken|Redeem)
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
	$(GO) run ./internal/mutate -write $(MUTATE)
	$(GO) run ./internal/mutate -write -checks -skip '^TestEvery(BitCounts|ChangeIsRefused)$$$$' $(CHECKS)
	$(GO) run ./internal/mutate -write -checks -files $(DECIDES) ./agent/policy
	$(GO) run ./internal/mutate -write -checks -files $(READS) ./agent/policy
	$(GO) run ./internal/mutate -write -checks -files $(SAYS) ./agent/policy
	$(GO) run ./internal/mutate -write -checks -files $(TOKENS) -run '$(SHOWN)' ./agent
	$(GO) run ./internal/mutate -write -checks -files $(CALLS) -run '$(ASKED)' ./agent
	$(GO) run ./internal/mutate -write -checks -files $(COUNTS) -run '$(COUNTED)' ./agent
	$(GO) run ./internal/mutate -write -checks -files $(WORDS) -run '$(TOLD)' ./agent
	$(GO) run ./internal/mutate -write -checks -files $(LEARNS) -run '$(LEARNT)' ./agent
	$(GO) run ./internal/mutate -write -checks -files $(OPENS) -run '$(OPENED)' ./vault
	$(GO) run ./internal/mutate -write -checks -files $(SEALS) -run '$(SEALED)' ./vault/envelope
	$(GO) run ./internal/mutate -write -checks -files $(SHOWS) -run '$(GIVEN)' ./client

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
