package admin_test

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/testdb"
)

var errLost = errors.New("connection lost")

// failing is a database on which the nth query with a name fails.
type failing struct {
	admin.DB
	name string
	nth  int
	seen *int
}

func (f failing) fails(sql string) bool {
	if !strings.Contains(sql, "-- name: "+f.name+" ") {
		return false
	}
	*f.seen++
	return *f.seen == f.nth
}

func (f failing) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if f.fails(sql) {
		return nil, errLost
	}
	return f.DB.Query(ctx, sql, args...)
}

func (f failing) Begin(ctx context.Context) (pgx.Tx, error) {
	tx, err := f.DB.Begin(ctx)
	return failingTx{tx, f}, err
}

type failingTx struct {
	pgx.Tx
	failing
}

func (f failingTx) Begin(ctx context.Context) (pgx.Tx, error) { return f.Tx.Begin(ctx) }
func (f failingTx) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return f.Tx.Exec(ctx, sql, args...)
}
func (f failingTx) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return f.Tx.QueryRow(ctx, sql, args...)
}
func (f failingTx) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if f.fails(sql) {
		return nil, errLost
	}
	return f.Tx.Query(ctx, sql, args...)
}

// A call returns what it has changed even if it cannot read why it skipped the other jobs.
func TestChangeKeepsWhatIsDone(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		jobs := b.fixture()[:2]
		b.ok(nil, b.client.Check(b.ctx))
		worker := b.begin()
		if _, err := worker.Exec(b.ctx, takes, []int64{2}, "pool-a", time.Now()); err != nil {
			b.Fatal(err)
		}
		client := admin.New(failing{b.on, "JobLocks", 1, new(int)})
		got := b.during(worker, worker.Commit, func() any {
			result, err := client.CompleteJobs(b.ctx, []int64{1, 2}, nil)
			return b.ok(result, err)
		})
		want := changedAll(jobs[:1], []admin.Skip{{ID: 2, Reason: admin.Contended}})
		b.check("result", want, got)
	})
}

// AddJobs adds all jobs or none, even if it cannot read the names of their tasks.
func TestAddJobsFailsWhole(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		client := admin.New(failing{b.on, "TaskNames", 1, new(int)})
		_, err := client.AddJobs(b.ctx, []admin.JobSpec{{TaskIdentifier: "new"}, {TaskIdentifier: "newer"}}, nil)
		b.check("it fails", true, errors.Is(err, errLost))
		b.check("jobs", 0, len(b.jobs()))
	})
}

// A call that needs a transaction does not end a transaction that the caller has begun with
// SQL on the connection.
func TestBegunByHand(t *testing.T) {
	t.Parallel()
	const n = 5001 // more than the batch size
	specs := make([]admin.JobSpec, n)
	for i := range specs {
		specs[i].TaskIdentifier = "new"
	}
	refused := slices.Clone(specs)
	refused[n-1].Priority = new(99)
	test := func(b *bench, on admin.DB, status func() byte) {
		b.many(n)
		b.exec("alter table graphile_worker._private_jobs add check (priority <> 99)")
		ids := rowsOf[int64](b, "select id from graphile_worker._private_jobs")
		inside := b.in(on)
		open := func(what string, jobs int) {
			b.Helper()
			b.check("the transaction after "+what, byte('T'), status())
			b.check("jobs inside after "+what, jobs, rowsOf[int](inside, "select count(*)::int from graphile_worker._private_jobs")[0])
			b.check("jobs outside after "+what, n, rowsOf[int](b, "select count(*)::int from graphile_worker._private_jobs")[0])
		}
		inside.exec("begin")
		b.ok(inside.client.AddJobs(b.ctx, specs, nil))
		open("AddJobs", 2*n)
		b.ok(inside.client.CompleteJobs(b.ctx, ids, nil))
		open("CompleteJobs", n)
		b.ok(inside.client.Cleanup(b.ctx, admin.CleanupOptions{Tasks: []admin.CleanupTask{admin.GCJobQueues}}))
		open("Cleanup", n)

		_, err := inside.client.AddJobs(b.ctx, refused, nil)
		b.check("the error", "23514", code(err))
		open("a failure", n)

		inside.exec("rollback")
		b.check("jobs after the rollback", ids, rowsOf[int64](b, "select id from graphile_worker._private_jobs order by id"))
	}
	for _, mode := range modes {
		in := func(config *pgxpool.Config) { config.ConnConfig.DefaultQueryExecMode = mode }
		t.Run(mode.String()+"/pgx.Conn", func(t *testing.T) {
			t.Parallel()
			b := newBench(t, testdb.Ours(""), in)
			conn := b.ok(b.pool.Acquire(b.ctx)).(*pgxpool.Conn)
			defer conn.Release()
			test(b, conn.Conn(), conn.Conn().PgConn().TxStatus)
		})
		t.Run(mode.String()+"/sql.Conn", func(t *testing.T) {
			t.Parallel()
			b := newBench(t, testdb.Ours(""), in)
			conn := b.ok(b.sqlDB().Conn(b.ctx)).(*sql.Conn)
			defer conn.Close()
			test(b, admin.SQL(conn), func() (status byte) {
				b.ok(nil, conn.Raw(func(conn any) error {
					status = conn.(*stdlib.Conn).Conn().PgConn().TxStatus()
					return nil
				}))
				return status
			})
		})
	}
}

// Every call returns an error if row security hides a row that it needs from the role, or
// forbids changing it. Without this check it would silently skip these rows.
func TestRowSecurityHalf(t *testing.T) {
	t.Parallel()
	const everything = "to role using (true)"
	for _, tc := range []struct {
		reason  string
		jobs    []string // policies on the jobs
		others  []string // policies on the queues and tasks
		refused bool
	}{
		{"all rows of all tables", []string{everything}, []string{everything}, false},
		{"jobs it does not see", []string{"for select to role using (priority = 0)", "for update to role using (true)", "for delete to role using (true)"}, []string{everything}, true},
		{"only the jobs", []string{everything}, nil, true},
		{"a restrictive policy", []string{everything, "as restrictive to role using (priority = 0)"}, []string{everything}, true},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, testdb.Ours(""))
			b.fixture()
			role := b.as()
			name := rowsOf[string](role, "select current_user::text")[0]
			for _, table := range []string{"_private_jobs", "_private_job_queues", "_private_tasks"} {
				policies := tc.others
				if table == "_private_jobs" {
					policies = tc.jobs
				}
				for i, policy := range policies {
					b.exec("create policy half_" + string(rune('a'+i)) + " on graphile_worker." + table + " " + strings.ReplaceAll(policy, "role", name))
				}
			}
			before := b.tables()
			calls := map[string]error{}
			_, calls["unlock"] = role.client.ForceUnlockWorkers(b.ctx, []string{"pool-a"}, nil)
			_, calls["complete"] = role.client.CompleteJobs(b.ctx, []int64{1}, nil)
			_, calls["cleanup"] = role.client.Cleanup(b.ctx, admin.CleanupOptions{Tasks: []admin.CleanupTask{admin.GCTaskIdentifiers, admin.GCJobQueues}})
			for call, err := range calls {
				b.check(call+": refused", tc.refused, errors.Is(err, admin.ErrRowSecurity))
			}
			if tc.refused {
				b.check("tables", before, b.tables())
			}
		})
	}
}
