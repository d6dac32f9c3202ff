# make test     everything that tests, after installing what the tests use
# make check    vet, format, staticcheck, race detector
# make bench    the table of docs/performance.md: takes hours (SMALL=1: minutes)
# make bench-go benchmarks of packages (BENCH=regexp, PKG=packages)
# make build    bin/holdfast
# make tools    builds the linters into the build cache

GO ?= go
PKG ?= ./...
BENCH ?= .
TESTFLAGS ?=
TOOL = $(GO) tool -modfile=tools/go.mod

export CGO_ENABLED = 0

.PHONY: test check vet format staticcheck race bench bench-go build tools setup
.NOTPARALLEL:

test: setup
	$(GO) test -timeout 9m $(TESTFLAGS) $(PKG)

# Installs what is missing as root on Debian, and otherwise says what that
# skips. NO_INSTALL=1 never installs.
setup:
	@scripts/setup

check: vet format staticcheck race

vet:
	$(GO) vet ./...

format:
	@echo "$(TOOL) gofumpt -l bench cmd internal"
	@files=$$($(TOOL) gofumpt -l bench cmd internal) && if [ -n "$$files" ]; then \
		echo "$$files"; echo "not formatted; mend with: $(TOOL) gofumpt -w bench cmd internal"; exit 1; fi

staticcheck:
	$(TOOL) staticcheck ./...

# The one target that needs cgo, and with it a C compiler.
race: setup
	@command -v $${CC:-gcc} >/dev/null || { echo "the race detector needs a C compiler: apt-get install gcc libc6-dev"; exit 1; }
	CGO_ENABLED=1 $(GO) test -race -short -timeout 15m $(TESTFLAGS) $(PKG)

# CORPUS is a folder with a finished corpus; without it one is made (root on
# Debian; SCALE, SEED). BENCH_DIR is where all is done, TABLE a file for the table.
bench:
	$(GO) run ./bench/run -runs $(or $(BENCH_RUNS),5) -scale $(or $(SCALE),100) -seed $(or $(SEED),1) \
		$(if $(CORPUS),-corpus $(CORPUS)) $(if $(BENCH_DIR),-dir $(BENCH_DIR)) $(if $(SMALL),-small) \
		$(if $(ONLY),-only "$(ONLY)") $(if $(TABLE),-table $(TABLE))

bench-go:
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem $(PKG)

build:
	$(GO) build -trimpath -o bin/holdfast ./cmd/holdfast

tools:
	$(TOOL) gofumpt -version
	$(TOOL) staticcheck -version
