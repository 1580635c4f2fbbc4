package faults

import (
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/gwadmin/gwadmin/admin"
)

// TestManyIDs completes jobs by so many ids in one call, of which every tenth is a job's and
// every thousandth a locked job's.
func TestManyIDs(t *testing.T) {
	s := server(t, map[string]string{"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_wal_size": "8GB"})
	pool := open(t, migrated(t, s))
	client := admin.New(pool)
	n := form(200_000, 10_000_000)
	exec(t, pool, "insert into graphile_worker._private_tasks (identifier) values ('task')")
	exec(t, pool, `insert into graphile_worker._private_jobs (id, task_id, locked_at, locked_by) overriding system value
		select id, 1, case when id % 1000 = 0 then now() end, case when id % 1000 = 0 then 'a worker' end
		from generate_series(10, $1, 10) as id`, n)
	exec(t, pool, "analyze")
	ids := make([]int64, n)
	for i := range ids { // in no order
		ids[i] = 1 + int64(i)*7_654_321%int64(n)
	}
	locked, jobs := int64(n/1000), int64(n/10)
	for _, dryRun := range []bool{true, false} {
		before, start := live(), time.Now()
		result, err := client.CompleteJobs(t.Context(), ids, &admin.ChangeOptions{Return: admin.ReturnIDs, DryRun: dryRun})
		took, after := time.Since(start), live()
		if err != nil {
			t.Fatal(err)
		}
		if result.Matched != int64(n) || result.Changed != jobs-locked || int64(len(result.IDs)) != result.Changed ||
			result.Skipped[admin.Locked] != locked || result.Skipped[admin.NotFound] != int64(n)-jobs || len(result.SkippedJobs) != n-len(result.IDs) {
			t.Errorf("dry run %t: matched %d, changed %d with %d ids, skipped %v", dryRun, result.Matched, result.Changed, len(result.IDs), result.Skipped)
		}
		var left int64
		if err := pool.QueryRow(t.Context(), "select count(*) from graphile_worker._private_jobs").Scan(&left); err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int64{true: jobs, false: locked}[dryRun]; left != want {
			t.Errorf("dry run %t: %d jobs are left, not %d", dryRun, left, want)
		}
		row(t, "%d ids, dry run %t: %s; the result has %d MB", n, dryRun, took.Round(time.Millisecond), (after-before)/1_000_000)
		runtime.KeepAlive(result)
	}
	// Ids at both ends are no job's.
	result, err := client.CompleteJobs(t.Context(), []int64{math.MinInt64, -1, 0, math.MaxInt64}, nil)
	if err != nil || result.Skipped[admin.NotFound] != 4 {
		t.Errorf("ids at both ends: %+v, %v", result, err)
	}
}

// live is the size of what is in use on the heap, in bytes.
func live() int64 {
	runtime.GC()
	runtime.GC() // what pools had kept
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
