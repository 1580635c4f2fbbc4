package admin_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/migrations"
)

// queue fills the schema with testdata/queue.sql.
func (b *bench) queue(jobs int) {
	b.Helper()
	sql := string(b.ok(os.ReadFile("../testdata/queue.sql")).([]byte))
	fill, vacuum, _ := strings.Cut(sql, "\nvacuum ") // vacuum cannot run in a transaction
	b.exec(fmt.Sprintf("select set_config('gwadmin.jobs', '%d', true);", jobs) + fill)
	b.exec("vacuum " + vacuum)
}

// Lists use the optional indexes of package migrations on every version of PostgreSQL.
func TestListIndexes(t *testing.T) {
	t.Parallel()
	versions := []int{0, 13, 18}
	if testing.Short() {
		versions = versions[:1] // the other versions may need a download
	}
	for _, major := range versions {
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			t.Parallel()
			pool := pgtest.Pool
			if major > 0 {
				pool = pgtest.Server(t, major).Pool
			}
			testListIndexes(t, func(opt func(*pgxpool.Config)) *pgxpool.Pool { return pool(t, testdb.Ours(""), opt) })
		})
	}
}

func testListIndexes(t *testing.T, connect func(func(*pgxpool.Config)) *pgxpool.Pool) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	sent := &recorder{}
	pool := connect(func(config *pgxpool.Config) {
		config.ConnConfig.Tracer = sent
		// The test checks which plans are possible, not their estimated costs.
		config.ConnConfig.RuntimeParams["enable_seqscan"] = "off"
		config.ConnConfig.RuntimeParams["enable_bitmapscan"] = "off"
		config.ConnConfig.RuntimeParams["jit"] = "off"
	})
	b := &bench{TB: t, ctx: ctx, pool: pool, on: onPool(pool), client: admin.New(onPool(pool)), sent: sent}
	b.queue(20000)
	migrator := b.ok(migrations.New(pool, nil)).(*migrations.Migrator)
	b.ok(migrator.Indexes().Add(ctx, migrations.IndexNames(), nil))
	b.exec("vacuum analyze graphile_worker._private_jobs")
	last := b.ok(b.client.ListJobs(ctx, admin.Filter{}, &admin.ListOptions{SortBy: admin.ByCreatedAt, Descending: true, PageSize: 1})).(*admin.Page)
	narrow := admin.TimeRange{From: new(last.Jobs[0].CreatedAt.Add(-time.Minute))}
	used := []string{}
	for _, tc := range []struct {
		filter admin.Filter
		sortBy admin.SortKey
		want   string
	}{
		{admin.Filter{}, admin.ByRunAt, "gwadmin_jobs_run_at"},
		{admin.Filter{}, admin.ByCreatedAt, "gwadmin_jobs_created_at"},
		{admin.Filter{}, admin.ByPriority, "gwadmin_jobs_priority"},
		{admin.Filter{}, admin.ByAttempts, "gwadmin_jobs_attempts"},
		{admin.Filter{CreatedAt: narrow}, "", "gwadmin_jobs_created_at"},
		{admin.Filter{States: []admin.State{admin.Ready}}, admin.ByRunAt, "gwadmin_jobs_run_at"},
		{admin.Filter{States: []admin.State{admin.Running}}, "", "gwadmin_jobs_held"},
		{admin.Filter{States: []admin.State{admin.Stale}}, admin.ByPriority, "gwadmin_jobs_held"},
		{admin.Filter{States: []admin.State{admin.Running, admin.Stale}}, "", "gwadmin_jobs_held"},
		{admin.Filter{WorkerIDs: []string{"worker-5"}}, "", "gwadmin_jobs_held"},
		{admin.Filter{LockedAt: narrow}, "", "gwadmin_jobs_held"},
		{admin.Filter{States: []admin.State{admin.Permafailed}}, "", "gwadmin_jobs_permafailed"},
		{admin.Filter{QueueNames: []string{"queue_100"}}, "", "gwadmin_jobs_queue"},
		{admin.Filter{QueueNames: []string{"queue_100"}}, admin.ByRunAt, "gwadmin_jobs_queue"},
		{admin.Filter{States: []admin.State{admin.Waiting}}, admin.ByRunAt, "gwadmin_jobs_queue"},
		{admin.Filter{KeyPrefix: new("user:77:1")}, "", "gwadmin_jobs_key"},
		{admin.Filter{TaskIdentifiers: []string{"task_rare"}}, "", "gwadmin_jobs_task"},
		{admin.Filter{TaskIdentifiers: []string{"task_rare"}, States: []admin.State{admin.Ready}}, "", "gwadmin_jobs_task"},
	} {
		for _, descending := range []bool{false, true} {
			access, _, blocks := b.explain(tc.filter, &admin.ListOptions{SortBy: tc.sortBy, Descending: descending})
			if access != "Index Scan "+tc.want {
				t.Errorf("%+v by %q: %s, %d blocks, want an index scan of %s", tc.filter, tc.sortBy, access, blocks, tc.want)
			}
		}
		used = append(used, tc.want)
	}
	for _, name := range migrations.IndexNames() {
		if !slices.Contains(used, name) {
			t.Errorf("nothing is read off %s", name)
		}
	}
	// A filter that cannot match reads no job.
	for _, filter := range []admin.Filter{{TaskIdentifiers: []string{"nope"}}, {QueueNames: []string{"nope", "nor this"}}} {
		if _, _, blocks := b.explain(filter, nil); blocks > 20 {
			t.Errorf("%+v reads %d blocks", filter, blocks)
		}
	}
}
