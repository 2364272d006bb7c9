# jdpay-listener. `make help` lists what there is.

GO         ?= go
GOFUMPT     = mvdan.cc/gofumpt@v0.12.0
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
DEADCODE    = golang.org/x/tools/cmd/deadcode@v0.52.0
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.8.0
# Later versions need a module that not every network's Go module proxy has.
NFPM        = github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.0

-include release.mk # only in a release's source archive, for what git does not know there
COMMIT            ?= $(shell git rev-parse --short HEAD 2>/dev/null)
SOURCE_DATE_EPOCH ?= $(shell git show -s --format=%ct HEAD 2>/dev/null)
# The tag of this commit, v1.2.3, or none.
VERSION           ?= $(or $(patsubst v%,%,$(shell git describe --exact-match --tags --match 'v[0-9]*' 2>/dev/null)),0.0.0-dev.g$(COMMIT))
PROGRAMS           = ./cmd/jdpay-listener ./cmd/jdpay-sandbox
LDFLAGS            = -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)

.PHONY: help run build form check test soak flaky clocks model lint vuln licenses sbom bench dist image release systemd clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## watch payments go through the daemon, on stand-ins for every service
	@echo "compiling the daemon and its stand-ins; the first time takes minutes without a word, then seconds" >&2
	@echo "then: a database, queues, a broker, JD and a cabinet of its own, a few payments from the queue to the door, a summary; nothing else is touched" >&2
	$(GO) run ./cmd/jdpay-sandbox

build: ## build bin/jdpay-listener and bin/jdpay-sandbox
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "$(LDFLAGS)" -o bin/ $(PROGRAMS)

check: form ## form, vet, staticcheck, and the tests that need no server: a minute, between two edits
	$(GO) test -short ./...

test: ## run all tests, on private servers; installs missing Debian packages and says so
	sh .ci/packages
	GO="$(GO)" sh .ci/test

soak: ## run all tests at their full length, and under all clocks: for a night
	sh .ci/packages
	SOAK=1 GO="$(GO)" sh .ci/test

flaky: ## run each test that this branch changes (REF=…: since then; TESTS=regexp: these) 50 times (RUNS=…) on busy cores
	sh .ci/packages
	GO="$(GO)" sh .ci/flaky "$(REF)" "$(TESTS)"

clocks: ## run the suites that read times of rows under other clocks and in other zones (minutes); make test makes the first run
	sh .ci/packages
	GO="$(GO)" sh .ci/clocks

model: ## search the models of leases and settling, and their variants with one rule removed
	sh .ci/packages
	sh docs/model/check.sh

form:
	@unformatted=$$($(GO) run $(GOFUMPT) -l .); [ -z "$$unformatted" ] || { echo "run gofumpt on:"; echo "$$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags manual ./cmd/jdpay-listener
	$(GO) -C deploy/kubernetes vet ./...
	$(GO) run $(STATICCHECK) ./...

# The documents are held to alert.Causes.
lint: form ## check form, vet, staticcheck, dead code, what the program links and its licences
	@dead=$$($(GO) run $(DEADCODE) $(PROGRAMS)) || exit 1; dead=$$(echo "$$dead" | grep -Ev '^internal/sandbox/|^internal/alert/.*: Causes$$'); [ -z "$$dead" ] || { echo "tests alone use:"; echo "$$dead"; exit 1; }
	$(GO) mod tidy -diff
	$(GO) -C deploy/kubernetes mod tidy -diff
	@linked=$$($(GO) list -deps ./cmd/jdpay-listener | grep -E 'go-mysql-server|mochi-mqtt|miniredis|md2man|internal/(sandbox|testenv)'); [ -z "$$linked" ] || { echo "jdpay-listener links what only the sandbox and tests may:"; echo "$$linked"; exit 1; }
	@licenses=$$($(GO) run ./deploy/sbom licenses) && [ "$$licenses" = "$$(cat THIRD_PARTY_LICENSES)" ] || { echo "THIRD_PARTY_LICENSES is not what is linked: run make licenses, and read what changes"; exit 1; }

vuln: ## look for known vulnerabilities in what the program calls; says so if their database cannot be reached
	@GO="$(GO)" sh .ci/vulncheck $(GOVULNCHECK)

licenses: ## write THIRD_PARTY_LICENSES from what the program links
	@mkdir -p bin
	$(GO) run ./deploy/sbom licenses >bin/licenses && mv bin/licenses THIRD_PARTY_LICENSES

sbom: ## write bin/jdpay-listener.spdx.json, the bill of materials of this commit (SPDX 2.3)
	@mkdir -p bin
	VERSION="$(VERSION)" COMMIT="$(COMMIT)" SOURCE_DATE_EPOCH="$(SOURCE_DATE_EPOCH)" $(GO) run ./deploy/sbom spdx >bin/jdpay-listener.spdx.json

bench: ## measure the daemon on private servers; writes docs/performance.md's figures
	sh .ci/packages
	$(GO) run ./cmd/jdpay-bench

dist: ## write bin/dist: deb, rpm and tar.gz for amd64 and arm64, the source with its modules, SPDX, SHA256SUMS
	GO="$(GO)" NFPM=$(NFPM) VERSION="$(VERSION)" COMMIT="$(COMMIT)" SOURCE_DATE_EPOCH="$(SOURCE_DATE_EPOCH)" sh deploy/package/dist.sh

image: ## build the image jdpay-listener:VERSION with docker, podman or buildah, whichever is there
	VERSION="$(VERSION)" COMMIT="$(COMMIT)" sh deploy/package/image.sh

release: ## make a release of this commit on this machine, as VERSION=1.2.3: check, test, dist, image, tag
	sh deploy/package/release.sh "$(VERSION)"

systemd: ## boot a Debian in a container, install the deb, and do to the service what happens to services (root, minutes)
	ARCHS=amd64 $(MAKE) dist VERSION="$(VERSION)"
	bash deploy/package/systemd.sh bin/dist/jdpay-listener_*_amd64.deb

clean: ## remove what was built
	rm -rf bin
