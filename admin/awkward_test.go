package admin_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
)

// A payload with a number that jsonb cannot hold does not match a search. The search still
// finds the other jobs.
func TestSearchBesideHugeNumbers(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	digits := func(n int) string { return strings.Repeat("1", n) }
	payloads := []struct {
		payload string
		found   bool
	}{
		{`{"a": 1, "n": 1}`, true},
		{`{"a": 1, "n": ` + digits(131_072) + `}`, true},
		{`{"a": 1, "n": ` + digits(131_073) + `}`, false},
		{`{"a": 1, "n": [0.` + digits(16_383) + `]}`, true},
		{`{"a": 1, "n": [0.` + digits(16_384) + `]}`, false},
		{`{"a": 1, "n": [0.` + digits(16_400) + `, 1]}`, false},
		{`{"a": 1, "n": ` + digits(130_000) + `e1500}`, false},
		{`{"a": 1, "n": 1.` + digits(5_999) + `e-9999}`, true},
		{`{"a": 1, "s": "` + digits(140_000) + `", "t": "0.` + digits(16_400) + ` \" 1"}`, true},
	}
	var want []int64
	for i, p := range payloads {
		b.insert(added(admin.Job{TaskIdentifier: "send", Payload: []byte(p.payload)}))
		if p.found {
			want = append(want, int64(i+1))
		}
	}
	for what, filter := range map[string]admin.Filter{
		"contains": {PayloadContains: []byte(`{"a": 1}`)}, "path": {PayloadPath: new("$.a ? (@ == 1)")},
	} {
		var got []int64
		for _, job := range b.list(filter, admin.ListOptions{}) {
			got = append(got, job.ID)
		}
		b.check(what, want, got)
		preview := b.ok(b.client.RetryWhere(b.ctx, filter, &admin.WhereOptions{DryRun: true})).(*admin.ChangeResult)
		b.check(what+", by filter", int64(len(want)), preview.Matched)
	}
}

// ForceUnlockWorkers locks rows in the order of their ids, as other calls do. It runs again
// after a deadlock.
func TestForceUnlockBesideRetry(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	const n = 3000
	b.many(n)
	var ids []int64
	for id := range int64(n) {
		ids = append(ids, id+1)
	}
	for range 10 {
		// The heap has the rows in descending order of their ids.
		b.exec(`do $$ begin for i in reverse 3000 .. 1 loop
			update graphile_worker._private_jobs set locked_at = now() - interval '5 hours', locked_by = 'pool-' || i % 5 where id = i;
		end loop; end $$`)
		var calls sync.WaitGroup
		calls.Go(func() {
			if _, err := b.client.RetryJobs(b.ctx, ids, nil); err != nil {
				t.Error(err)
			}
		})
		calls.Go(func() {
			if _, err := b.client.ForceUnlockWorkers(b.ctx, []string{"pool-0", "pool-1", "pool-2", "pool-3", "pool-4"}, nil); err != nil {
				t.Error(err)
			}
		})
		calls.Wait()
	}
}

// Every call works on a connection that caches no statement descriptions.
func TestNoDescriptionCache(t *testing.T) {
	t.Parallel()
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, testdb.Ours(""), func(config *pgxpool.Config) {
				config.ConnConfig.DescriptionCacheCapacity = 0
				config.ConnConfig.DefaultQueryExecMode = mode
			})
			b.fixture()
			b.check("list", 7, len(b.list(admin.Filter{}, admin.ListOptions{})))
			b.ok(b.client.GetJob(b.ctx, 1))
			b.ok(b.client.Stats(b.ctx, nil))
			b.ok(b.client.RetryWhere(b.ctx, admin.Filter{}, &admin.WhereOptions{All: true}))
			b.ok(b.client.Cleanup(b.ctx, admin.CleanupOptions{Tasks: []admin.CleanupTask{admin.DeletePermafailedJobs}}))
		})
	}
}

// If serializable is the default, a call runs again after a serialization failure.
func TestSerializationFailure(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""), func(config *pgxpool.Config) {
		config.ConnConfig.RuntimeParams["default_transaction_isolation"] = "serializable"
	})
	b.fixture()
	b.ok(nil, b.client.Check(b.ctx))
	other := b.begin()
	b.in(other).exec("update graphile_worker._private_jobs set priority = 5 where id = 1")
	got := b.during(other, other.Commit, func() any {
		return b.ok(b.client.RescheduleJobs(b.ctx, []int64{1}, admin.RescheduleValues{Attempts: new(7)}, nil))
	})
	job := got.(*admin.ChangeResult).Jobs[0]
	b.check("both changes", []int{5, 7}, []int{job.Priority, job.Attempts})
}

// The error for an unknown connection parameter does not match ErrNotInstalled.
func TestUnknownConnectionParameter(t *testing.T) {
	t.Parallel()
	for _, parameter := range []string{"schema=public", "pgbouncer=true", "connection_limit=5"} {
		t.Run(parameter, func(t *testing.T) {
			t.Parallel()
			url := pgtest.URL(t, testdb.Ours(""))
			name, value, _ := strings.Cut(parameter, "=")
			config, err := pgxpool.ParseConfig(url)
			if err != nil {
				t.Fatal(err)
			}
			config.ConnConfig.RuntimeParams[name] = value
			pool, err := pgxpool.NewWithConfig(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			err = admin.New(onPool(pool)).Check(t.Context())
			var connect *pgconn.ConnectError
			if !errors.As(err, &connect) || errors.Is(err, admin.ErrNotInstalled) || !strings.Contains(fmt.Sprint(err), `"`+name+`"`) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Relative times and the ages of locks use the database's clock.
func TestDatabaseClock(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		b = b.in(b.begin()) // now() is constant in a transaction
		at := b.ok(b.client.Now(b.ctx)).(time.Time)
		b.check("now", rowsOf[time.Time](b, "select now()")[0].UTC(), at)
		const in = 90*time.Minute + 3*time.Microsecond
		want := admin.RunAt{Time: at.Add(in)}
		exactly := func(what string, got admin.RunAt) {
			b.Helper()
			if !got.Time.Equal(want.Time) || got.In != nil {
				b.Errorf("%s: run_at %v, want %v", what, got, want)
			}
		}
		job := b.add("send", nil, &admin.AddJobOptions{RunAt: admin.In(in)})
		exactly("AddJob", job.RunAt)
		jobs := b.ok(b.client.AddJobs(b.ctx, []admin.JobSpec{
			{TaskIdentifier: "send", RunAt: admin.In(in)}, {TaskIdentifier: "send", RunAt: admin.In(in), JobKey: new("k")},
		}, nil)).([]admin.Job)
		exactly("AddJobs", jobs[1].RunAt)
		result := b.ok(b.client.RescheduleJobs(b.ctx, []int64{job.ID}, admin.RescheduleValues{RunAt: admin.In(in)}, nil)).(*admin.ChangeResult)
		exactly("RescheduleJobs", result.Jobs[0].RunAt)
		b.ok(b.client.RescheduleWhere(b.ctx, admin.Filter{}, admin.RescheduleValues{RunAt: admin.In(in)}, &admin.WhereOptions{All: true}))
		exactly("RescheduleWhere", b.jobs()[0].RunAt)

		b.exec("update graphile_worker._private_jobs set locked_at = now() - interval '10 minutes', locked_by = 'pool-a' where id = 1")
		b.exec("update graphile_worker._private_jobs set locked_at = now() - interval '20 minutes', locked_by = 'pool-a' where id = 2")
		b.exec("update graphile_worker._private_jobs set locked_at = 'infinity', locked_by = 'pool-b' where id = 3")
		workers := b.ok(b.client.Workers(b.ctx)).([]admin.Worker)
		unlocked := b.ok(b.client.ForceUnlockWorkers(b.ctx, []string{"pool-a", "pool-b"}, nil)).(*admin.UnlockResult)
		ages := []time.Duration{workers[0].NewestAge, workers[1].NewestAge, unlocked.Unlocked[0].NewestAge, unlocked.Unlocked[1].NewestAge}
		b.check("ages", []time.Duration{10 * time.Minute, 0, 10 * time.Minute, 0}, ages)
	})
}

func TestNames(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		b.exec(`insert into graphile_worker._private_tasks (identifier) values ('b'), ('a')`)
		b.exec(`insert into graphile_worker._private_job_queues (queue_name) values ('mail 2'), ('mail 1'), ('m%'), ('print')`)
		b.check("tasks", []string{"a", "b"}, b.ok(b.client.TaskIdentifiers(b.ctx)))
		for prefix, want := range map[string][]string{
			"": {"mail 1", "mail 2", "m%", "print"}, "mail": {"mail 1", "mail 2"}, "m%": {"m%"}, "x": {},
		} {
			got := b.ok(b.client.QueueNames(b.ctx, prefix, 0)).([]string)
			b.check("queues from "+prefix, slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(got)))
		}
		b.check("limit", 2, len(b.ok(b.client.QueueNames(b.ctx, "", 2)).([]string)))
		_, err := b.client.QueueNames(context.Background(), "", -1)
		b.check("a negative limit", true, errors.Is(err, admin.ErrInvalid))
	})
}
