package upstream

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
)

func TestSeedStates(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		ctx, url := testContext(t), testDatabase(t)
		conn := connect(t, url)
		for _, schema := range []string{"", oddSchema} {
			if err := Install(ctx, version, url, schema); err != nil {
				t.Fatal(err)
			}
			if err := SeedStates(ctx, conn, schema); err != nil {
				t.Fatal(err)
			}
			if schema == "" {
				schema = DefaultSchema
			}
			name := pgx.Identifier{schema}.Sanitize()
			count := func(table, condition string) int {
				t.Helper()
				return value[int](t, conn, "select count(*)::int from "+name+"."+table+" where "+condition)
			}
			got := map[string]int{
				"jobs":                 count("_private_jobs", "true"),
				"jobs without a state": count("_private_jobs", "payload->>'state' is null"),
				"available":            count("_private_jobs", "is_available"),
				"never":                count("_private_jobs", "run_at = 'infinity'"),
				"locked":               count("_private_jobs", "locked_at >= now() - interval '4 hours'"),
				"stale":                count("_private_jobs", "locked_at < now() - interval '4 hours'"),
				"permafailed":          count("_private_jobs", "attempts = max_attempts and locked_at is null"),
				"beyond":               count("_private_jobs", "attempts > max_attempts"),
				"with an error":        count("_private_jobs", "last_error is not null"),
				"keyed":                count("_private_jobs", "key is not null"),
				"flagged":              count("_private_jobs", "flags is not null"),
				"updated in place":     count("_private_jobs", "revision > 0 and payload::jsonb = '[1, 2]'"),
				"JSON null":            count("_private_jobs", "payload::text = 'null'"),
				"queued":               count("_private_jobs", "job_queue_id is not null"),
				"queues":               count("_private_job_queues", "true"),
				"locked queues":        count("_private_job_queues", "not is_available"),
				"stale queues":         count("_private_job_queues", "locked_at < now() - interval '4 hours'"),
				"tasks":                count("_private_tasks", "true"),
				"crontabs":             count("_private_known_crontabs", "true"),
			}
			want := map[string]int{
				"jobs":                 39,
				"jobs without a state": 7,
				"available":            28,
				"never":                1,
				"locked":               4,
				"stale":                3,
				"permafailed":          3,
				"beyond":               1,
				"with an error":        6,
				"keyed":                7,
				"flagged":              2,
				"updated in place":     1,
				"JSON null":            1,
				"queued":               11,
				"queues":               10,
				"locked queues":        4,
				"stale queues":         2,
				"tasks":                6,
				"crontabs":             2,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("schema %s: -want +got\n%s", name, diff)
			}
		}
	})
}

func TestSnapshotAcrossMigration(t *testing.T) {
	t.Parallel()
	Ensure(t)
	ctx, url := testContext(t), testDatabase(t)
	conn := connect(t, url)
	snapshot := func() map[string][]string {
		t.Helper()
		rows, err := Snapshot(ctx, conn, oddSchema)
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	if rows, err := Snapshot(ctx, conn, oddSchema); err == nil {
		t.Errorf("a schema that is not there holds %v", rows)
	}
	if err := Install(ctx, "0.16.6", url, oddSchema); err != nil {
		t.Fatal(err)
	}
	if err := SeedStates(ctx, conn, oddSchema); err != nil {
		t.Fatal(err)
	}
	before := snapshot()
	if _, err := conn.Exec(ctx, "set time zone 'Asia/Tokyo'"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, snapshot()); diff != "" {
		t.Errorf("a second snapshot differs: -first +second\n%s", diff)
	}

	if err := Install(ctx, "0.18.0", url, oddSchema); err != nil {
		t.Fatal(err)
	}
	after := snapshot()
	bookkeeping := cmpopts.IgnoreMapEntries(func(table string, _ []string) bool { return table == "migrations" })
	if diff := cmp.Diff(before, after, bookkeeping); diff != "" {
		t.Errorf("migrating changed the data: -0.16.6 +0.18.0\n%s", diff)
	}
	if cmp.Equal(before["migrations"], after["migrations"]) {
		t.Error("the snapshot misses a change")
	}

	if _, err := conn.Exec(ctx, `delete from "we""ird-Schéma 1"._private_jobs where payload->>'state' = 'ready'`); err != nil {
		t.Fatal(err)
	}
	if cmp.Equal(after, snapshot()) {
		t.Error("the snapshot misses a deleted row")
	}
}
