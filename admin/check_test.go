package admin_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
)

// calls are all calls of a client with valid input, on the first job and on one that does
// not exist.
func (b *bench) calls() map[string]func(*admin.Client) error {
	ids := []int64{1, 404}
	return map[string]func(*admin.Client) error{
		"Check":  func(c *admin.Client) error { return c.Check(b.ctx) },
		"AddJob": func(c *admin.Client) error { _, err := c.AddJob(b.ctx, "send", "secret", nil); return err },
		"AddJobs": func(c *admin.Client) error {
			_, err := c.AddJobs(b.ctx, []admin.JobSpec{{TaskIdentifier: "send", Payload: "secret"}}, nil)
			return err
		},
		"CompleteJobs": func(c *admin.Client) error { _, err := c.CompleteJobs(b.ctx, ids, nil); return err },
		"FailJobs":     func(c *admin.Client) error { _, err := c.FailJobs(b.ctx, ids, nil, nil); return err },
		"RescheduleJobs": func(c *admin.Client) error {
			_, err := c.RescheduleJobs(b.ctx, ids, admin.RescheduleValues{Priority: new(1)}, nil)
			return err
		},
		"RetryJobs": func(c *admin.Client) error { _, err := c.RetryJobs(b.ctx, ids, nil); return err },
		"HoldJobs":  func(c *admin.Client) error { _, err := c.HoldJobs(b.ctx, ids, nil); return err },
		"ReleaseJobs": func(c *admin.Client) error {
			_, err := c.ReleaseJobs(b.ctx, ids, nil)
			return err
		},
		"GetJob":    func(c *admin.Client) error { _, err := c.GetJob(b.ctx, 1); return err },
		"Explain":   func(c *admin.Client) error { _, err := c.Explain(b.ctx, 1); return err },
		"RemoveJob": func(c *admin.Client) error { _, err := c.RemoveJob(b.ctx, "key", nil); return err },
		"RemoveJob detaching": func(c *admin.Client) error {
			_, err := c.RemoveJob(b.ctx, "held", &admin.RemoveOptions{DetachLocked: true})
			return err
		},
		"ForceUnlockWorkers": func(c *admin.Client) error {
			_, err := c.ForceUnlockWorkers(b.ctx, []string{"pool-a"}, nil)
			return err
		},
		"RestoreQueues": func(c *admin.Client) error { _, err := c.RestoreQueues(b.ctx, nil); return err },
		"PauseQueue":    func(c *admin.Client) error { _, err := c.PauseQueue(b.ctx, "paused", nil); return err },
		"ResumeQueue":   func(c *admin.Client) error { _, err := c.ResumeQueue(b.ctx, "paused", nil); return err },
		"Cleanup": func(c *admin.Client) error {
			_, err := c.Cleanup(b.ctx, admin.CleanupOptions{Tasks: []admin.CleanupTask{admin.DeletePermafailedJobs, admin.GCJobQueues}})
			return err
		},
	}
}

// errorOfEvery checks that every call returns an error that matches.
func (b *bench) errorOfEvery(what string, c *admin.Client, match func(error) bool) {
	b.Helper()
	for name, call := range b.calls() {
		if err := call(c); err == nil || !match(err) {
			b.Errorf("%s: %s: %v", what, name, err)
		} else if strings.Contains(err.Error(), "secret") {
			b.Errorf("%s: %s: the error has the payload: %v", what, name, err)
		}
	}
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

// On a schema of Graphile Worker 0.13 to 0.15 every call returns ErrRevisionTooOld, not
// ErrNotInstalled.
func TestCheckOldTables(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason, sql string
		revision    int
	}{
		{"0.13, without breaking revisions", `create schema graphile_worker;
			create table graphile_worker.migrations (id int primary key, ts timestamptz default now() not null);
			insert into graphile_worker.migrations select generate_series(1, 10)`, 10},
		{"0.15", `create schema graphile_worker;
			create table graphile_worker.migrations (id int primary key, ts timestamptz default now() not null, breaking boolean not null default false);
			insert into graphile_worker.migrations select generate_series(1, 14)`, 14},
		{"another table migrations", `create schema graphile_worker; create table graphile_worker.migrations (name text)`, 0},
		{"an empty one", `create schema graphile_worker;
			create table graphile_worker.migrations (id int primary key, ts timestamptz default now() not null)`, 0},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			b.exec(tc.sql)
			want := is(admin.ErrNotInstalled)
			if tc.revision > 0 {
				want = func(err error) bool {
					got, ok := errors.AsType[*admin.RevisionError](err)
					return ok && errors.Is(err, admin.ErrRevisionTooOld) && got.Revision == tc.revision
				}
			}
			b.errorOfEvery(tc.reason, b.client, want)
		})
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason string
		ledger string // a statement that changes the ledger
		want   *admin.RevisionError
	}{
		{"revision 20", "", nil},
		{"revision 18", "delete from graphile_worker.migrations where id > 18", nil},
		{"a newer revision that is not breaking", "insert into graphile_worker.migrations (id, breaking) values (21, false)", nil},
		{
			"revision 17 is too old", "delete from graphile_worker.migrations where id > 17",
			&admin.RevisionError{Schema: "graphile_worker", Revision: 17, Breaking: 16, Err: admin.ErrRevisionTooOld},
		},
		{
			"a ledger without revisions", "delete from graphile_worker.migrations",
			&admin.RevisionError{Schema: "graphile_worker", Err: admin.ErrRevisionTooOld},
		},
		{
			"a newer breaking one", "insert into graphile_worker.migrations (id, breaking) values (21, true), (22, false)",
			&admin.RevisionError{Schema: "graphile_worker", Revision: 22, Breaking: 21, Err: admin.ErrRevisionTooNew},
		},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(b *bench) {
				if tc.ledger != "" {
					b.exec(tc.ledger)
				}
				err := b.client.Check(b.ctx)
				if tc.want == nil {
					b.ok(nil, err)
					return
				}
				got, ok := errors.AsType[*admin.RevisionError](err)
				if !ok {
					b.Fatal(err)
				}
				b.check("Check", *tc.want, *got, cmpopts.EquateErrors())
				before := b.tables()
				b.errorOfEvery("a client of its own", b.client, is(tc.want.Err))
				b.check("tables", before, b.tables())
			})
		})
	}
}

func TestNotInstalled(t *testing.T) {
	t.Parallel()
	t.Run("no schema", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, nil)
		tx := b.begin()
		b.errorOfEvery("in a transaction", b.client.WithTx(tx), is(admin.ErrNotInstalled))
		// The check does not abort the transaction.
		b.check("the transaction", []int{1}, rowsOf[int](b.in(tx), "select 1"))
		b.check("text", `check: schema of Graphile Worker is not installed: schema "graphile_worker": install it with gwadmin migrate up or graphile-worker --schema-only`,
			b.client.Check(b.ctx).Error())
	})
	t.Run("another schema", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, testdb.Ours(""))
		for _, name := range []string{weird, "Graphile_Worker", "graphile_worker ", "public"} {
			b.errorOfEvery(name, admin.New(b.on, admin.WithSchema(name)), is(admin.ErrNotInstalled))
		}
	})
	t.Run("an empty schema", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, nil)
		b.exec("create schema graphile_worker")
		b.errorOfEvery("no tables", b.client, is(admin.ErrNotInstalled))
	})
	t.Run("dropped after the first call", func(t *testing.T) {
		t.Parallel()
		onBoth(t, func(b *bench) {
			b.add("send", nil, nil)
			b.exec("drop schema graphile_worker cascade")
			b.errorOfEvery("no schema", b.client, is(admin.ErrNotInstalled))
		})
	})
	t.Run("a missing function", func(t *testing.T) {
		t.Parallel()
		onBoth(t, func(b *bench) {
			b.exec("drop function graphile_worker.complete_jobs")
			_, err := b.client.CompleteJobs(b.ctx, []int64{1}, nil)
			if !errors.Is(err, admin.ErrNotInstalled) || code(err) != "42883" {
				b.Errorf("CompleteJobs: %v", err)
			}
		})
	})
}

// Only the first call checks the installation.
func TestChecksOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		b.sent.take()
		b.add("send", nil, nil)
		b.check("first call", []string{"InstallationGet", "RevisionGet", "JobAdd"}, b.sent.names())
		b.add("send", nil, nil)
		b.check("second call", []string{"JobAdd"}, b.sent.names())
		tx := b.begin()
		b.ok(b.client.WithTx(tx).AddJob(b.ctx, "send", nil, nil))
		b.check("in a transaction", []string{"begin", "JobAdd"}, b.sent.names())
		b.ok(b.client.CompleteJobs(b.ctx, []int64{404}, nil))
		b.check("nothing found", []string{"JobComplete", "JobLocks"}, b.sent.names())
		b.ok(nil, b.client.Check(b.ctx))
		b.check("Check", []string{"InstallationGet", "RevisionGet"}, b.sent.names())
	})
}

// as is the bench of a role that has all privileges and owns nothing. The policies decide
// which rows it sees.
func (b *bench) as(policies ...string) *bench {
	b.Helper()
	role := "gwadmin_test_" + strings.ToLower(rand.Text())[:10]
	if _, err := b.pool.Exec(b.ctx, "create role "+role); code(err) == "42501" {
		b.Skip("this role may not create another")
	} else if err != nil {
		b.Fatal(err)
	}
	// Roles are not dropped with the test's database.
	b.Cleanup(func() {
		_, err := b.pool.Exec(context.Background(), fmt.Sprintf("drop owned by %[1]s; drop role %[1]s", role), pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			b.Logf("drop role %s: %v", role, err)
		}
	})
	b.exec("grant usage on schema graphile_worker to " + role)
	b.exec("grant all on all tables in schema graphile_worker to " + role)
	b.exec("grant execute on all functions in schema graphile_worker to " + role)
	for i, policy := range policies {
		for _, table := range []string{"_private_jobs", "_private_job_queues", "_private_tasks"} {
			b.exec(fmt.Sprintf("create policy test_%d on graphile_worker.%s %s", i, table, strings.ReplaceAll(policy, "role", role)))
		}
	}
	config := pgtest.Config(b, b.pool.Config().ConnString())
	config.ConnConfig.RuntimeParams["role"] = role
	pool, err := pgxpool.NewWithConfig(b.ctx, config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	return b.in(pool)
}

func TestRowSecurity(t *testing.T) {
	t.Parallel()
	const (
		sees    = "for select to role using (true)"
		changes = "for update to role using (true)"
		deletes = "for delete to role using (true)"
		adds    = "for insert to role with check (true)"
	)
	for _, tc := range []struct {
		reason   string
		policies []string
		refused  []string // nil: all calls
	}{
		{"without policies the role sees no row", nil, nil},
		{"a policy for another role", []string{"to pg_monitor using (true)"}, nil},
		{
			"a role that may only read", []string{sees},
			[]string{"AddJob", "AddJobs", "CompleteJobs", "FailJobs", "RescheduleJobs", "RetryJobs", "RemoveJob", "RemoveJob detaching", "ForceUnlockWorkers", "Cleanup", "RestoreQueues", "PauseQueue", "ResumeQueue", "HoldJobs", "ReleaseJobs"},
		},
		{
			"a role that may not delete", []string{sees, changes, adds},
			[]string{"CompleteJobs", "RemoveJob", "RemoveJob detaching", "Cleanup"},
		},
		{"a policy for each command", []string{sees, changes, adds, deletes}, []string{}},
		{"one policy for all commands", []string{"using (true)"}, []string{}},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(b *bench) {
				job := added(admin.Job{ID: 1, TaskIdentifier: "send", Key: new("key"), RunAt: *admin.At(day2), CreatedAt: day0, UpdatedAt: day1})
				held, worn := job, job
				held.ID, held.Key, held.QueueName, held.LockedAt, held.LockedBy = 2, new("held"), new("q"), ago(time.Hour), new("pool-a")
				worn.ID, worn.Key, worn.Attempts = 3, nil, 25
				b.insert(job, held, worn)
				b.exec("insert into graphile_worker._private_job_queues (queue_name) values ('unused')")
				before := withoutSequences(b.tables())
				role := b.as(tc.policies...)
				var refused []string
				for name, call := range b.calls() {
					tx, err := role.on.Begin(b.ctx)
					if err != nil {
						b.Fatal(err)
					}
					err = call(admin.New(tx))
					switch {
					case errors.Is(err, admin.ErrRowSecurity):
						refused = append(refused, name)
						_ = tx.Commit(b.ctx) // a refused call has changed nothing
					case err != nil:
						b.Errorf("%s: %v", name, err)
						fallthrough
					default:
						_ = tx.Rollback(b.ctx)
					}
					b.check("tables after "+name, before, withoutSequences(b.tables()))
				}
				want := tc.refused
				if want == nil {
					want = slices.Collect(maps.Keys(b.calls()))
				}
				slices.Sort(refused)
				b.check("refused", slices.Sorted(slices.Values(want)), refused, cmpopts.EquateEmpty())
			})
		})
	}
}

// withoutSequences removes the sequences, which a refused insert also changes.
func withoutSequences(tables map[string][]string) map[string][]string {
	for name := range tables {
		if strings.Contains(name, "_seq") {
			delete(tables, name)
		}
	}
	return tables
}

func TestNilDatabase(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	b.sent.take()
	clients := map[string]*admin.Client{
		"nil":                      admin.New(nil),
		"a nil pool":               admin.New((*pgxpool.Pool)(nil)),
		"a nil connection":         admin.New((*pgx.Conn)(nil)),
		"a nil transaction":        b.client.WithTx(nil),
		"a nil *pgxpool.Tx":        b.client.WithTx((*pgxpool.Tx)(nil)),
		"New on a nil *pgxpool.Tx": admin.New((*pgxpool.Tx)(nil)),
		"a *sql.Tx, and no pool":   admin.New((*pgxpool.Pool)(nil)).WithTx(admin.SQL(&sql.Tx{})),
		"a nil *sql.DB":            admin.New(admin.SQL((*sql.DB)(nil))),
		"a nil *sql.Conn":          admin.New(admin.SQL((*sql.Conn)(nil))),
		"a nil *sql.Tx":            b.client.WithTx(admin.SQL((*sql.Tx)(nil))),
	}
	for what, client := range clients {
		func() {
			defer func() {
				if r := recover(); r != nil {
					b.Errorf("%s: panic: %v", what, r)
				}
			}()
			b.errorOfEvery(what, client, func(err error) bool { return strings.HasSuffix(err.Error(), "is nil") })
		}()
	}
	b.check("what was sent", []string(nil), b.sent.names())
}

// The SQLSTATE of a refused statement remains in the chain of the error.
func TestServerErrors(t *testing.T) {
	t.Parallel()
	t.Run("a statement timeout", func(t *testing.T) {
		t.Parallel()
		onBoth(t, func(b *bench) {
			b.insert(added(admin.Job{ID: 1, TaskIdentifier: "send", Key: new("key")}))
			tx := b.begin()
			b.in(tx).exec(takes, []int64{1}, "pool-a", now())
			for name, call := range b.calls() {
				switch name {
				case "Check", "GetJob", "Explain", "AddJob", "AddJobs", "ForceUnlockWorkers", "Cleanup", "RemoveJob detaching", "RestoreQueues", "PauseQueue", "ResumeQueue", "ReleaseJobs":
					continue // these calls do not wait for a lock of the test
				}
				impatient := b.in(b.begin())
				impatient.exec("set local statement_timeout = '20ms'")
				err := call(impatient.client)
				b.check(name, "57014", code(err))
			}
		})
	})
	t.Run("a cancelled context", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, testdb.Ours(""))
		b.ok(nil, b.client.Check(b.ctx))
		ctx, cancel := context.WithCancel(b.ctx)
		cancel()
		b.ctx = ctx
		b.errorOfEvery("ended", b.client, is(context.Canceled))
	})
	t.Run("a closed pool", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, testdb.Ours(""))
		b.pool.Close()
		b.errorOfEvery("closed", b.client, func(err error) bool { return strings.HasSuffix(err.Error(), ": closed pool") })
	})
	t.Run("a transaction that has ended", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, testdb.Ours(""))
		tx := b.begin()
		b.ok(nil, tx.Commit(b.ctx))
		b.errorOfEvery("over", b.client.WithTx(tx), func(err error) bool {
			return errors.Is(err, pgx.ErrTxClosed) || errors.Is(err, sql.ErrTxDone)
		})
	})
	t.Run("a transaction that has failed", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, testdb.Ours(""))
		b.ok(nil, b.client.Check(b.ctx))
		tx := b.begin()
		_, _ = tx.Exec(b.ctx, "select 1 / 0")
		b.errorOfEvery("failed", b.client.WithTx(tx), func(err error) bool { return code(err) == "25P02" })
	})
	t.Run("a statement that a trigger refuses", func(t *testing.T) {
		t.Parallel()
		onBoth(t, func(b *bench) {
			b.insert(added(admin.Job{ID: 1, TaskIdentifier: "send", Payload: []byte(`"secret"`), Attempts: 25, Key: new("key")}))
			b.exec(`create function public.refuse() returns trigger language plpgsql as $$ begin raise exception 'no' using errcode = 'TEST1'; end $$`)
			b.exec(`create trigger refuse before insert or update or delete on graphile_worker._private_jobs execute function public.refuse()`)
			for name, call := range b.calls() {
				if slices.Contains([]string{"Check", "GetJob", "Explain", "RestoreQueues", "PauseQueue", "ResumeQueue", "ReleaseJobs"}, name) {
					continue // they change no job
				}
				if err := call(b.client); code(err) != "TEST1" || strings.Contains(err.Error(), "secret") {
					b.Errorf("%s: %v", name, err)
				}
			}
		})
	})
}

// A read replica, or a role that may only read, is enough for what only reads.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		b.fixture()
		tx := b.begin()
		inside := b.in(tx)
		inside.exec("set transaction read only")
		b.ok(nil, inside.client.Check(b.ctx))
		for name, c := range changes {
			want := b.ok(c.dry(b.ctx, b.client, everyID))
			b.check(name, want, b.ok(c.dry(b.ctx, inside.client, everyID)))
		}
		b.ok(inside.client.RemoveJob(b.ctx, "key 2", &admin.RemoveOptions{DryRun: true}))
		b.ok(inside.client.ForceUnlockWorkers(b.ctx, []string{"pool-a"}, &admin.UnlockOptions{DryRun: true}))
		b.ok(inside.client.PauseQueue(b.ctx, "new", &admin.PauseOptions{DryRun: true}))
		b.ok(inside.client.ResumeQueue(b.ctx, "new", &admin.ResumeOptions{DryRun: true}))
		b.ok(inside.client.Cleanup(b.ctx, admin.CleanupOptions{DryRun: true, Tasks: []admin.CleanupTask{
			admin.DeletePermafailedJobs, admin.GCTaskIdentifiers, admin.GCJobQueues,
		}}))
	})
}
