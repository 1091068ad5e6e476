# Chrony Tracker. `make` without a target lists the targets.

VERSION  ?= $(shell git describe --tags --always --dirty --abbrev=12 2>/dev/null || echo unknown)
REVISION ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
CREATED  ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
PORT     ?= 9123
NODES    ?= 5
FUZZTIME ?= 1m
DURATION ?= 5m
SEED     ?= 0
IMAGE    ?= ghcr.io/chrony-tracker/chrony-tracker:$(subst +,-,$(VERSION))

# A release needs a semantic version, even without a tag.
RELEASE = $(if $(filter v%,$(VERSION)),$(VERSION),v0.0.0-g$(VERSION))

stamp   = github.com/prometheus/common/version

# The build is reproducible: it ignores this machine's Go settings.
GOBUILD = CGO_ENABLED=0 GOFLAGS= GOAMD64=v1 GOARM64=v8.0 GOEXPERIMENT= go build -trimpath -buildvcs=false \
	-ldflags '-s -w -X $(stamp).Version=$(VERSION) -X $(stamp).Revision=$(REVISION)'

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.9.0
# Helm for make release. A Helm of another version makes other bytes.
HELM        = CGO_ENABLED=0 GOFLAGS= GOAMD64=v1 go run helm.sh/helm/v3/cmd/helm@v3.22.0
HELMDOCS    = github.com/norwoodj/helm-docs/cmd/helm-docs@v1.14.2
GOTESTSUM   = gotest.tools/gotestsum@v1.13.0
KUSTOMIZE   = sigs.k8s.io/kustomize/kustomize/v5@v5.7.1
ACTIONLINT  = github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

# The version of the plotting library in the page.
UPLOT = 1.6.32

VULNLOG = bin/govulncheck.log

# The race detector needs a C compiler.
RACE = $(if $(shell command -v cc),-race)

# Prints a line per package, and in the end what failed and what was skipped, and why.
# Most tests wait, so three packages run at the same time.
# RERUN=--rerun-fails=1 runs tests that fail once more, and says which these are.
GOTEST = go run $(GOTESTSUM) --format=pkgname --format-hide-empty-pkg $(RERUN)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: build ## serve http://localhost:9123 for this machine's chronyd, or a private one (PORT=… for another port)
	@go build -o bin/try ./internal/chronytest/try
	@bin/try bin/chrony-tracker $(PORT)

.PHONY: demo
demo: ## simulate NODES=5 nodes, some with faults, on http://localhost:9124, to test dashboards and rules
	go run ./cmd/chrony-tracker-demo -nodes $(NODES)

.PHONY: build
build: ## build bin/chrony-tracker, a static program
	$(GOBUILD) -o bin/chrony-tracker ./cmd/chrony-tracker

.PHONY: man
man: build ## write dist/chrony-tracker.1, the manual page
	@mkdir -p dist
	bin/chrony-tracker --help-man >dist/chrony-tracker.1

.PHONY: image
image: ## write dist/chrony-tracker.oci.tar, for linux/amd64 and linux/arm64, without an engine (IMAGE=registry/name:tag)
	@mkdir -p dist
	GOOS=linux GOARCH=amd64 $(GOBUILD) -o dist/chrony-tracker-linux-amd64 ./cmd/chrony-tracker
	GOOS=linux GOARCH=arm64 $(GOBUILD) -o dist/chrony-tracker-linux-arm64 ./cmd/chrony-tracker
	cd deploy/docker/image && go run . archive -name '$(IMAGE)' -version '$(VERSION)' -revision '$(REVISION)' -created '$(CREATED)' \
		-out ../../../dist/chrony-tracker.oci.tar \
		linux/amd64=../../../dist/chrony-tracker-linux-amd64 linux/arm64=../../../dist/chrony-tracker-linux-arm64

.PHONY: release
release: ## write all release files to dist/release: image, chart, programs, systemd unit, SBOMs, checksums (VERSION=v1.2.3)
	rm -rf dist/release && mkdir -p dist/release
	@$(MAKE) --no-print-directory image VERSION='$(RELEASE)'
	cp dist/chrony-tracker.oci.tar 'dist/release/chrony-tracker-$(RELEASE).oci.tar'
	$(HELM) package deploy/helm/chrony-tracker --destination dist/release \
		--version '$(RELEASE:v%=%)' --app-version '$(RELEASE:v%=%)'
	cd deploy/release && go run . -version '$(RELEASE)' -created '$(CREATED)' -source ../.. -out ../../dist/release \
		linux/amd64=../../dist/chrony-tracker-linux-amd64 linux/arm64=../../dist/chrony-tracker-linux-arm64

.PHONY: test
test: ## run the tests that need only Go and make, in three minutes, and list what they skip
	$(GOTEST) --packages=./... -- $(RACE) -p=3 -timeout=20m
	@echo 'Not run: containers, Prometheus, the chart, faults, the browser. Use make test-system.'

.PHONY: test-system
test-system: ## run the other tests: containers, Prometheus, chart, faults, browser
	$(GOTEST) --packages='./test/system/... ./deploy/prometheus/generate' -- $(RACE) -tags=system -timeout=40m
	cd test/browser && $(GOTEST) --packages=./... -- $(RACE) -timeout=20m

.PHONY: soak
soak: ## run the program with a real chronyd, faults every few seconds and 50 requests a second (DURATION=1h, SEED=number)
	go test -tags=soak -count=1 -timeout=0 -v ./test/soak -run '^TestSoak$$' -duration $(DURATION) -seed $(SEED)

.PHONY: lint
lint: ## check format, code and workflows, and dependencies for known vulnerabilities
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	go vet -tags=system,soak ./...
	GOOS=darwin go build ./boundedtime ./chrony ./clockerror
	GOOS=windows go build ./boundedtime ./chrony ./clockerror
	go run $(STATICCHECK) -tags=system,soak ./...
	go run $(ACTIONLINT) -shellcheck= -pyflakes= .github/workflows/*.yaml
	go mod tidy -diff
	cd deploy/docker/image && go vet . && go mod tidy -diff
	cd deploy/release && go vet . && go mod tidy -diff
	cd bench && go vet . && go mod tidy -diff
	cd test/browser && go vet . && go mod tidy -diff
	@mkdir -p bin
	@go run $(GOVULNCHECK) ./... >$(VULNLOG) 2>&1 || { \
		if grep -qE 'dial tcp|no such host|Forbidden|connection refused' $(VULNLOG); \
		then echo "govulncheck: skipped, its database is unreachable"; \
		else cat $(VULNLOG); exit 1; fi; }

.PHONY: bench
bench: ## measure the exchange with chronyd and a minimal one, the watch, and a whole scrape
	go test -run '^$$' -bench . ./chrony ./internal/tracker ./internal/exporter ./internal/web

.PHONY: bench-peers
bench-peers: build ## compare this program with its peers; takes minutes (CHRONY_EXPORTER=path of chrony_exporter)
	@cd bench && go run . -exporter '$(abspath $(CHRONY_EXPORTER))' $(BENCHFLAGS)

.PHONY: fuzz
fuzz: ## fuzz everything that others send: FUZZTIME=1m for each of the targets
	@for target in $$(grep -roE --include='*_test.go' '^func Fuzz[A-Za-z]+' . | sed -E 's,/[^/]+:func ,:,'); do \
		go test -run '^$$' -fuzz "^$${target#*:}$$" -fuzztime $(FUZZTIME) "$${target%:*}" || exit 1; done

.PHONY: docs
docs: ## generate docs/reference/metrics.md and the chart's README
	go test ./internal/exporter -run '^TestReference$$' -update
	go run $(HELMDOCS) --chart-search-root=deploy/helm/chrony-tracker

.PHONY: rules
rules: ## generate all formats of the rules from deploy/prometheus/rules.yaml
	go run ./deploy/prometheus/generate

.PHONY: dashboards
dashboards: ## generate the dashboards with deploy/grafana/generate
	go run ./deploy/grafana/generate

.PHONY: manifests
manifests: ## make deploy/kubernetes/chrony-tracker.yaml, all in one file, from deploy/kubernetes/host-network
	@{ echo '# deploy/kubernetes/host-network in one file (make manifests). Set the image in your copy, then kubectl apply -f it.'; \
		go run $(KUSTOMIZE) build deploy/kubernetes/host-network; } >deploy/kubernetes/chrony-tracker.yaml

.PHONY: uplot
uplot: ## download the page's plotting library from npm (UPLOT is the version)
	@rm -rf bin/uplot && mkdir -p bin/uplot
	@cd bin/uplot && npm pack --silent uplot@$(UPLOT) >/dev/null && tar xzf uplot-$(UPLOT).tgz
	@cd bin/uplot/package && install -m 644 LICENSE dist/uPlot.iife.min.js dist/uPlot.min.css $(CURDIR)/internal/web/page/uplot

.PHONY: screenshots
screenshots: ## make the pictures of the page in docs again; needs chromium, takes two minutes
	cd test/browser && go test -run '^TestScreenshots$$' -screenshots '$(CURDIR)/docs/images' .

.PHONY: clean
clean: ## remove build output
	rm -rf bin dist
