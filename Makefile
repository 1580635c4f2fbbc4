# .ci/run is what must hold before a change lands. This is what takes longer.

# Which benchmarks, and for how long each size is compared at least.
BENCH = .
BENCHTIME = 2s

.PHONY: bench bench-short faults

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
